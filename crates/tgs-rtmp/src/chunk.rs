//! RTMP chunk streams: splits messages into chunks with compressed headers and reassembles them
//! (Adobe's "RTMP specification 1.0", section 5.3).
//!
//! Headers are chosen as ffmpeg chooses them (`ff_rtmp_packet_write`). Interprets no message except
//! Set Chunk Size and Abort.

use std::mem;

/// The initial chunk size of both sides in bytes.
pub const DEFAULT_CHUNK_SIZE: usize = 128;

/// Timestamp field value that announces an extended timestamp.
const EXTENDED: u32 = 0x00FF_FFFF;

/// Limit of chunk streams that a peer may open.
const MAX_CHUNK_STREAMS: usize = 64;

/// Message type ids of the specification.
pub mod kind {
    /// Set Chunk Size
    pub const CHUNK_SIZE: u8 = 1;
    /// Abort Message
    pub const ABORT: u8 = 2;
    /// Acknowledgement
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User Control (ping, stream begin)
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size
    pub const WINDOW: u8 = 5;
    /// Set Peer Bandwidth
    pub const BANDWIDTH: u8 = 6;
    /// Audio data
    pub const AUDIO: u8 = 8;
    /// Video data
    pub const VIDEO: u8 = 9;
    /// Command in AMF3: one byte before the AMF0 values
    pub const COMMAND_AMF3: u8 = 17;
    /// Data in AMF0 (metadata)
    pub const DATA: u8 = 18;
    /// Command in AMF0
    pub const COMMAND: u8 = 20;
}

/// The chunk stream ids that ffmpeg sends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkStream {
    /// Ping responses, acknowledgements, chunk size.
    Network = 2,
    /// Commands of the connection.
    System = 3,
    /// Audio and metadata.
    Audio = 4,
    /// Video.
    Video = 6,
    /// The publish command.
    Source = 8,
}

/// A message to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u8,
    /// Message stream id: 0 for the connection, else the id that createStream returned.
    pub(crate) stream: u32,
    /// Milliseconds; wraps at 2^32.
    pub(crate) timestamp: u32,
    pub(crate) body: &'a [u8],
}

/// The previous header of a chunk stream, which the next header is compressed against.
#[derive(Debug, Clone, Copy)]
struct LastHeader {
    kind: u8,
    stream: u32,
    timestamp: u32,
    len: usize,
    /// Timestamp field: absolute in a full header, else a delta; at most [`EXTENDED`].
    field: u32,
    full: bool,
}

/// Splits messages into chunks.
#[derive(Debug)]
pub(crate) struct ChunkWriter {
    pub(crate) chunk_size: usize,
    last: [Option<LastHeader>; 9],
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self { chunk_size: DEFAULT_CHUNK_SIZE, last: [None; 9] }
    }
}

impl ChunkWriter {
    /// Appends `message` to `out`.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, lane: ChunkStream, message: Message<'_>) {
        let Message { kind, stream, timestamp, body } = message;
        let last = &mut self.last[lane as usize];
        // ffmpeg writes a full header for metadata and for media of timestamp 0.
        let afresh = kind == kind::DATA || (timestamp == 0 && matches!(kind, kind::AUDIO | kind::VIDEO));
        // A timestamp below the previous one (also after a wrap) has no delta: full header.
        let previous = last.filter(|last| !afresh && last.stream == stream && last.timestamp <= timestamp);
        let time = timestamp - previous.map_or(0, |last| last.timestamp);
        let field = time.min(EXTENDED);
        let format = match previous {
            None => 0,
            Some(last) if (last.kind, last.len) != (kind, body.len()) => 1,
            // After a full header receivers disagree whether format 3 repeats its time or adds 0.
            Some(last) if last.field != field || (last.full && field != 0) => 2,
            Some(_) => 3,
        };
        *last = Some(LastHeader { kind, stream, timestamp, len: body.len(), field, full: format == 0 });

        out.reserve(body.len() + 16 + (body.len() / self.chunk_size + 1) * 5);
        out.push(format << 6 | lane as u8);
        if format < 3 {
            out.extend(&field.to_be_bytes()[1..]);
        }
        if format < 2 {
            out.extend(&(body.len() as u32).to_be_bytes()[1..]);
            out.push(kind);
        }
        if format == 0 {
            out.extend(stream.to_le_bytes());
        }
        let extension = (field == EXTENDED).then(|| time.to_be_bytes());
        out.extend(extension.iter().flatten());
        for (i, piece) in body.chunks(self.chunk_size).enumerate() {
            if i > 0 {
                out.push(3 << 6 | lane as u8);
                // Repeats the extended timestamp; publishers that omit it fail at 4 h 39 m 37 s.
                out.extend(extension.iter().flatten());
            }
            out.extend(piece);
        }
    }
}

