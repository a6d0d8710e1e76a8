//! The server's RTMP session with one publisher, without I/O: bytes in, events and bytes out.
//!
//! Every amount that a client controls has a limit. The session neither stores nor plays media.

use std::{fmt, mem, time::Instant};

use super::{KeyCheck, PublishRefusal, ServerConfig, ServerError};
use crate::{
    amf0::{self, AmfValue, AmfWriter},
    chunk::{ChunkReader, ChunkStream, ChunkWriter, Malformed, Message, Received, first_u32, kind},
    flv::{Kind, Tag},
    handshake,
    limits::{Allowance, Rate},
    stream_key::StreamKey,
};

/// Longest message in bytes that is neither audio nor video.
const LONGEST_COMMAND: usize = 64 * 1024;

/// Limits of bytes and messages before `publish`: a stranger needs 4 kB and five messages.
const STRANGER: (Rate, Rate) =
    (Rate { at_once: 256 << 10, per_second: 32 << 10 }, Rate { at_once: 200, per_second: 20 });

/// Window Acknowledgement Size that the server announces, in bytes.
const WINDOW: u32 = 5_000_000;

/// The only message stream id that `createStream` returns.
const STREAM: u32 = 1;

/// An action of the publisher.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerEvent {
    /// The application is accepted; the client asks to publish with this key. Only with
    /// [`KeyCheck::Caller`]: answer by [`ServerSession::admit`] or [`ServerSession::refuse`].
    Requested(StreamKey),
    /// Application and key are accepted; the client publishes.
    Publishing,
    /// The stream's metadata (`onMetaData`).
    Metadata(AmfValue),
    /// An audio or video message. The timestamp wraps at 2^32.
    Media(Tag),
    /// The publisher ended the stream.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Handshake,
    Connecting,
    Connected,
    /// The caller decides about a `publish` on this message stream.
    Deciding(u32),
    Live,
    Ended,
}

/// The session of one publisher's connection.
pub struct ServerSession {
    pub(super) config: ServerConfig,
    pub(super) state: State,
    /// Bytes received before the handshake is complete.
    handshake: Vec<u8>,
    pub(super) reader: ChunkReader,
    pub(super) writer: ChunkWriter,
    allowance: Allowance,
    /// The message stream that publishes.
    pub(super) stream: u32,
    pub(super) out: Vec<u8>,
    pub(super) received: u64,
    pub(super) acknowledged: u64,
    /// Bytes between two Acknowledgements; `None` until the client sets a window.
    pub(super) acknowledge_every: Option<u64>,
    began: Instant,
    last_media: Instant,
}

impl ServerSession {
    /// Creates the session of a connection accepted at `now`.
    #[must_use]
    pub fn new(config: ServerConfig, now: Instant) -> Self {
        let limits = config.limits;
        Self {
            config,
            state: State::Handshake,
            handshake: Vec::new(),
            reader: ChunkReader::new(LONGEST_COMMAND.min(limits.longest_message)),
            writer: ChunkWriter::default(),
            allowance: Allowance::new(STRANGER.0.min(limits.bytes), STRANGER.1.min(limits.messages)),
            stream: 0,
            out: Vec::new(),
            received: 0,
            acknowledged: 0,
            acknowledge_every: None,
            began: now,
            last_media: now,
        }
    }

