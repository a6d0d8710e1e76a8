//! The publisher's RTMP session above chunks, without I/O: bytes in, bytes out. Commands, their
//! order and their chunk streams follow ffmpeg (`rtmpproto.c`, `flvenc.c`).

use std::{mem, time::Instant};

use crate::{
    amf0::{self, AmfValue, AmfWriter},
    chunk::{
        ChunkReader, ChunkStream, ChunkWriter, Malformed, Message, Received, first_u32, kind,
        usable_chunk_size,
    },
    limits::{Allowance, Excess, Rate},
    metadata::{MUXER, Metadata},
    url::RtmpUrl,
};

/// Limits of the sending chunk size: smaller chunks spend too much on headers, and no message is
/// longer than the upper limit.
const CHUNKS: (usize, usize) = (128, 0x00FF_FFFF);

/// Bytes between two Acknowledgements until the server sets a window (ffmpeg's default).
const REPORT_EVERY: u64 = 1 << 20;

/// Longest accepted message of a server in bytes; replies have a few hundred.
const LONGEST_REPLY: usize = 64 * 1024;

/// Limit of received bytes.
pub const SERVER_BYTES: Rate = Rate { at_once: 512 * 1024, per_second: 64 * 1024 };

/// Limit of received messages: a server that acknowledges each frame sends 110 per second.
pub const SERVER_MESSAGES: Rate = Rate { at_once: 2000, per_second: 500 };

/// Longest quotation of a server's message, in characters.
const LONGEST_QUOTE: usize = 200;

/// User Control event: ping request.
const PING_REQUEST: u16 = 6;
/// User Control event: ping response.
const PING_RESPONSE: u16 = 7;

/// A command whose answer is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PendingCall {
    Connect,
    CreateStream,
    Publish,
}

/// The progress of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionStep {
    /// `connect` is unanswered.
    Application,
    /// The application is accepted; the stream is not published yet.
    Publish,
    /// Media can be sent.
    Live,
}

/// Why the session ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    Authentication,
    Redirect(String),
    /// The server's message, with the key redacted.
    Said(String),
    Malformed(Malformed),
    Excess(Excess),
}

