//! `tgs-ctl`: steers running broadcasts over their control sockets, and shows what they do.
//!
//! Each command is one request of [`tgs_control::ControlClient`]; `app` connects and prints.
//! `status`, `events` and `as_run` turn results into text, `live` redraws it, `monitor` hands on
//! the media. Keeps no state and retries nothing but a live display.

mod app;
mod as_run;
pub mod cli;
mod completion;
mod connect;
mod events;
mod hosts;
mod listings;
mod live;
mod live_input;
mod monitor;
mod output;
mod outputs;
mod record;
mod seek_time;
mod since;
mod status;
mod text;
mod timetable;
mod upgrade;

pub use app::run;
use clap_complete::CompleteEnv;

/// Answers the shell and exits if it asks for candidates. Otherwise does nothing.
pub fn complete() {
    CompleteEnv::with_factory(command).complete();
}
/// The clap definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
