//! The tags that the further outputs have yet to send, each once for all of them.
//!
//! A reader is a place in the queue. Tags that all readers have taken are dropped, except those
//! since the last keyframe, with which new readers begin. Beyond [`MAX_BEHIND`] or [`MAX_QUEUED`]
//! the oldest tags are dropped anyway: a reader that has not taken them continues at the newest
//! keyframe. Nobody is woken: readers look when it suits them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tgs_rtmp::flv::{Kind, Tag};

use crate::continuous::ContinuousStream;

/// Longest media that waits for a slow reader.
pub(crate) const MAX_BEHIND: Duration = Duration::from_secs(10);

/// Bytes that wait at most: 10 s at 6 Mbit/s, and more than a group of pictures at 20 Mbit/s.
pub(crate) const MAX_QUEUED: usize = 8 << 20;

/// Bytes that a tag counts beside its body, so that tiny tags are bounded as well.
pub(crate) const TAG_COST: usize = 64;

/// After an engine run readers wait so long for the next before they disconnect.
const RUN_GRACE: Duration = Duration::from_secs(3);

/// The queue. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct TagQueue(Arc<Mutex<QueuedTags>>);

#[derive(Debug, Default)]
struct QueuedTags {
    /// With the times of one stream across all engine runs.
    tags: VecDeque<Tag>,
    /// Number of the first tag of `tags`; tags are numbered from 0.
    first: u64,
    /// The cost of all tags.
    bytes: usize,
    stream: ContinuousStream,
    /// Video and audio headers in force after the last tag.
    headers: [Option<Tag>; 2],
    /// The newest keyframe of the current run, if it is still in the queue.
    group: Option<GroupStart>,
    readers: Vec<ReaderPlace>,
    next_reader: u64,
    /// Number of engine runs so far.
    runs: u64,
    /// Whether an engine run is under way, and when the last one ended.
    running: bool,
    ended: Option<Instant>,
}

/// A keyframe.
#[derive(Debug)]
struct GroupStart {
    number: u64,
    /// The headers in force at it.
    headers: [Option<Tag>; 2],
}

#[derive(Debug)]
struct ReaderPlace {
    id: u64,
    /// Number of the tag to take next; `None`: at the newest keyframe.
    next: Option<u64>,
    /// Time of the last tag taken.
    taken: Option<u64>,
}

/// Tags for a reader, in order.
#[derive(Debug, Default)]
pub(super) struct TakenTags {
    pub(super) tags: Vec<Tag>,
    /// Length of the media before these tags that the reader has missed.
    pub(super) dropped: Duration,
    /// Length of the media that still waits.
    pub(super) waiting: Duration,
}

/// A reader. Dropping it gives up its place.
#[derive(Debug)]
pub(super) struct TagReader {
    id: u64,
    queue: TagQueue,
}

/// The playout thread's side, for one engine run.
#[derive(Debug)]
pub(crate) struct OutputFeed {
    queue: TagQueue,
    run: u64,
    wanted: bool,
}

impl OutputFeed {
    /// Whether there are outputs.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Takes a tag that has been sent. Takes no time worth mentioning.
    pub(crate) fn push(&self, tag: &Tag) {
        self.queue.lock().push(self.run, tag);
    }
}

impl Drop for OutputFeed {
    fn drop(&mut self) {
        let mut queue = self.queue.lock();
        queue.running = false;
        queue.ended = Some(Instant::now());
    }
}

impl TagQueue {
    /// The playout thread's side of an engine run.
    pub(super) fn begin_run(&self, wanted: bool) -> OutputFeed {
        let mut queue = self.lock();
        queue.runs += 1;
        queue.running = true;
        // New readers begin in this run.
        queue.group = None;
        OutputFeed { run: queue.runs, wanted, queue: self.clone() }
    }

    /// Whether an engine run is under way. Its timeline may wait for an output.
    pub(super) fn is_running(&self) -> bool {
        self.lock().running
    }

