//! Frames of MTProto's transports: Full on loopback and through SOCKS5 or HTTP, padded Intermediate
//! through MTProxy.
//!
//! <https://core.telegram.org/mtproto/mtproto-transports>

/// Longest frame in bytes. Telegram's answers have at most about 1 MB.
const LONGEST: usize = 4 << 20;

/// Bytes of length, sequence number and checksum in Full.
const FULL_OVERHEAD: usize = 12;

/// Shorter than any message: an error number of four bytes, with up to 15 of padding.
const SHORTEST_MESSAGE: usize = 24;

/// What one frame carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// A message of MTProto.
    Message(Vec<u8>),
    /// A transport error, negative: -404, -429.
    Status(i32),
}

/// The bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InvalidFrame;

/// A transport, with its counters for both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Length, sequence number, payload, CRC-32. The number counts the frames of this direction.
    Full(u32),
    /// Length, payload, 0 to 15 random bytes.
    Padded,
}

impl Framing {
    /// The bytes of one frame.
    pub(super) fn encode(&mut self, frame: &Frame) -> Vec<u8> {
        match (self, frame) {
            (Self::Full(seq), Frame::Message(payload)) => {
                let mut bytes = Vec::with_capacity(payload.len() + FULL_OVERHEAD);
                bytes.extend(((payload.len() + FULL_OVERHEAD) as u32).to_le_bytes());
                bytes.extend(seq.to_le_bytes());
                bytes.extend(payload);
                bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
                *seq = seq.wrapping_add(1);
                bytes
            }
            // The real server repeats the number (observed).
            (Self::Full(_), Frame::Status(code)) => code.to_le_bytes().repeat(3),
            (Self::Padded, Frame::Message(payload)) => padded(payload),
            (Self::Padded, Frame::Status(code)) => padded(&code.to_le_bytes()),
        }
    }

    /// Removes and returns the next frame of `buffer`, once it is complete.
    pub(super) fn decode(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Frame>, InvalidFrame> {
        let Some(word) = buffer.first_chunk().map(|bytes| i32::from_le_bytes(*bytes)) else {
            return Ok(None);
        };
        match self {
            Self::Full(seq) => decode_full(buffer, word, seq),
            Self::Padded => {
                if word < 0 {
                    // A quick acknowledgment, which nobody has asked for.
                    return Err(InvalidFrame);
                }
                let Some(mut payload) = take(buffer, 4, word as usize)? else { return Ok(None) };
                if payload.len() < SHORTEST_MESSAGE {
                    let code = payload.first_chunk().map(|bytes| i32::from_le_bytes(*bytes));
                    return code.filter(|code| *code < 0).map(Frame::Status).ok_or(InvalidFrame).map(Some);
                }
                payload.truncate(message_length(&payload).ok_or(InvalidFrame)?);
                Ok(Some(Frame::Message(payload)))
            }
        }
    }
}

fn padded(payload: &[u8]) -> Vec<u8> {
    let padding = fastrand::usize(0..16);
    let mut bytes = Vec::with_capacity(4 + payload.len() + padding);
    bytes.extend(((payload.len() + padding) as u32).to_le_bytes());
    bytes.extend(payload);
    bytes.extend((0..padding).map(|_| fastrand::u8(..)));
    bytes
}

/// The length of the message at the start of a padded payload.
fn message_length(payload: &[u8]) -> Option<usize> {
    let (key_id, rest) = payload.split_first_chunk::<8>()?;
    if *key_id == [0; 8] {
        // Without a key: its id, the message's id, a length, the body.
        let length = rest.get(8..12)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))?;
        return (length as usize).checked_add(20).filter(|length| *length <= payload.len());
    }
    // The key's id and `msg_key`, then whole blocks of 16 bytes.
    let data = payload.len().checked_sub(24)?;
    Some(24 + data / 16 * 16)
}

fn decode_full(buffer: &mut Vec<u8>, word: i32, seq: &mut u32) -> Result<Option<Frame>, InvalidFrame> {
    if word < 0 {
        buffer.clear();
        return Ok(Some(Frame::Status(word)));
    }
    if (word as usize) < FULL_OVERHEAD {
        return Err(InvalidFrame);
    }
    let Some(frame) = take(buffer, 0, word as usize)? else { return Ok(None) };
    let (body, checksum) = frame.split_at(frame.len() - 4);
    if checksum != crc32fast::hash(body).to_le_bytes() || body[4..8] != seq.to_le_bytes() {
        return Err(InvalidFrame);
    }
    *seq = seq.wrapping_add(1);
    Ok(Some(Frame::Message(body[8..].to_vec())))
}

/// Removes a header and a payload of this length, once both are complete.
fn take(buffer: &mut Vec<u8>, header: usize, length: usize) -> Result<Option<Vec<u8>>, InvalidFrame> {
    if length > LONGEST {
        return Err(InvalidFrame);
    }
    if buffer.len() < header + length {
        return Ok(None);
    }
    let payload = buffer[header..header + length].to_vec();
    buffer.drain(..header + length);
    Ok(Some(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encrypted(blocks: u8) -> Vec<u8> {
        [&[7; 24][..], &vec![blocks; 16 * usize::from(blocks)]].concat()
    }

    #[test]
    fn frames_pass_byte_by_byte() {
        let mut plain = [&[0; 8][..], &[1; 8], &8_u32.to_le_bytes(), &[9; 8]].concat();
        for framing in [Framing::Full(0), Framing::Padded] {
            let (mut sender, mut receiver) = (framing, framing);
            let frames: Vec<_> = [encrypted(1), std::mem::take(&mut plain), encrypted(200)]
                .into_iter()
                .filter(|message| !message.is_empty())
                .map(Frame::Message)
                .collect();
            let (mut buffer, mut got) = (Vec::new(), Vec::new());
            for byte in frames.iter().flat_map(|frame| sender.encode(frame)) {
                buffer.push(byte);
                got.extend(receiver.decode(&mut buffer).unwrap());
            }
            assert_eq!(got, frames);
        }
    }

    #[test]
    fn errors_pass_in_both_framings() {
        for framing in [Framing::Full(3), Framing::Padded] {
            let (mut sender, mut receiver) = (framing, framing);
            for _ in 0..50 {
                let mut buffer = sender.encode(&Frame::Status(-404));
                assert_eq!(receiver.decode(&mut buffer), Ok(Some(Frame::Status(-404))));
            }
        }
    }

    #[test]
    fn damage_and_endless_lengths_are_refused() {
        let mut frame = Framing::Full(0).encode(&Frame::Message(encrypted(1)));
        frame[20] ^= 1;
        assert_eq!(Framing::Full(0).decode(&mut frame), Err(InvalidFrame));
        let mut frame = Framing::Full(1).encode(&Frame::Message(encrypted(1)));
        assert_eq!(Framing::Full(0).decode(&mut frame), Err(InvalidFrame));
        for framing in [Framing::Full(0), Framing::Padded] {
            for word in [i32::MAX, 5 << 20] {
                let mut framing = framing;
                assert_eq!(framing.decode(&mut word.to_le_bytes().to_vec()), Err(InvalidFrame));
            }
        }
        // A length within a message without a key that exceeds its frame.
        let lying = [&40_u32.to_le_bytes()[..], &[0; 16], &99_u32.to_le_bytes(), &[0; 20]].concat();
        assert_eq!(Framing::Padded.decode(&mut lying.clone()), Err(InvalidFrame));
        assert_eq!(Framing::Padded.decode(&mut [4, 0, 0, 0, 1, 0, 0, 0].to_vec()), Err(InvalidFrame));
    }
}
