//! `tgs-ytdlp-update`: installs the newest yt-dlp beside the current one, tests it, swaps a link.
//!
//! Never modifies the version in use, so a failed or killed run leaves it intact. Does not touch
//! the broadcast: `tgs-stream` uses the new version from its next item on.

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

/// The clap definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
