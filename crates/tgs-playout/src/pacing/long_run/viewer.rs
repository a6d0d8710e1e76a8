//! The other end: judges what comes out as a server and its viewers would, tag by tag, and keeps
//! its own account of the time that they were away. It knows nothing of the engine but the numbers
//! in the bodies.

use std::collections::VecDeque;

use tgs_rtmp::flv::{Kind, Tag};

use super::{
    TOGETHER,
    encoder::{FPS, Programme, RATE, Shown, decoded, heard, reordered, shown},
};

const MS: u64 = 1_000_000;

/// Tags that are due within this go out together.
const EARLY: u64 = TOGETHER.as_millis() as u64 * MS;

/// How late a wait may end, and so a tag come, in nanoseconds.
pub(super) const JITTER: u64 = MS;

/// A picture, a frame of sound, and what sound must lack to have ended.
const HELD_BACK: u64 = (34 + 24 + 50) * MS;

/// Sound lies on a grid of 23.2 ms: half of that is how far it may be off, in ms.
const MOST_APART: u64 = 12;

/// The playout resynchronises after a longer lag.
const LET_GO: u64 = 10_000 * MS;

/// A frame, as its body names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    kind: Kind,
    key: bool,
    /// The item and the number in it; `None` is silence.
    number: Option<(u64, u64)>,
}

impl Frame {
    fn of(tag: &Tag) -> Self {
        let at = if tag.kind == Kind::Video { 5 } else { 2 };
        let number = tag.body[at..].try_into().ok().map(u64::from_be_bytes);
        Self { kind: tag.kind, key: tag.is_keyframe(), number: number.map(|n| (n >> 32, n & 0xffff_ffff)) }
    }
}

/// A frame that may have to be shown again.
#[derive(Debug, Clone, Copy)]
struct Sent {
    frame: Frame,
    /// The broadcast's time of it, in ms.
    time: u64,
    /// Bytes of this connection up to here; those of a flush that has not been are not known.
    end: u64,
}

/// Pictures of one encoder one after another.
#[derive(Debug, Clone, Copy, Default)]
struct Segment {
    seq: u64,
    /// When its first picture is shown, by its encoder's clock and by the broadcast's.
    by_encoder: u64,
    by_broadcast: u64,
    /// Whether sound of it has come.
    heard: bool,
}

/// One connection.
#[derive(Debug, Clone, Copy, Default)]
struct Connection {
    /// Time of the last tag, with the bits that the wire does not carry.
    last: Option<u64>,
    /// The broadcast's time of the first frame, once there was one.
    base: Option<u64>,
    headers: [bool; 2],
    /// How many of the frames that may have been lost are still to come again.
    again: usize,
}

#[derive(Debug)]
pub(super) struct Viewer {
    first_timestamp: u64,
    connection: Connection,
    /// What came since the last keyframe that has arrived for certain.
    sent: VecDeque<Sent>,
    /// The broadcast's time up to which all has arrived, from a break until it goes on.
    resume_at: Option<u64>,
    /// When the broadcast's time 0 was due, in ns; earlier than the beginning where a live source
    /// has skipped.
    pub(super) anchor: Option<i64>,
    /// Pictures and sounds shown; their times follow from these alone until a live source has
    /// skipped some.
    pub(super) first_due: i64,
    pub(super) pictures: u64,
    sounds: u64,
    pub(super) live_breaks: u64,
    last_picture: u64,
    /// Not known right after a live source has skipped some.
    last_sound: Option<u64>,
    /// The newest first: items may be shorter than sound is behind the picture.
    segments: [Segment; 4],
    /// A sound that came before its picture.
    early: Option<(u64, u64, u64)>,
    /// Segments that have begun, now and when the last sound of its own came.
    segment: u64,
    heard_in: u64,
    /// The item on air and its next picture, then its next sound.
    seq: u64,
    next_picture: u64,
    next_sound: (u64, u64),
    /// The next picture of the filler, while that is on air.
    filler: Option<u64>,
    /// How long the world stood still since the broadcast was last on time, in ns.
    pub(super) behind: u64,
    /// Whether the playout has just waited, and whether the read-ahead has just been about to be
    /// empty.
    pub(super) waited: bool,
    pub(super) starved: bool,
    /// Sums in ns.
    pub(super) away: i64,
    pub(super) let_go: u64,
    pub(super) seen: Seen,
}

