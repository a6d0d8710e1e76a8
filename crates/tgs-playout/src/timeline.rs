//! Places the tags of successive encoders on one clock. No I/O, no waiting.
//!
//! # Theory of operation
//!
//! The clock is a pair of counters: video frames at the profile's rate and AAC frames of 1024
//! samples. A tag's time is computed from its count, so no error accumulates: after months every
//! time is still exact to half a millisecond.
//!
//! A *segment* is an unbroken run of tags of one encoder that begins with a keyframe: an item, a
//! piece of the filler, or the rest of an item after a piece of the filler. Its pictures take the
//! next frame numbers. Its sound is placed by its distance from the first picture, rounded to the
//! AAC grid: an encoder's priming frame coincides with the last frame of the previous segment and
//! is dropped; a missing frame is replaced by silence. Sound is thus never more than half an AAC
//! frame (11.6 ms at 44.1 kHz) off the picture, after any number of segments.
//!
//! Repeated sequence headers are dropped. Sound and picture leave in order of time.

use std::{collections::VecDeque, sync::Arc};

use tgs_rtmp::flv::{Kind, Tag};

use crate::{
    display_order::{DisplayOrder, composition_frames, composition_ms},
    profile::{AAC_FRAME, Profile},
};

/// Largest distance between sound and picture within a segment; beyond it sound is cut or silence
/// inserted.
const MAX_APART_MS: u64 = 1000;

/// When no tag is available, sound this far behind the picture has ended: encoders interleave both
/// in order of time, so the limit is two AAC frames and a margin.
const ENDED_MS: u64 = 50;

/// The place in an item from which a tag comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagOrigin {
    /// Number of the item in this run, from 1; 0 is the filler.
    pub seq: u64,
    /// Milliseconds from the item's own beginning.
    pub offset_ms: u64,
}

/// A tag with its time on the broadcast's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedTag {
    /// The tag; its timestamp is the broadcast's, in milliseconds from 0 at the start of the run.
    pub tag: Tag,
    /// The place in an item that the tag shows.
    pub origin: TagOrigin,
}

/// Replacement for missing sound, as bodies of audio tags.
#[derive(Debug, Clone)]
pub struct Silence {
    /// The AAC sequence header.
    pub header: Arc<[u8]>,
    /// One silent frame.
    pub frame: Arc<[u8]>,
}

/// The clock of a broadcast.
#[derive(Debug)]
pub struct Timeline {
    fps: u64,
    rate: u64,
    silence: Silence,
    next_video: u64,
    next_audio: u64,
    segment: TimelineSegment,
    video_header: Option<Arc<[u8]>>,
    audio_header: Option<Arc<[u8]>>,
    video: VecDeque<TimedTag>,
    audio: VecDeque<TimedTag>,
}

/// The segment being placed.
#[derive(Debug)]
enum TimelineSegment {
    /// Waiting for a keyframe; sound before it is held back.
    Opening {
        seq: u64,
        start_ms: u64,
        silent: bool,
        waiting: Vec<Tag>,
    },
    Open(OpenSegment),
}

impl TimelineSegment {
    const IDLE: Self = Self::Opening { seq: 0, start_ms: 0, silent: false, waiting: Vec::new() };
}

#[derive(Debug)]
struct OpenSegment {
    seq: u64,
    /// Offset in the item of the encoder's time 0.
    start_ms: u64,
    /// Presentation time of the first picture on the encoder's clock.
    pts_in: u64,
    /// Presentation time of the first picture on the broadcast's clock.
    pts_out: u64,
    /// Milliseconds that sound may lag behind the picture before silence is inserted.
    fill_after: u64,
    /// Whether any sound of this segment was placed.
    heard: bool,
    /// The pictures placed so far.
    order: DisplayOrder,
}

impl Timeline {
    /// An empty clock for this profile.
    #[must_use]
    pub fn new(profile: &Profile, silence: Silence) -> Self {
        Self {
            fps: u64::from(profile.fps),
            rate: u64::from(profile.audio_rate),
            silence,
            next_video: 0,
            next_audio: 0,
            segment: TimelineSegment::IDLE,
            video_header: None,
            audio_header: None,
            video: VecDeque::new(),
            audio: VecDeque::new(),
        }
    }

