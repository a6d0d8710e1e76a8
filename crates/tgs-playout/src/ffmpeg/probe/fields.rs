//! Measures how a picture is made of fields, where its container says nothing or may be wrong.
//!
//! DV, DNxHD, `ProRes` and MPEG-4 often carry no field order, and H.264 that was encoded from
//! interlaced material by a careless program says "progressive". ffmpeg's `idet` looks at some
//! hundred frames at up to three places of a local file: about a second of one processor for a
//! picture of 1080 lines.

use std::{path::Path, time::Duration};

use tgs_core::{cancel::Cancel, process};

use super::{
    ffprobe::{FfprobeStream, beside},
    found::{Probe, VideoStream},
};
use crate::{
    ffmpeg::{
        fields::{FieldOrder, Fields},
        input::{MAX_PIXELS, source_options},
    },
    item::{Media, MediaSource},
};

/// Time limit of one measurement, and limit of ffmpeg's output in bytes.
const TIME_OUT: Duration = Duration::from_secs(8);
const MAX_ANSWER: usize = 1 << 20;

/// An item shorter than this is measured at its beginning only.
const SHORT: Duration = Duration::from_secs(12);

/// Rates in frames per second in which interlaced material is stored: 25 and 29.97.
const RATES: std::ops::RangeInclusive<f64> = 24.9..=30.1;

/// Codecs that cannot be interlaced, or never are.
const PROGRESSIVE: [&str; 14] = [
    "vp8",
    "vp9",
    "av1",
    "theora",
    "hevc",
    "gif",
    "apng",
    "png",
    "webp",
    "flv1",
    "h263",
    "mpeg1video",
    "jpegxl",
    "bmp",
];

/// Heights of interlaced standards.
const HEIGHTS: [u32; 7] = [480, 486, 512, 576, 608, 1080, 1088];

/// How far the container's word about the fields is to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlagTrust {
    /// It is not measured.
    Full,
    /// It says "progressive", which is rarely wrong: only clear and constant evidence counts.
    Some,
    /// It says nothing, or is often wrong.
    None,
}

impl FlagTrust {
    pub(super) fn of(stream: &FfprobeStream, video: &VideoStream) -> Self {
        let codec = stream.codec_name.as_deref().unwrap_or_default();
        if PROGRESSIVE.contains(&codec) || !RATES.contains(&video.fps) {
            return Self::Full;
        }
        match (codec, stream.field_order.as_deref()) {
            ("h264", Some("progressive")) if HEIGHTS.contains(&video.height) => Self::Some,
            ("h264", Some("progressive")) => Self::Full,
            _ => Self::None,
        }
    }

    /// Frames to look at in one place.
    fn frames(self) -> u32 {
        if self == Self::None { 100 } else { 50 }
    }
}

/// What `idet` has counted in one place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FieldCounts {
    top: u64,
    bottom: u64,
    progressive: u64,
    /// Frames of which one field repeats that of the frame before: the top one, the bottom one.
    repeated: [u64; 2],
    /// Frames of which neither does.
    new: u64,
}

/// Measures the fields of the item's picture, if `trust` asks for it and it is in a local file.
pub(super) fn measure(found: &mut Probe, trust: FlagTrust, ffprobe: &Path, media: &Media, cancel: &Cancel) {
    let Some(video) = &mut found.video else { return };
    let source = media.sources.get(video.source).filter(|source| source.is_file());
    let (Some(source), false) = (source, trust == FlagTrust::Full || media.live || found.skip_bytes > 0)
    else {
        return;
    };
    let places = places(media.part.in_point, found.duration.unwrap_or_default());
    let counts: Vec<FieldCounts> =
        places.into_iter().map_while(|at| count(ffprobe, source, video.index, trust, at, cancel)).collect();
    video.fields = decide(video.fields, trust, &counts, video.fps);
    if video.fields != Fields::Progressive {
        found.stored = None;
    }
}

/// Where to look in a part of this `length` that begins at `from`.
fn places(from: Duration, length: Duration) -> Vec<Duration> {
    if length < SHORT {
        return vec![from];
    }
    [10, 45, 80].map(|percent| from.saturating_add(length / 100 * percent)).into()
}

fn count(
    ffprobe: &Path,
    source: &MediaSource,
    index: usize,
    trust: FlagTrust,
    at: Duration,
    cancel: &Cancel,
) -> Option<FieldCounts> {
    let mut command = process::command(beside(ffprobe));
    command
        .args(["-nostdin", "-hide_banner", "-nostats", "-v", "info"])
        .args(source_options(source))
        // From a keyframe on: the frames before would only be thrown away.
        .args(["-max_pixels", MAX_PIXELS, "-noaccurate_seek", "-ss", &format!("{:.3}", at.as_secs_f64())])
        .args(["-i", &source.url, "-map", &format!("0:{index}"), "-frames:v", &trust.frames().to_string()])
        .args(["-vf", "idet", "-f", "null", "-"]);
    let output = process::output(command, TIME_OUT, MAX_ANSWER, cancel).ok()?;
    read(&String::from_utf8_lossy(&output.stderr))
}

/// Parses the lines that `idet` prints at its end; the last of each kind counts.
fn read(messages: &str) -> Option<FieldCounts> {
    let line = |kind: &str| {
        let line = messages.lines().rev().find(|line| line.contains("idet") && line.contains(kind))?;
        Some(line.split_once(kind)?.1)
    };
    let number = |line: &str, name: &str| -> Option<u64> {
        line.split_once(name)?.1.split_whitespace().next()?.parse().ok().filter(|count| *count < 1 << 32)
    };
    let (repeated, detected) = (line("Repeated Fields:")?, line("Multi frame detection:")?);
    Some(FieldCounts {
        top: number(detected, "TFF:")?,
        bottom: number(detected, "BFF:")?,
        progressive: number(detected, "Progressive:")?,
        repeated: [number(repeated, "Top:")?, number(repeated, "Bottom:")?],
        new: number(repeated, "Neither:")?,
    })
}

