//! The TCP transports of MTProto: Full, Abridged and (padded) Intermediate, plain or obfuscated,
//! detected by a connection's first bytes.
//!
//! <https://core.telegram.org/mtproto/mtproto-transports>

use std::fmt;

use grammers_crypto::ObfuscatedCipher;

use crate::crypt::random;

/// Longest accepted payload in bytes. The real servers close the connection at about 1 MB.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

/// Bytes of length, sequence number and checksum in Full.
const FULL_OVERHEAD: usize = 12;

/// Bytes before an obfuscated stream: keys for both directions, the framing's tag, the DC's number.
const OBFUSCATED_HEADER: usize = 64;

/// A connection's framing, and its obfuscation if the client has begun one.
#[derive(Default)]
pub(crate) struct Transport {
    framing: Framing,
    cipher: Option<ObfuscatedCipher>,
    /// Received bytes without obfuscation; used only with one.
    plain: Vec<u8>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}{}", self.framing, if self.cipher.is_some() { ", obfuscated" } else { "" })
    }
}

impl Transport {
    /// Removes and returns the next payload of `buffer`, once complete.
    pub(crate) fn decode(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Broken> {
        if self.cipher.is_none() && matches!(self.framing, Framing::Unknown) && is_obfuscated(buffer) {
            let Some(header) = buffer.first_chunk::<OBFUSCATED_HEADER>().copied() else { return Ok(None) };
            buffer.drain(..OBFUSCATED_HEADER);
            // The client's sending direction is the one that is received here.
            let mut cipher = ObfuscatedCipher::new(&header);
            let mut tag = header;
            cipher.encrypt(&mut tag);
            self.framing = match &tag[56..60] {
                [0xef, 0xef, 0xef, 0xef] => Framing::Abridged,
                [0xee, 0xee, 0xee, 0xee] => Framing::Intermediate { padded: false },
                [0xdd, 0xdd, 0xdd, 0xdd] => Framing::Intermediate { padded: true },
                _ => return Err(Broken::Tag),
            };
            self.cipher = Some(cipher);
        }
        let Some(cipher) = &mut self.cipher else { return self.framing.decode(buffer) };
        let mut received = std::mem::take(buffer);
        cipher.encrypt(&mut received);
        self.plain.extend(received);
        self.framing.decode(&mut self.plain)
    }

    /// Frames a payload.
    pub(crate) fn encode(&mut self, payload: &[u8]) -> Vec<u8> {
        let frame = self.framing.encode(payload);
        self.obfuscated(frame)
    }

    /// A transport error (−404, −429): four bytes in place of a payload. In Full the real server
    /// sends the number as length, as sequence number and again (observed); clients expect that.
    pub(crate) fn encode_error(&mut self, code: i32) -> Vec<u8> {
        let frame = self.framing.encode_error(code);
        self.obfuscated(frame)
    }

    /// Random bytes after a plausible length.
    pub(crate) fn garbage(&mut self) -> Vec<u8> {
        let mut frame = self.encode(&random::<96>());
        if let Some(last) = frame.len().checked_sub(4) {
            // Full has a checksum, which must be invalid too.
            frame[last..].copy_from_slice(&random::<4>());
        }
        frame
    }

    fn obfuscated(&mut self, mut frame: Vec<u8>) -> Vec<u8> {
        if let Some(cipher) = &mut self.cipher {
            cipher.decrypt(&mut frame);
        }
        frame
    }
}

/// Whether a connection's first bytes are those of an obfuscated stream: in Full the second word is
/// the number of the first frame, 0.
fn is_obfuscated(buffer: &[u8]) -> bool {
    let plain =
        buffer.first() == Some(&0xef) || matches!(first_word(buffer), Some(0xeeee_eeee | 0xdddd_dddd));
    !plain && buffer.get(4..8).is_some_and(|second| second != [0; 4])
}

/// The framing of a connection.
#[derive(Debug, Default)]
enum Framing {
    /// No bytes received yet.
    #[default]
    Unknown,
    /// Length, sequence number, payload, CRC-32.
    Full { received: i32, sent: i32 },
    /// Length of one or four bytes, counted in 4-byte words.
    Abridged,
    /// Length of four bytes; optionally padded.
    Intermediate { padded: bool },
}

/// Why the received bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    Length(u32),
    Sequence { expected: i32, got: i32 },
    Checksum,
    Tag,
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(out, "no frame has a length of {length}"),
            Self::Sequence { expected, got } => write!(out, "frame {got} came where {expected} was due"),
            Self::Tag => write!(out, "the header of an obfuscated stream names no framing"),
            Self::Checksum => write!(out, "the checksum of a frame is wrong"),
        }
    }
}

