//! The simulated programme and its encoders: the events of the prepare and encode threads, with
//! empty payloads. A body holds only the numbers of its item and frame.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tgs_rtmp::flv::{Kind, Tag};

use crate::{
    ffmpeg::process::TimestampUnwrapper,
    item::{Item, Media},
    read_ahead::{Event, StartedItem},
};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const HOUR: u64 = 3600 * SECOND;
pub(super) const FPS: u64 = 30;
pub(super) const RATE: u64 = 44_100;

/// Pictures from one keyframe to the next.
pub(super) const GROUP: u64 = 2 * FPS;

/// Composition offsets of four successive pictures, in frames.
const REORDER: [u64; 4] = [2, 4, 1, 1];

pub(super) const VIDEO_HEADER: [u8; 6] = [0x17, 0, 0, 0, 0, 1];
pub(super) const AUDIO_HEADER: [u8; 4] = [0xaf, 0, 0x12, 0x10];
pub(super) const SILENCE: [u8; 3] = [0xaf, 1, 0];

/// The encoder's decoding time of picture `n`, in ms.
pub(super) fn decoded(n: u64) -> u64 {
    n * 1000 / FPS
}

/// Composition offset of picture `n`, in frames.
pub(super) fn reordered(n: u64) -> u64 {
    REORDER[n as usize % 4]
}

/// The encoder's presentation time of picture `n`, in ms.
pub(super) fn shown(n: u64) -> u64 {
    decoded(n) + reordered(n) * 1000 / FPS
}

/// The encoder's time of sound `n`, in ms: one priming frame before the first picture's
/// presentation.
pub(super) fn heard(n: u64) -> u64 {
    n * 1024 * 1000 / RATE + 66 - 23
}

fn number(seq: u64, n: u64) -> [u8; 8] {
    (seq << 32 | n).to_be_bytes()
}

pub(super) fn picture(seq: u64, n: u64) -> Tag {
    let mut body = [0; 13];
    body[0] = if n.is_multiple_of(GROUP) { 0x17 } else { 0x27 };
    body[1] = 1;
    body[4] = (reordered(n) * 1000 / FPS) as u8;
    body[5..].copy_from_slice(&number(seq, n));
    Tag { kind: Kind::Video, timestamp: decoded(n), body: body.into() }
}

pub(super) fn sound(seq: u64, n: u64) -> Tag {
    let mut body = [0; 10];
    body[..2].copy_from_slice(&[0xaf, 1]);
    body[2..].copy_from_slice(&number(seq, n));
    Tag { kind: Kind::Audio, timestamp: heard(n), body: body.into() }
}

pub(super) fn header(kind: Kind) -> Tag {
    let body: Arc<[u8]> = if kind == Kind::Video { VIDEO_HEADER.into() } else { AUDIO_HEADER.into() };
    Tag { kind, timestamp: 0, body }
}

/// The output of an item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) seq: u64,
    /// Pictures that its encoder produces in total.
    pub(super) pictures: u64,
    pub(super) live: bool,
}

/// The encoder of one item.
#[derive(Debug)]
struct Job {
    shown: Shown,
    sounds: u64,
    next_picture: u64,
    next_sound: u64,
    /// Start time, for a live encoder that runs in real time.
    began: u64,
    clock: TimestampUnwrapper,
    /// The events before its first frame.
    opening: VecDeque<Event>,
}

/// The programme, played by one encoder after another.
#[derive(Debug)]
pub(super) struct Programme {
    rng: fastrand::Rng,
    /// Time after which no further item begins.
    end: u64,
    /// Time at which an item of `long` pictures begins, which exceeds its encoder's 31 bits.
    long_at: Option<u64>,
    long: u64,
    /// Times at which a live item of an hour begins.
    live_at: VecDeque<u64>,
    job: Option<Job>,
    /// Time at which the next item is prepared, or the source yields media again.
    ready: u64,
    runs: u64,
    pub(super) failed: u64,
    /// Items that the viewer has not seen to their end.
    pub(super) given: VecDeque<Shown>,
    /// Numbers of the live items.
    pub(super) live: Vec<u64>,
}

impl Programme {
    /// About ten thousand items in 60 days; for other `days` in proportion. The longest takes 26/60
    /// of the time.
    pub(super) fn new(days: u64, seed: u64) -> Self {
        let part = |percent: u64| days * 24 * HOUR / 100 * percent;
        Self {
            rng: fastrand::Rng::with_seed(seed),
            end: part(100),
            long_at: Some(part(42)),
            long: part(100) / SECOND * 26 / 60 * FPS,
            live_at: Self::live_at(days).into(),
            job: None,
            ready: 0,
            runs: 0,
            failed: 0,
            given: VecDeque::new(),
            live: Vec::new(),
        }
    }

