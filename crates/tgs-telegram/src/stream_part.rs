//! One second of a live stream as viewers get it: a small header, then a whole file.
//!
//! The header, by tgcalls' `VideoStreamingPart.cpp`: the signature, the name of the container, a
//! mask of active streams, and a list of events (an offset, a name, a rotation, and a reserved
//! number). Numbers are 32-bit little-endian, texts are strings of TL. Readers use the first event
//! only.

/// The first number of a part.
const SIGNATURE: u32 = 0xa12e_810d;

/// Events of a header that are read over.
const MOST_EVENTS: u32 = 64;

/// The media of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamPart<'a> {
    /// The container's name: `mp4`.
    pub container: &'a str,
    /// The file.
    pub media: &'a [u8],
}

impl<'a> StreamPart<'a> {
    /// Parses a part; `None` if `part` has another form.
    #[must_use]
    pub fn parse(part: &'a [u8]) -> Option<Self> {
        let mut rest = part;
        if number(&mut rest)? != SIGNATURE {
            return None;
        }
        let container = std::str::from_utf8(text(&mut rest)?).ok()?;
        let _active = number(&mut rest)?;
        let events = number(&mut rest)?;
        if !(1..=MOST_EVENTS).contains(&events) {
            return None;
        }
        let mut first = None;
        for _ in 0..events {
            let offset = number(&mut rest)?;
            text(&mut rest)?;
            let (_rotation, _reserved) = (number(&mut rest)?, number(&mut rest)?);
            first = first.or(Some(offset));
        }
        let media = rest.get(usize::try_from(first?).ok()?..)?;
        Some(Self { container, media })
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?))
}

/// A TL string: its length in one byte, or 254 and the length in three; padded to four bytes.
fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (head, length) = match take(bytes, 1)? {
        [254] => match take(bytes, 3)? {
            [a, b, c] => (4, usize::from(*a) | (usize::from(*b) << 8) | (usize::from(*c) << 16)),
            _ => return None,
        },
        [length] => (1, usize::from(*length)),
        _ => return None,
    };
    let text = take(bytes, length)?;
    take(bytes, (head + length).next_multiple_of(4) - head - length)?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part with `events` events whose media begins at `offset`.
    fn part(events: u32, offset: u32, media: &[u8]) -> Vec<u8> {
        let mut part = SIGNATURE.to_le_bytes().to_vec();
        part.extend(b"\x03mp4");
        part.extend([1, 0, 0, 0]);
        part.extend(events.to_le_bytes());
        for _ in 0..events {
            part.extend(offset.to_le_bytes());
            part.extend(b"\x07unified");
            part.extend([0; 8]);
        }
        [part, media.to_vec()].concat()
    }

    #[test]
    fn a_part_is_a_header_and_a_file() {
        let whole = part(1, 0, b"media");
        assert_eq!(StreamPart::parse(&whole), Some(StreamPart { container: "mp4", media: b"media" }));
        // What other readers skip for one event.
        assert_eq!(whole.len() - 5, 36);
        let later = part(2, 2, b"media");
        assert_eq!(StreamPart::parse(&later).unwrap().media, b"dia");
    }

    #[test]
    fn what_is_no_part_is_refused() {
        let whole = part(1, 0, b"");
        for length in 0..whole.len() {
            assert_eq!(StreamPart::parse(&whole[..length]), None, "{length}");
        }
        assert_eq!(StreamPart::parse(&part(0, 0, b"media")), None);
        assert_eq!(StreamPart::parse(&part(1, 6, b"media")), None);
        assert_eq!(StreamPart::parse(&part(65, 0, b"media")), None);
        let mut endless = part(1, 0, b"media");
        endless[4..8].copy_from_slice(&[254, 255, 255, 255]);
        assert_eq!(StreamPart::parse(&endless), None);
    }
}
