//! Why the tool failed, in one line: what, why, and what to do about it. `tgs-stream` logs that line.

use std::{fmt, time::SystemTime};

use tgs_core::{exit::Code, logging::moment};
use tgs_telegram::{Class, TelegramError};

/// An error, and the exit code it leads to.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) code: Code,
    /// Follows "failed to".
    text: String,
}

impl Failed {
    /// `text` follows "failed to" and may end in a remedy.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { code: Code::Failure, text: text.into() }
    }

    pub(crate) fn with_code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// The operator has stopped the tool.
    pub(crate) fn stopped() -> Self {
        Self::new("finish: it was stopped, and nothing was changed")
    }

    /// What Telegram says, with a remedy in place of the usual one.
    pub(crate) fn telegram(error: &TelegramError, remedy: &str) -> Self {
        let then = match (error.wait, remedy) {
            (Some(wait), _) => format!("; try again after {}", moment(SystemTime::now() + wait)),
            (None, "") => String::new(),
            (None, remedy) => format!("; {remedy}"),
        };
        Self::new(format!("{error}{then}"))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<TelegramError> for Failed {
    fn from(error: TelegramError) -> Self {
        if error.class == Class::Stopped { Self::stopped() } else { Self::telegram(&error, &error.remedy()) }
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format!("{error:#}"))
    }
}
