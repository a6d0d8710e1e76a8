//! The receiving side: judges the output tag by tag as a server and its viewers would, and keeps
//! its own account of the time without a connection. Knows only the numbers in the bodies, nothing
//! of the engine.

use std::collections::VecDeque;

use tgs_rtmp::flv::{Kind, Tag};

use super::{
    TOGETHER,
    encoder::{FPS, Programme, RATE, Shown, decoded, heard, reordered, shown},
};

const MS: u64 = 1_000_000;

/// Tags that are due within this time are sent together.
const EARLY: u64 = TOGETHER.as_millis() as u64 * MS;

/// Largest delay of a wait, and thus of a tag, in nanoseconds.
pub(super) const JITTER: u64 = MS;

/// A picture, a frame of sound, and the lag after which sound counts as ended.
const HELD_BACK: u64 = (34 + 24 + 50) * MS;

/// Largest error of sound, in ms: half of its grid of 23.2 ms.
const MOST_APART: u64 = 12;

/// The playout resynchronises after a longer lag.
const LET_GO: u64 = 10_000 * MS;

/// A frame, as its body names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    kind: Kind,
    key: bool,
    /// The item and the frame's number in it; `None` for silence.
    number: Option<(u64, u64)>,
}

impl Frame {
    fn of(tag: &Tag) -> Self {
        let at = if tag.kind == Kind::Video { 5 } else { 2 };
        let number = tag.body[at..].try_into().ok().map(u64::from_be_bytes);
        Self { kind: tag.kind, key: tag.is_keyframe(), number: number.map(|n| (n >> 32, n & 0xffff_ffff)) }
    }
}

/// A frame that may have to be sent again.
#[derive(Debug, Clone, Copy)]
struct Sent {
    frame: Frame,
    /// Its broadcast time, in ms.
    time: u64,
    /// Bytes of this connection including this frame; `u64::MAX` before the flush.
    end: u64,
}

/// Successive pictures of one encoder.
#[derive(Debug, Clone, Copy, Default)]
struct Segment {
    seq: u64,
    /// Presentation time of its first picture, on the encoder's clock and on the broadcast's.
    by_encoder: u64,
    by_broadcast: u64,
    /// Whether sound of the segment has come.
    heard: bool,
}

/// One connection.
#[derive(Debug, Clone, Copy, Default)]
struct Connection {
    /// Time of the last tag, with the bits that the wire does not carry.
    last: Option<u64>,
    /// Broadcast time of the first frame, once there was one.
    base: Option<u64>,
    headers: [bool; 2],
    /// Number of possibly lost frames that are still to be sent again.
    again: usize,
}

#[derive(Debug)]
pub(super) struct Viewer {
    first_timestamp: u64,
    connection: Connection,
    /// Frames since the last keyframe that has arrived for certain.
    sent: VecDeque<Sent>,
    /// Broadcast time up to which everything has arrived, from a lost connection until the resume.
    resume_at: Option<u64>,
    /// Due time of the broadcast's time 0, in ns; may be negative after a live source has skipped.
    pub(super) anchor: Option<i64>,
    /// Pictures and sounds received; their times follow from these counts alone until a live source
    /// skips.
    pub(super) first_due: i64,
    pub(super) pictures: u64,
    sounds: u64,
    pub(super) live_breaks: u64,
    last_picture: u64,
    /// Unknown right after a live source has skipped.
    last_sound: Option<u64>,
    /// Newest first: an item may be shorter than the lag of sound behind the picture.
    segments: [Segment; 4],
    /// A sound that came before its picture.
    early: Option<(u64, u64, u64)>,
    /// Number of segments so far, and that number at the last sound of an item or filler.
    segment: u64,
    heard_in: u64,
    /// The current item and its next picture, then its next sound.
    seq: u64,
    next_picture: u64,
    next_sound: (u64, u64),
    /// The filler's next picture, while the filler is sent.
    filler: Option<u64>,
    /// Duration of stalls since the broadcast was last on time, in ns.
    pub(super) behind: u64,
    /// Whether the playout has just waited, and whether the read-ahead has just been nearly empty.
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
    /// Digest over the time and the arrival of every tag.
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

