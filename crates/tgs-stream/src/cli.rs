//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::Parser;
use tgs_core::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  tgs-stream --env-file /opt/tg_video_streamer/current/.env
  tgs-stream --output rtmp://127.0.0.1/live/test videos/
  tgs-stream --playlist playlist.txt --check
  tgs-stream --check-settings --env-file /opt/tg_video_streamer/current/.env
  tgs-stream --cache-status
  tgs-stream --once --output out.flv a.mp4 https://example.org/b.mp4

Without --output and OUTPUT_URL it goes live in the Telegram chat that CHAT_ID names, with the session that
tgs-session --write-env has put into the .env file.

A SOURCE, or a line of the playlist, is a media file, a folder, an .m3u list, the URL of a media file or of a live
stream, or a page that yt-dlp knows. All settings are listed in .env.template.

Signals: SIGUSR1 goes on to the next item, SIGHUP reads the playlist again (not at a terminal), SIGTERM and SIGINT end it.

Exit codes: 0 ok, 1 failure, 2 usage, 69 ffmpeg is missing, 75 another one runs with this STATE_DIR, 78 bad settings.";

/// Plays a playlist as one unbroken live stream.
#[derive(Debug, Parser)]
#[command(name = "tgs-stream", version, about, after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Cli {
    /// What to play: files, folders, lists, URLs, pages
    pub sources: Vec<OsString>,

    /// Play the entries of this file too, and follow its edits (PLAYLIST)
    #[arg(long, value_name = "FILE")]
    pub playlist: Option<String>,

    /// Where to: an rtmp:// or rtmps:// URL, or a file that ends in .flv (OUTPUT_URL)
    ///
    /// A stream key given here can be read by every user of this machine; OUTPUT_URL in the .env file cannot.
    #[arg(long, value_name = "URL|FILE.flv")]
    pub output: Option<String>,

    /// Play the list once, then end
    #[arg(long)]
    pub once: bool,

    /// Say what would play, how long, and what cannot; then end, with 1 if anything cannot
    #[arg(long)]
    pub check: bool,

    /// Say whether a broadcast could begin with these settings, and every reason why not; then end, with 78 if it could not
    ///
    /// Looks at no entry of the list and asks nothing over the network. A start refuses the same; run it before a restart.
    #[arg(long, conflicts_with_all = ["check", "cache_status", "cache_clear"])]
    pub check_settings: bool,

    /// Say what is kept in the cache of encoded items (CACHE_DIR), the one played last first; then end
    #[arg(long, conflicts_with_all = ["check", "cache_clear"])]
    pub cache_status: bool,

    /// Print it as JSON
    #[arg(long, requires = "cache_status")]
    pub json: bool,

    /// Empty the cache of encoded items; then end. Broadcasts that play from it go on
    #[arg(long, conflicts_with = "check")]
    pub cache_clear: bool,

    /// Read the settings from this file; it wins over the environment
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,

    /// Begin at the list's beginning, not where the last run was
    #[arg(long)]
    pub from_start: bool,

    /// Write a file at the speed of a broadcast, which is the default where the list repeats
    #[arg(long)]
    pub realtime: bool,

    /// Serve the metrics at PROMETHEUS_PORT, which must be set, or nowhere: never at one of the next ports
    ///
    /// For several broadcasts on one machine, whose ports must not depend on which of them began first.
    #[arg(long)]
    pub fixed_port: bool,

    /// Divide the waits between calls of Telegram by this number, for tests
    #[arg(long, value_name = "FACTOR", hide = true, default_value_t = 1)]
    pub time_scale: u32,

    /// Begin each connection's clock at this many milliseconds, to test clocks that run over
    #[arg(long, value_name = "MS", hide = true, default_value_t = 0)]
    pub first_timestamp: u64,
}

impl Cli {
    /// The `.env` file, whether or not it exists.
    pub(crate) fn env_file_path(&self) -> PathBuf {
        self.env_file.clone().unwrap_or_else(|| ".env".into())
    }

    /// The playlist file. `None` if the command line names sources and no playlist.
    pub(crate) fn playlist_file(&self, settings: &Settings) -> Option<PathBuf> {
        (self.playlist.is_some() || self.sources.is_empty()).then(|| settings.playlist.clone())
    }
}
