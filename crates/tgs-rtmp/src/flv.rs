//! FLV tags, read from and written to a file or pipe (Adobe's "Video File Format Specification"
//! version 10, annex E). Supports H.264 and AAC only.
//!
//! Timestamps stay unchanged.

use std::{
    io::{self, Read, Seek, Write},
    sync::Arc,
};

/// The type of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Type byte 8
    Audio,
    /// Type byte 9
    Video,
    /// Type byte 18: metadata
    Script,
}

impl Kind {
    /// The type byte, the same in FLV and RTMP.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Audio => 8,
            Self::Video => 9,
            Self::Script => 18,
        }
    }
}

/// A tag. Clones share the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Audio, video or metadata.
    pub kind: Kind,
    /// Decoding time in milliseconds. FLV and RTMP carry it modulo 2^32.
    pub timestamp: u64,
    /// The body, beginning with the codec bytes, as in FLV and RTMP.
    pub body: Arc<[u8]>,
}

/// Why an FLV stream is unreadable.
#[derive(Debug, thiserror::Error)]
pub enum FlvError {
    /// The pipe or file failed, or ended inside a tag.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The first bytes are not "FLV".
    #[error("does not begin with an FLV header")]
    NotFlv,
    /// The type byte is not defined in FLV.
    #[error("tag type {0} is not one of audio (8), video (9) and script (18)")]
    TagType(u8),
}

impl Tag {
    /// Whether this is a video keyframe. A sequence header has the keyframe flag but is no picture.
    #[must_use]
    pub fn is_keyframe(&self) -> bool {
        self.kind == Kind::Video && self.is_frame() && self.body[0] >> 4 == 1
    }

    /// Whether this is an H.264 or AAC sequence header.
    #[must_use]
    pub fn is_sequence_header(&self) -> bool {
        self.body.len() > 1
            && self.body[1] == 0
            && match self.kind {
                Kind::Video => self.body[0] & 0x0f == 7,
                Kind::Audio => self.body[0] >> 4 == 10,
                Kind::Script => false,
            }
    }

    /// Whether this is a coded frame of H.264 or AAC.
    #[must_use]
    pub fn is_frame(&self) -> bool {
        match self.kind {
            Kind::Video => self.body.len() > 5 && self.body[1] == 1,
            Kind::Audio => self.body.len() > 2 && self.body[1] == 1,
            Kind::Script => false,
        }
    }

    /// Composition time offset of a video frame (PTS − DTS) in milliseconds; 0 for other tags.
    #[must_use]
    pub fn composition_time(&self) -> i32 {
        if self.kind != Kind::Video || self.body.len() < 5 {
            return 0;
        }
        let raw = i32::from_be_bytes([0, self.body[2], self.body[3], self.body[4]]);
        (raw << 8) >> 8
    }
}

/// Reads tags in sequence.
#[derive(Debug)]
pub struct FlvReader<R> {
    inner: R,
    started: bool,
}

impl<R: Read> FlvReader<R> {
    /// Creates a reader of `inner`, which begins with the FLV header.
    pub fn new(inner: R) -> Self {
        Self { inner, started: false }
    }

    /// The source.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// Returns the source.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// Returns the next tag, or `None` if the stream ends between two tags.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, FlvError> {
        if !self.started {
            let mut header = [0; 13];
            if !read_or_end(&mut self.inner, &mut header)? {
                return Ok(None);
            }
            if &header[..3] != b"FLV" {
                return Err(FlvError::NotFlv);
            }
            self.started = true;
        }
        let mut head = [0; 11];
        if !read_or_end(&mut self.inner, &mut head)? {
            return Ok(None);
        }
        let (kind, len, timestamp) = read_head(&head)?;
        // Grows the buffer while reading: a corrupt length must not allocate 16 MiB at once.
        let mut body = Vec::with_capacity(len.min(256 * 1024));
        if (&mut self.inner).take(len as u64).read_to_end(&mut body)? < len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let mut size_behind = [0; 4];
        self.inner.read_exact(&mut size_behind)?;
        Ok(Some(Tag { kind, timestamp: u64::from(timestamp), body: body.into() }))
    }
}

