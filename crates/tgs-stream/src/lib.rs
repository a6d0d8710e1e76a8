//! `tgs-stream`: plays a playlist as one unbroken live stream.

pub mod app;
pub mod check;
mod children;
pub mod cli;
mod fetch;
mod front;
mod hls;
pub mod http;
mod kept;
pub mod list;
pub mod m3u;
mod overwrite;
pub mod playlist;
pub mod position;
mod preflight;
pub mod resolver;
mod show;
pub mod source;
mod telegram;
pub mod ytdlp;

pub use app::run;

/// The command line's definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
