//! What a broadcast needs to know, how one ends, and why one cannot begin or go on.

use std::{io, path::PathBuf, time::Duration};

use crate::{filler::FillerError, output::Output, profile::Profile, sink::SinkError};

/// What a broadcast needs to know.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The ffmpeg executable, a path or a name.
    pub ffmpeg: PathBuf,
    /// The ffprobe executable.
    pub ffprobe: PathBuf,
    /// Shape of the broadcast.
    pub profile: Profile,
    /// FFMPEG_ARGS as written.
    pub ffmpeg_args: String,
    /// Where it goes.
    pub output: Output,
    /// How much is encoded ahead, at least 3 s: more than one group of pictures.
    pub read_ahead: Duration,
    /// Whether a file is written at the speed of a broadcast.
    pub realtime: bool,
    /// FILLER: a file to show instead of the slate.
    pub filler: Option<PathBuf>,
    /// Directory for what can be made again.
    pub cache_dir: PathBuf,
    /// Bytes that encoded items may take there; 0 keeps none.
    pub cache_limit: u64,
    /// Whether coming items are encoded into it while the broadcast has all it wants.
    pub cache_ahead: bool,
    /// How long a still picture is shown.
    pub image_duration: Duration,
    /// Whether items of the profile's own shape are passed on as they are.
    pub passthrough: bool,
    /// Directory of this instance alone.
    pub state_dir: PathBuf,
    /// Time of a connection's first tag in milliseconds; above 0 only to test clocks that run over.
    pub first_timestamp: u64,
}

/// How a broadcast ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Items that were shown.
    pub played: u64,
    /// Items that failed, some of them perhaps after they had been on air for a while.
    pub failed: u64,
    /// Why.
    pub end: RunEnd,
}

/// Why a broadcast ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// The programme came to its end.
    Over,
    /// It was asked to end with an item, and that one is over.
    AfterCurrent,
    /// It was stopped.
    Stopped,
}

/// Why a broadcast cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// ffmpeg or ffprobe is not there.
    #[error("cannot run {}: {why}; install ffmpeg (apt install ffmpeg) or set FFMPEG_PATH", program.display())]
    NoFfmpeg {
        /// What was tried.
        program: PathBuf,
        /// Why it does not run.
        why: String,
    },
    /// A directory cannot be used.
    #[error("cannot write in {} (make room there, or name another by STATE_DIR or CACHE_DIR)", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was stopped before it began.
    #[error("it was stopped before it began")]
    Stopped,
    /// There is nothing to bridge a failure with.
    #[error(transparent)]
    Filler(#[from] FillerError),
    /// A thread of the broadcast cannot be started.
    #[error("cannot start the thread {name}: {source}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A thread without which there is no broadcast has died.
    #[error("the thread {name} died, which is a fault of tgs-stream; please report it: {panic}")]
    Died {
        /// Its name.
        name: &'static str,
        /// What it died of.
        panic: String,
    },
    /// The output file cannot be written.
    #[error(transparent)]
    Output(#[from] SinkError),
}