/// A complete message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The chunk stream id.
    pub chunk_stream: u32,
    /// The message type, see [`kind`](mod@kind).
    pub kind: u8,
    /// The message stream id.
    pub stream: u32,
    /// Milliseconds; wraps at 2^32.
    pub timestamp: u32,
    /// The body.
    pub body: Vec<u8>,
}

/// Why bytes are not valid RTMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A compressed header without a preceding header.
    #[error("a compressed chunk header on a chunk stream that has not begun")]
    NoHistory,
    /// A message longer than the reader accepts.
    #[error("a message of {0} bytes")]
    TooLong(usize),
    /// Unfinished messages hold more than twice the longest message.
    #[error("too much data in unfinished messages")]
    Unfinished,
    /// More than 64 chunk streams.
    #[error("too many chunk streams")]
    TooManyStreams,
    /// A chunk size of 0 or above 2^31 - 1, or a control message that is too short.
    #[error("a control message that says nothing sensible")]
    Control,
}

/// Reassembles messages. Obeys Set Chunk Size and Abort Message, and also returns them.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ChunkReader {
    chunk_size: usize,
    longest: usize,
    streams: Vec<Incoming>,
    buffer: Vec<u8>,
    /// Number of bytes of `buffer` already consumed.
    start: usize,
    /// Bytes held in unfinished messages.
    unfinished: usize,
}

#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Incoming {
    chunk_stream: u32,
    kind: u8,
    stream: u32,
    timestamp: u32,
    len: usize,
    /// Timestamp increment of a new message with a format 3 header.
    step: u32,
    extended: bool,
    /// A message is incomplete: `body` holds its first bytes.
    begun: bool,
    body: Vec<u8>,
}

impl ChunkReader {
    /// Creates a reader that accepts messages of up to `longest` bytes.
    #[must_use]
    pub fn new(longest: usize) -> Self {
        Self {
            chunk_size: DEFAULT_CHUNK_SIZE,
            longest,
            streams: Vec::new(),
            buffer: Vec::new(),
            start: 0,
            unfinished: 0,
        }
    }

