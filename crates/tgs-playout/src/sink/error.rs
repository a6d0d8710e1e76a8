//! Errors of opening or writing a sink. No message contains a stream key.

use std::{io, path::PathBuf, process::ExitStatus};

use tgs_core::process::describe;
use tgs_rtmp::client::{ConnectionLost, OpenError};

/// Why a sink cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// No connection is open.
    #[error("not connected")]
    NotConnected,
    /// The output is named later.
    #[error("no server is named yet")]
    Unnamed,
    /// The RTMP connection could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The RTMP connection is lost.
    #[error(transparent)]
    Lost(#[from] ConnectionLost),
    /// The file cannot be created or written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The publishing ffmpeg cannot be started.
    #[error("cannot start {}: {source}", program.display())]
    Start {
        /// The executable.
        program: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The pipe to the publishing ffmpeg failed.
    #[error("cannot write to the ffmpeg that publishes: {0}")]
    Pipe(io::Error),
    /// The publishing ffmpeg read nothing for 10 s.
    #[error("the ffmpeg that publishes took no data for 10 s")]
    Stalled,
    /// The publishing ffmpeg ended.
    #[error("the ffmpeg that publishes ended: {}", .0.as_ref().map_or_else(ToString::to_string, |status| describe(*status)))]
    Ended(io::Result<ExitStatus>),
    /// The broadcast is being stopped.
    #[error("stopped")]
    Cancelled,
    /// Raised by tests only.
    #[cfg(any(test, feature = "simulation"))]
    #[error("simulated")]
    Simulated,
}
