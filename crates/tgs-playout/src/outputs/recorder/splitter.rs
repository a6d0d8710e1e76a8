//! Decides which frames belong into which file. Reads no clock and writes nothing.
//!
//! A file begins at a keyframe: at the first one, at the first in a new period of the local clock,
//! where the codec headers change, and where the broadcast stood still, so that each file has one
//! relation of its time to the wall clock. The headers of picture and sound change some frames
//! apart, so each keyframe waits until the frames that follow it are known.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tgs_control::Timestamp;
use tgs_recording::{
    RecordedTracks,
    place::{RecordingPeriod, RecordingZone},
};
use tgs_rtmp::flv::{Kind, Tag};

/// Headers of picture and sound that change within this time change together.
const TOGETHER_MS: u64 = 300;

/// The relation to the wall clock is kept from file to file unless it is off by this.
const TOLERANCE_MS: u64 = 250;

/// A file ends where its relation to the wall clock is off by this.
const MAX_OFF_MS: u64 = 3000;

/// What to do with the files.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileStep {
    /// End the file, if there is one, and begin another.
    Begin(BegunFile),
    /// Append these frames to the file. Their times count from its beginning.
    Append(Vec<Tag>),
}

/// A file that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BegunFile {
    /// The time of the wall clock at the file's time 0.
    pub(super) started: Timestamp,
    pub(super) codecs: RecordedTracks,
}

/// The file that the frames go to.
#[derive(Debug)]
struct CurrentFile {
    /// Its time 0 on the clock of the stream.
    base: u64,
    /// From the clock of the stream to the wall clock.
    offset: i64,
    period: RecordingPeriod,
    codecs: RecordedTracks,
}

/// The state of the division into files.
#[derive(Debug)]
pub(super) struct FileSplitter {
    zone: RecordingZone,
    segment: Duration,
    fps: u32,
    /// Tags that are not placed yet.
    pending: VecDeque<Tag>,
    /// Codec headers in force before `pending`: video, audio.
    headers: [Option<Arc<[u8]>>; 2],
    /// From the clock of the stream to the wall clock, as last observed.
    observed: i64,
    /// The same, as the newest file has it.
    offset: Option<i64>,
    current: Option<CurrentFile>,
    /// Whether the next keyframe begins a file in any case.
    split: bool,
}

fn track(tag: &Tag) -> usize {
    usize::from(tag.kind == Kind::Audio)
}

impl FileSplitter {
    /// `fps` is the broadcast's number of pictures a second.
    pub(super) fn new(zone: RecordingZone, segment: Duration, fps: u32) -> Self {
        Self {
            zone,
            segment,
            fps,
            pending: VecDeque::new(),
            headers: [None, None],
            observed: 0,
            offset: None,
            current: None,
            split: false,
        }
    }

    /// Takes tags of the stream, in order.
    pub(super) fn push(&mut self, tags: Vec<Tag>) {
        self.pending.extend(tags);
    }

    /// The newest tag of the stream, at `newest` ms of its clock, has been sent at `now`.
    pub(super) fn observe(&mut self, newest: u64, now: Timestamp) {
        self.observed = now.0 as i64 - newest as i64;
    }

    /// Begins another file at the next keyframe.
    pub(super) fn split(&mut self) {
        self.split = true;
    }

    /// Forgets the file, which is closed or cannot be written; the next keyframe begins another.
    pub(super) fn forget_file(&mut self) {
        self.current = None;
    }

    /// What to do about the tags taken so far. With `all` nothing waits for what follows.
    pub(super) fn steps(&mut self, all: bool) -> Vec<FileStep> {
        let (mut steps, mut frames) = (Vec::new(), Vec::new());
        while let Some(tag) = self.pending.front() {
            if tag.is_keyframe() {
                let newest = self.pending.back().map_or(0, |tag| tag.timestamp);
                if !all && newest < tag.timestamp + TOGETHER_MS {
                    break;
                }
                let at = tag.timestamp;
                if let Some((file, belated)) = self.begin_at(at) {
                    frames.extend(belated);
                    append(&mut steps, &mut frames);
                    steps.push(FileStep::Begin(file));
                }
            }
            let Some(tag) = self.pending.pop_front() else { break };
            self.place(tag, &mut frames);
        }
        append(&mut steps, &mut frames);
        steps
    }

