//! `tgs-ytdlp-update`: brings the newest yt-dlp into place beside the one in use, proves it, and swaps a link.
//!
//! The version in use is never touched: a run that fails, or is killed, leaves it as it was. The broadcast is not
//! touched either; `tgs-stream` finds the new version with its next item.

mod app;
mod canary;
mod child;
pub mod cli;
mod error;
mod owner;
mod page;
mod pip;
mod status;
mod trial;
mod update;
mod version;
mod versions_dir;

pub use app::run;

/// The command line's definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
