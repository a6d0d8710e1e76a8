//! Puts the tags of one encoder after another onto one clock. No I/O, no waiting.
//!
//! # Theory of operation
//!
//! The clock is a pair of counters: video frames at the profile's rate and AAC frames of 1024 samples. A tag's time
//! is computed from its count, so nothing accumulates: after months each is still within half a millisecond of where
//! it belongs.
//!
//! A *segment* is an unbroken run of tags of one encoder that begins with a keyframe: an item, a piece of the filler,
//! or the rest of an item after a piece of the filler. Its picture takes the next frame numbers. Its sound is placed by
//! its distance from the first picture, rounded to the AAC grid: an encoder's priming frame falls on the last frame of
//! the segment before and is dropped, and a missing frame becomes one of silence. So sound is never more than half an
//! AAC frame (11.6 ms at 44.1 kHz) off the picture, however many segments went before.
//!
//! Repeated sequence headers are dropped. Sound and picture leave in order of time.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    flv::{Kind, Tag},
    profile::{AAC_FRAME, Profile},
};

/// Sound may run ahead of the picture, or behind it, by this much inside a segment before it is cut or filled.
const MAX_APART_MS: u64 = 1000;

/// Where nothing more is here, sound that is behind the picture by this much has ended: encoders write both in order of
/// time, so it is two frames of sound and a little.
const ENDED_MS: u64 = 50;

/// Where in an item a placed tag comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagOrigin {
    /// Number of the item in this run, from 1; 0 is the filler.
    pub run: u64,
    /// Milliseconds from the item's own beginning.
    pub offset_ms: u64,
}

/// A tag with its time on the broadcast's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedTag {
    /// The tag; its timestamp is the broadcast's, in milliseconds from 0 at the start of the run.
    pub tag: Tag,
    /// What it shows.
    pub origin: TagOrigin,
}

/// What is put where there is no sound, as bodies of audio tags.
#[derive(Debug, Clone)]
pub struct Silence {
    /// The AAC sequence header.
    pub header: Arc<[u8]>,
    /// One silent frame.
    pub frame: Arc<[u8]>,
}

/// The one clock.
#[derive(Debug)]
pub struct Timeline {
    fps: u64,
    rate: u64,
    silence: Silence,
    next_video: u64,
    next_audio: u64,
    segment: Segment,
    video_header: Option<Arc<[u8]>>,
    audio_header: Option<Arc<[u8]>>,
    video: VecDeque<TimedTag>,
    audio: VecDeque<TimedTag>,
}

/// The run of tags that is being placed.
#[derive(Debug)]
enum Segment {
    /// Nothing until a keyframe comes; sound that comes before it waits here.
    Opening {
        seq: u64,
        start_ms: u64,
        silent: bool,
        waiting: Vec<Tag>,
    },
    Open(OpenSegment),
}

impl Segment {
    const IDLE: Self = Self::Opening { seq: 0, start_ms: 0, silent: false, waiting: Vec::new() };
}

