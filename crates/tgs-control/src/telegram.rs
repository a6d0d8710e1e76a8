//! The Telegram part of `/status`: state, session, account and chat.

use std::time::Duration;

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
    /// What viewers get, with VIEWER_CHECK; absent before the first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewer_check: Option<ViewerCheckStatus>,
}

/// What viewers of the live stream get, as Telegram tells a viewer's app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ViewerCheckStatus {
    /// How far the newest second that viewers can get lies behind the best seen, in ms.
    pub live_edge_age_ms: u64,
    /// Whether anything arrives.
    pub arrives: bool,
    /// What is seen of the newest second, beside what was sent; absent before the first look.
    pub picture: Option<ViewerPicture>,
    /// Why the last check failed.
    pub failure: Option<String>,
    /// When Telegram answered last, in Unix seconds.
    pub answered_at: Option<u64>,
}

impl ViewerCheckStatus {
    /// Why viewers get no picture, by checks that Telegram has answered; `None` if they get one.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        if self.failure.is_some() {
            return None;
        }
        let behind = Duration::from_millis(self.live_edge_age_ms);
        if behind >= LONGEST_LAG {
            let what = if self.arrives { "nothing new" } else { "nothing" };
            return Some(format!("viewers get {what} for {} s", behind.as_secs()));
        }
        self.picture?.trouble().map(str::to_owned)
    }
}

/// What viewers see and hear that was not sent so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewerPicture {
    /// A black picture.
    Black,
    /// A picture that stands still.
    Frozen,
    /// No sound.
    Silent,
    /// What was sent, as far as a look can tell; also any state that this version does not know.
    #[default]
    #[serde(other)]
    Good,
}

impl ViewerPicture {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Good, Self::Black, Self::Frozen, Self::Silent];

    /// The name in the metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Black => "black",
            Self::Frozen => "frozen",
            Self::Silent => "silent",
        }
    }

    /// The reason in `/healthz`.
    fn trouble(self) -> Option<&'static str> {
        match self {
            Self::Good => None,
            Self::Black => Some("viewers get a black picture"),
            Self::Frozen => Some("viewers get a picture that stands still"),
            Self::Silent => Some("viewers get no sound"),
        }
    }
}

/// A stream that goes on is checked each half a minute, and lies no more than seconds behind.
const LONGEST_LAG: Duration = Duration::from_secs(30);

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