    /// Accepts bytes that arrived at `now`. Call [`ServerSession::next_event`] afterwards.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> Result<(), ServerError> {
        self.count(bytes.len(), now)?;
        self.feed(bytes)
    }

    /// Counts bytes of the network that arrived at `now`; with TLS more than [`Self::feed`] gets.
    pub(super) fn count(&mut self, bytes: usize, now: Instant) -> Result<(), ServerError> {
        Ok(self.allowance.bytes(bytes, now)?)
    }

    /// Accepts bytes that [`Self::count`] has counted.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), ServerError> {
        self.received = self.received.wrapping_add(bytes.len() as u64);
        if self.state == State::Handshake {
            return self.shake_hands(bytes);
        }
        self.reader.push(bytes);
        Ok(())
    }

    fn shake_hands(&mut self, bytes: &[u8]) -> Result<(), ServerError> {
        let answered = self.handshake.len() >= handshake::HELLO;
        self.handshake.extend(bytes);
        if let Some(version) = self.handshake.first().filter(|v| **v != handshake::VERSION) {
            return Err(ServerError::Handshake(*version));
        }
        if let (false, Some(hello)) = (answered, self.handshake.first_chunk()) {
            self.out.extend(handshake::answer(hello));
        }
        // The client's echo is not checked: some clients send zeros.
        if self.handshake.len() >= handshake::ANSWER {
            self.state = State::Connecting;
            let rest = mem::take(&mut self.handshake).split_off(handshake::ANSWER);
            self.reader.push(&rest);
        }
        Ok(())
    }

    /// Fails if the client at `now` is late with `publish` or with media.
    pub fn check_time(&self, now: Instant) -> Result<(), ServerError> {
        let limits = self.config.limits;
        match self.state {
            State::Live if now.saturating_duration_since(self.last_media) > limits.idle => {
                Err(ServerError::Idle(limits.idle))
            }
            State::Handshake | State::Connecting | State::Connected | State::Deciding(_)
                if now.saturating_duration_since(self.began) > limits.time_to_publish =>
            {
                Err(ServerError::NotPublished(limits.time_to_publish))
            }
            _ => Ok(()),
        }
    }

    /// Returns the next event; call it until it returns `None`, which means more bytes are needed.
    /// After an error send [`ServerSession::output`], which may hold the reason, and close.
    pub fn next_event(&mut self, now: Instant) -> Result<Option<ServerEvent>, ServerError> {
        while let Some(message) = self.next_message(now)? {
            if let Some(event) = self.handle(&message, now)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Returns the next message, for servers that answer some messages themselves; pass all others
    /// to [`ServerSession::handle`].
    pub fn next_message(&mut self, now: Instant) -> Result<Option<Received>, ServerError> {
        if self.state == State::Handshake {
            return Ok(None);
        }
        let Some(message) = self.reader.next_message()? else { return Ok(None) };
        self.allowance.message(now)?;
        let media = matches!(message.kind, kind::AUDIO | kind::VIDEO);
        if !media && message.body.len() > LONGEST_COMMAND {
            return Err(Malformed::TooLong(message.body.len()).into());
        }
        Ok(Some(message))
    }

    /// Answers a message and returns its event, if any.
    pub fn handle(&mut self, message: &Received, now: Instant) -> Result<Option<ServerEvent>, ServerError> {
        let queued = self.out.len();
        let event = self.dispatch(message, now);
        self.acknowledge();
        self.allowance.answer(self.out.len() - queued)?;
        event
    }

    fn dispatch(&mut self, message: &Received, now: Instant) -> Result<Option<ServerEvent>, ServerError> {
        match message.kind {
            kind::AUDIO => self.media(Kind::Audio, message, now),
            kind::VIDEO => self.media(Kind::Video, message, now),
            kind::DATA => Ok(self.metadata(&message.body)),
            kind::COMMAND => self.command(message.stream, &message.body, now),
            kind::COMMAND_AMF3 => {
                self.command(message.stream, message.body.get(1..).unwrap_or_default(), now)
            }
            kind::WINDOW => {
                let window = first_u32(&message.body).filter(|w| *w > 0).ok_or(Malformed::Control)?;
                self.acknowledge_every = Some(u64::from(window) / 2);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn media(
        &mut self,
        kind: Kind,
        message: &Received,
        now: Instant,
    ) -> Result<Option<ServerEvent>, ServerError> {
        match self.state {
            State::Live => {
                self.last_media = now;
                let body = message.body.as_slice().into();
                Ok(Some(ServerEvent::Media(Tag { kind, timestamp: message.timestamp.into(), body })))
            }
            State::Ended => Ok(None),
            _ => Err(ServerError::Sequence("media before publish")),
        }
    }

    fn metadata(&self, body: &[u8]) -> Option<ServerEvent> {
        let mut values = amf0::read(body).into_iter().skip_while(|v| v.as_str() == Some("@setDataFrame"));
        let named = values.next().is_some_and(|v| v.as_str() == Some("onMetaData"));
        let description = values.next().filter(|_| named && self.state == State::Live)?;
        Some(ServerEvent::Metadata(description))
    }

    fn command(
        &mut self,
        stream: u32,
        body: &[u8],
        now: Instant,
    ) -> Result<Option<ServerEvent>, ServerError> {
        let values = amf0::read(body);
        let id = values.get(1).and_then(AmfValue::as_number).unwrap_or_default();
        match values.first().and_then(AmfValue::as_str).unwrap_or_default() {
            "connect" => self.connect(id, &values)?,
            "releaseStream" => self.result(id, |out| _ = out.null().null()),
            "FCPublish" => self.command_out(0, "onFCPublish", 0.0, |out| _ = out.null().null()),
            "createStream" => self.result(id, |out| _ = out.null().number(STREAM.into())),
            "publish" => return self.publish(stream, &values, now).map(Some),
            "play" => return Err(ServerError::Sequence("play, which this server does not offer")),
            "FCUnpublish" | "deleteStream" | "closeStream" if self.state == State::Live => {
                self.state = State::Ended;
                return Ok(Some(ServerEvent::Ended));
            }
            _ => {}
        }
        Ok(None)
    }

    fn connect(&mut self, id: f64, values: &[AmfValue]) -> Result<(), ServerError> {
        if self.state != State::Connecting {
            return Err(ServerError::Sequence("connect twice"));
        }
        let app = values.get(2).and_then(|v| v.get("app")).and_then(AmfValue::as_str).unwrap_or_default();
        // Some clients send the rest of the URL's path, or its last slash.
        let app = app.split('?').next().unwrap_or_default().trim_matches('/');
        if self.config.app.as_ref().is_some_and(|expected| expected != app) {
            self.command_out(0, "_error", id, |out| {
                status(out.null(), "error", "NetConnection.Connect.InvalidApp", "no such application");
            });
            return Err(ServerError::Application);
        }
        self.state = State::Connected;
        self.send_control(kind::WINDOW, &WINDOW.to_be_bytes());
        self.send_control(kind::BANDWIDTH, &[&WINDOW.to_be_bytes()[..], &[2]].concat());
        if let Some(size) = self.config.chunk_size {
            self.send_control(kind::CHUNK_SIZE, &size.to_be_bytes());
            self.writer.chunk_size = (size as usize).max(1);
        }
        self.result(id, |out| {
            out.object().name("fmsVer").string("FMS/3,0,1,123").name("capabilities").number(31.0).end();
            status(out, "status", "NetConnection.Connect.Success", "Connection succeeded.");
        });
        Ok(())
    }

    fn publish(
        &mut self,
        stream: u32,
        values: &[AmfValue],
        now: Instant,
    ) -> Result<ServerEvent, ServerError> {
        if self.state != State::Connected {
            return Err(ServerError::Sequence("publish before connect, or twice"));
        }
        let name = values.get(3).and_then(AmfValue::as_str).unwrap_or_default();
        self.state = State::Deciding(stream);
        match &self.config.key {
            KeyCheck::Caller => return Ok(ServerEvent::Requested(StreamKey::new(name))),
            KeyCheck::Exactly(key) if !key.matches(name) => return Err(self.refuse(PublishRefusal::Key)),
            KeyCheck::Exactly(_) | KeyCheck::Any => self.admit(now),
        }
        Ok(ServerEvent::Publishing)
    }

    /// Accepts the publisher after [`ServerEvent::Requested`].
    pub fn admit(&mut self, now: Instant) {
        let State::Deciding(stream) = self.state else { return };
        self.state = State::Live;
        self.stream = stream;
        self.last_media = now;
        self.set_publisher_limits();
        // User Control event 0: Stream Begin.
        self.send_control(kind::USER_CONTROL, &[&[0, 0][..], &stream.to_be_bytes()].concat());
        self.command_out(stream, "onStatus", 0.0, |out| {
            status(out.null(), "status", "NetStream.Publish.Start", "publishing");
        });
    }

    /// A publisher may send more than a stranger.
    pub(super) fn set_publisher_limits(&mut self) {
        let limits = self.config.limits;
        self.allowance = Allowance::new(limits.bytes, limits.messages);
        self.reader.set_longest(limits.longest_message);
    }

    /// Refuses the publisher after [`ServerEvent::Requested`]. Send [`ServerSession::output`] and
    /// close.
    pub fn refuse(&mut self, why: PublishRefusal) -> ServerError {
        if let State::Deciding(stream) = self.state {
            self.command_out(stream, "onStatus", 0.0, |out| {
                status(out.null(), "error", "NetStream.Publish.BadName", why.text());
            });
        }
        self.state = State::Ended;
        match why {
            PublishRefusal::Key => ServerError::Key,
            PublishRefusal::Busy => ServerError::Busy,
        }
    }

    /// Ends a publisher's stream because of what it sends; `why` is shown to the client. Send
    /// [`ServerSession::output`] and close.
    pub fn reject(&mut self, why: &str) {
        if self.state == State::Live {
            self.command_out(self.stream, "onStatus", 0.0, |out| {
                status(out.null(), "error", "NetStream.Publish.Rejected", why);
            });
        }
        self.state = State::Ended;
    }

    fn acknowledge(&mut self) {
        let due = |every| self.received.wrapping_sub(self.acknowledged) > every;
        if self.acknowledge_every.is_some_and(due) {
            self.acknowledged = self.received;
            self.send_control(kind::ACKNOWLEDGEMENT, &(self.received as u32).to_be_bytes());
        }
    }

    fn result(&mut self, id: f64, values: impl FnOnce(&mut AmfWriter<'_>)) {
        self.command_out(0, "_result", id, values);
    }

    fn command_out(&mut self, stream: u32, name: &str, id: f64, values: impl FnOnce(&mut AmfWriter<'_>)) {
        let mut body = Vec::new();
        let mut out = AmfWriter(&mut body);
        out.string(name).number(id);
        values(&mut out);
        self.send_command(stream, &body);
    }

    /// Queues a command of the caller: AMF0 values on message stream `stream`.
    pub fn send_command(&mut self, stream: u32, body: &[u8]) {
        let message = Message { kind: kind::COMMAND, stream, timestamp: 0, body };
        self.writer.write(&mut self.out, ChunkStream::System, message);
    }

    /// Queues a control message of the caller, with a type of [`kind`](mod@kind).
    pub fn send_control(&mut self, kind: u8, body: &[u8]) {
        let message = Message { kind, stream: 0, timestamp: 0, body };
        self.writer.write(&mut self.out, ChunkStream::Network, message);
    }

    /// Bytes to send. Remove sent bytes; call [`ServerSession::output_sent`] when all are sent.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Resets the count of unread answers: the client has read all output.
    pub fn output_sent(&mut self) {
        self.allowance.answers_sent();
    }

    /// Whether the client is publishing.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }
}

impl fmt::Debug for ServerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSession")
            .field("state", &self.state)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// Writes an information object.
fn status(out: &mut AmfWriter<'_>, level: &str, code: &str, description: &str) {
    out.object().name("level").string(level).name("code").string(code);
    out.name("description").string(description).end();
}

#[cfg(test)]
mod tests;
