//! What an item holds.

use std::time::Duration;

use crate::{ffmpeg::stall::StallLimits, item::Media};

/// The picture stream that will be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct VideoStream {
    /// Which of the item's sources it is in, from 0.
    pub source: usize,
    /// ffmpeg's stream index within that source.
    pub index: usize,
    /// Width in pixels as stored.
    pub width: u32,
    /// Height in pixels as stored.
    pub height: u32,
    /// Mean frames a second; 0 where unknown.
    pub fps: f64,
    /// Whether frames are made of two fields.
    pub interlaced: bool,
    /// How long after the beginning of its source it begins.
    pub late: Duration,
    /// When it ends, counted from the beginning of its source, where the container tells.
    pub duration: Option<Duration>,
}

/// The sound stream that will be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioStream {
    /// Which of the item's sources it is in, from 0.
    pub source: usize,
    /// ffmpeg's stream index within that source.
    pub index: usize,
    /// How long after the beginning of its source it begins.
    pub late: Duration,
    /// When it ends, counted from the beginning of its source, where the container tells.
    pub duration: Option<Duration>,
    /// How many channels it has, where ffmpeg knows no place for them (more than eight); else 0.
    pub unplaced: u32,
}

/// What an item holds. At least one of the two streams is there.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Probe {
    /// The picture, unless there is only sound (cover art is no picture).
    pub video: Option<VideoStream>,
    /// The sound, unless the item is silent.
    pub audio: Option<AudioStream>,
    /// Length of the longer stream; `None` for live sources and where nothing tells.
    pub duration: Option<Duration>,
    /// How far its times can be believed.
    pub times: Times,
    /// Whether it is one picture without sound, which is shown for as long as the setup says.
    pub still: bool,
    /// What it is as it is stored, where that might go on air without being encoded.
    pub stored: Option<EncodedFormat>,
    /// Whether there is sound that cannot be decoded, and none that can.
    pub unheard: bool,
    /// From which byte of its source on it was asked for.
    pub skip_bytes: u64,
    /// In a transport stream, which may go on with other streams half-way: the PID of what is
    /// shown, or else heard.
    pub pid: Option<u32>,
}

/// How far the times in an item can be believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; no two exclude each other")]
pub struct Times {
    /// Whether its length is a guess, not the file's word: an earlier end is no failure.
    pub estimated: bool,
    /// Whether ffmpeg takes a step of the clock in this format for another beginning.
    pub restarts: bool,
    /// Whether the ends of picture and sound were measured.
    pub measured: bool,
    /// Whether the sound runs far ahead of the picture, or goes on behind it, where one reader
    /// reads both.
    pub split: bool,
    /// A longer gap between two time stamps is a jump.
    pub longest_gap: Option<Duration>,
}

/// H.264 with 4:2:0 and 8 bits, square pixels, upright and progressive, beside AAC-LC, in one
/// source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncodedFormat {
    /// Frames a second, all of them equally long.
    pub fps: f64,
    /// Samples a second.
    pub rate: u32,
    /// Channels.
    pub channels: u32,
    /// Bitrate of both in kbit/s.
    pub kbps: u32,
}

/// What a broadcast wants of an item.
#[derive(Debug, Clone, Copy)]
pub struct ProbeOptions {
    /// Lines of its picture.
    pub height: u32,
    /// How long a still picture is shown.
    pub image_duration: Duration,
}

impl Probe {
    /// What a viewer will miss of it, for the operator: a clause without a full stop.
    #[must_use]
    pub fn loss(&self) -> Option<&'static str> {
        self.unheard.then_some("without its sound, which cannot be decoded here")
    }

    /// What an encoder of it has to keep to, where it comes from `media`.
    #[must_use]
    pub fn watch(&self, media: &Media) -> StallLimits {
        let remote = media.sources.iter().any(|source| !source.is_file());
        StallLimits { remote, picture: self.video.map(|video| (video.index, video.fps)) }
    }
}
