//! `tgs-bot`: a Telegram bot that shows the channels of a machine in private chats, and through
//! which operators steer them.
//!
//! # Theory of operation
//!
//! One thread owns the connection to Telegram. It receives messages and pressed buttons, asks
//! `conversation` what they lead to, and sends what is due from a bounded outbox. A few further
//! threads speak to the control sockets, so that a broadcast that does not answer holds up nobody.
//! `conversation` decides who may do what, and does no I/O. A file that an administrator sends is
//! received piece by piece between the messages.
//!
//! The bot has an account and a session of its own; it reads no settings, session or state of a
//! broadcast.

mod access;
mod app;
mod broadcasts;
mod cli;
mod command;
mod conversation;
mod daemon;
mod digest;
mod fetch;
mod incident_file;
mod incidents;
mod kept_files;
mod machine_notes;
mod media_dir;
mod outbox;
mod picture;
mod press;
mod quiet_hours;
mod session_file;
pub mod settings;
mod texts;
mod view;
mod watch;
mod webhook;

pub use app::run;

/// The clap definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
