//! A live session, as another process continues it.

use std::{mem, time::Instant};

use super::{
    ServerConfig,
    session::{ServerSession, State},
};
use crate::chunk::ChunkReader;

/// Most bytes received of messages that are not complete: a publisher may stall within a message.
/// More than a chunk of common ones (ffmpeg: 60,000) and one read.
const MOST_WAITING: usize = 256 * 1024;

/// The state of a live session. Serialisable with the feature `serde`.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HandedSession {
    reader: ChunkReader,
    /// Size of the server's chunks.
    chunk_size: usize,
    stream: u32,
    received: u64,
    acknowledged: u64,
    acknowledge_every: Option<u64>,
}

impl ServerSession {
    /// Takes the state out, for [`ServerSession::resume`]. `None` if that is not possible now: the
    /// client does not publish, more than 256 KiB of incomplete messages are here, or
    /// [`ServerSession::output`] is not empty.
    /// After success nothing may be received any more.
    pub fn hand_over(&mut self) -> Option<HandedSession> {
        let may = self.is_live() && self.out.is_empty() && self.reader.waiting() <= MOST_WAITING;
        // What is consumed does not go over.
        self.reader.push(&[]);
        may.then(|| HandedSession {
            reader: mem::replace(&mut self.reader, ChunkReader::new(0)),
            chunk_size: self.writer.chunk_size,
            stream: self.stream,
            received: self.received,
            acknowledged: self.acknowledged,
            acknowledge_every: self.acknowledge_every,
        })
    }

    /// Continues a session that another process has handed over at `now`. Call
    /// [`ServerSession::next_event`] first: a message may have arrived already.
    #[must_use]
    pub fn resume(config: ServerConfig, handed: HandedSession, now: Instant) -> Self {
        let mut session = Self::new(config, now);
        session.state = State::Live;
        session.stream = handed.stream;
        // Full headers follow, which every client accepts.
        session.writer.chunk_size = handed.chunk_size.max(1);
        session.reader = handed.reader;
        session.set_publisher_limits();
        session.received = handed.received;
        session.acknowledged = handed.acknowledged;
        session.acknowledge_every = handed.acknowledge_every;
        session
    }
}