#[derive(Debug)]
struct OpenSegment {
    run: u64,
    /// Offset in the item of the encoder's time 0.
    start_ms: u64,
    /// The encoder's time at which the first picture is shown.
    pts_in: u64,
    /// The broadcast's time of the first picture's presentation.
    pts_out: u64,
    /// How far silence may lag behind the picture, in milliseconds.
    fill_after: u64,
    /// Whether any sound of this segment was placed.
    heard: bool,
    /// By how many frames its pictures are shown later than they are sent, those that are in order.
    delay: u64,
    /// The frame at which the last of the pictures placed so far is shown.
    latest: u64,
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
            segment: Segment::IDLE,
            video_header: None,
            audio_header: None,
            video: VecDeque::new(),
            audio: VecDeque::new(),
        }
    }

    /// The next tags belong to item `run`, whose encoder began `start_ms` into it. The first picture must be a
    /// keyframe; pictures before one are dropped. A `silent` encoder brings no sound: silence is put to its pictures.
    pub fn begin(&mut self, run: u64, start_ms: u64, silent: bool) {
        self.segment = Segment::Opening { seq: run, start_ms, silent, waiting: Vec::new() };
    }

    /// The time at which the next picture will be due, in milliseconds.
    #[must_use]
    pub fn next_picture_ms(&self) -> u64 {
        self.video_ms(self.next_video)
    }

    /// Whether every picture up to the last of this segment has been placed. Elsewhere another segment's first picture
    /// would be shown at the time of one that is there already.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match &self.segment {
            Segment::Opening { .. } => true,
            Segment::Open(open) => open.latest < self.next_video + open.delay,
        }
    }

    /// How long one picture is shown, in seconds.
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

    /// Nothing more is here for now: pictures that wait for sound that has ended get silence. Answers whether any did.
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

    /// The next tag in order of time, when nothing more will come.
    pub fn pop_rest(&mut self) -> Option<TimedTag> {
        self.pop().or_else(|| self.video.pop_front()).or_else(|| self.audio.pop_front())
    }

    /// The sequence headers in force, for a new connection.
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
        let (Segment::Opening { seq: run, start_ms, .. } | Segment::Open(OpenSegment { run, start_ms, .. })) =
            self.segment;
        let origin = TagOrigin { run, offset_ms: start_ms };
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
        let composed = u64::from(tag.composition_time().max(0).unsigned_abs());
        // Composition time counted in frames, so that presentation times lie on the grid as well.
        let shown_later = (composed * self.fps + 500) / 1000;
        if matches!(self.segment, Segment::Opening { .. }) {
            if !tag.is_keyframe() {
                return;
            }
            self.open(&tag, composed, shown_later);
        }
        let Segment::Open(open) = &mut self.segment else { return };
        open.latest = open.latest.max(self.next_video + shown_later);
        let fill_after = open.fill_after;
        let origin = TagOrigin { run: open.run, offset_ms: open.start_ms + tag.timestamp };
        let decoded = self.video_ms(self.next_video);
        let shown = self.video_ms(self.next_video + shown_later);
        let tag = retimed_picture(tag, decoded, shown - decoded);
        self.video.push_back(TimedTag { tag, origin });
        self.next_video += 1;
        // Sound that ended before the picture, or was never there.
        while self.audio_ms(self.next_audio) + fill_after <= decoded {
            self.push_silence(origin);
        }
    }

    fn open(&mut self, first: &Tag, composed: u64, shown_later: u64) {
        let pts_out = self.video_ms(self.next_video + shown_later);
        let Segment::Opening { seq: run, start_ms, silent, waiting } =
            std::mem::replace(&mut self.segment, Segment::IDLE)
        else {
            return;
        };
        self.segment = Segment::Open(OpenSegment {
            run,
            start_ms,
            pts_in: first.timestamp + composed,
            pts_out,
            fill_after: if silent { 0 } else { MAX_APART_MS },
            heard: false,
            delay: shown_later,
            latest: 0,
        });
        // What the segment before has to say beyond this point is cut: its picture has ended.
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
            Segment::Opening { waiting, .. } => {
                // A second of sound before the first picture is no encoder of ours.
                if waiting.len() < 64 {
                    waiting.push(tag);
                }
                return;
            }
            Segment::Open(open) => open,
        };
        let due = (open.pts_out + tag.timestamp).saturating_sub(open.pts_in);
        let place = (due * self.rate + AAC_FRAME * 500) / (AAC_FRAME * 1000);
        let origin = TagOrigin { run: open.run, offset_ms: open.start_ms + tag.timestamp };
        // Once it runs it is counted; only a whole frame's error means that frames are missing or too many.
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

