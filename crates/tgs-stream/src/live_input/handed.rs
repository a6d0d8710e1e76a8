//! A publisher that goes over to the process that takes this one's place: its socket, and the state
//! of its session.

use std::{
    net::{IpAddr, TcpListener, TcpStream},
    sync::mpsc::SyncSender,
};

use serde::{Deserialize, Serialize};
use tgs_rtmp::{
    flv::{Kind, Tag},
    server::HandedSession,
};

use super::buffer::Headers;

/// What the process before has handed over.
#[derive(Debug, Default)]
pub struct HandedInput {
    /// The listener.
    pub listener: Option<TcpListener>,
    /// The connection of the publisher.
    pub publisher: Option<(TcpStream, HandedPublisher)>,
}

/// A publisher's state. Holds no key.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandedPublisher {
    pub(super) key_name: String,
    pub(super) address: IpAddr,
    pub(super) session: HandedSession,
    /// The bodies of the sequence headers of picture and sound, which no publisher repeats.
    video: Option<Vec<u8>>,
    audio: Option<Vec<u8>>,
}

/// Where the thread of a publisher puts it.
pub(super) type HandOver = SyncSender<(TcpStream, HandedPublisher)>;

impl HandedPublisher {
    /// Most bytes of the sequence headers of picture and sound; common ones have 100.
    const LONGEST_HEADERS: usize = 64 * 1024;

    /// Whether a publisher with these headers can go over.
    pub(super) fn may_have(headers: &Headers) -> bool {
        let len = |header: &Option<Tag>| header.as_ref().map_or(0, |tag| tag.body.len());
        len(&headers.video) + len(&headers.audio) <= Self::LONGEST_HEADERS
    }

    pub(super) fn new(key_name: String, address: IpAddr, session: HandedSession, headers: &Headers) -> Self {
        let body = |header: &Option<Tag>| header.as_ref().map(|tag| tag.body.to_vec());
        Self { key_name, address, session, video: body(&headers.video), audio: body(&headers.audio) }
    }

    /// The name of its key.
    pub(crate) fn key_name(&self) -> &str {
        &self.key_name
    }

    /// The sequence headers as tags.
    pub(super) fn headers(&self) -> impl Iterator<Item = Tag> {
        let tag = |kind, body: &Option<Vec<u8>>| {
            body.as_ref().map(|body| Tag { kind, timestamp: 0, body: body.as_slice().into() })
        };
        tag(Kind::Video, &self.video).into_iter().chain(tag(Kind::Audio, &self.audio))
    }
}
