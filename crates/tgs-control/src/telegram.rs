//! The Telegram part of `/status`: state, session, account and chat.

use serde::{Deserialize, Serialize};

use crate::null::null_as_default;

/// The Telegram state at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TelegramStatus {
    /// The state.
    #[serde(deserialize_with = "null_as_default")]
    pub state: TelegramState,
    /// Why the broadcast is not live, with the remedy.
    pub why: Option<String>,
    /// Time of the next attempt, as a Unix timestamp.
    pub retry_at: Option<u64>,
    /// Whether the session was valid at the last request to Telegram.
    #[serde(deserialize_with = "null_as_default")]
    pub session_valid: bool,
    /// Fingerprint of the session's auth key.
    pub session: Option<String>,
    /// `Name (@username, number)`
    pub account: Option<String>,
    /// `Title (number)`
    pub chat: Option<String>,
    /// The proxy that leads to Telegram (TELEGRAM_PROXY), as scheme, host and port; absent without
    /// one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// The viewers of the live stream at the last check, half a minute ago at most; absent while
    /// their number is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewers: Option<u32>,
    /// Whether the standby session was valid at its last use; absent before that.
    pub standby_valid: Option<bool>,
}

impl TelegramStatus {
    /// The user ID in [`TelegramStatus::account`].
    #[must_use]
    pub fn account_id(&self) -> Option<i64> {
        let account = self.account.as_deref()?.trim_end_matches(')');
        account.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    /// The reason in `/healthz` while the broadcast is not live: state name and cause.
    #[must_use]
    pub fn reason(&self) -> String {
        format!("{}: {}", self.state.name(), self.why.as_deref().unwrap_or_default())
    }
}

/// A Telegram state; `/status`, `/healthz` and the metric `tgs_state` use the same names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TelegramState {
    /// Connects to Telegram and looks up the chat and its group call.
    #[default]
    Starting,
    /// The group call shows the broadcast.
    Live,
    /// FLOOD_WAIT: Telegram accepts no request until a given time.
    WaitingFlood,
    /// Telegram is unreachable.
    WaitingNetwork,
    /// The account lacks a right in the chat.
    WaitingRights,
    /// The chat cannot be found.
    WaitingChat,
    /// A member of the chat must start the group call.
    WaitingPeople,
    /// The group call has ended, or could not be created.
    WaitingCall,
    /// API_ID or API_HASH is wrong.
    WaitingApp,
    /// Another program on this machine uses the session.
    WaitingInUse,
    /// Nothing is published because no session is valid.
    Degraded,
    /// The broadcast is ending.
    Stopping,
    /// An error that this version does not know; also any unknown state.
    #[serde(other)]
    WaitingOther,
}

impl TelegramState {
    /// Every state.
    pub const ALL: [Self; 13] = [
        Self::Starting,
        Self::Live,
        Self::WaitingFlood,
        Self::WaitingNetwork,
        Self::WaitingRights,
        Self::WaitingChat,
        Self::WaitingPeople,
        Self::WaitingCall,
        Self::WaitingApp,
        Self::WaitingInUse,
        Self::WaitingOther,
        Self::Degraded,
        Self::Stopping,
    ];

    /// The name on the pages and in the metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Live => "live",
            Self::WaitingFlood => "waiting_flood",
            Self::WaitingNetwork => "waiting_network",
            Self::WaitingRights => "waiting_rights",
            Self::WaitingChat => "waiting_chat",
            Self::WaitingPeople => "waiting_people",
            Self::WaitingCall => "waiting_call",
            Self::WaitingApp => "waiting_app",
            Self::WaitingInUse => "waiting_in_use",
            Self::WaitingOther => "waiting_other",
            Self::Degraded => "degraded",
            Self::Stopping => "stopping",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_same_name_in_the_json() {
        for state in TelegramState::ALL {
            let json = serde_json::to_value(state).unwrap();
            assert_eq!(json, state.name());
            assert_eq!(serde_json::from_value::<TelegramState>(json).unwrap(), state);
        }
    }

    #[test]
    fn accounts() {
        let cases = [("Ann (@ann, 123)", Some(123)), ("Ann 5 (77)", Some(77)), ("Ann", None), ("", None)];
        for (account, id) in cases {
            let status = TelegramStatus { account: Some(account.into()), ..TelegramStatus::default() };
            assert_eq!(status.account_id(), id, "{account}");
        }
    }
}
