//! `tgs-session`: signs in to Telegram, and keeps, shows and converts session strings.
//!
//! Questions and messages go to stderr; stdout carries only the result: the new
//! string, the list, the converted string. A session that another process uses is never connected
//! to.

mod app;
pub mod cli;
mod context;
mod convert;
mod dialogs;
mod end_call;
mod error;
mod log_out;
mod login;
mod qr;
mod session_sink;
mod show;
mod terminal;

pub use app::run;

/// The command line's definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
