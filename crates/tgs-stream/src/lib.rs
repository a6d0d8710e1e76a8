//! `tgs-stream`: plays a playlist as one unbroken live stream.

pub mod app;
pub mod as_run;
mod assembly;
mod broadcast;
mod broadcast_origin;
mod cache_cli;
pub mod check;
mod check_loudness;
mod children;
pub mod cli;
mod control_server;
mod fetch;
mod hls;
mod hosts_view;
mod hot_standby;
pub mod http;
mod kept_proxies;
pub mod list;
pub mod live_input;
mod live_takeover;
mod overwrite;
pub mod playlist;
pub mod position;
mod preflight;
mod preview;
pub mod queue;
pub mod resolver;
mod schedule;
mod services;
mod settings_source;
mod setup;
pub mod source;
mod standing;
mod state_file;
mod status_server;
mod status_source;
mod succession;
mod telegram;
mod unix_socket;
mod upgrade;
pub mod url;
pub mod ytdlp;

pub use app::run;

/// The command line's definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
