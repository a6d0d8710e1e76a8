//! Maps Telegram errors to the error that ends the tool: what failed, why, and the remedy on one
//! line. `tgs-stream` logs that line.

use std::time::SystemTime;

use tgs_core::{error::CliError, time::moment};
use tgs_telegram::{ErrorClass, TelegramError};

/// The operator stopped the tool.
pub(crate) fn stopped() -> CliError {
    CliError::failure("finish: it was stopped, and nothing was changed")
}

/// A Telegram error with its default remedy.
pub(crate) fn of_telegram(error: TelegramError) -> CliError {
    if error.class == ErrorClass::Stopped {
        return stopped();
    }
    let remedy = error.remedy();
    telegram(error, &remedy)
}

/// A Telegram error with the given remedy.
pub(crate) fn telegram(error: TelegramError, remedy: &str) -> CliError {
    let then = match (error.wait, remedy) {
        (Some(wait), _) => format!("; try again after {}", moment(SystemTime::now() + wait)),
        (None, "") => String::new(),
        (None, remedy) => format!("; {remedy}"),
    };
    let text = format!("{error}{then}");
    anyhow::Error::new(error).context(text).into()
}
