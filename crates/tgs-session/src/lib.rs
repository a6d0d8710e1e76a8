//! `tgs-session`: signs in to Telegram; stores, shows, converts and ends sessions.
//!
//! Prompts and messages go to stderr; stdout carries only results: a new session string, a list, a
//! converted string. The tool never connects with a session that another process uses.

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

/// The clap definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
