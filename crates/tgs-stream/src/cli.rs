//! The command line, and the paths it implies.

use std::{ffi::OsString, path::PathBuf};

use clap::Parser;
use tgs_core::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  tgs-stream --env-file /opt/tg_video_streamer/current/.env
  tgs-stream --output rtmp://127.0.0.1/live/test videos/
  tgs-stream --playlist playlist.txt --check
  tgs-stream --check --on 2026-03-29
  tgs-stream --check-settings --env-file /opt/tg_video_streamer/current/.env
  tgs-stream --preview film.mkv --at 00:10 --output out.png
  tgs-stream --cache-status
  tgs-stream --once --output out.flv a.mp4 https://example.org/b.mp4

Without --output and OUTPUT_URL, the broadcast goes to the Telegram chat CHAT_ID, with the session that
tgs-session --write-env has written to the .env file.

A SOURCE, or a line of the playlist, is a media file, a folder, a list (.m3u, .pls, .xspf), the URL of a media file or a
live stream, or a page that yt-dlp supports. .env.template lists all settings.

Signals: SIGUSR1 skips to the next item, SIGHUP reloads the playlist (not at a terminal), SIGTERM and SIGINT stop.

Exit codes: 0 ok, 1 failure, 2 usage, 69 ffmpeg missing, 75 STATE_DIR in use by another tgs-stream, 78 bad settings.";

/// Plays a playlist as one unbroken live stream.
#[derive(Debug, Clone, Parser)]
#[command(name = "tgs-stream", version, about, after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Cli {
    /// Files, folders, lists, URLs and pages to play
    pub sources: Vec<OsString>,

    /// Also play the entries of this file, and follow its edits (PLAYLIST)
    #[arg(long, value_name = "FILE")]
    pub playlist: Option<String>,

    /// Publish to an rtmp:// or rtmps:// URL, or to a file that ends in .flv (OUTPUT_URL)
    ///
    /// Every user of this machine can read a stream key given here; OUTPUT_URL in the .env file
    /// keeps it private.
    #[arg(long, value_name = "URL|FILE.flv")]
    pub output: Option<String>,

    /// Play the list once, then exit
    #[arg(long)]
    pub once: bool,

    /// Print what would play and how long; exit with 1 if any entry cannot be played
    #[arg(long)]
    pub check: bool,

    /// With --check: print the plan of this date by SCHEDULE instead, such as 2026-03-29
    ///
    /// Every slot of the day is opened for its length. Exits with 1 if one cannot be played.
    #[arg(long, value_name = "DATE", requires = "check")]
    pub on: Option<String>,

    /// Write one picture of this item, exactly as it would be aired, to --output out.png
    ///
    /// Shows logo, names, subtitles and FFMPEG_ARGS without going live. Of a folder or list, the
    /// first item.
    #[arg(long, value_name = "ITEM", requires = "output")]
    #[arg(conflicts_with_all = ["check", "check_settings", "cache_status", "cache_clear", "sources"])]
    pub preview: Option<OsString>,

    /// With --preview: the time of the picture from the item's beginning, such as 00:10
    #[arg(long, value_name = "TIME", requires = "preview")]
    pub at: Option<String>,

    /// Print every reason against a start with these settings; exit with 78 if there is one
    ///
    /// Neither opens entries of the list nor uses the network. A start refuses the same settings,
    /// so run this before a restart.
    #[arg(long, conflicts_with_all = ["check", "cache_status", "cache_clear"])]
    pub check_settings: bool,

    /// Print the cache of encoded items (CACHE_DIR), the item played last first, and exit
    #[arg(long, conflicts_with_all = ["check", "cache_clear"])]
    pub cache_status: bool,

    /// Print the cache as JSON
    #[arg(long, requires = "cache_status")]
    pub json: bool,

    /// Empty the cache of encoded items and exit. Broadcasts that play from it continue
    #[arg(long, conflicts_with = "check")]
    pub cache_clear: bool,

    /// Read the settings from this file; they override the environment
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,

    /// Start at the beginning of the list, not at the saved position
    #[arg(long)]
    pub from_start: bool,

    /// Write a file in real time, which is the default for a list that repeats
    #[arg(long)]
    pub realtime: bool,

    /// Serve the metrics on PROMETHEUS_PORT only, which must be set; try no following port
    ///
    /// For several broadcasts on one machine: their ports must not depend on the order of starts.
    #[arg(long)]
    pub fixed_port: bool,

    /// Divide the waits between calls of Telegram by this number, for tests
    #[arg(long, value_name = "FACTOR", hide = true, default_value_t = 1)]
    pub time_scale: u32,

    /// Start the timestamps of each connection at this value, for tests of the wrap-around
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