    /// Accepts messages of up to `longest` bytes from now on.
    pub(crate) fn set_longest(&mut self, longest: usize) {
        self.longest = longest;
    }

    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..mem::take(&mut self.start));
        self.buffer.extend(bytes);
    }

    /// Bytes received of messages that are not complete.
    pub(crate) fn waiting(&self) -> usize {
        self.buffer.len() - self.start + self.unfinished
    }

    /// Returns the next complete message; call it until it returns `None` (more bytes are needed).
    pub fn next_message(&mut self) -> Result<Option<Received>, Malformed> {
        while let Some((header, len)) = ChunkHeader::read(&self.buffer[self.start..], &self.streams)? {
            let at = slot(&mut self.streams, header.chunk_stream)?;
            let incoming = &mut self.streams[at];
            let total = header.total(incoming);
            if total > self.longest {
                return Err(Malformed::TooLong(total));
            }
            let missing = total.saturating_sub(incoming.body.len()).min(self.chunk_size);
            let payload = self.start + len..self.start + len + missing;
            let Some(bytes) = self.buffer.get(payload.clone()) else { return Ok(None) };
            self.start = payload.end;
            header.apply(incoming);
            incoming.body.extend(bytes);
            self.unfinished += bytes.len();
            if self.unfinished > self.longest * 2 {
                return Err(Malformed::Unfinished);
            }
            if incoming.body.len() >= total {
                let message = incoming.finish();
                self.unfinished -= message.body.len();
                self.obey(&message)?;
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    fn obey(&mut self, message: &Received) -> Result<(), Malformed> {
        if message.kind != kind::CHUNK_SIZE && message.kind != kind::ABORT {
            return Ok(());
        }
        let value = first_u32(&message.body).ok_or(Malformed::Control)?;
        if message.kind == kind::CHUNK_SIZE {
            self.chunk_size = usable_chunk_size(value).ok_or(Malformed::Control)?;
        } else if let Some(aborted) = self.streams.iter_mut().find(|s| s.chunk_stream == value) {
            self.unfinished -= aborted.finish().body.len();
        }
        Ok(())
    }
}

/// Index of a chunk stream's state, which is created if new.
fn slot(streams: &mut Vec<Incoming>, chunk_stream: u32) -> Result<usize, Malformed> {
    if let Some(at) = streams.iter().position(|s| s.chunk_stream == chunk_stream) {
        return Ok(at);
    }
    if streams.len() >= MAX_CHUNK_STREAMS {
        return Err(Malformed::TooManyStreams);
    }
    streams.push(Incoming { chunk_stream, ..Incoming::default() });
    Ok(streams.len() - 1)
}

/// The chunk size, if the specification allows it.
pub(crate) fn usable_chunk_size(value: u32) -> Option<usize> {
    (1..1 << 31).contains(&value).then_some(value as usize)
}

/// The number at the start of a control message.
pub(crate) fn first_u32(body: &[u8]) -> Option<u32> {
    body.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// A chunk header as transmitted.
#[derive(Debug, Clone, Copy)]
struct ChunkHeader {
    chunk_stream: u32,
    format: u8,
    /// Timestamp field, or the extended timestamp if present.
    time: u32,
    extended: bool,
    len: usize,
    kind: u8,
    stream: u32,
}

impl ChunkHeader {
    /// Reads the header at the start of `bytes` and its length; `None` if it is incomplete.
    fn read(bytes: &[u8], streams: &[Incoming]) -> Result<Option<(Self, usize)>, Malformed> {
        let mut input = bytes;
        let Some((format, chunk_stream)) = read_basic(&mut input) else { return Ok(None) };
        let known = streams.iter().find(|s| s.chunk_stream == chunk_stream && (s.len > 0 || s.kind > 0));
        // librtmp begins its control stream with format 1: message stream 0.
        if known.is_none() && format > 1 {
            return Err(Malformed::NoHistory);
        }
        let mut header = Self { chunk_stream, format, time: 0, extended: false, len: 0, kind: 0, stream: 0 };
        if let Some(known) = known {
            header.extended = known.extended;
            (header.len, header.kind, header.stream) = (known.len, known.kind, known.stream);
        }
        Ok(header.read_rest(&mut input).map(|()| (header, bytes.len() - input.len())))
    }

    fn read_rest(&mut self, input: &mut &[u8]) -> Option<()> {
        if self.format < 3 {
            self.time = read_u24(input)?;
            self.extended = self.time == EXTENDED;
        }
        if self.format < 2 {
            self.len = read_u24(input)? as usize;
            [self.kind] = take(input)?;
        }
        if self.format == 0 {
            self.stream = u32::from_le_bytes(take(input)?);
        }
        if self.extended {
            self.time = u32::from_be_bytes(take(input)?);
        }
        Some(())
    }

    /// Length of the whole message: a header inside a message does not change it.
    fn total(&self, incoming: &Incoming) -> usize {
        if incoming.begun { incoming.len } else { self.len }
    }

    fn apply(&self, incoming: &mut Incoming) {
        if incoming.begun {
            return;
        }
        incoming.begun = true;
        (incoming.len, incoming.kind, incoming.stream) = (self.len, self.kind, self.stream);
        incoming.extended = self.extended;
        if self.format < 3 {
            incoming.step = self.time;
        }
        incoming.timestamp =
            if self.format == 0 { self.time } else { incoming.timestamp.wrapping_add(incoming.step) };
    }
}

impl Incoming {
    fn finish(&mut self) -> Received {
        self.begun = false;
        Received {
            chunk_stream: self.chunk_stream,
            kind: self.kind,
            stream: self.stream,
            timestamp: self.timestamp,
            body: mem::take(&mut self.body),
        }
    }
}

/// Basic header of one, two or three bytes: format and chunk stream id.
fn read_basic(input: &mut &[u8]) -> Option<(u8, u32)> {
    let [first] = take(input)?;
    let chunk_stream = match first & 0x3F {
        0 => 64 + u32::from(take::<1>(input)?[0]),
        1 => 64 + u32::from(u16::from_le_bytes(take(input)?)),
        id => id.into(),
    };
    Some((first >> 6, chunk_stream))
}

fn read_u24(input: &mut &[u8]) -> Option<u32> {
    take(input).map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*bytes)
}

#[cfg(test)]
mod tests;
