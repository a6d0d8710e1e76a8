//! The ways out, behind one trait: RTMP of our own, an ffmpeg that copies, a file.
//!
//! One connection each; when to connect again is the caller's decision.

mod error;
pub(crate) mod ffmpeg;
pub(crate) mod file;
pub(crate) mod rtmp;

use std::time::Instant;

pub use self::error::SinkError;

use tgs_rtmp::flv::Tag;

/// One way out. Times on it are the connection's own.
pub(crate) trait Sink: Send {
    /// Takes one tag, to be sent by the next `flush` at the latest.
    fn queue(&mut self, tag: &Tag) -> Result<(), SinkError>;
    /// Sends what is queued; blocks while the way is full.
    fn flush(&mut self) -> Result<(), SinkError>;
    /// Waits, serving what the other side says.
    fn wait(&mut self, until: Instant) -> Result<(), SinkError>;
    /// Bytes sent so far.
    fn written(&self) -> u64;
    /// Bytes of these that have arrived.
    fn acked(&self) -> u64;
    /// Ends it in order, within a second or two.
    fn goodbye(self: Box<Self>);
}

/// This much is sent without waiting for more: a fraction of a second of media.
pub(crate) const FLUSH_AT: usize = 32 << 10;
