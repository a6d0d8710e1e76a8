//! The outputs behind one trait: native RTMP, an ffmpeg child with stream copy, an FLV file.
//!
//! A sink is one connection; the caller decides when to reconnect.

mod error;
pub(crate) mod ffmpeg;
pub(crate) mod file;
pub(crate) mod rtmp;

use std::time::Instant;

pub use self::error::SinkError;

use tgs_rtmp::flv::Tag;

/// One connection to an output. Timestamps are the connection's own.
pub(crate) trait Sink: Send {
    /// Queues one tag; the next `flush` sends it at the latest.
    fn queue(&mut self, tag: &Tag) -> Result<(), SinkError>;
    /// Sends the queued tags; blocks while the output accepts no data.
    fn flush(&mut self) -> Result<(), SinkError>;
    /// Waits until `until` and handles the server's messages meanwhile.
    fn wait(&mut self, until: Instant) -> Result<(), SinkError>;
    /// Bytes sent so far.
    fn written(&self) -> u64;
    /// Bytes that the other side has acknowledged.
    fn acked(&self) -> u64;
    /// Closes the connection cleanly, within a second or two.
    fn goodbye(self: Box<Self>);
}

/// Queued bytes that trigger a flush: a fraction of a second of media.
pub(crate) const FLUSH_AT: usize = 32 << 10;