impl FieldCounts {
    fn and(self, other: Self) -> Self {
        Self {
            top: self.top + other.top,
            bottom: self.bottom + other.bottom,
            progressive: self.progressive + other.progressive,
            repeated: [self.repeated[0] + other.repeated[0], self.repeated[1] + other.repeated[1]],
            new: self.new + other.new,
        }
    }

    /// The order of the fields, if frames agree: synthetic progressive pictures look interlaced in
    /// either order alike.
    fn order(self) -> Option<FieldOrder> {
        if self.top >= 10 && self.top >= self.bottom * 5 {
            Some(FieldOrder::Top)
        } else if self.bottom >= 10 && self.bottom >= self.top * 5 {
            Some(FieldOrder::Bottom)
        } else {
            None
        }
    }

    /// Whether at least this percentage of the frames is combed.
    fn is_combed(self, percent: u64) -> bool {
        let combed = self.top + self.bottom;
        combed * 100 >= (combed + self.progressive) * percent
    }

    /// Whether fields repeat as 3:2 pulldown repeats them: two of five frames, either field alike.
    fn is_telecined(self) -> bool {
        let [top, bottom] = self.repeated;
        (top + bottom) * 4 >= top + bottom + self.new && top.min(bottom) * 3 >= top.max(bottom)
    }
}

/// The fields of a picture at `fps` frames per second, by the container's word and the counts.
fn decide(stated: Fields, trust: FlagTrust, counts: &[FieldCounts], fps: f64) -> Fields {
    let sum = counts.iter().fold(FieldCounts::default(), |sum, one| sum.and(*one));
    let Some(order) = sum.order() else { return stated };
    let enough = match trust {
        FlagTrust::Full => false,
        FlagTrust::Some => counts.iter().all(|one| one.order() == Some(order) && one.is_combed(90)),
        FlagTrust::None => sum.is_combed(30),
    };
    match stated {
        _ if enough && sum.is_telecined() && fps > 29.0 => Fields::Telecined(order),
        Fields::Progressive if !enough => stated,
        _ => Fields::Interlaced { order: Some(order) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(top: u64, bottom: u64, progressive: u64) -> FieldCounts {
        FieldCounts { top, bottom, progressive, repeated: [0, 0], new: top + bottom + progressive }
    }

    #[test]
    fn idets_last_lines_are_read() {
        let text = "[Parsed_idet_0 @ 0x1] Repeated Fields: Neither:    72 Top:    24 Bottom:    25\n\
                    [Parsed_idet_0 @ 0x1] Single frame detection: TFF:   102 BFF:    10 Progressive:     2 Undetermined:     6\n\
                    [Parsed_idet_0 @ 0x1] Multi frame detection: TFF:   120 BFF:     1 Progressive:     3 Undetermined:     0\n";
        let expected = FieldCounts { top: 120, bottom: 1, progressive: 3, repeated: [24, 25], new: 72 };
        assert_eq!(read(text), Some(expected));
        assert!(expected.is_telecined());
        assert_eq!(read("[Parsed_idet_0 @ 0x1] Repeated Fields: Neither: x"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn clear_counts_decide_and_unclear_ones_leave_what_is_stated() {
        let (top, bottom) = (Some(FieldOrder::Top), Some(FieldOrder::Bottom));
        let flagged = Fields::Interlaced { order: None };
        let of = |stated, trust, counts: &[FieldCounts]| decide(stated, trust, counts, 25.0);
        let plain = Fields::Progressive;
        assert_eq!(of(plain, FlagTrust::None, &[counts(90, 0, 10)]), Fields::Interlaced { order: top });
        assert_eq!(of(plain, FlagTrust::None, &[counts(0, 40, 60)]), Fields::Interlaced { order: bottom });
        assert_eq!(of(plain, FlagTrust::None, &[counts(50, 44, 6)]), plain, "synthetic");
        assert_eq!(of(plain, FlagTrust::None, &[counts(12, 0, 288)]), plain, "a few frames");
        assert_eq!(of(plain, FlagTrust::None, &[]), plain);
        assert_eq!(
            of(plain, FlagTrust::Some, &[counts(50, 0, 0), counts(48, 0, 2)]),
            Fields::Interlaced { order: top }
        );
        assert_eq!(of(plain, FlagTrust::Some, &[counts(50, 0, 0), counts(0, 0, 50)]), plain);
        assert_eq!(of(flagged, FlagTrust::None, &[counts(0, 0, 100)]), flagged, "a still part");
        assert_eq!(of(flagged, FlagTrust::None, &[counts(0, 30, 70)]), Fields::Interlaced { order: bottom });
        let film = FieldCounts { repeated: [20, 19], new: 60, ..counts(99, 0, 0) };
        assert_eq!(decide(flagged, FlagTrust::None, &[film], 29.97), Fields::Telecined(FieldOrder::Top));
        assert_eq!(decide(flagged, FlagTrust::None, &[film], 25.0), Fields::Interlaced { order: top });
    }

    proptest::proptest! {
        #[test]
        fn no_message_panics(text in "(\\PC*\n)*", n in proptest::prelude::any::<u64>()) {
            let _ = read(&text);
            let _ = read(&format!("idet Repeated Fields: Neither: {n} Top: {n} Bottom: {n}\nidet Multi frame detection: TFF: {n} BFF: {n} Progressive: {n}"));
        }
    }
}