impl<R: Read + Seek> FlvReader<R> {
    /// Rewinds to the beginning.
    pub fn rewind(&mut self) -> io::Result<()> {
        self.started = false;
        self.inner.rewind()
    }
}

/// Splits off the tag at the start of `bytes`; `None` if the tag is incomplete.
#[must_use]
pub fn split_tag(bytes: &[u8]) -> Option<(Tag, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<11>()?;
    let (kind, len, timestamp) = read_head(head).ok()?;
    let (body, rest) = rest.split_at_checked(len)?;
    let tag = Tag { kind, timestamp: u64::from(timestamp), body: body.into() };
    Some((tag, rest.split_first_chunk::<4>()?.1))
}

/// A tag's type, body length and timestamp.
fn read_head(head: &[u8; 11]) -> Result<(Kind, usize, u32), FlvError> {
    let kind = match head[0] & 0x1f {
        8 => Kind::Audio,
        9 => Kind::Video,
        18 => Kind::Script,
        other => return Err(FlvError::TagType(other)),
    };
    let len = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
    Ok((kind, len, u32::from_be_bytes([head[7], head[4], head[5], head[6]])))
}

/// Fills `buf`; `false` if the stream ends before its first byte.
fn read_or_end(inner: &mut impl Read, buf: &mut [u8]) -> io::Result<bool> {
    let mut have = 0;
    while have < buf.len() {
        match inner.read(&mut buf[have..]) {
            Ok(0) if have == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

/// The file header: version 1, audio and video present, and the first `PreviousTagSize`.
pub const FILE_HEADER: [u8; 13] = [b'F', b'L', b'V', 1, 5, 0, 0, 0, 9, 0, 0, 0, 0];

/// Writes a tag and its `PreviousTagSize`. The timestamp is written modulo 2^32.
pub fn write_tag(out: &mut impl Write, tag: &Tag) -> io::Result<()> {
    let len = (tag.body.len() as u32).to_be_bytes();
    let time = (tag.timestamp as u32).to_be_bytes();
    let head = [tag.kind.byte(), len[1], len[2], len[3], time[1], time[2], time[3], time[0], 0, 0, 0];
    out.write_all(&head)?;
    out.write_all(&tag.body)?;
    out.write_all(&(tag.body.len() as u32 + 11).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_tag() -> impl Strategy<Value = Tag> {
        let kind = prop_oneof![Just(Kind::Audio), Just(Kind::Video), Just(Kind::Script)];
        (kind, any::<u32>(), prop::collection::vec(any::<u8>(), 0..300)).prop_map(
            |(kind, timestamp, body)| Tag { kind, timestamp: u64::from(timestamp), body: body.into() },
        )
    }

    fn read(bytes: &[u8]) -> Result<Vec<Tag>, FlvError> {
        let mut reader = FlvReader::new(bytes);
        let mut tags = Vec::new();
        while let Some(tag) = reader.next_tag()? {
            tags.push(tag);
        }
        Ok(tags)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(tags in prop::collection::vec(any_tag(), 0..20)) {
            let mut bytes = FILE_HEADER.to_vec();
            for tag in &tags {
                write_tag(&mut bytes, tag).unwrap();
            }
            let (mut rest, mut split) = (&bytes[FILE_HEADER.len()..], Vec::new());
            while let Some((tag, behind)) = split_tag(rest) {
                split.push(tag);
                rest = behind;
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(&split, &tags);
            prop_assert_eq!(read(&bytes).unwrap(), tags);
        }

        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), with_header: bool) {
            if with_header {
                bytes.splice(..0, FILE_HEADER);
            }
            for tag in read(&bytes).unwrap_or_default() {
                let _ = (tag.is_keyframe(), tag.is_sequence_header(), tag.is_frame(), tag.composition_time());
            }
        }
    }

    #[test]
    fn composition_times_have_a_sign() {
        let at = |bytes: [u8; 3]| Tag {
            kind: Kind::Video,
            timestamp: 0,
            body: vec![0x27, 1, bytes[0], bytes[1], bytes[2], 0].into(),
        };
        assert_eq!(at([0, 0, 67]).composition_time(), 67);
        assert_eq!(at([0xff, 0xff, 0xff]).composition_time(), -1);
    }
}
