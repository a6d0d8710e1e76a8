//! The states, events and actions of a broadcast into Telegram.

use std::time::Duration;

use tgs_control::TelegramState;
use tgs_core::{
    exit::Code,
    settings::{OnLoss, Regen, Telegram},
};

/// How often a cause is checked that only the operator can remove; the longest wait for the
/// network.
const LONGEST_DELAY: Duration = Duration::from_mins(1);

/// The state of the broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BroadcastState {
    /// The first attempt to open the stream.
    Starting,
    /// Publishing.
    Live(SessionHealth),
    /// The session may be valid, but the stream cannot be opened.
    Waiting {
        /// The reason.
        reason: WaitReason,
        /// Failed attempts in a row.
        failures: u32,
    },
    /// No valid session; nothing is published.
    Degraded(Recovery),
    /// The tool exits with this code.
    Stopping(Code),
}

/// The session while publishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionHealth {
    /// Valid at the last check.
    Good {
        /// How often in a row the call was created again.
        reopened: u32,
        /// Whether the call is over and is to be created again.
        over: bool,
    },
    /// Dead. Publishing continues: the ingest needs no session.
    Lost(Recovery),
}

/// The progress of getting a new session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// Nothing can be renewed once the account is gone.
    pub(crate) cause: LossCause,
    /// From 1.
    pub(crate) cycle: u32,
    /// The attempt of the standby session; 0 while only the string in `.env` is tried.
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

/// Why the stream cannot be opened, although the session may be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitReason {
    /// FLOOD_WAIT: Telegram accepts no request for this long.
    Flood(Duration),
    /// Telegram cannot be reached.
    Network,
    /// The account may not start a live stream there.
    Rights,
    /// CHAT_ID names no chat that the account sees.
    Chat,
    /// A video chat is running in the chat.
    People,
    /// The live stream is scheduled, and due after this long.
    Scheduled(Duration),
    /// The call could not be created.
    Call,
    /// API_ID or API_HASH is wrong.
    App,
    /// Another program on this machine uses the session.
    InUse,
    /// An error unknown to this version.
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
            Self::Call | Self::Scheduled(_) => TelegramState::WaitingCall,
            Self::App => TelegramState::WaitingApp,
            Self::InUse => TelegramState::WaitingInUse,
            Self::Other => TelegramState::WaitingOther,
        }
    }

    /// Whether publishing continues: nothing says that the stream is over.
    pub(super) fn passes(self) -> bool {
        matches!(self, Self::Flood(_) | Self::Network | Self::InUse | Self::Other)
    }

    /// The delay after so many failures.
    pub(super) fn delay(self, failures: u32) -> Duration {
        match self {
            Self::Flood(wait) => wait,
            Self::Scheduled(wait) => wait.min(LONGEST_DELAY),
            Self::Network => doubling(failures),
            _ => LONGEST_DELAY,
        }
    }
}

/// Why the stream could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartError {
    /// There is no session.
    Lost(LossCause),
    /// The session may be valid.
    Wait(WaitReason),
}

/// Input of the state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateEvent {
    /// The tool starts.
    Begin,
    /// The tool publishes in the place of another process, which has closed its session.
    TakenOver,
    /// [`Action::Open`] is done.
    Opened(Result<(), StartError>),
    /// [`Action::Check`] is done.
    Checked(CheckOutcome),
    /// [`Action::Renew`] is done.
    Renewed(RenewalOutcome),
    /// The timer of [`Action::Wait`] has expired.
    Due,
    /// The timer of [`Action::RemindIn`] has expired.
    Remind,
    /// The engine has ended by itself.
    Ended(Code),
    /// A signal stops the tool.
    Stop,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckOutcome {
    /// Session and call are unchanged.
    Good,
    /// Unchanged, but the ingest is another.
    Moved,
    /// The call is over.
    CallOver,
    /// It failed.
    Failed(StartError),
}

/// The result of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RenewalOutcome {
    /// `.env` holds a new session.
    Done,
    /// It failed.
    Failed,
}

/// Output of the state machine. A step has at most one of `Open`, `Check` and `Renew`, as its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Connect, find the chat, join or create its call, and get the ingest.
    Open {
        /// Fail if SESSION_STRING is still the dead one.
        unless_same: bool,
    },
    /// Check session and call.
    Check,
    /// Let the standby session approve a new one.
    Renew,
    /// Publish to the opened ingest, unless already publishing there.
    Publish,
    /// Stop publishing.
    Halt,
    /// Start the timer of [`StateEvent::Due`], replacing the last one.
    Wait(Duration),
    /// Start the timer of [`StateEvent::Remind`].
    RemindIn(Duration),
    /// Log the error that ended the session.
    LogLoss,
    /// Log the line of degraded mode.
    LogDegraded,
    /// Log the end of a cycle.
    LogCycle,
}

/// The settings that the transitions depend on.
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
