//! The TCP transports of MTProto: Full, Abridged and (padded) Intermediate, detected by a
//! connection's first bytes. Neither obfuscation nor encryption.
//!
//! <https://core.telegram.org/mtproto/mtproto-transports>

use std::fmt;

use crate::crypt::random;

/// Longest accepted payload in bytes. The real servers close the connection at about 1 MB.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

/// Bytes of length, sequence number and checksum in Full.
const FULL_OVERHEAD: usize = 12;

/// The transport of a connection.
#[derive(Debug, Default)]
pub(crate) enum Transport {
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
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(out, "no frame has a length of {length}"),
            Self::Sequence { expected, got } => write!(out, "frame {got} came where {expected} was due"),
            Self::Checksum => write!(out, "the checksum of a frame is wrong"),
        }
    }
}

/// The first four bytes as a little-endian number.
fn first_word(buffer: &[u8]) -> Option<u32> {
    buffer.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

impl Transport {
    /// Removes and returns the next payload of `buffer`, once complete.
    pub(crate) fn decode(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Broken> {
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
                (_, Some(_)) => {
                    *self = Self::Full { received: 0, sent: 0 };
                    0
                }
                (_, None) => return Ok(None),
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
                    if *padded {
                        payload.truncate(payload.len() & !3);
                    }
                    payload
                }))
            }
        }
    }

    /// Frames a payload.
    pub(crate) fn encode(&mut self, payload: &[u8]) -> Vec<u8> {
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
            Self::Intermediate { .. } => {
                frame.extend((payload.len() as u32).to_le_bytes());
                frame.extend(payload);
            }
        }
        frame
    }

    /// A transport error (−404, −429): four bytes in place of a payload. In Full the real server
    /// sends the number as length, as sequence number and again (observed); clients expect that.
    pub(crate) fn encode_error(&mut self, code: i32) -> Vec<u8> {
        let bytes = code.to_le_bytes();
        match self {
            Self::Unknown | Self::Full { .. } => bytes.repeat(3),
            Self::Abridged | Self::Intermediate { .. } => self.encode(&bytes),
        }
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

    /// The client's first bytes for this transport, and its framing of payloads.
    fn client(transport: &Transport) -> (Vec<u8>, Transport) {
        match transport {
            Transport::Abridged => (vec![0xef], Transport::Abridged),
            Transport::Intermediate { padded } => {
                (vec![if *padded { 0xdd } else { 0xee }; 4], Transport::Intermediate { padded: *padded })
            }
            _ => (Vec::new(), Transport::Full { received: 0, sent: 0 }),
        }
    }

    #[test]
    fn every_framing_is_told_and_read_byte_by_byte() {
        for transport in [
            Transport::Unknown,
            Transport::Abridged,
            Transport::Intermediate { padded: false },
            Transport::Intermediate { padded: true },
        ] {
            let (mut wire, mut client) = client(&transport);
            let payloads = [vec![1; 4], vec![2; 508], vec![3; 4000]];
            for payload in &payloads {
                wire.extend(client.encode(payload));
            }
            let mut server = Transport::Unknown;
            let mut buffer = Vec::new();
            let mut read = Vec::new();
            for byte in wire {
                buffer.push(byte);
                read.extend(server.decode(&mut buffer).unwrap());
            }
            assert_eq!(read, payloads, "{transport:?}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_allocates_nothing() {
        for wire in [
            &[0xff; 8][..],
            &[0xee, 0xee, 0xee, 0xee, 0xff, 0xff, 0xff, 0x7f],
            &[0xef, 0x7f, 0xff, 0xff, 0xff],
        ] {
            let mut buffer = wire.to_vec();
            assert!(matches!(Transport::default().decode(&mut buffer), Err(Broken::Length(_))), "{wire:?}");
        }
    }

    #[test]
    fn damage_is_noticed() {
        let mut frame = Transport::Full { received: 0, sent: 0 }.encode(&[7; 8]);
        frame[9] ^= 1;
        assert_eq!(Transport::default().decode(&mut frame), Err(Broken::Checksum));
        let mut frame = Transport::Full { received: 0, sent: 3 }.encode(&[7; 8]);
        let expected = Broken::Sequence { expected: 0, got: 3 };
        assert_eq!(Transport::default().decode(&mut frame), Err(expected));
    }

    #[test]
    fn errors_are_negative_numbers() {
        let minus_404 = (-404_i32).to_le_bytes();
        assert_eq!(Transport::default().encode_error(-404), minus_404.repeat(3));
        assert_eq!(Transport::Abridged.encode_error(-404), [&[1][..], &minus_404].concat());
    }
}