/// The totals, printed at the end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) tags: u64,
    pub(super) connections: u64,
    pub(super) wraps: u64,
    pub(super) fillers: u64,
    pub(super) shown_again: u64,
    /// Tags that came late, by a few pictures at most.
    pub(super) late: u64,
    pub(super) lags_let_go: u64,
    pub(super) furthest_apart: u64,
    pub(super) most_kept: usize,
    /// Over every tag, its time and when it came.
    pub(super) digest: u64,
}

impl Viewer {
    pub(super) fn new(first_timestamp: u64) -> Self {
        Self {
            first_timestamp,
            connection: Connection::default(),
            sent: VecDeque::new(),
            resume_at: None,
            anchor: None,
            first_due: 0,
            pictures: 0,
            sounds: 0,
            live_breaks: 0,
            last_picture: 0,
            last_sound: None,
            segments: [Segment::default(); 4],
            early: None,
            segment: 0,
            heard_in: 0,
            seq: 0,
            next_picture: 0,
            next_sound: (0, 0),
            filler: None,
            behind: 0,
            waited: false,
            starved: false,
            away: 0,
            let_go: 0,
            seen: Seen::default(),
        }
    }

    /// A connection is there.
    pub(super) fn connected(&mut self) {
        self.connection = Connection::default();
        self.waited = false;
        self.seen.connections += 1;
    }

    /// A connection is gone, of which `acked` bytes have arrived.
    pub(super) fn lost(&mut self, acked: u64) {
        // Else the one before still counts: this one did not come to anything new.
        if self.connection.base.is_some() && self.resume_at.is_none() {
            let arrived = self.sent.iter().rev().find(|sent| sent.end <= acked);
            self.resume_at = arrived.or(self.sent.front()).map(|sent| sent.time);
        }
        self.forget(acked);
        for sent in &mut self.sent {
            sent.end = u64::MAX;
        }
    }

    /// Forgets what comes before the last keyframe that has arrived.
    fn forget(&mut self, acked: u64) {
        let key = self.sent.iter().rposition(|sent| sent.end <= acked && sent.frame.key);
        self.sent.drain(..key.unwrap_or(0));
    }

    /// All that was taken is sent, `bytes` of this connection.
    pub(super) fn flushed(&mut self, bytes: u64, acked: u64) {
        for sent in self.sent.iter_mut().rev().take_while(|sent| sent.end == u64::MAX) {
            sent.end = bytes;
        }
        if self.connection.again == 0 {
            self.resume_at = None;
        }
        self.seen.most_kept = self.seen.most_kept.max(self.sent.len());
        if self.sent.len() > 1000 && self.connection.again == 0 {
            self.forget(acked);
        }
    }

    /// Judges a tag of `programme` that comes at `now`, in ns from the beginning.
    pub(super) fn take(&mut self, now: u64, tag: &Tag, programme: &mut Programme) {
        let time = self.unwrapped(tag.timestamp as u32);
        self.seen.tags += 1;
        self.seen.digest =
            (self.seen.digest ^ now ^ time.rotate_left(20) ^ u64::from(tag.body[tag.body.len() - 1]))
                .wrapping_mul(0x0100_0000_01b3);
        if tag.is_sequence_header() {
            let known = &mut self.connection.headers[usize::from(tag.kind == Kind::Audio)];
            assert!(!std::mem::replace(known, true), "a header comes twice");
            return;
        }
        assert!(tag.is_frame(), "{tag:?}");
        let frame = Frame::of(tag);
        let Some(base) = self.connection.base else {
            assert_eq!(time, self.first_timestamp, "the time of a connection's first frame");
            assert!(frame.key, "a connection begins with {frame:?}");
            assert!(self.connection.headers[0], "a connection without the header of its pictures");
            let base = self.first_of_connection(now, frame, programme);
            self.connection.base = Some(base);
            return self.place(now, base, frame, tag, programme);
        };
        self.place(now, base + time - self.first_timestamp, frame, tag, programme);
    }

    /// All bits of a time of which the wire carries 32.
    fn unwrapped(&mut self, low: u32) -> u64 {
        let time = match self.connection.last {
            None => {
                assert_eq!(low, self.first_timestamp as u32);
                self.first_timestamp
            }
            Some(last) => {
                let step = low.wrapping_sub(last as u32);
                assert!(step < 1000, "the time of a connection goes from {} to {low}", last as u32);
                self.seen.wraps += u64::from(low < last as u32);
                last + u64::from(step)
            }
        };
        self.connection.last = Some(time);
        time
    }

