//! RPC errors by name, with the code of each name.

use std::fmt;

use grammers_tl_types::{Serializable, enums, types};

/// An error as in `rpc_error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcError {
    /// 303, 400, 401, 403, 406, 420, 500 …
    pub code: i32,
    /// `CHAT_ADMIN_REQUIRED`, `FLOOD_WAIT_31`, …
    pub name: String,
}

/// Codes other than 400, from <https://core.telegram.org/api/errors> and the methods' pages.
const CODES: [(i32, &[&str]); 6] = [
    (
        401,
        &[
            "AUTH_KEY_UNREGISTERED",
            "AUTH_KEY_INVALID",
            "AUTH_KEY_PERM_EMPTY",
            "SESSION_REVOKED",
            "SESSION_EXPIRED",
            "SESSION_PASSWORD_NEEDED",
            "USER_DEACTIVATED",
            "USER_DEACTIVATED_BAN",
        ],
    ),
    (
        403,
        &[
            "RIGHT_FORBIDDEN",
            "CHAT_FORBIDDEN",
            "CHAT_WRITE_FORBIDDEN",
            "GROUPCALL_FORBIDDEN",
            "USER_PRIVACY_RESTRICTED",
        ],
    ),
    (
        406,
        &[
            "AUTH_KEY_DUPLICATED",
            "FRESH_RESET_AUTHORISATION_FORBIDDEN",
            "SEND_CODE_UNAVAILABLE",
            "UPDATE_APP_TO_LOGIN",
        ],
    ),
    (420, &["FROZEN_METHOD_INVALID"]),
    (500, &["INTERNAL_SERVER_ERROR", "RPC_CALL_FAIL", "RPC_MCGET_FAIL", "AUTH_RESTART"]),
    (-503, &["Timeout"]),
];

impl RpcError {
    /// The error of this name, with Telegram's code. Unknown names get 400, the most frequent code.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        let listed = CODES.iter().find(|(_, names)| names.contains(&name.as_str()));
        let code = match listed {
            Some((code, _)) => *code,
            None if name.contains("_MIGRATE_") => 303,
            // FLOOD_WAIT_31, FLOOD_PREMIUM_WAIT_31, SLOWMODE_WAIT_31, 2FA_CONFIRM_WAIT_3600
            None if name.contains("_WAIT_") => 420,
            None => 400,
        };
        Self { code, name }
    }

    /// Not an error: the answer follows later.
    pub(crate) fn later() -> Self {
        Self { code: 0, name: String::new() }
    }

    /// Whether the answer follows later.
    pub(crate) fn is_later(&self) -> bool {
        self.code == 0
    }

    /// The error as the result of a call.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let error = types::RpcError { error_code: self.code, error_message: self.name.clone() };
        enums::RpcError::from(error).to_bytes()
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.code, self.name)
    }
}

impl std::error::Error for RpcError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_bring_their_codes() {
        for (name, code) in [
            ("AUTH_KEY_UNREGISTERED", 401),
            ("AUTH_KEY_DUPLICATED", 406),
            ("FLOOD_WAIT_31", 420),
            ("FLOOD_PREMIUM_WAIT_7", 420),
            ("2FA_CONFIRM_WAIT_3600", 420),
            ("FROZEN_METHOD_INVALID", 420),
            ("PHONE_MIGRATE_2", 303),
            ("GROUPCALL_FORBIDDEN", 403),
            ("CHAT_ADMIN_REQUIRED", 400),
            ("RPC_CALL_FAIL", 500),
        ] {
            assert_eq!(RpcError::named(name).code, code, "{name}");
        }
    }
}
