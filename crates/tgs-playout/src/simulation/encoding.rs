//! The prepare and encode threads of the list or a lane, without threads.

use std::sync::{Arc, LazyLock};

use tgs_core::cancel::Cancel;
use tgs_rtmp::flv::{Kind, Tag};

use super::format::{FPS, LengthOf, READ_AHEAD};
use crate::{
    item::{Item, NextItem, Programme},
    read_ahead::{Admission, Event, ReadAhead, StartedItem},
};

/// Pictures from one keyframe to the next.
const GROUP: u64 = 2 * FPS;

/// Entries in a row that cannot be played, after which a programme rests until the next tick.
const MOST_SKIPPED: usize = 50;

static BODIES: LazyLock<[Arc<[u8]>; 3]> =
    LazyLock::new(|| [[0x17, 1, 0, 0, 0, 0].into(), [0x27, 1, 0, 0, 0, 0].into(), [0xaf, 1, 0].into()]);

/// A programme that is encoded at the speed of the disk; live items as they come.
pub(super) struct Encoding {
    programme: Box<dyn Programme>,
    pub(super) read_ahead: Arc<ReadAhead>,
    cancel: Cancel,
    length: Arc<LengthOf>,
    current: Option<Current>,
    over: bool,
}

struct Current {
    item: Item,
    discarded: Cancel,
    began: u64,
    next: u64,
    /// Pictures; `None` for a live item.
    total: Option<u64>,
}

impl Encoding {
    pub(super) fn new(
        programme: Box<dyn Programme>,
        read_ahead: Arc<ReadAhead>,
        cancel: Cancel,
        length: Arc<LengthOf>,
    ) -> Self {
        Self { programme, read_ahead, cancel, length, current: None, over: false }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Works up to `now`, in nanoseconds.
    pub(super) fn advance(&mut self, now: u64) {
        while !self.over && !self.cancel.is_cancelled() {
            if self.current.is_none() && !self.open(now) {
                return;
            }
            let Some(current) = &mut self.current else { continue };
            let live = current.total.is_none();
            let made = (now - current.began) * FPS / 1_000_000_000;
            if self.read_ahead.seconds() >= READ_AHEAD.as_secs_f64() || (live && current.next >= made) {
                return;
            }
            let ended = current.total.is_some_and(|total| current.next >= total);
            let discarded = current.discarded.clone();
            // A full read-ahead would block the only thread: the check above leaves room.
            let taken = if ended {
                self.read_ahead.push(Event::End, live, &discarded)
            } else {
                self.read_ahead.push_group(tags(current.next, current.next + 1), &discarded)
            };
            current.next += 1;
            if ended || !taken {
                self.read_ahead.close();
                self.current = None;
            }
        }
    }

    /// Begins the next item; `false` without one.
    fn open(&mut self, now: u64) -> bool {
        for _ in 0..MOST_SKIPPED {
            let next = match self.programme.next() {
                NextItem::Play(item) => self.programme.confirm(item),
                other => other,
            };
            let item = match next {
                NextItem::Play(item) => item,
                NextItem::Kept { .. } | NextItem::Skip { .. } => continue,
                NextItem::End => {
                    self.over = self.read_ahead.finish();
                    return false;
                }
            };
            match self.read_ahead.admit(&item, &self.cancel) {
                Admission::Admitted(attempt) => {
                    let rest = (self.length)(&item).map(|length| length.saturating_sub(item.start));
                    let total = rest.map(|rest| (rest.as_millis() as u64 * FPS / 1000).max(1));
                    let started =
                        StartedItem { seq: attempt.seq, item: item.clone(), silent: false, expected: rest };
                    self.read_ahead.push(Event::Begin(Arc::new(started)), false, &attempt.discarded);
                    for header in headers() {
                        self.read_ahead.push(Event::Tag(header), false, &attempt.discarded);
                    }
                    self.current =
                        Some(Current { item, discarded: attempt.discarded, began: now, next: 0, total });
                    return true;
                }
                Admission::Skipped => {}
                Admission::Ended | Admission::Stale => return false,
            }
        }
        false
    }
}

impl std::fmt::Debug for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let title = self.current.as_ref().map(|current| current.item.title.as_str());
        f.debug_struct("Encoding").field("current", &title).finish_non_exhaustive()
    }
}

/// The pictures from number `from` to before `to`, and their sound.
pub(super) fn tags(from: u64, to: u64) -> Vec<Tag> {
    let [key, inter, sound] = &*BODIES;
    let both = |n: u64| {
        let timestamp = n * 1000 / FPS;
        let body = if n.is_multiple_of(GROUP) { key } else { inter };
        [
            Tag { kind: Kind::Video, timestamp, body: body.clone() },
            Tag { kind: Kind::Audio, timestamp, body: sound.clone() },
        ]
    };
    (from..to).flat_map(both).collect()
}

pub(super) fn headers() -> [Tag; 2] {
    [
        Tag { kind: Kind::Video, timestamp: 0, body: [0x17, 0, 0, 0, 0, 1].into() },
        Tag { kind: Kind::Audio, timestamp: 0, body: [0xaf, 0, 0x12, 0x10].into() },
    ]
}
