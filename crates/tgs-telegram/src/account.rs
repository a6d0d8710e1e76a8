//! The active sessions of an account: lists, ends and approves them.

use std::time::{Duration, SystemTime};

use grammers_tl_types as tl;

use crate::{TelegramClient, TelegramError};

/// An active session of the account, as listed under Devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveSession {
    /// The application that opened the session.
    pub app: String,
    /// The device that the application runs on.
    pub device: String,
    /// The country of the last use.
    pub country: String,
    /// The time of the last use.
    pub active: SystemTime,
    /// The time of creation.
    pub created: SystemTime,
    /// Whether this client uses the session.
    pub current: bool,
}

impl TelegramClient {
    /// Lists the account's sessions, including this one.
    pub fn active_sessions(&mut self) -> Result<Vec<ActiveSession>, TelegramError> {
        let request = tl::functions::account::GetAuthorizations {};
        let tl::enums::account::Authorizations::Authorizations(all) =
            self.call("list the account's sessions", &request)?;
        let session = |tl::enums::Authorization::Authorization(it)| ActiveSession {
            app: it.app_name,
            device: it.device_model,
            country: it.country,
            active: at(it.date_active),
            created: at(it.date_created),
            current: it.current,
        };
        Ok(all.authorizations.into_iter().map(session).collect())
    }

    /// Logs the session out.
    pub fn log_out(mut self) -> Result<(), TelegramError> {
        self.call_client("end the session", async |client| client.sign_out().await).map(drop)
    }

    /// Approves the sign-in that shows `token` (see [`crate::sign_in`]) for this session's account.
    pub fn accept_login_token(&mut self, token: &[u8]) -> Result<(), TelegramError> {
        let request = tl::functions::auth::AcceptLoginToken { token: token.to_vec() };
        match self.call("approve the sign-in with the standby session", &request) {
            // The first request was processed; a lost connection caused the repeat.
            Err(error) if error.name == "AUTH_TOKEN_ALREADY_ACCEPTED" => Ok(()),
            answer => answer.map(drop),
        }
    }
}

/// Converts a Unix timestamp of Telegram.
fn at(seconds: i32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.max(0) as u64)
}
