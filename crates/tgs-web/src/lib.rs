//! `tgs-web`: the desk. Shows the channels of a machine in a browser, with the picture on air, and
//! sends commands to them.
//!
//! Knows broadcasts by their control sockets only; reads no settings, session or state of theirs.

mod app;
mod assets;
mod channel;
pub mod cli;
mod demo_link;
mod desk;
mod hash;
mod http;
mod library;
mod limits;
mod listener;
mod public_url;
mod sessions;
pub mod settings;
mod shares;
mod sign_in_tries;
mod stall;
mod user_commands;
mod users;

pub use app::run;

/// The clap definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
