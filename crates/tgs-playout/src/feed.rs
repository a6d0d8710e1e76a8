//! The read-ahead: tags that are encoded and not yet due, between the thread that encodes and the thread that paces.
//!
//! It is bounded in seconds and bytes; an encoder that is ahead waits. A group of pictures is handed out only when all
//! of it is here, so that the broadcast is never left in the middle of one: whatever goes wrong in the encoder is
//! bridged between two keyframes and nothing is lost.
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tgs_core::cancel::Cancel;

use crate::{
    flv::{Kind, Tag},
    item::Item,
};

/// No sane read-ahead is larger; it protects memory from an absurd bitrate.
const MAX_BYTES: usize = 16 << 20;

/// What the encoder's thread hands over.
#[derive(Debug, Clone)]
pub enum Piece {
    /// An item begins.
    Begin(Arc<OnAir>),
    /// The next tag of the item.
    Tag(Tag),
    /// The item has no more tags.
    End,
}

/// An item as it goes on air.
#[derive(Debug)]
pub struct OnAir {
    /// Number in this run, from 1.
    pub run: u64,
    /// The item; `start` tells where its encoder began.
    pub item: Item,
    /// Whether its encoder makes no sound.
    pub silent: bool,
    /// How long it will be, from `item.start` on.
    pub expected: Option<Duration>,
}

/// How much must be here before an item goes on air (again).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Half a second of picture from an encoder that runs at twice the speed of time or more: nobody watches yet, and
    /// the start shall be quick. From a slower one the whole group, so that the next is here in time.
    Start,
    /// The whole of the next group of pictures.
    Group,
    /// A full read-ahead: after an underrun, so that the next does not follow at once.
    Refilled,
}

/// The answer to [`Feed::take`].
#[derive(Debug)]
pub enum Taken {
    /// The next piece.
    Piece(Piece),
    /// Nothing that may go on air yet.
    NotReady,
    /// The programme is over and everything has been taken.
    Over,
}

/// The read-ahead. One thread gives, one takes.
#[derive(Debug)]
pub struct Feed {
    fps: u64,
    frames_wanted: u64,
    state: Mutex<State>,
    /// There is something to take.
    more: Condvar,
    /// There is room to give.
    room: Condvar,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; no two exclude each other")]
struct State {
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// Pictures among the pieces.
    frames: u64,
    /// Whole groups of pictures that nobody has begun to take; -1 while one is taken before its end is here.
    groups: isize,
    /// Whether the last group has no end yet.
    group_open: bool,
    /// Whether the item that is being taken has passed its first keyframe.
    taking_item: bool,
    over: bool,
    /// When the first picture of all was given.
    first_picture: Option<Instant>,
    /// Set while the viewer is away: a live item's oldest groups make room for its newest.
    at_live_edge: bool,
}

impl Feed {
    /// A feed for `fps` frames a second that holds `ahead` of them.
    #[must_use]
    pub fn new(fps: u32, ahead: Duration) -> Self {
        let frames_wanted = (ahead.as_millis() as u64 * u64::from(fps) / 1000).max(1);
        Self {
            fps: u64::from(fps),
            frames_wanted,
            state: Mutex::default(),
            more: Condvar::new(),
            room: Condvar::new(),
        }
    }

    /// Seconds of picture that are ready.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.lock().frames as f64 / self.fps as f64
    }

