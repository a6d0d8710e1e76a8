//! The result of a probe.

use std::time::Duration;

use crate::{ffmpeg::stall::StallLimits, item::Media};

/// The picture stream in use.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct VideoStream {
    /// Number of the item's source with this stream, from 0.
    pub source: usize,
    /// ffmpeg's stream index in that source.
    pub index: usize,
    /// Width in pixels as stored.
    pub width: u32,
    /// Height in pixels as stored.
    pub height: u32,
    /// Mean frames per second; 0 if unknown.
    pub fps: f64,
    /// Whether the picture is interlaced.
    pub interlaced: bool,
    /// Delay of the stream's beginning after that of its source.
    pub late: Duration,
    /// End of the stream, counted from the beginning of its source, if the container states one.
    pub duration: Option<Duration>,
}

/// The sound stream in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioStream {
    /// Number of the item's source with this stream, from 0.
    pub source: usize,
    /// ffmpeg's stream index in that source.
    pub index: usize,
    /// Delay of the stream's beginning after that of its source.
    pub late: Duration,
    /// End of the stream, counted from the beginning of its source, if the container states one.
    pub duration: Option<Duration>,
    /// Number of channels if ffmpeg has no layout for them (more than eight); else 0.
    pub unplaced: u32,
}

/// The streams and times of an item. At least one of the two streams exists.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Probe {
    /// The picture, unless the item has sound only (cover art does not count).
    pub video: Option<VideoStream>,
    /// The sound, unless the item is silent.
    pub audio: Option<AudioStream>,
    /// Length of the longer stream; `None` for live sources and if unknown.
    pub duration: Option<Duration>,
    /// Reliability of the item's times.
    pub times: Times,
    /// Whether the item is one picture without sound, shown for [`ProbeOptions::image_duration`].
    pub still: bool,
    /// The stored format, if passthrough may be possible.
    pub stored: Option<EncodedFormat>,
    /// Whether the item has sound, but none that can be decoded.
    pub unheard: bool,
    /// Offset in the source at which the probe began.
    pub skip_bytes: u64,
    /// In a transport stream, whose streams may change half-way: the PID of the picture, or else of
    /// the sound.
    pub pid: Option<u32>,
}

/// Reliability of an item's times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; no two exclude each other")]
pub struct Times {
    /// Whether the length is estimated, not stated by the file: an earlier end is no failure.
    pub estimated: bool,
    /// Whether ffmpeg treats a clock step in this format as a restart.
    pub restarts: bool,
    /// Whether the ends of picture and sound were measured.
    pub measured: bool,
    /// Whether picture and sound need separate readers: the sound runs far ahead of the picture, or
    /// continues after it.
    pub split: bool,
    /// Longer gaps between two timestamps are clock jumps.
    pub longest_gap: Option<Duration>,
}

/// H.264 with 4:2:0 and 8 bits, square pixels, upright and progressive, and AAC-LC, in one source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncodedFormat {
    /// Frames per second, all of equal length.
    pub fps: f64,
    /// Samples per second.
    pub rate: u32,
    /// Channels.
    pub channels: u32,
    /// Bitrate of both streams in kbit/s.
    pub kbps: u32,
}

/// The broadcast's options for probing an item.
#[derive(Debug, Clone, Copy)]
pub struct ProbeOptions {
    /// Picture height of the broadcast in lines.
    pub height: u32,
    /// How long a still picture is shown.
    pub image_duration: Duration,
}

impl Probe {
    /// What a viewer misses, for the operator: a clause without a full stop.
    #[must_use]
    pub fn loss(&self) -> Option<&'static str> {
        self.unheard.then_some("without its sound, which cannot be decoded here")
    }

    /// The limits for watching an encoder of this item from `media`.
    #[must_use]
    pub fn watch(&self, media: &Media) -> StallLimits {
        let remote = media.sources.iter().any(|source| !source.is_file());
        StallLimits { remote, picture: self.video.map(|video| (video.index, video.fps)) }
    }
}