    /// Begins a segment of item `seq`, whose encoder began `start_ms` into the item. Pictures
    /// before the first keyframe are dropped. A `silent` encoder brings no sound: silence
    /// accompanies its pictures.
    pub fn begin(&mut self, seq: u64, start_ms: u64, silent: bool) {
        self.segment = TimelineSegment::Opening { seq, start_ms, silent, waiting: Vec::new() };
    }

    /// Time of the next picture, in milliseconds.
    #[must_use]
    pub fn next_picture_ms(&self) -> u64 {
        self.video_ms(self.next_video)
    }

    /// Whether the placed pictures leave no gap in presentation order. Within a gap the first
    /// picture of another segment would collide with a placed one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match &self.segment {
            TimelineSegment::Opening { .. } => true,
            TimelineSegment::Open(open) => open.order.is_whole(),
        }
    }

    /// Duration of one picture, in seconds.
    #[must_use]
    pub fn picture_seconds(&self) -> f64 {
        1.0 / self.fps as f64
    }

    /// Places one tag of the current segment.
    pub fn push(&mut self, tag: Tag) {
        if tag.is_sequence_header() {
            self.push_header(tag);
        } else if tag.is_frame() {
            match tag.kind {
                Kind::Video => self.push_picture(tag),
                Kind::Audio => self.push_sound(tag),
                Kind::Script => {}
            }
        }
    }

    /// No tag is available for now: adds silence for pictures whose sound has ended. Returns
    /// whether silence was added.
    pub fn settle(&mut self) -> bool {
        let Some(last) = self.video.back() else { return false };
        let (origin, decoded) = (last.origin, last.tag.timestamp);
        let before = self.next_audio;
        while self.audio_ms(self.next_audio) + ENDED_MS <= decoded {
            self.push_silence(origin);
        }
        self.next_audio > before
    }

    /// The next tag in order of time; `None` while the other kind may still bring an earlier one.
    pub fn pop(&mut self) -> Option<TimedTag> {
        let (video, audio) = (self.video.front()?, self.audio.front()?);
        if audio.tag.timestamp < video.tag.timestamp {
            self.audio.pop_front()
        } else {
            self.video.pop_front()
        }
    }

    /// The next tag in order of time, once no more tags will come.
    pub fn pop_rest(&mut self) -> Option<TimedTag> {
        self.pop().or_else(|| self.video.pop_front()).or_else(|| self.audio.pop_front())
    }

    /// The current sequence headers, for a new connection.
    pub fn headers(&self) -> impl Iterator<Item = Tag> + '_ {
        let tag = |kind, body: &Option<Arc<[u8]>>| body.clone().map(|body| Tag { kind, timestamp: 0, body });
        [tag(Kind::Video, &self.video_header), tag(Kind::Audio, &self.audio_header)].into_iter().flatten()
    }

    fn video_ms(&self, count: u64) -> u64 {
        (count * 1000 + self.fps / 2) / self.fps
    }

    fn audio_ms(&self, count: u64) -> u64 {
        (count * AAC_FRAME * 1000 + self.rate / 2) / self.rate
    }

    fn push_header(&mut self, tag: Tag) {
        let (TimelineSegment::Opening { seq, start_ms, .. }
        | TimelineSegment::Open(OpenSegment { seq, start_ms, .. })) = self.segment;
        let origin = TagOrigin { seq, offset_ms: start_ms };
        let (known, queue, time) = match tag.kind {
            Kind::Video => (&mut self.video_header, &mut self.video, self.next_video * 1000 / self.fps),
            _ => (&mut self.audio_header, &mut self.audio, self.next_audio * AAC_FRAME * 1000 / self.rate),
        };
        if known.as_ref() != Some(&tag.body) {
            *known = Some(tag.body.clone());
            let tag = Tag { timestamp: time, ..tag };
            queue.push_back(TimedTag { tag, origin });
        }
    }

    fn push_picture(&mut self, tag: Tag) {
        // Composition time in whole frames keeps presentation times on the grid as well.
        let shown_later = composition_frames(&tag, self.fps);
        if matches!(self.segment, TimelineSegment::Opening { .. }) {
            if !tag.is_keyframe() {
                return;
            }
            self.open(&tag, shown_later);
        }
        let TimelineSegment::Open(open) = &mut self.segment else { return };
        open.order.push(shown_later);
        let fill_after = open.fill_after;
        let origin = TagOrigin { seq: open.seq, offset_ms: open.start_ms + tag.timestamp };
        let decoded = self.video_ms(self.next_video);
        let shown = self.video_ms(self.next_video + shown_later);
        let tag = retimed_picture(tag, decoded, shown - decoded);
        self.video.push_back(TimedTag { tag, origin });
        self.next_video += 1;
        // Sound that ended before the picture, or never existed.
        while self.audio_ms(self.next_audio) + fill_after <= decoded {
            self.push_silence(origin);
        }
    }

    fn open(&mut self, first: &Tag, shown_later: u64) {
        let pts_out = self.video_ms(self.next_video + shown_later);
        let TimelineSegment::Opening { seq, start_ms, silent, waiting } =
            std::mem::replace(&mut self.segment, TimelineSegment::IDLE)
        else {
            return;
        };
        self.segment = TimelineSegment::Open(OpenSegment {
            seq,
            start_ms,
            pts_in: first.timestamp + composition_ms(first),
            pts_out,
            fill_after: if silent { 0 } else { MAX_APART_MS },
            heard: false,
            order: DisplayOrder::default(),
        });
        // Cuts the previous segment's sound beyond this point: its picture has ended.
        while self.next_audio > 0
            && self.audio_ms(self.next_audio - 1) >= pts_out
            && self.audio.pop_back_if(|last| last.tag.is_frame()).is_some()
        {
            self.next_audio -= 1;
        }
        for sound in waiting {
            self.push_sound(sound);
        }
    }

    fn push_sound(&mut self, tag: Tag) {
        let latest = self.next_picture_ms() + MAX_APART_MS;
        let open = match &mut self.segment {
            TimelineSegment::Opening { waiting, .. } => {
                // An encoder sends fewer than 64 frames of sound before the first picture.
                if waiting.len() < 64 {
                    waiting.push(tag);
                }
                return;
            }
            TimelineSegment::Open(open) => open,
        };
        let due = (open.pts_out + tag.timestamp).saturating_sub(open.pts_in);
        let place = (due * self.rate + AAC_FRAME * 500) / (AAC_FRAME * 1000);
        let origin = TagOrigin { seq: open.seq, offset_ms: open.start_ms + tag.timestamp };
        // Running sound is counted; only an error of a whole frame shows missing or surplus frames.
        let tolerance = u64::from(open.heard);
        if place + tolerance < self.next_audio || due > latest {
            return;
        }
        open.heard = true;
        while self.next_audio + tolerance < place {
            self.push_silence(origin);
        }
        self.push_frame(tag.body, origin);
    }

    fn push_silence(&mut self, origin: TagOrigin) {
        if self.audio_header.is_none() {
            // The run begins with an item without sound.
            self.push_header(Tag { kind: Kind::Audio, timestamp: 0, body: self.silence.header.clone() });
        }
        self.push_frame(self.silence.frame.clone(), origin);
    }

    fn push_frame(&mut self, body: Arc<[u8]>, origin: TagOrigin) {
        let tag = Tag { kind: Kind::Audio, timestamp: self.audio_ms(self.next_audio), body };
        self.audio.push_back(TimedTag { tag, origin });
        self.next_audio += 1;
    }
}

/// The picture at another time. The body is copied only if its composition time changes.
fn retimed_picture(tag: Tag, decoded: u64, composition: u64) -> Tag {
    let bytes = (composition as u32).to_be_bytes();
    let mut body = tag.body;
    if body[2..5] != bytes[1..] {
        Arc::make_mut(&mut body)[2..5].copy_from_slice(&bytes[1..]);
    }
    Tag { kind: Kind::Video, timestamp: decoded, body }
}

#[cfg(test)]
mod tests;
