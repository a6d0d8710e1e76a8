//! Why a sink could not be opened, or takes no more. Nothing here holds a stream key.

use std::{io, path::PathBuf};

use tgs_rtmp::client::{ConnectionLost, OpenError};

/// Why a sink could not be opened, or takes no more.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// No connection is open.
    #[error("not connected")]
    NotConnected,
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
        /// What the system says.
        source: io::Error,
    },
    /// The ffmpeg that publishes does not start.
    #[error("cannot start {}: {source}", program.display())]
    Start {
        /// The executable.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The pipe to the ffmpeg that publishes cannot be used.
    #[error("cannot write to the ffmpeg that publishes: {0}")]
    Pipe(io::Error),
    /// The ffmpeg that publishes read nothing for 10 s.
    #[error("the ffmpeg that publishes took no data for 10 s")]
    Stalled,
    /// The ffmpeg that publishes has ended.
    #[error("the ffmpeg that publishes ended: {0}")]
    Ended(String),
    /// The broadcast is being stopped.
    #[error("stopped")]
    Cancelled,
    /// A test's.
    #[cfg(test)]
    #[error("simulated")]
    Simulated,
}