    /// A connection is established.
    pub(super) fn connected(&mut self) {
        self.connection = Connection::default();
        self.waited = false;
        self.seen.connections += 1;
    }

    /// A connection is lost, of which `acked` bytes have arrived.
    pub(super) fn lost(&mut self, acked: u64) {
        // Otherwise the previous position holds: this connection has delivered nothing new.
        if self.connection.base.is_some() && self.resume_at.is_none() {
            let arrived = self.sent.iter().rev().find(|sent| sent.end <= acked);
            self.resume_at = arrived.or(self.sent.front()).map(|sent| sent.time);
        }
        self.forget(acked);
        for sent in &mut self.sent {
            sent.end = u64::MAX;
        }
    }

    /// Forgets the frames before the last keyframe that has arrived.
    fn forget(&mut self, acked: u64) {
        let key = self.sent.iter().rposition(|sent| sent.end <= acked && sent.frame.key);
        self.sent.drain(..key.unwrap_or(0));
    }

    /// All queued tags are sent, `bytes` of this connection.
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

    /// The full time, of which the wire carries 32 bits.
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

    /// The broadcast time of a connection's first frame.
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
            // A live source has continued at its live edge, at an unknown time, which is assumed to
            // follow directly.
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
        // A live source that continues at its live edge moves the anchor back.
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

    /// Judges whether a frame comes when due.
    fn pace(&mut self, now: u64, time: u64, frame: Frame) {
        let due = self.anchor.expect("the first frame has set it") + (time * MS) as i64;
        let late = now as i64 - due;
        // After a wait the tag must not be early; later tags may be sent with it.
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
            // The last frames of an encoder leave once the next ones are known, or known to be
            // absent.
            assert!(late <= HELD_BACK + JITTER, "{frame:?} at {time} ms comes {late} ns late");
            assert!(
                late <= JITTER || self.starved,
                "{frame:?} at {time} ms comes {late} ns late for nothing"
            );
            self.seen.late += u64::from(late > JITTER);
        }
    }

    /// Judges whether a picture is the next one, at its place.
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

    /// Whether picture `n` of item `seq` begins a segment. Panics if the picture cannot come next.
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

    /// Whether the current item was received to its end.
    pub(super) fn saw_all_of(&self, last: Shown) -> bool {
        (self.seq, self.next_picture) == (last.seq, last.pictures)
    }

    /// Whether a sound is at the place that its picture determines.
    fn is_with_picture(&mut self, time: u64, seq: u64, n: u64) -> bool {
        let of_run = self.segments.iter_mut().filter(|segment| segment.seq == seq);
        let apart = |segment: &Segment| (segment.by_broadcast + heard(n)).abs_diff(segment.by_encoder + time);
        let Some(segment) = of_run.min_by_key(|segment| apart(segment)) else { return false };
        // The first sound determines the place; the encoder's truncation to milliseconds shows in
        // later ones.
        let is_there = apart(segment) <= MOST_APART + u64::from(segment.heard);
        segment.heard |= is_there;
        if is_there {
            self.seen.furthest_apart = self.seen.furthest_apart.max(apart(segment));
        }
        is_there
    }

    /// Judges whether a sound is the next one, at its place and with its picture.
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
            // The sound may lie just before the first picture of its segment.
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

/// Checks the times of the simulated encoder, on which all judgements rest.
#[test]
fn the_encoder_counts_as_ffmpeg_does() {
    assert_eq!((decoded(0), decoded(1), decoded(90)), (0, 33, 3000));
    assert_eq!((shown(0), heard(0), heard(1)), (66, 43, 66));
}
