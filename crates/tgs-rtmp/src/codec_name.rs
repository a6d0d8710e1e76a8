//! The codec of a tag by its first bytes: FLV's own numbers and the four characters of Enhanced
//! RTMP (Veovera, "Enhancing RTMP, FLV", version 2). Decodes nothing.

use std::borrow::Cow;

use crate::flv::{Kind, Tag};

/// The codec of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagCodec {
    /// H.264 in FLV's form
    H264,
    /// AAC in FLV's form
    Aac,
    /// MP3
    Mp3,
    /// Another codec, by its name.
    Other(Cow<'static, str>),
}

impl TagCodec {
    /// The codec of an audio or video tag; `None` for metadata, empty tags and commands.
    #[must_use]
    pub fn of(tag: &Tag) -> Option<Self> {
        let first = *tag.body.first()?;
        match tag.kind {
            Kind::Video if first & 0x80 != 0 => Some(Self::enhanced(tag)),
            Kind::Video => video(first),
            Kind::Audio if first >> 4 == 9 => Some(Self::enhanced(tag)),
            Kind::Audio => Some(audio(first)),
            Kind::Script => None,
        }
    }

    /// Enhanced RTMP: four characters after the first byte.
    fn enhanced(tag: &Tag) -> Self {
        let Some(code) = tag.body.get(1..5) else { return Self::Other("unknown".into()) };
        let known = match code {
            b"hvc1" => "HEVC",
            b"av01" => "AV1",
            b"vp09" => "VP9",
            b"vp08" => "VP8",
            b"avc1" => "H.264 in the form of Enhanced RTMP",
            b"Opus" => "Opus",
            b"fLaC" => "FLAC",
            b"ac-3" => "AC-3",
            b"ec-3" => "E-AC-3",
            b"mp4a" => "AAC in the form of Enhanced RTMP",
            b".mp3" => "MP3 in the form of Enhanced RTMP",
            other if other.iter().all(u8::is_ascii_alphanumeric) => {
                return Self::Other(String::from_utf8_lossy(other).into_owned().into());
            }
            _ => "unknown",
        };
        Self::Other(known.into())
    }

    /// The codec's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::H264 => "H.264",
            Self::Aac => "AAC",
            Self::Mp3 => "MP3",
            Self::Other(name) => name,
        }
    }
}

fn video(first: u8) -> Option<TagCodec> {
    // A frame of type 5 is a command to the player.
    if first >> 4 == 5 {
        return None;
    }
    Some(TagCodec::Other(
        match first & 0x0f {
            7 => return Some(TagCodec::H264),
            2 => "Sorenson H.263",
            3 | 6 => "Screen Video",
            4 | 5 => "VP6",
            12 => "HEVC in a form of its own",
            other => return Some(TagCodec::Other(format!("number {other}").into())),
        }
        .into(),
    ))
}

fn audio(first: u8) -> TagCodec {
    TagCodec::Other(
        match first >> 4 {
            10 => return TagCodec::Aac,
            2 | 14 => return TagCodec::Mp3,
            0 | 3 => "PCM",
            1 => "ADPCM",
            4..=6 => "Nellymoser",
            7 => "G.711 A-law",
            8 => "G.711 mu-law",
            11 => "Speex",
            13 => "Opus in a form of its own",
            other => return TagCodec::Other(format!("number {other}").into()),
        }
        .into(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codecs_have_names() {
        let of = |kind, body: &[u8]| {
            let codec = TagCodec::of(&Tag { kind, timestamp: 0, body: body.into() });
            codec.map(|codec| codec.name().to_owned())
        };
        let (video, audio) = (Kind::Video, Kind::Audio);
        for (kind, body, name) in [
            (video, &[0x17, 0, 0, 0, 0][..], "H.264"),
            (video, &[0x27, 1], "H.264"),
            (video, b"\x90hvc1", "HEVC"),
            (video, b"\x81av01", "AV1"),
            (video, b"\x90xyz9", "xyz9"),
            (video, b"\x90\n\0\0\0", "unknown"),
            (video, b"\x90hv", "unknown"),
            (video, &[0x12], "Sorenson H.263"),
            (video, &[0x1c], "HEVC in a form of its own"),
            (audio, &[0xaf, 0, 0x12, 0x10], "AAC"),
            (audio, &[0x2f, 1], "MP3"),
            (audio, &[0xb2, 1], "Speex"),
            (audio, b"\x90Opus", "Opus"),
        ] {
            assert_eq!(of(kind, body).as_deref(), Some(name), "{body:?}");
        }
        for (kind, body) in [(video, &[][..]), (video, &[0x57, 0]), (audio, &[]), (Kind::Script, &[2])] {
            assert_eq!(of(kind, body), None, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_printable(body in proptest::collection::vec(any::<u8>(), 0..10), video: bool) {
            let kind = if video { Kind::Video } else { Kind::Audio };
            if let Some(codec) = TagCodec::of(&Tag { kind, timestamp: 0, body: body.into() }) {
                prop_assert!(!codec.name().is_empty() && !codec.name().contains(char::is_control));
            }
        }
    }
}
