//! `tgs-check-active`: restarts a systemd unit on request and says whether it is really up.
//!
//! "Active" alone proves nothing: a service that dies after two seconds is active at once, and
//! again after each restart. So the unit is watched until it has been the same run for a while.
//! `decide` is the whole judgement, a pure function of what was seen; `systemd`, `health` and
//! `product` look, `report` tells.

mod app;
pub mod cli;
mod health;
mod messages;
mod product;
mod report;
mod snapshot;
mod systemd;
mod verdict;

pub use app::run;

/// The command line's definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
