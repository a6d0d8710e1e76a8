//! When slots of a timetable begin at an ingest, by the colours of the pictures that arrive.

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Result, ensure};
use tgs_rtmp::flv::{FILE_HEADER, Kind, Tag, write_tag};

use crate::{
    colours::{Picture, decode, picture_of},
    ingest::Record,
};

/// The frames before and after a slot's start that relate timestamps to the clock: 5 s each.
const NEAR: usize = 150;

/// A tag, and the wall clock at its arrival.
pub type Arrival = (SystemTime, Tag);

/// What a connection brought.
#[must_use]
pub fn arrivals_of(record: &Record) -> Vec<Arrival> {
    let (now, clock) = (Instant::now(), SystemTime::now());
    let arrival = |message: &crate::ingest::Message| Some((clock - (now - message.arrived), message.tag()?));
    record.media().filter_map(arrival).collect()
}

/// The pictures of a stream.
#[derive(Debug, Default)]
pub struct Pictures {
    frames: Vec<Frame>,
    /// What the decoder complains about.
    pub errors: Vec<String>,
    /// The longest time between two arrivals.
    pub longest_gap: Duration,
}

#[derive(Debug)]
struct Frame {
    at: f64,
    timestamp: f64,
    shows: Picture,
}

/// The beginning of a slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlotStart {
    /// Arrival of its first picture, in seconds since the Unix epoch.
    pub at: f64,
    /// The same by the picture's timestamp: without the jitter of sender, network and ingest.
    pub by_timestamp: f64,
    /// Whether the first picture is the first of the clip.
    pub is_first: bool,
    /// How long its pictures last, in seconds of the stream.
    pub lasts: f64,
}

impl Pictures {
    /// Decodes `arrivals`, in a file in `dir`. Tags arrive in order of decoding and are shown in
    /// another order; but no picture before a keyframe is shown after it, so that a change at a
    /// keyframe is dated exactly.
    pub fn of(arrivals: &[Arrival], dir: &Path) -> Result<Self> {
        let mut bytes = FILE_HEADER.to_vec();
        arrivals.iter().try_for_each(|(_, tag)| write_tag(&mut bytes, tag))?;
        let file = dir.join("received.flv");
        std::fs::write(&file, bytes)?;
        let (colours, mut errors) = decode(&file)?;
        let is_frame = |(_, tag): &&Arrival| tag.kind == Kind::Video && tag.is_frame();
        let frames = arrivals.iter().filter(is_frame);
        let frames: Vec<Frame> = frames
            .zip(&colours)
            .map(|((at, tag), colour)| Frame {
                at: seconds(*at),
                timestamp: tag.timestamp as f64 / 1000.0,
                shows: picture_of(*colour),
            })
            .collect();
        ensure!(!frames.is_empty(), "no picture has arrived");
        let count = arrivals.iter().filter(is_frame).count();
        if count != colours.len() {
            errors.push(format!("{} of {count} frames were decoded", colours.len()));
        }
        let gaps = frames.windows(2).map(|pair| pair[1].at - pair[0].at);
        let longest_gap = Duration::try_from_secs_f64(gaps.fold(0.0, f64::max))?;
        Ok(Self { frames, errors, longest_gap })
    }

    /// The beginning of the slot that shows the clip of this colour: of all, the one nearest to
    /// `planned`, if it is within `limit` of it.
    #[must_use]
    pub fn start_of(&self, colour: &str, planned: SystemTime, limit: Duration) -> Option<SlotStart> {
        let planned = seconds(planned);
        let starts = (0..self.frames.len()).filter_map(|index| self.start_at(index, colour));
        let off = |start: &SlotStart| (start.at - planned).abs();
        starts.filter(|start| off(start) <= limit.as_secs_f64()).min_by(|a, b| off(a).total_cmp(&off(b)))
    }

    /// The first arrival of one of these clips from `time` on, in seconds since the Unix epoch.
    #[must_use]
    pub fn next_of(&self, colours: &[&str], time: f64) -> Option<f64> {
        let is_one = |frame: &&Frame| {
            frame.at >= time && matches!(frame.shows, Picture::Clip(name) if colours.contains(&name))
        };
        self.frames.iter().find(is_one).map(|frame| frame.at)
    }

    fn start_at(&self, index: usize, colour: &str) -> Option<SlotStart> {
        let frame = &self.frames[index];
        let shown = |at: Option<usize>| at.and_then(|at| self.frames.get(at)).map(|frame| frame.shows);
        let is_clip = |shows| matches!(shows, Some(Picture::Clip(name)) if name == colour);
        let before = shown(index.checked_sub(1));
        let is_first = frame.shows == Picture::Mark && is_clip(shown(Some(index + 1)));
        let is_begun = is_clip(Some(frame.shows)) && !is_clip(before) && before != Some(Picture::Mark);
        if !is_first && !is_begun {
            return None;
        }
        let rest = &self.frames[index + 1..];
        let end = rest.iter().find(|frame| !is_clip(Some(frame.shows))).or(rest.last()).unwrap_or(frame);
        Some(SlotStart {
            at: frame.at,
            by_timestamp: self.epoch_near(index) + frame.timestamp,
            is_first,
            lasts: end.timestamp - frame.timestamp,
        })
    }

    /// From the Unix epoch to timestamp 0, in seconds: the lower quartile of the frames near
    /// `index`. On a busy machine many are late, and none is early by more than a frame.
    fn epoch_near(&self, index: usize) -> f64 {
        let near = index.saturating_sub(NEAR)..self.frames.len().min(index + NEAR);
        let mut epochs: Vec<f64> = self.frames[near].iter().map(|f| f.at - f.timestamp).collect();
        epochs.sort_by(f64::total_cmp);
        epochs[epochs.len() / 4]
    }
}

/// Seconds since the Unix epoch.
#[must_use]
pub fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