    /// The broadcast's time of a connection's first frame.
    fn first_of_connection(&mut self, now: u64, frame: Frame, programme: &Programme) -> u64 {
        let Some(first) = self.sent.front() else {
            if self.anchor.is_none() {
                (self.anchor, self.first_due) = (Some(now as i64), now as i64);
            }
            return 0;
        };
        let at = self.resume_at.expect("nothing is shown again without a break");
        let base = if frame == first.frame {
            first.time
        } else {
            // A live source has gone on at its newest, which is a time nobody knows: it is taken to
            // follow at once.
            let (seq, n) = frame.number.expect("a picture");
            let newer = seq > self.seq || seq == self.seq && n > self.next_picture;
            let live = programme.live.contains(&seq) && newer || seq == 0 && !programme.live.is_empty();
            assert!(live, "{frame:?} after {:?}", self.sent.back());
            self.live_breaks += 1;
            self.last_sound = None;
            self.sent.clear();
            self.resume_at = None;
            self.last_picture + 33
        };
        let resumed = if self.sent.is_empty() { base } else { at };
        let before = self.anchor.replace((now - resumed * MS) as i64);
        // A live source that goes on at its newest moves the anchor back.
        self.away += self.anchor.unwrap_or(0) - before.unwrap_or(0);
        self.behind = 0;
        self.connection.again = self.sent.len();
        base
    }

    fn place(&mut self, now: u64, time: u64, frame: Frame, tag: &Tag, programme: &mut Programme) {
        if self.connection.again > 0 {
            let lost = self.sent[self.sent.len() - self.connection.again];
            self.connection.again -= 1;
            assert_eq!((frame, time), (lost.frame, lost.time), "shown again in another way");
            self.seen.shown_again += 1;
            return;
        }
        self.sent.push_back(Sent { frame, time, end: u64::MAX });
        self.pace(now, time, frame);
        match (frame.kind, frame.number) {
            (Kind::Video, Some((seq, n))) => self.see(time, seq, n, tag.composition_time() as u64, programme),
            (_, number) => self.hear(time, number),
        }
    }

    /// Whether it comes when it is due.
    fn pace(&mut self, now: u64, time: u64, frame: Frame) {
        let due = self.anchor.expect("the first frame has set it") + (time * MS) as i64;
        let late = now as i64 - due;
        // Who has waited has waited for this one; those behind it may go with it.
        let early = if std::mem::take(&mut self.waited) { 0 } else { EARLY as i64 };
        assert!(late >= -early, "{time} ms comes {late} ns early");
        let late = late.max(0) as u64;
        if late > LET_GO {
            assert!(
                late <= self.behind.saturating_add(JITTER),
                "{late} ns resynchronised, {} lost",
                self.behind
            );
            self.anchor = Some(now as i64 - (time * MS) as i64);
            self.let_go += late;
            self.seen.lags_let_go += 1;
        } else if self.behind == 0 {
            // What stands last in what the encoder has given leaves once it is known what follows,
            // or that nothing does.
            assert!(late <= HELD_BACK + JITTER, "{frame:?} at {time} ms comes {late} ns late");
            assert!(
                late <= JITTER || self.starved,
                "{frame:?} at {time} ms comes {late} ns late for nothing"
            );
            self.seen.late += u64::from(late > JITTER);
        }
    }

    /// Whether a picture is the next one, at its place.
    fn see(&mut self, time: u64, seq: u64, n: u64, later: u64, programme: &mut Programme) {
        let at = |frames: u64| (frames * 1000 + FPS / 2) / FPS;
        let frames = reordered(n);
        if self.live_breaks == 0 {
            assert_eq!(time, at(self.pictures), "picture {} of the broadcast", self.pictures);
            assert_eq!(time + later, at(self.pictures + frames), "its presentation");
        } else {
            assert!((33..=34).contains(&(time - self.last_picture)), "{time} after {}", self.last_picture);
            assert_eq!((later * FPS + 500) / 1000, frames, "its presentation");
        }
        self.pictures += 1;
        self.last_picture = time;
        let begins = self.goes_on_with(seq, n, programme);
        if begins {
            assert!(n.is_multiple_of(60), "picture {n} of item {seq} follows another's");
            self.segment += 1;
            self.segments.rotate_right(1);
            self.segments[0] =
                Segment { seq, by_encoder: shown(n), by_broadcast: time + later, heard: false };
        }
        if let Some((time, seq, n)) = self.early.take() {
            let is_there = self.is_with_picture(time, seq, n);
            assert!(is_there, "sound {n} of item {seq} is off its picture: {:?}", self.segments);
        }
    }

