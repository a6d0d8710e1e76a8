//! The content of an encrypted frame: salt, session, messages, containers and gzip; and the
//! numbering of the server's messages. Interprets no message.
//!
//! <https://core.telegram.org/mtproto/description>,
//! <https://core.telegram.org/mtproto/service_messages>

use std::{
    fmt,
    io::{Read, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use grammers_tl_types::{Cursor, Deserializable, Serializable};

use crate::transport::MAX_PAYLOAD;

const MSG_CONTAINER: u32 = 0x73f1_f8dc;
const GZIP_PACKED: u32 = 0x3072_cfa1;
const RPC_RESULT: u32 = 0xf35c_6d01;
/// Most messages in one container.
const MAX_MESSAGES: u32 = 1020;
/// Answers of at least this size in bytes are compressed if that makes them smaller.
const COMPRESS_FROM: usize = 512;

/// The content of one frame.
#[derive(Debug, PartialEq)]
pub(crate) struct Incoming {
    pub(crate) salt: i64,
    pub(crate) session: i64,
    /// The id of the transmitted message: the container, or the only message. Notices about the
    /// frame refer to it.
    pub(crate) outer: i64,
    pub(crate) outer_sequence: i32,
    pub(crate) messages: Vec<Message>,
}

/// One message, unpacked.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) id: i64,
    pub(crate) body: Vec<u8>,
}

/// The bytes are not valid MTProto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "malformed message: {}", self.0)
    }
}

impl From<grammers_tl_types::deserialize::Error> for Malformed {
    fn from(_: grammers_tl_types::deserialize::Error) -> Self {
        Self("it ends too early, or is of another type")
    }
}

/// Parses a decrypted frame.
pub(crate) fn unpack(plain: &[u8]) -> Result<Incoming, Malformed> {
    let mut cursor = Cursor::from_slice(plain);
    let salt = i64::deserialize(&mut cursor)?;
    let session = i64::deserialize(&mut cursor)?;
    let (outer, outer_sequence, body) = next(&mut cursor, plain)?;
    let padding = plain.len() - cursor.pos();
    if !(12..=1024).contains(&padding) {
        return Err(Malformed("its padding is not of 12 to 1024 bytes"));
    }
    let body = unzip(body)?;
    let mut messages = Vec::new();
    if u32::from_bytes(&body)? == MSG_CONTAINER {
        let mut cursor = Cursor::from_slice(&body);
        u32::deserialize(&mut cursor)?;
        let count = u32::deserialize(&mut cursor)?;
        if count > MAX_MESSAGES {
            return Err(Malformed("a container holds too many messages"));
        }
        for _ in 0..count {
            let (id, _, body) = next(&mut cursor, &body)?;
            messages.push(Message { id, body: unzip(body)? });
        }
    } else {
        messages.push(Message { id: outer, body });
    }
    Ok(Incoming { salt, session, outer, outer_sequence, messages })
}

/// Reads `msg_id:long seqno:int bytes:int body:Object` at the cursor, which reads `all`.
fn next<'a>(cursor: &mut Cursor<'_>, all: &'a [u8]) -> Result<(i64, i32, &'a [u8]), Malformed> {
    let id = i64::deserialize(cursor)?;
    let sequence = i32::deserialize(cursor)?;
    let length = u32::deserialize(cursor)? as usize;
    let body = all.get(cursor.pos()..).and_then(|rest| rest.get(..length));
    let body = body.ok_or(Malformed("a message is longer than its frame"))?;
    let mut skipped = vec![0; length];
    cursor.read_exact(&mut skipped)?;
    Ok((id, sequence, body))
}

fn unzip(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    if u32::from_bytes(body)? != GZIP_PACKED {
        return Ok(body.to_vec());
    }
    let packed = Vec::<u8>::from_bytes(&body[4..])?;
    let mut unpacked = Vec::new();
    let read = GzDecoder::new(&packed[..]).take(MAX_PAYLOAD as u64 + 1).read_to_end(&mut unpacked);
    if read.is_err() || unpacked.len() > MAX_PAYLOAD {
        return Err(Malformed("its gzip is damaged or too large"));
    }
    u32::from_bytes(&unpacked)?;
    Ok(unpacked)
}

/// The result of a call as a message body, compressed if that is smaller.
pub(crate) fn rpc_result(request: i64, result: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(result.len() + 12);
    RPC_RESULT.serialize(&mut body);
    request.serialize(&mut body);
    match zip(result).filter(|_| result.len() >= COMPRESS_FROM) {
        Some(zipped) if zipped.len() < result.len() => body.extend(zipped),
        _ => body.extend(result),
    }
    body
}