    /// Adds a piece; waits while the feed is full. `false` when `cancel` was set meanwhile.
    pub fn give(&self, piece: Piece, live: bool, cancel: &Cancel) -> bool {
        let mut state = self.lock();
        while matches!(piece, Piece::Tag(_)) && self.is_full(&state) {
            if cancel.is_cancelled() {
                return false;
            }
            if live && state.at_live_edge && state.drop_oldest_group() {
                continue;
            }
            // The time-out is for `cancel`, which does not wake this.
            state = self
                .room
                .wait_timeout(state, Duration::from_millis(100))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.add(piece);
        self.more.notify_all();
        true
    }

    /// Nothing will be added any more.
    pub fn finish(&self) {
        self.lock().over = true;
        self.more.notify_all();
    }

    /// Whether what is taken next continues an item that is on air already.
    #[must_use]
    pub fn inside_item(&self) -> bool {
        self.lock().taking_item
    }

    /// Takes the next piece, where what `need` asks for is here.
    pub fn take(&self, need: Need) -> Taken {
        let mut state = self.lock();
        let ready = match need {
            Need::Start => state.groups > 0 || self.is_quick(&state),
            Need::Group => state.groups > 0 || self.is_full(&state),
            Need::Refilled => self.is_full(&state) || state.has_end() || state.over,
        };
        // At the end of the programme what is left goes out as it is.
        let anywhere = need == Need::Refilled;
        if !state.over && (anywhere || state.at_boundary()) && !ready {
            return Taken::NotReady;
        }
        match state.remove() {
            Some(piece) => {
                self.make_room(&state);
                Taken::Piece(piece)
            }
            None if state.over => Taken::Over,
            None => Taken::NotReady,
        }
    }

    /// Takes the next piece as soon as there is one (nobody watches: a file). `NotReady` after `patience`.
    pub fn take_any(&self, patience: Duration) -> Taken {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if let Some(piece) = state.remove() {
                self.make_room(&state);
                return Taken::Piece(piece);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.over {
                return Taken::Over;
            }
            if left.is_zero() {
                return Taken::NotReady;
            }
            state = self.more.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until it is full, so that nobody waits for an encoder. `false` when `cancel` was set meanwhile.
    pub fn wait_full(&self, cancel: &Cancel) -> bool {
        let mut state = self.lock();
        // Filled up again as soon as a third of a second is free: what is between counts as full.
        while state.frames + self.fps / 2 < self.frames_wanted && state.bytes < MAX_BYTES && !state.over {
            if cancel.is_cancelled() {
                return false;
            }
            state = self
                .more
                .wait_timeout(state, Duration::from_millis(100))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        !cancel.is_cancelled()
    }

    /// Waits for a change, `patience` at most.
    pub fn wait(&self, patience: Duration) {
        let state = self.lock();
        drop(self.more.wait_timeout(state, patience));
    }

    /// The viewer is away (or back): live items keep their newest, files wait.
    pub fn set_at_live_edge(&self, away: bool) {
        self.lock().at_live_edge = away;
        self.room.notify_all();
    }

    /// Drops all whole groups of a live item but the last, to go on at its live edge.
    pub fn skip_to_live_edge(&self) {
        let mut state = self.lock();
        while state.groups > 1 && !state.has_end() && state.drop_oldest_group() {}
        self.room.notify_all();
    }

    /// Wakes the giver when a third of a second is free: woken for each tag, it would cost more than copying them does.
    fn make_room(&self, state: &State) {
        if state.frames + self.fps / 3 <= self.frames_wanted && state.bytes < MAX_BYTES {
            self.room.notify_all();
        }
    }

    /// Whether half a second of picture came in a quarter of a second.
    fn is_quick(&self, state: &State) -> bool {
        let took = state.first_picture.map_or(0.0, |first| first.elapsed().as_secs_f64());
        state.frames >= self.fps / 2 && state.frames as f64 / self.fps as f64 > 2.0 * took
    }

    fn is_full(&self, state: &State) -> bool {
        state.frames >= self.frames_wanted || state.bytes >= MAX_BYTES
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the next piece begins an item or a group, so that the broadcast may also go elsewhere.
    fn at_boundary(&self) -> bool {
        match self.pieces.front() {
            None | Some(Piece::Begin(_)) => true,
            Some(Piece::Tag(tag)) => self.taking_item && tag.is_keyframe(),
            Some(Piece::End) => false,
        }
    }

    fn has_end(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::End))
    }

    fn add(&mut self, piece: Piece) {
        match &piece {
            Piece::Tag(tag) => {
                self.bytes += tag.body.len();
                self.frames += u64::from(is_picture(tag));
                self.first_picture.get_or_insert_with(Instant::now);
                if tag.is_keyframe() {
                    self.groups += isize::from(self.group_open);
                    self.group_open = true;
                }
            }
            Piece::End => {
                self.groups += isize::from(self.group_open);
                self.group_open = false;
            }
            Piece::Begin(_) => {}
        }
        self.pieces.push_back(piece);
    }

    fn remove(&mut self) -> Option<Piece> {
        let piece = self.pieces.pop_front()?;
        match &piece {
            Piece::Begin(_) | Piece::End => self.taking_item = false,
            Piece::Tag(tag) => {
                self.bytes -= tag.body.len();
                self.frames -= u64::from(is_picture(tag));
                if tag.is_keyframe() {
                    self.taking_item = true;
                    self.groups -= 1;
                }
            }
        }
        Some(piece)
    }

    /// Drops what comes before the second keyframe, keeping headers, beginnings and ends. `false` where there is none.
    fn drop_oldest_group(&mut self) -> bool {
        if self.has_end() {
            // Another item's rest is before it, which waits for the viewer.
            return false;
        }
        let is_key = |piece: &Piece| matches!(piece, Piece::Tag(tag) if tag.is_keyframe());
        let mut keys = self.pieces.iter().enumerate().filter(|(_, p)| is_key(p)).map(|(at, _)| at);
        let (Some(_), Some(second)) = (keys.next(), keys.next()) else { return false };
        let kept: Vec<Piece> = self
            .pieces
            .drain(..second)
            .filter(|piece| match piece {
                Piece::Tag(tag) if tag.is_frame() => {
                    self.bytes -= tag.body.len();
                    self.frames -= u64::from(is_picture(tag));
                    false
                }
                _ => true,
            })
            .collect();
        for piece in kept.into_iter().rev() {
            self.pieces.push_front(piece);
        }
        self.groups -= 1;
        true
    }
}

fn is_picture(tag: &Tag) -> bool {
    tag.kind == Kind::Video && tag.is_frame()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Media;

    fn begin(live: bool) -> Piece {
        let media = Media::at(String::new(), live);
        let item = Item { id: "x".into(), title: "x".into(), start: Duration::ZERO, media };
        Piece::Begin(Arc::new(OnAir { run: 1, item, silent: false, expected: None }))
    }

    fn picture(key: bool, number: u64) -> Piece {
        let first = if key { 0x17 } else { 0x27 };
        Piece::Tag(Tag { kind: Kind::Video, timestamp: number, body: vec![first, 1, 0, 0, 0, 0].into() })
    }

    /// Groups of two pictures, at one frame a second.
    fn feed(seconds: u64) -> (Feed, Cancel) {
        (Feed::new(1, Duration::from_secs(seconds)), Cancel::new())
    }

    fn number(taken: Taken) -> Option<u64> {
        match taken {
            Taken::Piece(Piece::Tag(tag)) => Some(tag.timestamp),
            _ => None,
        }
    }

    #[test]
    fn a_group_goes_out_whole_or_not_at_all() {
        let (feed, cancel) = feed(10);
        for piece in [begin(false), picture(true, 0), picture(false, 1)] {
            feed.give(piece, false, &cancel);
        }
        assert!(matches!(feed.take(Need::Group), Taken::NotReady));
        feed.give(picture(true, 2), false, &cancel);
        assert!(matches!(feed.take(Need::Group), Taken::Piece(Piece::Begin(_))));
        assert_eq!(number(feed.take(Need::Group)), Some(0));
        assert_eq!(number(feed.take(Need::Group)), Some(1));
        assert!(matches!(feed.take(Need::Group), Taken::NotReady));
        feed.give(Piece::End, false, &cancel);
        assert_eq!(number(feed.take(Need::Group)), Some(2));
        assert!(matches!(feed.take(Need::Group), Taken::Piece(Piece::End)));
        feed.finish();
        assert!(matches!(feed.take(Need::Group), Taken::Over));
    }

    #[test]
    fn after_an_underrun_it_fills_up_first() {
        let (feed, cancel) = feed(4);
        feed.give(begin(false), false, &cancel);
        for n in 0..3 {
            feed.give(picture(n % 2 == 0, n), false, &cancel);
        }
        assert!(matches!(feed.take(Need::Refilled), Taken::NotReady));
        feed.give(picture(false, 3), false, &cancel);
        assert!(matches!(feed.take(Need::Refilled), Taken::Piece(_)));
    }

    #[test]
    fn a_live_item_keeps_its_newest_while_the_viewer_is_away() {
        let (feed, cancel) = feed(4);
        feed.set_at_live_edge(true);
        feed.give(begin(true), true, &cancel);
        for n in 0..9 {
            assert!(feed.give(picture(n % 2 == 0, n), true, &cancel));
        }
        assert!(matches!(feed.take(Need::Group), Taken::Piece(Piece::Begin(_))));
        let left: Vec<u64> = std::iter::from_fn(|| number(feed.take_any(Duration::ZERO))).collect();
        assert_eq!(left, [6, 7, 8]);
    }

    #[test]
    fn a_full_feed_holds_the_encoder_until_it_is_cancelled() {
        let (feed, cancel) = feed(1);
        feed.give(begin(false), false, &cancel);
        assert!(feed.give(picture(true, 0), false, &cancel));
        cancel.cancel();
        assert!(!feed.give(picture(true, 1), false, &cancel));
    }
}