    /// Whether picture `n` of `run` begins a segment. Panics where it cannot come next.
    fn goes_on_with(&mut self, seq: u64, n: u64, programme: &mut Programme) -> bool {
        if seq == 0 {
            let expected = self.filler.filter(|next| *next == n);
            assert!(n == 0 || expected.is_some(), "the filler jumps to {n}");
            self.seen.fillers += u64::from(self.filler.is_none());
            self.filler = Some(n + 1);
            return n == 0;
        }
        let behind_filler = self.filler.take().is_some();
        let (before, next) = (self.seq, self.next_picture);
        (self.seq, self.next_picture) = (seq, n + 1);
        if seq == before && n == next {
            return behind_filler;
        }
        if seq == before {
            assert!(n > next && programme.live.contains(&seq), "{seq}: {n} after {next}");
            return true;
        }
        assert_eq!(seq, before + 1, "an item is missing");
        if before > 0 {
            let ended = programme.given.pop_front().expect("its encoder has ended");
            assert_eq!(ended.seq, before);
            assert!(
                ended.live || next == ended.pictures,
                "item {before} ends at {next} of {}",
                ended.pictures
            );
        }
        assert_eq!(n, 0, "item {seq} begins in the middle");
        true
    }

    /// Whether the item on air was seen to its end.
    pub(super) fn saw_all_of(&self, last: Shown) -> bool {
        (self.seq, self.next_picture) == (last.seq, last.pictures)
    }

    /// Whether a sound is where its picture wants it.
    fn is_with_picture(&mut self, time: u64, seq: u64, n: u64) -> bool {
        let of_run = self.segments.iter_mut().filter(|segment| segment.seq == seq);
        let apart = |segment: &Segment| (segment.by_broadcast + heard(n)).abs_diff(segment.by_encoder + time);
        let Some(segment) = of_run.min_by_key(|segment| apart(segment)) else { return false };
        // It is placed by the first; an encoder's times are cut to a millisecond, which shows in
        // those behind it.
        let is_there = apart(segment) <= MOST_APART + u64::from(segment.heard);
        segment.heard |= is_there;
        if is_there {
            self.seen.furthest_apart = self.seen.furthest_apart.max(apart(segment));
        }
        is_there
    }

    /// Whether a sound is the next one, at its place and with its picture.
    fn hear(&mut self, time: u64, number: Option<(u64, u64)>) {
        let at = |frames: u64| (frames * 1024 * 1000 + RATE / 2) / RATE;
        if self.live_breaks == 0 {
            assert_eq!(time, at(self.sounds), "sound {} of the broadcast", self.sounds);
        } else if let Some(last) = self.last_sound {
            assert!((23..=24).contains(&(time - last)), "{time} after {last}");
        }
        self.sounds += 1;
        self.last_sound = Some(time);
        assert!(self.connection.headers[1], "sound without its header");
        let Some((seq, n)) = number else { return };
        if !self.is_with_picture(time, seq, n) {
            // It may lie just before the first picture of its segment.
            assert!(self.early.is_none(), "sound {n} of item {seq} is off its picture: {:?}", self.segments);
            self.early = Some((time, seq, n));
        }
        let (before, next) = self.next_sound;
        if seq == before && seq > 0 && n != next {
            assert!(n > next && self.heard_in != self.segment, "item {seq}: sound {n} after {next}");
        }
        self.next_sound = (seq, n + 1);
        self.heard_in = self.segment;
    }
}

/// The times of the simulated encoder are what the judgement is about, so they are judged
/// themselves.
#[test]
fn the_encoder_counts_as_ffmpeg_does() {
    assert_eq!((decoded(0), decoded(1), decoded(90)), (0, 33, 3000));
    assert_eq!((shown(0), heard(0), heard(1)), (66, 43, 66));
}
