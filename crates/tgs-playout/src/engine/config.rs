//! Configuration of a broadcast, its result, and its errors.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use tgs_core::process::{RunError, describe};

use crate::{ffmpeg::Processing, filler::FillerError, output::Output, profile::Profile, sink::SinkError};

/// Configuration of a broadcast.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The ffmpeg executable, a path or a name.
    pub ffmpeg: PathBuf,
    /// The ffprobe executable.
    pub ffprobe: PathBuf,
    /// Picture, sound and bitrate of the broadcast.
    pub profile: Profile,
    /// What is done to picture and sound of each item.
    pub processing: Processing,
    /// FFMPEG_ARGS as written.
    pub ffmpeg_args: String,
    /// Destination of the broadcast.
    pub output: Output,
    /// Encoded media to hold: at least 3 s, more than one group of pictures.
    pub read_ahead: Duration,
    /// Whether a file output is written in real time.
    pub realtime: bool,
    /// FILLER: a file that replaces the slate.
    pub filler: Option<PathBuf>,
    /// Directory for re-creatable data (the encode cache).
    pub cache_dir: PathBuf,
    /// Size limit of the encode cache in bytes; 0 disables it.
    pub cache_limit: u64,
    /// Whether coming items are encoded into the cache while the read-ahead is full.
    pub cache_ahead: bool,
    /// Duration of a still picture.
    pub image_duration: Duration,
    /// Whether items in the profile's own format are sent without encoding.
    pub passthrough: bool,
    /// State directory of this instance; no other instance uses it.
    pub state_dir: PathBuf,
    /// Timestamp of a connection's first tag in milliseconds; above 0 only to test clock overflow.
    pub first_timestamp: u64,
}

/// Result of a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Items that were played.
    pub played: u64,
    /// Items that failed, also those that failed after some playing time.
    pub failed: u64,
    /// Cause of the end.
    pub end: RunEnd,
}

/// Cause of a broadcast's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// The programme ended.
    Over,
    /// The item after which the broadcast was to end is over.
    AfterCurrent,
    /// The same, after an item of a lane: the list continues where the lane has interrupted it.
    AfterLane,
    /// The broadcast was stopped.
    Stopped,
    /// The broadcast has left the air for another engine; see [`crate::handover`].
    Left,
}

/// Why ffmpeg or ffprobe cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The program is missing, or is not executable.
    #[error("{0}")]
    Start(#[source] io::Error),
    /// The program does not end, or prints too much.
    #[error(transparent)]
    Run(RunError),
    /// The program fails even with `-version`.
    #[error("with -version it {}", describe(*.0))]
    Version(ExitStatus),
}

/// Why a broadcast cannot start or continue.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// ffmpeg or ffprobe cannot be run.
    #[error("cannot run {}: {why}; install ffmpeg (apt install ffmpeg) or set FFMPEG_PATH", program.display())]
    NoFfmpeg {
        /// The program.
        program: PathBuf,
        /// The error.
        why: ToolError,
    },
    /// A directory is not writable.
    #[error("cannot write in {} (make room there, or name another by STATE_DIR or CACHE_DIR)", path.display())]
    Directory {
        /// Its path.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The broadcast was stopped during its start.
    #[error("it was stopped before it began")]
    Stopped,
    /// No filler can be prepared.
    #[error(transparent)]
    Filler(#[from] FillerError),
    /// A thread of the broadcast cannot be started.
    #[error("cannot start the thread {name}: {source}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// The error.
        source: io::Error,
    },
    /// A required thread panicked.
    #[error("the thread {name} died, which is a fault of tgs-stream; please report it: {panic}")]
    Died {
        /// Its name.
        name: &'static str,
        /// The panic message.
        panic: String,
    },
    /// The output file cannot be written.
    #[error(transparent)]
    Output(#[from] SinkError),
}
