//! `tgs-diag`: says what is wrong with an installation, and how to mend it.
//!
//! It only looks: it writes nothing, restarts nothing, and connects with a session only where no other process uses it.
//! Each module looks at one area; in each, what looks (files, children, the network) is kept apart from what judges, so
//! that every verdict can be tested without the fault. Whatever is said goes through `redact` once more at the end.

mod app;
pub mod cli;
mod context;
mod drop_privileges;
mod ffmpeg;
mod finding;
mod host;
mod ingest;
mod playlist;
mod port;
mod redact;
mod runner;
mod running_broadcast;
mod settings;
mod telegram;
mod unit;
mod ytdlp;

pub use app::run;

/// The command line's definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
