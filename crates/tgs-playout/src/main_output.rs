//! The main output: served by the playout thread, or beside further outputs by one of its own.
//!
//! # Theory of operation
//!
//! Alone, the main output sets the pace: while it is away the timeline stands still, and its
//! viewers miss nothing. Beside further outputs nobody may hold up another. The playout thread then
//! only appends to a bounded `backlog`, and `threaded` connects and sends. The timeline goes on as
//! long as any output takes it.

mod attempts;
mod backlog;
mod threaded;

use std::{sync::Arc, time::Instant};

use tgs_rtmp::flv::Tag;

pub(crate) use self::{attempts::Attempts, threaded::ThreadedPublisher};
use crate::{
    clock::Clock,
    publisher::Publisher,
    sink::SinkError,
    timeline::{TagOrigin, TimedTag},
};

/// The main output.
#[derive(Debug)]
pub(crate) enum MainOutput {
    /// The playout thread serves it.
    Direct(Box<Publisher>),
    /// A thread of its own serves it: nothing here blocks or fails.
    Threaded(ThreadedPublisher),
}

impl From<Publisher> for MainOutput {
    fn from(publisher: Publisher) -> Self {
        Self::Direct(Box::new(publisher))
    }
}

impl MainOutput {
    /// The clock that waits use.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Self::Direct(publisher) => publisher.clock(),
            Self::Threaded(threaded) => threaded.clock(),
        }
    }

    /// Sends one tag; see [`Publisher::send`].
    pub(crate) fn send(&mut self, placed: TimedTag) -> Result<(), SinkError> {
        match self {
            Self::Direct(publisher) => publisher.send(placed),
            Self::Threaded(threaded) => {
                threaded.push(placed);
                Ok(())
            }
        }
    }

    /// Sends the queued tags.
    pub(crate) fn flush(&mut self) -> Result<(), SinkError> {
        match self {
            Self::Direct(publisher) => publisher.flush(),
            Self::Threaded(_) => Ok(()),
        }
    }

    /// Waits until `until` and serves the connection.
    pub(crate) fn wait(&mut self, until: Instant) -> Result<(), SinkError> {
        match self {
            Self::Direct(publisher) => publisher.wait(until),
            Self::Threaded(threaded) => {
                threaded.wait(until);
                Ok(())
            }
        }
    }

    /// Origin of the last frame that has arrived over the current connection.
    pub(crate) fn published(&self) -> Option<TagOrigin> {
        match self {
            Self::Direct(publisher) => publisher.published(),
            Self::Threaded(threaded) => threaded.published(),
        }
    }

    /// Seconds of media sent and not acknowledged.
    pub(crate) fn queue_seconds(&self) -> f64 {
        match self {
            Self::Direct(publisher) => publisher.queue_seconds(),
            Self::Threaded(threaded) => threaded.queue_seconds(),
        }
    }

    /// The codec headers and the tags sent since the last keyframe; empty before the first.
    pub(crate) fn current_group(&self) -> Vec<Tag> {
        match self {
            Self::Direct(publisher) => publisher.current_group(),
            Self::Threaded(threaded) => threaded.current_group(),
        }
    }

    /// Closes the connection cleanly.
    pub(crate) fn goodbye(&mut self) {
        match self {
            Self::Direct(publisher) => publisher.goodbye(),
            Self::Threaded(threaded) => threaded.finish(),
        }
    }
}
