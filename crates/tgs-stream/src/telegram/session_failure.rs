//! A failure of the session: its text for the log, and its meaning for the state machine.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use tgs_core::{remedy, time::moment};
use tgs_telegram::{ErrorClass, TelegramError, session::lock};

use super::state_machine::{LossCause, StartError, WaitReason};

#[derive(Debug, Clone)]
pub(crate) struct SessionFailure {
    pub(crate) error: StartError,
    /// Follows "failed to".
    pub(crate) message: String,
    /// The operator's next step, if any.
    pub(crate) remedy: String,
}

impl fmt::Display for SessionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}", self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

impl SessionFailure {
    pub(super) fn of(error: &TelegramError) -> Self {
        let start_error = match error.class {
            ErrorClass::Session => StartError::Lost(LossCause::Session),
            ErrorClass::Account => StartError::Lost(LossCause::Account),
            ErrorClass::Flood => {
                let wait = Self::requested_wait(error) + Duration::from_secs(1);
                StartError::Wait(WaitReason::Flood(wait))
            }
            ErrorClass::Network | ErrorClass::Stopped => StartError::Wait(WaitReason::Network),
            ErrorClass::Rights => StartError::Wait(WaitReason::Rights),
            ErrorClass::Chat => StartError::Wait(WaitReason::Chat),
            ErrorClass::VideoChat => StartError::Wait(WaitReason::People),
            ErrorClass::Call => StartError::Wait(WaitReason::Call),
            ErrorClass::App => StartError::Wait(WaitReason::App),
            ErrorClass::SignIn | ErrorClass::Other => StartError::Wait(WaitReason::Other),
        };
        Self { error: start_error, message: error.to_string(), remedy: error.remedy().into_owned() }
    }

    /// The live stream is scheduled, and due after `left`.
    pub(super) fn scheduled(left: Duration, now: SystemTime) -> Self {
        Self {
            // A second of Telegram's clock.
            error: StartError::Wait(WaitReason::Scheduled(left + Duration::from_secs(1))),
            message: format!("start the live stream: it is scheduled for {}", moment(now + left)),
            remedy: "start it in Telegram to go live sooner".to_owned(),
        }
    }

    /// The wait of a FLOOD_WAIT; a minute if Telegram names none.
    pub(super) fn requested_wait(error: &TelegramError) -> Duration {
        error.wait.unwrap_or(Duration::from_mins(1))
    }

    pub(super) fn flood_wait(left: Duration, now: SystemTime) -> Self {
        let until = moment(now + left);
        Self {
            error: StartError::Wait(WaitReason::Flood(left)),
            message: format!("use the session: FLOOD_WAIT: Telegram accepts no request until {until}"),
            remedy: String::new(),
        }
    }

    /// SESSION_STRING still holds the dead session.
    pub(super) fn still_dead(cause: LossCause) -> Self {
        Self {
            error: StartError::Lost(cause),
            message: "find another session: SESSION_STRING still holds the dead one".to_owned(),
            remedy: String::new(),
        }
    }

    pub(super) fn no_session(message: String) -> Self {
        let remedy = format!("run: {}", remedy::command("tgs-session --write-env"));
        Self { error: StartError::Lost(LossCause::Session), message, remedy }
    }

    pub(super) fn in_use(fingerprint: &str, error: &lock::SessionLockError) -> Self {
        Self {
            error: StartError::Wait(WaitReason::InUse),
            message: format!("use the session {fingerprint}: {error}"),
            remedy: "stop the other program: Telegram ends a session that two programs use".to_owned(),
        }
    }

    pub(super) fn incomplete_settings() -> Self {
        Self {
            error: StartError::Wait(WaitReason::App),
            message: "read the settings: API_ID, API_HASH or CHAT_ID was removed".to_owned(),
            remedy: "set it again".to_owned(),
        }
    }

    /// A panic inside a call to Telegram.
    pub(super) fn of_panic(panic: &impl fmt::Display) -> Self {
        Self {
            error: StartError::Wait(WaitReason::Other),
            message: format!("call Telegram: internal error of tgs-stream, please report it: {panic}"),
            remedy: String::new(),
        }
    }
}