fn zip(result: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(result).ok()?;
    let mut body = Vec::new();
    GZIP_PACKED.serialize(&mut body);
    encoder.finish().ok()?.serialize(&mut body);
    Some(body)
}

/// The current Unix time in seconds, as TL carries it.
pub(crate) fn now() -> i32 {
    since_1970().as_secs() as i32
}

fn since_1970() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Message ids and sequence numbers of one connection.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    last_id: i64,
    /// Number of content-related messages sent.
    content: i32,
}

impl Numbers {
    /// The next message id: the time in units of 2⁻³² s, strictly increasing, with low bits 01 for
    /// an answer, 11 for a push.
    /// <https://core.telegram.org/mtproto/description#message-identifier-msg-id>
    pub(crate) fn id(&mut self, answer: bool) -> i64 {
        let now = since_1970();
        let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
        let time = ((now.as_secs() << 32) | fraction).cast_signed() & !3;
        let base = time.max((self.last_id & !3) + 4);
        self.last_id = base | if answer { 1 } else { 3 };
        self.last_id
    }

    /// Packs a message of the server with its numbers, ready for encryption.
    pub(crate) fn pack(&mut self, salt: i64, session: i64, kind: Kind, body: &[u8]) -> Vec<u8> {
        let mut plain = Vec::with_capacity(body.len() + 32);
        salt.serialize(&mut plain);
        session.serialize(&mut plain);
        self.id(kind != Kind::Push).serialize(&mut plain);
        // Twice the number of earlier content-related messages, plus one for such a message.
        // https://core.telegram.org/mtproto/description#message-sequence-number-msg-seqno
        let mut sequence = self.content.wrapping_mul(2);
        if kind != Kind::Notice {
            sequence += 1;
            self.content = self.content.wrapping_add(1);
        }
        sequence.serialize(&mut plain);
        (body.len() as u32).serialize(&mut plain);
        plain.extend(body);
        plain
    }
}

/// The kind of a server message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer to a call; the client acknowledges it.
    Answer,
    /// A service message without acknowledgment.
    Notice,
    /// An update that the client did not request; the client acknowledges it.
    Push,
}

/// The Unix time in a client's message id, in seconds.
pub(crate) fn seconds_of(id: i64) -> i64 {
    id >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        7_i64.serialize(&mut plain);
        8_i64.serialize(&mut plain);
        100_i64.serialize(&mut plain);
        1_i32.serialize(&mut plain);
        (body.len() as u32).serialize(&mut plain);
        plain.extend(body);
        plain.extend([0; 16]);
        plain
    }

    #[test]
    fn containers_and_gzip_are_unpacked() {
        let inner = [1; 600];
        let zipped = zip(&inner).unwrap();
        let mut body = Vec::new();
        MSG_CONTAINER.serialize(&mut body);
        2_u32.serialize(&mut body);
        for (id, message) in [(4_i64, &zipped), (8, &vec![5; 4])] {
            id.serialize(&mut body);
            0_i32.serialize(&mut body);
            (message.len() as u32).serialize(&mut body);
            body.extend(message);
        }
        let incoming = unpack(&frame(&body)).unwrap();
        let expected = [Message { id: 4, body: inner.to_vec() }, Message { id: 8, body: vec![5; 4] }];
        assert_eq!(incoming.messages, expected);
        assert_eq!((incoming.salt, incoming.session, incoming.outer), (7, 8, 100));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert!(unpack(&[]).is_err());
        let mut plain = frame(&[0; 8]);
        plain[28..32].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(unpack(&plain).is_err());
        let mut container = MSG_CONTAINER.to_le_bytes().to_vec();
        container.extend(u32::MAX.to_le_bytes());
        assert!(unpack(&frame(&container)).is_err());
        let bomb = zip(&vec![0; MAX_PAYLOAD + 1]).unwrap();
        assert!(unpack(&frame(&bomb)).is_err());
    }

    #[test]
    fn ids_grow_and_say_what_they_are() {
        let mut numbers = Numbers::default();
        let ids: Vec<_> = (0..1000).map(|i| numbers.id(i % 2 == 0)).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(
            ids.iter().step_by(2).all(|id| id & 3 == 1)
                && ids.iter().skip(1).step_by(2).all(|id| id & 3 == 3)
        );
        assert!((seconds_of(ids[999]) - i64::from(now())).abs() < 2);
    }
}