impl From<Excess> for Refusal {
    fn from(excess: Excess) -> Self {
        Self::Excess(excess)
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// The publishing session of one connection.
pub(crate) struct PublishSession {
    target: RtmpUrl,
    step: SessionStep,
    reader: ChunkReader,
    writer: ChunkWriter,
    pub(crate) allowance: Allowance,
    /// Bytes to send.
    pub(crate) out: Vec<u8>,
    body: Vec<u8>,
    calls: u32,
    pending: Vec<(u32, PendingCall)>,
    stream: u32,
    received: u64,
    reported: u64,
    report_every: u64,
    last_video: Option<u32>,
}

impl PublishSession {
    /// Creates a session and queues `connect`.
    pub(crate) fn new(target: RtmpUrl) -> Self {
        let mut session = Self {
            target,
            step: SessionStep::Application,
            reader: ChunkReader::new(LONGEST_REPLY),
            writer: ChunkWriter::default(),
            allowance: Allowance::new(SERVER_BYTES, SERVER_MESSAGES),
            out: Vec::new(),
            body: Vec::new(),
            calls: 0,
            pending: Vec::new(),
            stream: 0,
            received: 0,
            reported: 0,
            report_every: REPORT_EVERY,
            last_video: None,
        };
        session.connect();
        session
    }

    pub(crate) fn step(&self) -> SessionStep {
        self.step
    }

    /// Queues a tag body on the published stream.
    pub(crate) fn media(&mut self, kind: u8, timestamp: u32, body: &[u8]) {
        let lane = if kind == kind::VIDEO { ChunkStream::Video } else { ChunkStream::Audio };
        if kind == kind::VIDEO {
            self.last_video = Some(timestamp);
        }
        self.writer.write(&mut self.out, lane, Message { kind, stream: self.stream, timestamp, body });
    }

    /// Queues the stream's metadata.
    pub(crate) fn metadata(&mut self, metadata: &Metadata) {
        let mut body = mem::take(&mut self.body);
        body.clear();
        AmfWriter(&mut body).string("@setDataFrame");
        body.extend(metadata.script_data());
        let message = Message { kind: kind::DATA, stream: self.stream, timestamp: 0, body: &body };
        self.writer.write(&mut self.out, ChunkStream::Audio, message);
        self.body = body;
    }

    /// Ends the stream: end of sequence (as ffmpeg's muxer), `FCUnpublish`, `deleteStream`.
    pub(crate) fn goodbye(&mut self) {
        if let Some(timestamp) = self.last_video {
            self.media(kind::VIDEO, timestamp, &[0x17, 2, 0, 0, 0]);
        }
        let key = self.target.key.expose().to_owned();
        self.call(None, ChunkStream::System, "FCUnpublish", |out| {
            out.null().string(&key);
        });
        let stream = self.stream;
        self.call(None, ChunkStream::System, "deleteStream", |out| {
            out.null().number(stream.into());
        });
    }

    /// Accepts bytes received at `now` and queues the answers.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: Instant) -> Result<(), Refusal> {
        self.received = self.received.wrapping_add(bytes.len() as u64);
        self.reader.push(bytes);
        while let Some(message) = self.reader.next_message()? {
            self.allowance.message(now)?;
            let queued = self.out.len();
            if self.received.wrapping_sub(self.reported) > self.report_every {
                self.reported = self.received;
                let report = (self.received as u32).to_be_bytes();
                self.network(kind::ACKNOWLEDGEMENT, message.timestamp.wrapping_add(1), &report);
            }
            self.handle(&message)?;
            self.allowance.answer(self.out.len() - queued)?;
        }
        Ok(())
    }

    fn handle(&mut self, message: &Received) -> Result<(), Refusal> {
        match message.kind {
            kind::CHUNK_SIZE => {
                let size = first_u32(&message.body).and_then(usable_chunk_size).ok_or(Malformed::Control)?;
                let size = size.clamp(CHUNKS.0, CHUNKS.1);
                // ffmpeg adopts the server's chunk size and announces it by returning the message.
                self.network(kind::CHUNK_SIZE, message.timestamp, &(size as u32).to_be_bytes());
                self.writer.chunk_size = size;
            }
            kind::WINDOW => {
                let window = first_u32(&message.body).filter(|w| *w > 0).ok_or(Malformed::Control)?;
                self.report_every = u64::from(window) / 2;
            }
            kind::USER_CONTROL => self.answer_ping(message),
            kind::COMMAND => self.command(&message.body)?,
            kind::COMMAND_AMF3 => self.command(message.body.get(1..).unwrap_or_default())?,
            _ => {}
        }
        Ok(())
    }

    fn answer_ping(&mut self, message: &Received) {
        let Some((event, question)) = message.body.split_first_chunk::<2>() else { return };
        if u16::from_be_bytes(*event) != PING_REQUEST {
            return;
        }
        if let Some(question) = question.first_chunk::<4>() {
            let mut answer = [0; 6];
            answer[..2].copy_from_slice(&PING_RESPONSE.to_be_bytes());
            answer[2..].copy_from_slice(question);
            self.network(kind::USER_CONTROL, message.timestamp.wrapping_add(1), &answer);
        }
    }

    fn command(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let values = amf0::read(body);
        let name = values.first().and_then(AmfValue::as_str).unwrap_or_default();
        match name {
            "_result" | "_error" => {
                let id = values.get(1).and_then(AmfValue::as_number).unwrap_or_default() as u32;
                // Servers answer releaseStream, FCPublish and _checkbw with meaningless errors, so
                // these calls are not pending.
                let Some(at) = self.pending.iter().position(|(call, _)| *call == id) else {
                    return Ok(());
                };
                let (_, call) = self.pending.swap_remove(at);
                if name == "_error" {
                    return Err(self.refusal(&values));
                }
                self.result(call, &values);
                Ok(())
            }
            "onStatus" => self.status(&values),
            "onBWDone" => {
                self.call(None, ChunkStream::System, "_checkbw", |out| {
                    out.null();
                });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn result(&mut self, call: PendingCall, values: &[AmfValue]) {
        let key = self.target.key.expose().to_owned();
        match call {
            PendingCall::Connect => {
                self.step = SessionStep::Publish;
                self.call(None, ChunkStream::System, "releaseStream", |out| {
                    out.null().string(&key);
                });
                self.call(None, ChunkStream::System, "FCPublish", |out| {
                    out.null().string(&key);
                });
                self.call(Some(PendingCall::CreateStream), ChunkStream::System, "createStream", |out| {
                    out.null();
                });
            }
            PendingCall::CreateStream => {
                self.stream = values.get(3).and_then(AmfValue::as_number).unwrap_or_default() as u32;
                self.call(Some(PendingCall::Publish), ChunkStream::Source, "publish", |out| {
                    out.null().string(&key).string("live");
                });
            }
            PendingCall::Publish => {}
        }
    }

    fn status(&mut self, values: &[AmfValue]) -> Result<(), Refusal> {
        let field =
            |name| values.iter().find_map(|v| v.get(name)).and_then(AmfValue::as_str).unwrap_or_default();
        if field("level") == "error" {
            return Err(self.refusal(values));
        }
        if field("code") == "NetStream.Publish.Start" {
            self.step = SessionStep::Live;
        }
        Ok(())
    }

    /// Classifies an error by its information object.
    fn refusal(&self, values: &[AmfValue]) -> Refusal {
        let info = values.iter().find(|v| v.get("code").is_some() || v.get("description").is_some());
        let field = |name| info.and_then(|i| i.get(name)).and_then(AmfValue::as_str).unwrap_or_default();
        let redirect =
            info.and_then(|i| i.get("ex")).and_then(|ex| ex.get("redirect")).and_then(AmfValue::as_str);
        if let Some(address) = redirect {
            return Refusal::Redirect(address.to_owned());
        }
        let (code, description) = (field("code"), field("description"));
        if description.contains("authmod=") || description.contains("need auth") {
            return Refusal::Authentication;
        }
        let meaning = match code {
            "" => "it gives no code",
            "NetStream.Publish.BadName" => "the stream key is wrong, or somebody publishes with it already",
            "NetConnection.Connect.InvalidApp" => "the application in the address is wrong",
            "NetConnection.Connect.Rejected" => "the application in the address is wrong, or not open to us",
            _ => "",
        };
        let said = [code, description, meaning].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>();
        Refusal::Said(quote(&self.target.redact(&said.join("; "))))
    }

    fn connect(&mut self) {
        let (app, url) = (self.target.app.clone(), self.target.tc_url());
        self.call(Some(PendingCall::Connect), ChunkStream::System, "connect", |out| {
            out.object().name("app").string(&app);
            out.name("type").string("nonprivate");
            out.name("flashVer").string(&format!("FMLE/3.0 (compatible; {MUXER})"));
            out.name("tcUrl").string(&url).end();
        });
    }

    /// Queues a command; `answered` is set if its reply is evaluated.
    fn call(
        &mut self,
        answered: Option<PendingCall>,
        lane: ChunkStream,
        name: &str,
        arguments: impl FnOnce(&mut AmfWriter<'_>),
    ) {
        self.calls = self.calls.wrapping_add(1);
        self.pending.extend(answered.map(|call| (self.calls, call)));
        let mut body = mem::take(&mut self.body);
        body.clear();
        let mut out = AmfWriter(&mut body);
        out.string(name).number(self.calls.into());
        arguments(&mut out);
        let stream = if lane == ChunkStream::Source { self.stream } else { 0 };
        let message = Message { kind: kind::COMMAND, stream, timestamp: 0, body: &body };
        self.writer.write(&mut self.out, lane, message);
        self.body = body;
    }

    fn network(&mut self, kind: u8, timestamp: u32, body: &[u8]) {
        self.writer.write(&mut self.out, ChunkStream::Network, Message { kind, stream: 0, timestamp, body });
    }
}

/// Truncates and cleans a server's message for one log line.
fn quote(text: &str) -> String {
    let mut quoted: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_QUOTE).collect();
    if quoted.len() < text.len() {
        quoted.push('…');
    }
    quoted
}

#[cfg(test)]
mod tests;
