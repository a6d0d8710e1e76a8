//! `tgs-diag`: finds faults of an installation and names their remedies.
//!
//! Writes nothing, restarts nothing, and never uses a session that another process holds. Each
//! module checks one area and separates observation (files, children, network) from judgement, so
//! that tests need no real fault. All output passes through `redact`.

mod app;
pub mod cli;
mod context;
mod drop_privileges;
mod ffmpeg;
mod finding;
mod host;
mod hot_standby;
mod ingest;
mod playlist;
mod port;
mod redact;
mod routes;
mod runner;
mod running_broadcast;
mod settings;
mod telegram;
mod timetable;
mod unit;
mod unit_properties;
mod viewers;
mod ytdlp;

pub use app::run;

/// The clap definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
