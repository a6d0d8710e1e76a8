//! The result of a probe.

use std::time::Duration;

use tgs_core::language::Languages;

use super::{subtitles::SubtitleStream, tags::Tags};
use crate::{
    ffmpeg::{
        colour::Colour, fields::Fields, loudness::Loudness, ready_subtitles::ReadySubtitles, speed::Speed,
        stall::StallLimits,
    },
    item::{Item, Media},
    profile::Profile,
};

/// How a picture with transparency is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpha {
    /// By ffmpeg's usual decoder.
    Usual,
    /// By libvpx, for VP8: ffmpeg's own decoder ignores the transparency.
    Vp8,
    /// The same for VP9.
    Vp9,
}

impl Alpha {
    /// The decoder to name to ffmpeg.
    #[must_use]
    pub fn decoder(self) -> Option<&'static str> {
        match self {
            Self::Usual => None,
            Self::Vp8 => Some("libvpx"),
            Self::Vp9 => Some("libvpx-vp9"),
        }
    }
}

/// Where an item's cover art is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    /// A stream of the item: the number of its source, and ffmpeg's index.
    Embedded(usize, usize),
    /// A file of this name beside the first source.
    Beside(&'static str),
}

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
    /// How much faster the item plays.
    pub speed: Speed,
    /// How the picture is made of fields.
    pub fields: Fields,
    /// What its samples mean.
    pub colour: Colour,
    /// How it is decoded with its transparency, if it may have any.
    pub alpha: Option<Alpha>,
    /// Width by height as shown; 0 if unknown.
    pub aspect: f64,
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
    /// Number of channels; 0 if unknown.
    pub channels: u32,
    /// Number of channels if ffmpeg has no layout for them (more than eight); else 0.
    pub unplaced: u32,
}

/// The streams and times of an item. At least one of the two streams exists.
#[derive(Debug, Clone, Default, PartialEq)]
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
    /// Whether the picture is one image that is held while the sound of another source plays.
    pub image: bool,
    /// Cover art of an item without a picture.
    pub cover: Option<Cover>,
    /// The subtitles beside the picture, in its source.
    pub subtitles: Vec<SubtitleStream>,
    /// What the item says about itself.
    pub tags: Tags,
    /// Whether the item has sound, but none that can be decoded.
    pub unheard: bool,
    /// The loudness of the sound, if it was measured. No probe sets it.
    pub loudness: Option<Loudness>,
    /// The subtitles to draw, once they are prepared. No probe sets it.
    pub ready_subtitles: ReadySubtitles,
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
    /// Languages of the sound after those of the item itself.
    pub languages: Languages,
    /// Whether film of 24 frames per second plays at 25.
    pub speed_up: bool,
}

impl Default for ProbeOptions {
    /// 720 lines, and ten seconds for a still picture.
    fn default() -> Self {
        Self {
            height: 720,
            image_duration: Duration::from_secs(10),
            languages: Languages::default(),
            speed_up: false,
        }
    }
}

impl ProbeOptions {
    /// The options of a broadcast with this profile. `speed_up` has an effect at 25 and 50 frames
    /// per second only.
    #[must_use]
    pub fn of(profile: &Profile, image_duration: Duration, languages: Languages, speed_up: bool) -> Self {
        let speed_up = speed_up && profile.fps.is_multiple_of(25);
        Self { height: profile.height, image_duration, languages, speed_up }
    }
}

impl Probe {
    /// How much faster than stored the item plays.
    #[must_use]
    pub fn speed(&self) -> Speed {
        self.video.map_or_else(Speed::default, |video| video.speed)
    }

    /// Where `item` starts in its source.
    #[must_use]
    pub fn stored_start(&self, item: &Item) -> Duration {
        self.speed().stored(item.start).saturating_add(item.media.part.in_point)
    }

    /// Speeds film up: makes all times those of the air.
    pub(super) fn speed_film_up(&mut self, media: &Media) {
        let Some(video) = &mut self.video else { return };
        if self.still || self.image || media.live {
            return;
        }
        let speed = Speed::of_film(video.fps, video.fields);
        let on_air = |stored: Option<Duration>| stored.map(|stored| speed.on_air(stored));
        video.speed = speed;
        (video.late, video.duration) = (speed.on_air(video.late), on_air(video.duration));
        if let Some(audio) = &mut self.audio {
            (audio.late, audio.duration) = (speed.on_air(audio.late), on_air(audio.duration));
        }
        self.duration = on_air(self.duration);
    }

    /// What a viewer misses, for the operator: a clause without a full stop.
    #[must_use]
    pub fn loss(&self) -> Option<&'static str> {
        self.unheard.then_some("without its sound, which cannot be decoded here")
    }

    /// Whether subtitles or cover art are shown, without which the item plays as well.
    #[must_use]
    pub fn has_extras(&self) -> bool {
        self.ready_subtitles.is_drawn() || self.cover.is_some()
    }

    /// Leaves out what [`Probe::has_extras`] names.
    pub fn without_extras(&mut self) {
        (self.ready_subtitles, self.cover) = (ReadySubtitles::Failed, None);
    }

    /// The limits for watching an encoder of this item from `media`.
    #[must_use]
    pub fn watch(&self, media: &Media) -> StallLimits {
        let remote = media.sources.iter().any(|source| !source.is_file());
        StallLimits {
            paced: remote || self.has_extras(),
            picture: self.video.map(|video| (video.index, video.fps)),
        }
    }
}
