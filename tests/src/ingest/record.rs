//! What the ingest has received, connection by connection.

use std::{
    io,
    net::IpAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tgs_rtmp::{
    amf0::{self, AmfValue},
    chunk::{Received, kind},
    flv::{FILE_HEADER, Kind, Tag, write_tag},
};

/// A message and its arrival time.
#[derive(Debug, Clone)]
pub struct Message {
    /// The message.
    pub received: Received,
    /// The time at which its last byte was read.
    pub arrived: Instant,
}

impl Message {
    /// The message as a tag, if it is audio or video.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        let kind = match self.received.kind {
            kind::AUDIO => Kind::Audio,
            kind::VIDEO => Kind::Video,
            _ => return None,
        };
        Some(Tag {
            kind,
            timestamp: self.received.timestamp.into(),
            body: self.received.body.as_slice().into(),
        })
    }
}

/// The record of one connection.
#[derive(Debug, Clone)]
pub struct Record {
    /// The address of the publisher.
    pub peer: IpAddr,
    /// The time at which the connection was accepted.
    pub began: Instant,
    /// The client's C0, C1 and C2.
    pub handshake: Vec<u8>,
    /// The server's S0, S1 and S2.
    pub handshake_answer: Vec<u8>,
    /// Every message, oldest first.
    pub messages: Vec<Message>,
    /// Every byte after the handshake, if [`super::Setup::keep_bytes`] is set.
    pub bytes: Vec<u8>,
    /// Time and cause of the end.
    pub ended: Option<(Instant, String)>,
}

impl Record {
    /// The commands: name and arguments.
    #[must_use]
    pub fn commands(&self) -> Vec<(String, Vec<AmfValue>)> {
        let read = |m: &Message| {
            let mut values = amf0::read(&m.received.body).into_iter();
            let name = values.next()?.as_str()?.to_owned();
            Some((name, values.collect()))
        };
        self.messages.iter().filter(|m| m.received.kind == kind::COMMAND).filter_map(read).collect()
    }

    /// The audio and video messages.
    pub fn media(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(|m| matches!(m.received.kind, kind::AUDIO | kind::VIDEO))
    }

    /// How long nothing arrived between the media of this connection and those of the `next` one.
    /// Fails if the next one's began earlier.
    pub fn silence_before(&self, next: &Self) -> Result<Duration> {
        let last = self.media().last().context("a connection without media")?.arrived;
        let first = next.media().next().context("a connection without media")?.arrived;
        ensure!(first > last, "two have published at once");
        Ok(first - last)
    }

    /// The audio and video messages as tags.
    pub fn tags(&self) -> impl Iterator<Item = Tag> {
        self.messages.iter().filter_map(Message::tag)
    }

    /// Writes the media into an FLV file.
    pub fn write_flv(&self, path: &Path) -> io::Result<()> {
        let mut bytes = FILE_HEADER.to_vec();
        for tag in self.tags() {
            write_tag(&mut bytes, &tag)?;
        }
        std::fs::write(path, bytes)
    }
}