    /// Adds the frame to those of the file if its codec is that of the file.
    fn place(&mut self, tag: Tag, frames: &mut Vec<Tag>) {
        if tag.is_sequence_header() {
            self.headers[track(&tag)] = Some(tag.body.clone());
            return;
        }
        let Some(file) = self.current.as_ref().filter(|_| tag.is_frame()) else { return };
        let of_file =
            if tag.kind == Kind::Audio { file.codecs.audio.as_ref() } else { Some(&file.codecs.video) };
        if of_file.is_some() && self.headers[track(&tag)].as_ref() == of_file && tag.timestamp >= file.base {
            frames.push(Tag { timestamp: tag.timestamp - file.base, ..tag });
        }
    }

    /// The file that begins with the keyframe at `at`, if one does, and the last sound of the file
    /// before, which is sent after that keyframe.
    fn begin_at(&mut self, at: u64) -> Option<(BegunFile, Vec<Tag>)> {
        let codecs = self.codecs_after(at)?;
        let same = self.current.as_ref().is_some_and(|file| file.codecs == codecs);
        let stays = self.current.as_ref().is_some_and(|file| {
            let period = self.zone.period(wall(at, file.offset), self.segment);
            file.period == period && file.offset.abs_diff(self.observed) <= MAX_OFF_MS && same && !self.split
        });
        if stays {
            return None;
        }
        self.split = false;
        let belated = if same { Vec::new() } else { self.belated_sound(at) };
        let kept = self.offset.filter(|offset| offset.abs_diff(self.observed) <= TOLERANCE_MS);
        let offset = kept.unwrap_or(self.observed);
        let started = wall(at, offset);
        let period = self.zone.period(started, self.segment);
        self.offset = Some(offset);
        self.current = Some(CurrentFile { base: at, offset, period, codecs: codecs.clone() });
        Some((BegunFile { started, codecs }, belated))
    }

    /// The codec headers in force shortly after `at`.
    fn codecs_after(&self, at: u64) -> Option<RecordedTracks> {
        let [mut video, mut audio] = self.headers.clone();
        let soon = self.pending.iter().take_while(|tag| tag.timestamp < at + TOGETHER_MS);
        for header in soon.filter(|tag| tag.is_sequence_header()) {
            let known = if header.kind == Kind::Audio { &mut audio } else { &mut video };
            *known = Some(header.body.clone());
        }
        Some(RecordedTracks { video: video?, audio, fps: self.fps })
    }

    /// Removes the sound before a change of its header shortly after `at`, and returns it with
    /// times of the file before.
    fn belated_sound(&mut self, at: u64) -> Vec<Tag> {
        let soon = self.pending.iter().take_while(|tag| tag.timestamp < at + TOGETHER_MS);
        let change = soon.enumerate().filter(|(_, tag)| tag.is_sequence_header() && tag.kind == Kind::Audio);
        let Some(change) = change.map(|(place, _)| place).last() else { return Vec::new() };
        let is_belated = |tag: &Tag| tag.kind == Kind::Audio && tag.is_frame();
        let before: Vec<_> = self.pending.drain(..change).collect();
        let (sound, others): (Vec<_>, Vec<_>) = before.into_iter().partition(is_belated);
        others.into_iter().rev().for_each(|tag| self.pending.push_front(tag));
        let Some(file) = &self.current else { return Vec::new() };
        let known = self.headers[1].is_some() && self.headers[1] == file.codecs.audio;
        let base = file.base;
        let moved = |tag: Tag| Some(Tag { timestamp: tag.timestamp.checked_sub(base)?, ..tag });
        sound.into_iter().filter(|_| known).filter_map(moved).collect()
    }
}

fn append(steps: &mut Vec<FileStep>, frames: &mut Vec<Tag>) {
    if !frames.is_empty() {
        steps.push(FileStep::Append(std::mem::take(frames)));
    }
}

fn wall(at: u64, offset: i64) -> Timestamp {
    Timestamp((at as i64).saturating_add(offset).max(0) as u64)
}

#[cfg(test)]
mod tests;