    /// Earliest times of the live items.
    pub(super) fn live_at(days: u64) -> [u64; 2] {
        [97, 99].map(|percent| days * 24 * HOUR / 100 * percent)
    }

    /// Number of items that have begun.
    pub(super) fn runs(&self) -> u64 {
        self.runs
    }

    /// The source yields no media before `until`.
    pub(super) fn starve(&mut self, until: u64) {
        self.ready = self.ready.max(until);
    }

    /// Whether the programme is over.
    pub(super) fn is_over(&self, now: u64) -> bool {
        now >= self.end && self.job.is_none()
    }

    /// The encoder's next event, and whether the item is live.
    pub(super) fn next(&mut self, now: u64) -> Option<(Event, bool)> {
        if now < self.ready {
            return None;
        }
        if self.job.is_none() {
            self.begin(now)?;
        }
        let job = self.job.as_mut()?;
        let live = job.shown.live;
        if let Some(piece) = job.opening.pop_front() {
            return Some((piece, live));
        }
        if job.next_picture == job.shown.pictures && job.next_sound == job.sounds {
            self.given.push_back(job.shown);
            self.job = None;
            // ffmpeg ends, and the next one starts.
            self.ready = now + self.rng.u64(..SECOND / 2);
            return Some((Event::End, live));
        }
        let sound_first = job.next_picture == job.shown.pictures
            || job.next_sound < job.sounds && heard(job.next_sound) < decoded(job.next_picture);
        let mut tag = if sound_first {
            sound(job.shown.seq, job.next_sound)
        } else {
            picture(job.shown.seq, job.next_picture)
        };
        if live && job.began + tag.timestamp * 1_000_000 > now {
            return None;
        }
        if sound_first {
            job.next_sound += 1;
        } else {
            job.next_picture += 1;
        }
        // Wraps as in ffmpeg's FLV, and unwraps as the reader does.
        tag.timestamp = job.clock.unwrap(tag.timestamp & 0x7fff_ffff);
        Some((Event::Tag(tag), live))
    }

    /// Opens the next item, unless it fails at once.
    fn begin(&mut self, now: u64) -> Option<()> {
        if now >= self.end {
            return None;
        }
        let rng = &mut self.rng;
        if self.runs > 0 && rng.u32(..100) < 3 {
            // Failures take time: a server that does not answer, a back-off when the whole list
            // fails.
            self.failed += 1;
            self.ready = now + rng.u64(SECOND / 10..40 * SECOND);
            return None;
        }
        let live = self.live_at.pop_front_if(|at| *at <= now).is_some();
        let pictures = if live {
            3600 * FPS
        } else if self.long_at.take_if(|at| *at <= now).is_some() {
            self.long
        } else if rng.u32(..100) < 3 {
            // A truncated item, or a jingle.
            rng.u64(1..GROUP)
        } else {
            ((-(1.0 - rng.f64()).ln() * 285.0 * FPS as f64) as u64).clamp(GROUP, 90 * 60 * FPS)
        };
        let whole = (pictures * 1000 * RATE / (FPS * 1024 * 1000)).max(1);
        let (silent, sounds) = match rng.u32(..100) {
            0..5 => (true, 0),
            // The sound ends early.
            5..10 => (false, (whole / 2).max(1)),
            10..20 => (false, whole + rng.u64(..90)),
            _ => (false, whole + 1),
        };
        self.runs += 1;
        if live {
            self.live.push(self.runs);
        }
        let shown = Shown { seq: self.runs, pictures, live };
        let item = Item {
            turn: 0,
            id: format!("item {}", self.runs),
            title: format!("title {}", self.runs),
            start: Duration::from_secs(if rng.u32(..20) == 0 { 100 } else { 0 }),
            media: Media { sources: Vec::new(), ..Media::at(String::new(), live) },
        };
        let expected = (!live).then(|| Duration::from_secs(pictures / FPS));
        let on_air = Arc::new(StartedItem { seq: shown.seq, item, silent, expected });
        let mut opening = VecDeque::from([Event::Begin(on_air), Event::Tag(header(Kind::Video))]);
        if !silent {
            opening.push_back(Event::Tag(header(Kind::Audio)));
        }
        let clock = TimestampUnwrapper::default();
        self.job = Some(Job { shown, sounds, next_picture: 0, next_sound: 0, began: now, clock, opening });
        Some(())
    }
}
