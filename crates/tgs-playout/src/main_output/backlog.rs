//! The tags that the thread of the main output has yet to take. Bounded as the queue of the further
//! outputs: beyond [`MAX_BEHIND`] or [`MAX_QUEUED`] all are dropped, and the backlog begins anew
//! with the next keyframe. So an outage shorter than [`MAX_BEHIND`] costs viewers nothing.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tgs_rtmp::flv::{Kind, Tag};

use crate::{
    outputs::{MAX_BEHIND, MAX_QUEUED, TAG_COST},
    timeline::{TagOrigin, TimedTag},
};

/// The backlog, and what its two sides know of each other. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Backlog(Arc<Mutex<WaitingTags>>);

#[derive(Debug, Default)]
struct WaitingTags {
    tags: VecDeque<TimedTag>,
    bytes: usize,
    /// The headers in force after the last tag.
    headers: [Option<Tag>; 2],
    /// Set after a drop: tags before the next keyframe are dropped as well.
    until_keyframe: bool,
    /// Whether tags were dropped since a take that was not empty.
    dropped: bool,
    progress: Progress,
    over: bool,
}

/// How far the thread has got.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// Whether it is connected.
    pub(super) connected: bool,
    /// Origin of the last frame that has arrived over this connection.
    pub(super) arrived: Option<TagOrigin>,
    /// Seconds of media that the thread has taken and the server not acknowledged.
    pub(super) unacknowledged: f64,
}

/// What the thread takes.
#[derive(Debug, Default)]
pub(super) struct TakenBatch {
    pub(super) tags: VecDeque<TimedTag>,
    /// Whether media before `tags`, or before what follows, was dropped.
    pub(super) dropped: bool,
    /// Whether nothing follows.
    pub(super) over: bool,
}

impl Backlog {
    /// Appends a tag. Takes no time worth mentioning.
    pub(super) fn push(&self, placed: TimedTag) {
        self.lock().push(placed);
    }

    /// Takes everything that waits.
    pub(super) fn take(&self) -> TakenBatch {
        let mut waiting = self.lock();
        let tags = std::mem::take(&mut waiting.tags);
        let dropped = waiting.dropped;
        // Valid until something follows.
        waiting.dropped &= tags.is_empty();
        waiting.bytes = 0;
        TakenBatch { tags, dropped, over: waiting.over }
    }

    /// Nothing follows.
    pub(super) fn end(&self) {
        self.lock().over = true;
    }

    pub(super) fn is_over(&self) -> bool {
        self.lock().over
    }

    pub(super) fn set_progress(&self, progress: Progress) {
        self.lock().progress = progress;
    }

    pub(super) fn progress(&self) -> Progress {
        self.lock().progress
    }

    /// Seconds of media that wait here.
    pub(super) fn seconds(&self) -> f64 {
        self.lock().behind().as_secs_f64()
    }

    fn lock(&self) -> MutexGuard<'_, WaitingTags> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitingTags {
    fn push(&mut self, placed: TimedTag) {
        let tag = &placed.tag;
        if tag.is_sequence_header() {
            self.headers[usize::from(tag.kind == Kind::Audio)] = Some(tag.clone());
        }
        if tag.is_keyframe() && self.dropped && !self.progress.connected {
            // The outage lasts: the next connection begins with the present.
            self.clear();
        }
        if self.until_keyframe {
            if !tag.is_keyframe() {
                return;
            }
            self.until_keyframe = false;
            let (timestamp, origin) = (tag.timestamp, placed.origin);
            for header in self.headers.clone().into_iter().flatten() {
                self.append(TimedTag { tag: Tag { timestamp, ..header }, origin });
            }
        }
        self.append(placed);
        if self.bytes > MAX_QUEUED || self.behind() > MAX_BEHIND {
            self.clear();
        }
    }

    fn append(&mut self, placed: TimedTag) {
        self.bytes += placed.tag.body.len() + TAG_COST;
        self.tags.push_back(placed);
    }

    fn clear(&mut self) {
        self.tags.clear();
        self.bytes = 0;
        (self.dropped, self.until_keyframe) = (true, true);
    }

    fn behind(&self) -> Duration {
        let (Some(first), Some(last)) = (self.tags.front(), self.tags.back()) else { return Duration::ZERO };
        Duration::from_millis(last.tag.timestamp.saturating_sub(first.tag.timestamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: u64 = 5;

    fn header(which: u8) -> TimedTag {
        let tag = Tag { kind: Kind::Video, timestamp: 0, body: [0x17, 0, 0, 0, 0, which].into() };
        TimedTag { tag, origin: TagOrigin { seq: 1, offset_ms: 0 } }
    }

    /// Picture `n` at `1000 n` ms; every fifth is a keyframe.
    fn picture(n: u64, bytes: usize) -> TimedTag {
        let mut body = vec![if n.is_multiple_of(GROUP) { 0x17 } else { 0x27 }, 1, 0, 0, 0];
        body.resize(bytes, 0);
        let tag = Tag { kind: Kind::Video, timestamp: n * 1000, body: body.into() };
        TimedTag { tag, origin: TagOrigin { seq: 1, offset_ms: n * 1000 } }
    }

    fn times(batch: &TakenBatch) -> Vec<u64> {
        batch.tags.iter().filter(|placed| placed.tag.is_frame()).map(|it| it.tag.timestamp / 1000).collect()
    }

    #[test]
    fn nothing_is_dropped_within_the_bounds() {
        let backlog = Backlog::default();
        backlog.push(header(1));
        (0..11).for_each(|n| backlog.push(picture(n, 100)));
        assert!((backlog.seconds() - 10.0).abs() < 0.001);
        let batch = backlog.take();
        assert_eq!((times(&batch), batch.dropped, batch.tags.len()), ((0..11).collect(), false, 12));
        assert!(backlog.take().tags.is_empty());
    }

    #[test]
    fn a_connection_that_is_too_slow_continues_at_a_keyframe_with_the_headers_in_force() {
        let backlog = Backlog::default();
        backlog.set_progress(Progress { connected: true, ..Progress::default() });
        backlog.push(header(1));
        backlog.push(header(2));
        (0..13).for_each(|n| backlog.push(picture(n, 100)));
        let batch = backlog.take();
        assert!(batch.tags.is_empty() && batch.dropped);
        (13..18).for_each(|n| backlog.push(picture(n, 100)));
        let batch = backlog.take();
        assert_eq!((times(&batch), batch.dropped), ((15..18).collect(), true));
        assert!(!backlog.take().dropped);
        assert_eq!((batch.tags[0].tag.body[5], batch.tags[0].tag.timestamp), (2, 15_000));
    }

    #[test]
    fn after_a_long_outage_the_newest_group_waits() {
        let backlog = Backlog::default();
        backlog.push(header(1));
        (0..1003).for_each(|n| backlog.push(picture(n, 100)));
        let batch = backlog.take();
        assert_eq!((times(&batch), batch.dropped), ((1000..1003).collect(), true));
        assert!(batch.tags[0].tag.is_sequence_header() && batch.tags[1].tag.is_keyframe());
    }

    #[test]
    fn the_bytes_are_bounded_too() {
        let backlog = Backlog::default();
        (0..9).for_each(|n| backlog.push(picture(n, 1 << 20)));
        assert!(backlog.take().dropped);
    }
}