/// The first four bytes as a little-endian number.
fn first_word(buffer: &[u8]) -> Option<u32> {
    buffer.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

impl Framing {
    fn decode(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Broken> {
        if matches!(self, Self::Unknown) {
            let skip = match (buffer.first(), first_word(buffer)) {
                (Some(0xef), _) => {
                    *self = Self::Abridged;
                    1
                }
                (_, Some(0xeeee_eeee)) => {
                    *self = Self::Intermediate { padded: false };
                    4
                }
                (_, Some(0xdddd_dddd)) => {
                    *self = Self::Intermediate { padded: true };
                    4
                }
                // With fewer bytes it may still be an obfuscated stream.
                (_, Some(_)) if buffer.len() >= 8 => {
                    *self = Self::Full { received: 0, sent: 0 };
                    0
                }
                (..) => return Ok(None),
            };
            buffer.drain(..skip);
        }
        match self {
            Self::Unknown => Ok(None),
            Self::Full { received, .. } => decode_full(buffer, received),
            Self::Abridged => decode_abridged(buffer),
            Self::Intermediate { padded } => {
                let Some(length) = first_word(buffer) else { return Ok(None) };
                // The top bit requests a quick acknowledgment, which is optional for a server.
                let payload = take(buffer, 4, (length & 0x7fff_ffff) as usize)?;
                Ok(payload.map(|mut payload| {
                    if *padded && payload.len() >= 24 && payload[..8] != [0; 8] {
                        // Behind the key's id and `msg_key`, whole blocks are the message.
                        payload.truncate(24 + (payload.len() - 24) / 16 * 16);
                    }
                    payload
                }))
            }
        }
    }

    fn encode(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(payload.len() + FULL_OVERHEAD);
        match self {
            Self::Unknown | Self::Full { .. } => {
                let mut sequence = 0;
                if let Self::Full { sent, .. } = self {
                    sequence = *sent;
                    *sent += 1;
                }
                frame.extend(((payload.len() + FULL_OVERHEAD) as u32).to_le_bytes());
                frame.extend(sequence.to_le_bytes());
                frame.extend(payload);
                frame.extend(crc32fast::hash(&frame).to_le_bytes());
            }
            Self::Abridged => {
                let words = payload.len() / 4;
                if words < 0x7f {
                    frame.push(words as u8);
                } else {
                    frame.push(0x7f);
                    frame.extend(&(words as u32).to_le_bytes()[..3]);
                }
                frame.extend(payload);
            }
            Self::Intermediate { padded } => {
                let padding = if *padded { usize::from(random::<1>()[0] & 15) } else { 0 };
                frame.extend(((payload.len() + padding) as u32).to_le_bytes());
                frame.extend(payload);
                frame.extend(&random::<16>()[..padding]);
            }
        }
        frame
    }

    fn encode_error(&mut self, code: i32) -> Vec<u8> {
        let bytes = code.to_le_bytes();
        match self {
            Self::Unknown | Self::Full { .. } => bytes.repeat(3),
            Self::Abridged | Self::Intermediate { .. } => self.encode(&bytes),
        }
    }
}

/// Removes a header and a payload of this length, once both are complete.
fn take(buffer: &mut Vec<u8>, header: usize, length: usize) -> Result<Option<Vec<u8>>, Broken> {
    if length > MAX_PAYLOAD {
        return Err(Broken::Length(length as u32));
    }
    if buffer.len() < header + length {
        return Ok(None);
    }
    let payload = buffer[header..header + length].to_vec();
    buffer.drain(..header + length);
    Ok(Some(payload))
}

fn decode_full(buffer: &mut Vec<u8>, received: &mut i32) -> Result<Option<Vec<u8>>, Broken> {
    let Some(length) = first_word(buffer) else { return Ok(None) };
    if (length as usize) < FULL_OVERHEAD {
        return Err(Broken::Length(length));
    }
    let Some(frame) = take(buffer, 0, length as usize)? else { return Ok(None) };
    let (body, checksum) = frame.split_at(frame.len() - 4);
    if checksum != crc32fast::hash(body).to_le_bytes() {
        return Err(Broken::Checksum);
    }
    let got = first_word(&body[4..]).unwrap_or_default().cast_signed();
    if got != *received {
        return Err(Broken::Sequence { expected: *received, got });
    }
    *received = received.wrapping_add(1);
    Ok(Some(body[8..].to_vec()))
}

fn decode_abridged(buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Broken> {
    match (buffer.first().map(|byte| byte & 0x7f), first_word(buffer)) {
        (None, _) | (Some(0x7f), None) => Ok(None),
        (Some(0x7f), Some(word)) => take(buffer, 4, (word >> 8) as usize * 4),
        (Some(words), _) => take(buffer, 1, usize::from(words) * 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of a client with this framing, and its transport.
    fn client(tag: &[u8], framing: Framing, obfuscated: bool) -> (Vec<u8>, Transport) {
        if !obfuscated {
            return (tag.to_vec(), Transport { framing, ..Transport::default() });
        }
        let mut header: [u8; OBFUSCATED_HEADER] = random();
        header[0] = 1;
        header[4] = 1;
        header[56..60].copy_from_slice(&tag.repeat(4 / tag.len()));
        let mut cipher = ObfuscatedCipher::new(&header);
        let mut encrypted = header;
        cipher.encrypt(&mut encrypted);
        header[56..].copy_from_slice(&encrypted[56..]);
        (header.to_vec(), Transport { framing, cipher: Some(cipher), plain: Vec::new() })
    }

    #[test]
    fn every_framing_is_recognised_and_read_byte_by_byte() {
        for obfuscated in [false, true] {
            for (tag, framing) in [
                (&[][..], Framing::Unknown),
                (&[0xef], Framing::Abridged),
                (&[0xee; 4], Framing::Intermediate { padded: false }),
                (&[0xdd; 4], Framing::Intermediate { padded: true }),
            ] {
                if obfuscated && tag.is_empty() {
                    continue;
                }
                let framing = if tag.is_empty() { Framing::Full { received: 0, sent: 0 } } else { framing };
                let shown = format!("{framing:?} {obfuscated}");
                let (mut wire, mut client) = client(tag, framing, obfuscated);
                let payloads = [vec![1; 40], vec![2; 504], vec![3; 4024]];
                for payload in &payloads {
                    let mut frame = client.framing.encode(payload);
                    if let Some(cipher) = &mut client.cipher {
                        cipher.encrypt(&mut frame);
                    }
                    wire.extend(frame);
                }
                let mut server = Transport::default();
                let (mut buffer, mut read) = (Vec::new(), Vec::new());
                for byte in wire {
                    buffer.push(byte);
                    read.extend(server.decode(&mut buffer).unwrap());
                }
                assert_eq!(read, payloads, "{shown}");
                let mut answer = server.encode(&[4; 40]);
                if let Some(cipher) = &mut client.cipher {
                    cipher.decrypt(&mut answer);
                }
                assert_eq!(client.framing.decode(&mut answer).unwrap(), Some(vec![4; 40]), "{shown}");
            }
        }
    }

    #[test]
    fn a_length_beyond_the_limit_allocates_nothing() {
        for wire in [
            &[0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0][..],
            &[0xee, 0xee, 0xee, 0xee, 0xff, 0xff, 0xff, 0x7f],
            &[0xef, 0x7f, 0xff, 0xff, 0xff],
        ] {
            let mut buffer = wire.to_vec();
            assert!(matches!(Transport::default().decode(&mut buffer), Err(Broken::Length(_))), "{wire:?}");
        }
    }

    #[test]
    fn damage_is_noticed() {
        let mut frame = Framing::Full { received: 0, sent: 0 }.encode(&[7; 8]);
        frame[9] ^= 1;
        assert_eq!(Transport::default().decode(&mut frame), Err(Broken::Checksum));
        let mut full = Framing::Full { received: 0, sent: 0 };
        let mut frames =
            [full.encode(&[7; 8]), Framing::Full { received: 0, sent: 3 }.encode(&[7; 8])].concat();
        let mut server = Transport::default();
        assert_eq!(server.decode(&mut frames), Ok(Some(vec![7; 8])));
        assert_eq!(server.decode(&mut frames), Err(Broken::Sequence { expected: 1, got: 3 }));
        // Bytes of another protocol.
        assert_eq!(Transport::default().decode(&mut vec![0x55; 64]), Err(Broken::Tag));
    }

    #[test]
    fn errors_are_negative_numbers() {
        let minus_404 = (-404_i32).to_le_bytes();
        assert_eq!(Transport::default().encode_error(-404), minus_404.repeat(3));
        assert_eq!(Framing::Abridged.encode_error(-404), [&[1][..], &minus_404].concat());
    }
}