/// The same picture at another time; its body is copied only where the composition time in it changes.
fn retimed_picture(tag: Tag, decoded: u64, composition: u64) -> Tag {
    let bytes = (composition as u32).to_be_bytes();
    let mut body = tag.body;
    if body[2..5] != bytes[1..] {
        Arc::make_mut(&mut body)[2..5].copy_from_slice(&bytes[1..]);
    }
    Tag { kind: Kind::Video, timestamp: decoded, body }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FPS: u64 = 30;
    const RATE: u64 = 44_100;

    fn timeline() -> Timeline {
        let silence = Silence { header: vec![0xaf, 0, 0x12, 0x10].into(), frame: vec![0xaf, 1, 0].into() };
        Timeline::new(&Profile::P720, silence)
    }

    /// What an encoder writes for `pictures` frames and `sounds` AAC frames: reordering delays the picture by two
    /// frames, priming starts the sound 1024 samples early.
    fn encoded(pictures: u64, sounds: u64) -> Vec<Tag> {
        let delay = 2 * 1000 / FPS;
        let mut tags = vec![
            Tag { kind: Kind::Video, timestamp: 0, body: vec![0x17, 0, 0, 0, 0, 1].into() },
            Tag { kind: Kind::Audio, timestamp: 0, body: vec![0xaf, 0, 0x12, 0x10].into() },
        ];
        let mut frames: Vec<Tag> = (0..pictures)
            .map(|n| {
                let first = if n % 60 == 0 { 0x17 } else { 0x27 };
                let body = vec![first, 1, 0, 0, delay as u8, n as u8];
                Tag { kind: Kind::Video, timestamp: n * 1000 / FPS, body: body.into() }
            })
            .chain((0..sounds).map(|n| {
                let timestamp = (n * AAC_FRAME * 1000 / RATE + delay).saturating_sub(23);
                Tag { kind: Kind::Audio, timestamp, body: vec![0xaf, 1, 1].into() }
            }))
            .collect();
        frames.sort_by_key(|tag| tag.timestamp);
        tags.extend(frames);
        tags
    }

    fn drain(timeline: &mut Timeline, out: &mut Vec<TimedTag>) {
        while let Some(placed) = timeline.pop() {
            out.push(placed);
        }
    }

    /// Plays items of so many pictures and sounds one after another.
    fn play(items: &[(u64, u64)]) -> Vec<TimedTag> {
        let (mut timeline, mut out) = (timeline(), Vec::new());
        for (run, &(pictures, sounds)) in items.iter().enumerate() {
            timeline.begin(run as u64 + 1, 0, sounds == 0);
            for tag in encoded(pictures, sounds) {
                timeline.push(tag);
                drain(&mut timeline, &mut out);
            }
        }
        while let Some(placed) = timeline.pop_rest() {
            out.push(placed);
        }
        out
    }

    fn times(out: &[TimedTag], kind: Kind) -> Vec<u64> {
        out.iter().filter(|p| p.tag.kind == kind && p.tag.is_frame()).map(|p| p.tag.timestamp).collect()
    }

    fn steps(times: &[u64]) -> (u64, u64) {
        let steps = times.windows(2).map(|w| w[1].checked_sub(w[0]).expect("no backward step"));
        (steps.clone().min().unwrap_or(0), steps.max().unwrap_or(0))
    }

    /// How far the first own sound of each item is off the first picture, beyond what the encoder meant, in ms.
    fn errors(out: &[TimedTag], items: usize) -> Vec<i64> {
        (1..=items as u64)
            .map(|run| {
                let own =
                    |kind| move |p: &&TimedTag| p.origin.run == run && p.tag.kind == kind && p.tag.is_frame();
                let picture = out.iter().find(own(Kind::Video)).unwrap();
                let shown = picture.tag.timestamp as i64 + i64::from(picture.tag.composition_time());
                let sound = out.iter().find(|p| own(Kind::Audio)(p) && *p.tag.body == [0xaf, 1, 1]).unwrap();
                // By the encoder's own clock the picture is shown at 66 ms, sound n is at 43 + 23.2 n.
                let meant = sound.origin.offset_ms as i64 - 66;
                sound.tag.timestamp as i64 - shown - meant
            })
            .collect()
    }

    #[test]
    fn joins_have_no_gap_and_sound_stays_with_the_picture() {
        // 2.0 s of picture are 86.1 frames of sound: each join is off the grid differently.
        let out = play(&[(60, 88); 200]);
        assert_eq!(steps(&times(&out, Kind::Video)), (33, 34));
        assert_eq!(steps(&times(&out, Kind::Audio)), (23, 24));
        let errors = errors(&out, 200);
        assert!(errors.iter().all(|e| e.abs() <= 12), "{errors:?}");
        let all: Vec<u64> = out.iter().map(|p| p.tag.timestamp).collect();
        assert!(all.is_sorted(), "sound and picture do not leave in order of time");
        let headers = out.iter().filter(|p| p.tag.is_sequence_header()).count();
        assert_eq!(headers, 2);
    }

    #[test]
    fn a_segment_is_whole_where_no_picture_waits_for_an_earlier_one() {
        let mut timeline = timeline();
        assert!(timeline.is_whole());
        // As x264 sends them: the fourth picture, then the two before it; all of them two frames late.
        let shown =
            [(true, 2_u64, true), (false, 4, false), (false, 1, false), (false, 1, true), (false, 2, true)];
        for (n, (key, later, whole)) in shown.into_iter().enumerate() {
            let first = if key { 0x17 } else { 0x27 };
            let body = vec![first, 1, 0, 0, (later * 1000).div_ceil(FPS) as u8, 0];
            timeline.push(Tag { kind: Kind::Video, timestamp: n as u64 * 33, body: body.into() });
            assert_eq!(timeline.is_whole(), whole, "after picture {n}");
        }
    }

    #[test]
    fn a_run_that_begins_without_sound_has_an_audio_header_first() {
        let out = play(&[(60, 0), (60, 88)]);
        let sounds: Vec<&TimedTag> = out.iter().filter(|p| p.tag.kind == Kind::Audio).collect();
        assert!(sounds[0].tag.is_sequence_header());
        assert_eq!(sounds.iter().filter(|p| p.tag.is_sequence_header()).count(), 1);
    }

    #[test]
    fn silence_fills_what_an_item_has_too_little_of() {
        let out = play(&[(300, 100), (60, 88)]);
        assert_eq!(steps(&times(&out, Kind::Audio)), (23, 24));
        let silent = out.iter().filter(|p| *p.tag.body == [0xaf, 1, 0]).count() as i64;
        assert!((silent - 333).abs() < 4, "{silent} frames of silence");
        assert!(errors(&out, 2).iter().all(|e| e.abs() <= 12));
    }

    #[test]
    fn pictures_do_not_wait_for_sound_that_has_ended_where_nothing_follows() {
        let (mut timeline, mut out) = (timeline(), Vec::new());
        timeline.begin(1, 0, false);
        for tag in encoded(300, 100) {
            timeline.push(tag);
            drain(&mut timeline, &mut out);
        }
        let pictures = |out: &[TimedTag]| times(out, Kind::Video).len();
        assert!((265..=275).contains(&pictures(&out)), "{}", pictures(&out));
        assert!(timeline.settle());
        drain(&mut timeline, &mut out);
        assert!(pictures(&out) >= 298, "{}", pictures(&out));
        assert!(!timeline.settle());
        timeline.begin(2, 0, false);
        for tag in encoded(60, 88) {
            timeline.push(tag);
            drain(&mut timeline, &mut out);
        }
        assert_eq!(steps(&times(&out, Kind::Audio)), (23, 24));
        assert!(errors(&out, 2).iter().all(|e| e.abs() <= 12), "{:?}", errors(&out, 2));
        // Sound that is where it should be gets none.
        assert!(!timeline.settle());
    }

    #[test]
    fn sound_beyond_the_picture_is_cut_at_the_join() {
        let out = play(&[(60, 110), (60, 88)]);
        assert_eq!(steps(&times(&out, Kind::Audio)), (23, 24));
        assert!(errors(&out, 2).iter().all(|e| e.abs() <= 12), "{:?}", errors(&out, 2));
    }

    #[test]
    fn a_changed_header_is_sent_before_its_first_frame() {
        let (mut timeline, mut out) = (timeline(), Vec::new());
        for tag in encoded(60, 88) {
            timeline.push(tag);
        }
        timeline.begin(2, 0, false);
        for mut tag in encoded(60, 88) {
            if tag.is_sequence_header() && tag.kind == Kind::Video {
                tag.body = vec![0x17, 0, 0, 0, 0, 2].into();
            }
            timeline.push(tag);
        }
        drain(&mut timeline, &mut out);
        let headers: Vec<usize> = (0..out.len())
            .filter(|&at| out[at].tag.is_sequence_header() && out[at].tag.kind == Kind::Video)
            .collect();
        assert_eq!(headers.len(), 2);
        let next = out[headers[1]..].iter().filter(|p| p.tag.kind == Kind::Video).nth(1).unwrap();
        assert!(next.tag.is_keyframe());
    }

    proptest! {
        #[test]
        fn any_items_make_one_even_stream(items in prop::collection::vec((1_u64..200, prop_oneof![Just(0_u64), 1_u64..300]), 1..12)) {
            let out = play(&items);
            let pictures: u64 = items.iter().map(|item| item.0).sum();
            let video = times(&out, Kind::Video);
            prop_assert_eq!(video.len() as u64, pictures);
            if video.len() > 1 {
                let (least, most) = steps(&video);
                prop_assert!((33..=34).contains(&least) && most <= 34);
            }
            let audio = times(&out, Kind::Audio);
            if audio.len() > 1 {
                let (least, most) = steps(&audio);
                prop_assert!((23..=24).contains(&least) && most <= 24);
            }
        }
    }
}
