//! `tgs-check-active`: checks whether a systemd unit is up, optionally after restarting it.
//!
//! `ActiveState=active` alone proves nothing: a service that exits after two seconds is active at
//! once and after each restart. The unit counts as up once one invocation has run for `--stable`.
//! The judgement is pure (`verdict`); `systemd`, `health` and `product` observe, `report` prints.

mod app;
pub mod cli;
mod health;
mod messages;
mod once;
mod product;
mod report;
mod snapshot;
mod systemd;
mod verdict;

pub use app::run;

/// The clap definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