    /// Whether a connection shall stay open.
    pub(super) fn is_flowing(&self) -> bool {
        let queue = self.lock();
        queue.running || queue.ended.is_some_and(|ended| ended.elapsed() < RUN_GRACE)
    }

    /// A new reader, which begins with the headers and the newest keyframe.
    pub(super) fn reader(&self) -> TagReader {
        let mut queue = self.lock();
        let id = queue.next_reader;
        queue.next_reader += 1;
        queue.readers.push(ReaderPlace { id, next: None, taken: None });
        TagReader { id, queue: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, QueuedTags> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TagReader {
    /// The next tags, until their bodies have at least `enough` bytes.
    pub(super) fn take(&self, enough: usize) -> TakenTags {
        self.queue.lock().take(self.id, enough)
    }
}

impl Drop for TagReader {
    fn drop(&mut self) {
        self.queue.lock().readers.retain(|place| place.id != self.id);
    }
}

impl QueuedTags {
    fn push(&mut self, run: u64, tag: &Tag) {
        let Some(tag) = self.stream.place(run, tag) else { return };
        if tag.is_sequence_header() {
            self.headers[usize::from(tag.kind == Kind::Audio)] = Some(tag.clone());
        } else if tag.is_keyframe() {
            self.group = Some(GroupStart { number: self.end(), headers: self.headers.clone() });
        }
        self.bytes += tag.body.len() + TAG_COST;
        self.tags.push_back(tag);
        self.trim();
    }

    /// The number of the next tag.
    fn end(&self) -> u64 {
        self.first + self.tags.len() as u64
    }

    /// Drops what nobody needs, and what exceeds the bounds.
    fn trim(&mut self) {
        let newest = self.tags.back().map_or(0, |tag| tag.timestamp);
        let group = self.group.as_ref().map(|group| group.number);
        let needed = self.readers.iter().filter_map(|place| place.next).chain(group).min();
        let needed = needed.unwrap_or_else(|| self.end());
        while let Some(oldest) = self.tags.front() {
            let behind = Duration::from_millis(newest.saturating_sub(oldest.timestamp));
            if self.first >= needed && behind <= MAX_BEHIND && self.bytes <= MAX_QUEUED {
                break;
            }
            self.bytes -= oldest.body.len() + TAG_COST;
            self.tags.pop_front();
            self.first += 1;
        }
        let first = self.first;
        self.group = self.group.take().filter(|group| group.number >= first);
        for place in &mut self.readers {
            place.next = place.next.filter(|next| *next >= first);
        }
    }

    fn take(&mut self, id: u64, enough: usize) -> TakenTags {
        let mut taken = TakenTags::default();
        let (first, end) = (self.first, self.end());
        let tag = |number: u64| &self.tags[(number - first) as usize];
        let Some(place) = self.readers.iter_mut().find(|place| place.id == id) else { return taken };
        let mut next = match (place.next, &self.group) {
            (Some(next), _) => next,
            (None, None) => return taken,
            (None, Some(group)) => {
                let timestamp = tag(group.number).timestamp;
                let missed = place.taken.map_or(0, |last| timestamp.saturating_sub(last));
                taken.dropped = Duration::from_millis(missed);
                let headers = group.headers.iter().flatten();
                taken.tags.extend(headers.map(|header| Tag { timestamp, ..header.clone() }));
                group.number
            }
        };
        let mut bytes = 0;
        while next < end && bytes < enough {
            let tag = tag(next);
            bytes += tag.body.len();
            place.taken = Some(tag.timestamp);
            taken.tags.push(tag.clone());
            next += 1;
        }
        place.next = Some(next);
        if next < end {
            let waits = tag(end - 1).timestamp.saturating_sub(tag(next).timestamp);
            taken.waiting = Duration::from_millis(waits);
        }
        self.trim();
        taken
    }
}

#[cfg(test)]
mod tests;
