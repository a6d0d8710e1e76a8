//! The states, events and actions of a broadcast into Telegram.

use std::time::Duration;

use tgs_control::TelegramState;
use tgs_core::{
    exit::Code,
    settings::{OnLoss, Regen, Telegram},
};

/// How often a cause is checked that only the operator can remove; the longest wait for the network.
const LONGEST_DELAY: Duration = Duration::from_mins(1);

/// Where the broadcast stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BroadcastState {
    /// The stream is being opened for the first time, or again after something was mended.
    Starting,
    /// On air.
    Live(SessionHealth),
    /// The session is good or nothing is known against it, but the stream cannot be opened.
    Waiting {
        /// Why.
        reason: WaitReason,
        /// Attempts that have failed in a row.
        failures: u32,
    },
    /// No valid session, and nothing is published.
    Degraded(Recovery),
    /// The tool ends with this code.
    Stopping(Code),
}

/// The session, while on air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionHealth {
    /// It was good when last looked at.
    Good {
        /// How often in a row the call had to be created again.
        reopened: u32,
        /// Whether the call is over and is to be created again after a wait.
        over: bool,
    },
    /// It is dead; the picture goes on, since the ingest asks for no session.
    Lost(Recovery),
}

/// How far getting a new session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// Whether an attempt can help: it cannot once the account is gone.
    pub(crate) cause: LossCause,
    /// Counted from 1.
    pub(crate) cycle: u32,
    /// Which attempt of the standby session; 0 while only the string in `.env` is tried.
    pub(crate) attempt: u32,
}

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LossCause {
    /// The session is dead, missing or malformed.
    Session,
    /// The account is banned, frozen or deleted.
    Account,
}

/// Why the stream cannot be opened though nothing is known against the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitReason {
    /// Telegram asks to wait this long.
    Flood(Duration),
    /// Telegram cannot be reached.
    Network,
    /// The account may not start a live stream there.
    Rights,
    /// CHAT_ID names no chat that the account sees.
    Chat,
    /// People hold a call of their own.
    People,
    /// The call could not be created.
    Call,
    /// API_ID or API_HASH is wrong.
    App,
    /// Another program on this machine uses the session.
    InUse,
    /// Something this version does not know.
    Other,
}

impl WaitReason {
    /// The state in /healthz and /status.
    pub(crate) fn state(self) -> TelegramState {
        match self {
            Self::Flood(_) => TelegramState::WaitingFlood,
            Self::Network => TelegramState::WaitingNetwork,
            Self::Rights => TelegramState::WaitingRights,
            Self::Chat => TelegramState::WaitingChat,
            Self::People => TelegramState::WaitingPeople,
            Self::Call => TelegramState::WaitingCall,
            Self::App => TelegramState::WaitingApp,
            Self::InUse => TelegramState::WaitingInUse,
            Self::Other => TelegramState::WaitingOther,
        }
    }

    /// Whether the stream that is on air goes on: nothing says that it is over.
    pub(super) fn passes(self) -> bool {
        matches!(self, Self::Flood(_) | Self::Network | Self::InUse | Self::Other)
    }

    /// How long to wait after so many failures.
    pub(super) fn delay(self, failures: u32) -> Duration {
        match self {
            Self::Flood(wait) => wait,
            Self::Network => doubling(failures),
            _ => LONGEST_DELAY,
        }
    }
}

/// Why an attempt to open the stream failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartError {
    /// There is no session.
    Lost(LossCause),
    /// There may be one.
    Wait(WaitReason),
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateEvent {
    /// The tool begins.
    Begin,
    /// [`Action::Open`] has ended.
    Opened(Result<(), StartError>),
    /// [`Action::Check`] has ended: session and call are as they were, or the call is over.
    Checked(CheckOutcome),
    /// [`Action::Renew`] has ended.
    Renewed(RenewalOutcome),
    /// The wait asked for is over.
    Due,
    /// The reminder is due.
    Remind,
    /// The broadcast has ended by itself.
    Ended(Code),
    /// A signal asks the tool to stop.
    Stop,
}

/// What a look at session and call has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckOutcome {
    /// Both are as they were.
    Good,
    /// Both are, and the ingest is another.
    Moved,
    /// The call is over.
    CallOver,
    /// It failed.
    Failed(StartError),
}

/// How an attempt with the standby session went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RenewalOutcome {
    /// A new session stands in `.env`.
    Done,
    /// It failed.
    Failed,
}

/// What the driver does, in order. One of `OpenSegment`, `Check` and `Renew` at most comes in a step, and comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Read `.env`, connect, find the chat and its call (or create it), ask for the ingest. `unless_same`: only if the
    /// string there is another than the one that failed.
    Open {
        /// Whether the string that has failed is not to be tried again.
        unless_same: bool,
    },
    /// Ask whether session and call still live.
    Check,
    /// Let the standby session approve a new one.
    Renew,
    /// Publish to the ingest that was opened, unless that is where the picture goes already.
    Publish,
    /// End the publishing.
    Halt,
    /// Wait this long for [`StateEvent::Due`]. Replaces the wait before.
    Wait(Duration),
    /// Wait this long for [`StateEvent::Remind`].
    RemindIn(Duration),
    /// Name the error that ended the session.
    LogLoss,
    /// Say the line of degraded mode.
    LogDegraded,
    /// Say how a cycle has ended.
    LogCycle,
}

/// What the settings decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// `SESSION_REGEN`
    pub(crate) regen: Regen,
    /// `ON_SESSION_LOSS`
    pub(crate) on_loss: OnLoss,
    /// Whether STANDBY_SESSION_STRING is set.
    pub(crate) standby: bool,
}

impl Policy {
    pub(crate) fn of(settings: &Telegram) -> Self {
        Self { regen: settings.regen, on_loss: settings.on_loss, standby: settings.standby.is_some() }
    }
}

/// 1 s, doubling to 60 s.
pub(super) fn doubling(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.min(6)).min(LONGEST_DELAY)
}
