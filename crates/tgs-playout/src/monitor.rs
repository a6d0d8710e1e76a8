//! Monitors: receivers of the running broadcast, as FLV. The playout thread never waits for one.
//!
//! # Theory of operation
//!
//! The playout thread hands tags over in batches, as it sends them, and a batch begins with a
//! keyframe or contains none. A monitor begins with the group of pictures that the publisher keeps
//! anyway. Each monitor has a queue that is bounded in bytes; if the queue is full, the monitor
//! misses whole groups and continues at a keyframe. Bodies are shared, not copied; the monitor's
//! own thread formats the bytes and rebases the timestamps.
//!
//! During an outage nothing is played out, so a monitor stands still; what is sent a second time
//! over the next connection is shown once.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tgs_rtmp::flv::{FILE_HEADER, Kind, Tag, write_tag};

use crate::{continuous::ContinuousStream, outputs::TAG_COST};

/// Limit of monitors of one broadcast.
pub const MOST_MONITORS: usize = 8;

/// Bytes that may wait for a monitor: several seconds at any profile.
const MAX_QUEUED: usize = 4 << 20;

/// Bytes that are handed over at once at the latest.
const BATCH: usize = 32 << 10;

/// Limit of the bytes that one [`Monitor::read`] returns, beyond the batch that exceeds it.
const READ: usize = 256 << 10;

/// Why a monitor is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MOST_MONITORS} monitors are connected, and more are not allowed")]
pub struct TooManyMonitors;

/// The monitors of a broadcast, across engine runs. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Monitors {
    shared: Arc<SharedMonitors>,
}

#[derive(Debug, Default)]
struct SharedMonitors {
    /// Number of `slots`, readable without the lock.
    attached: AtomicUsize,
    /// Held for moments: by the playout thread for each batch, else to attach and detach.
    slots: Mutex<MonitorSlots>,
}

#[derive(Debug, Default)]
struct MonitorSlots {
    all: Vec<MonitorSlot>,
    /// Identifier of the next monitor.
    next_id: u64,
    /// Number of engine runs so far.
    runs: u64,
}

/// The sending side of a monitor.
#[derive(Debug)]
struct MonitorSlot {
    id: u64,
    batches: mpsc::Sender<Batch>,
    queued: Arc<AtomicUsize>,
    state: SlotState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SlotState {
    /// Waits for headers and the current group.
    New,
    /// Has everything so far.
    Follows,
    /// Its queue was full: waits for a keyframe.
    Behind,
}

/// Some tags in order.
#[derive(Debug, Clone)]
struct Batch {
    run: u64,
    tags: Arc<[Tag]>,
    cost: usize,
}

impl Batch {
    fn new(run: u64, tags: &[Tag]) -> Self {
        let cost = tags.iter().map(|tag| tag.body.len() + TAG_COST).sum();
        Self { run, tags: tags.into(), cost }
    }

    fn begins_group(&self) -> bool {
        self.tags.first().is_some_and(Tag::is_keyframe)
    }
}

impl MonitorSlot {
    /// Queues `batch`; `false` if the queue is full. A failed send is a monitor that is detaching.
    fn queue(&self, batch: Batch) -> bool {
        let cost = batch.cost;
        if self.queued.load(Ordering::Relaxed) + cost > MAX_QUEUED {
            return false;
        }
        self.queued.fetch_add(cost, Ordering::Relaxed);
        let _ = self.batches.send(batch);
        true
    }
}

impl Monitors {
    /// Attaches a monitor.
    pub(crate) fn attach(&self) -> Result<Monitor, TooManyMonitors> {
        let mut slots = self.shared.lock();
        if slots.all.len() >= MOST_MONITORS {
            return Err(TooManyMonitors);
        }
        let (batches, received) = mpsc::channel();
        let queued = Arc::<AtomicUsize>::default();
        let id = slots.next_id;
        slots.next_id += 1;
        slots.all.push(MonitorSlot { id, batches, queued: queued.clone(), state: SlotState::New });
        self.shared.attached.store(slots.all.len(), Ordering::Relaxed);
        drop(slots);
        Ok(Monitor { id, shared: self.shared.clone(), received, queued, format: MonitorWriter::default() })
    }

    /// The side of the playout thread, for one engine run.
    pub(crate) fn begin_run(&self, metadata: Tag) -> MonitorFeed {
        let mut slots = self.shared.lock();
        slots.runs += 1;
        let run = slots.runs;
        for slot in &mut slots.all {
            slot.state = SlotState::New;
        }
        drop(slots);
        MonitorFeed { run, metadata, shared: self.shared.clone(), pending: Vec::new(), pending_bytes: 0 }
    }
}

impl SharedMonitors {
    fn lock(&self) -> MutexGuard<'_, MonitorSlots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The playout thread's side of the monitors.
pub(crate) struct MonitorFeed {
    run: u64,
    metadata: Tag,
    shared: Arc<SharedMonitors>,
    /// Tags sent since the last batch.
    pending: Vec<Tag>,
    pending_bytes: usize,
}

impl fmt::Debug for MonitorFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MonitorFeed({} tags pending)", self.pending.len())
    }
}

impl MonitorFeed {
    /// Whether any monitor is attached.
    pub(crate) fn is_watched(&self) -> bool {
        self.shared.attached.load(Ordering::Relaxed) > 0
    }

    /// Takes a tag that has been sent. `group` returns the codec headers and all tags sent since
    /// the last keyframe, this one included.
    pub(crate) fn push(&mut self, tag: Tag, group: impl Fn() -> Vec<Tag>) {
        if tag.is_keyframe() && !self.pending.is_empty() {
            // A batch contains no second group; new monitors wait for the batch of this keyframe.
            self.hand_over(None);
        }
        self.pending_bytes += tag.body.len();
        self.pending.push(tag);
        if self.pending_bytes >= BATCH {
            self.flush(group);
        }
    }

    /// Hands the pending tags over, and the current group to new monitors. `group` is that of
    /// [`MonitorFeed::push`].
    pub(crate) fn flush(&mut self, group: impl Fn() -> Vec<Tag>) {
        if self.is_watched() {
            self.hand_over(Some(&group));
        } else {
            self.pending.clear();
            self.pending_bytes = 0;
        }
    }

    fn hand_over(&mut self, group: Option<&dyn Fn() -> Vec<Tag>>) {
        let batch = Batch::new(self.run, &self.pending);
        let mut slots = self.shared.lock();
        for slot in &mut slots.all {
            if slot.state == SlotState::Behind && batch.begins_group() {
                slot.state = SlotState::New;
            }
            match (slot.state, group) {
                (SlotState::Follows, _) if batch.tags.is_empty() || slot.queue(batch.clone()) => {}
                (SlotState::Follows, _) => slot.state = SlotState::Behind,
                (SlotState::New, Some(group)) => {
                    let tags = group();
                    if tags.iter().any(Tag::is_keyframe) {
                        let start: Vec<_> = std::iter::once(self.metadata.clone()).chain(tags).collect();
                        let whole = slot.queue(Batch::new(self.run, &start));
                        slot.state = if whole { SlotState::Follows } else { SlotState::Behind };
                    }
                }
                (SlotState::New, None) | (SlotState::Behind, _) => {}
            }
        }
        drop(slots);
        self.pending.clear();
        self.pending_bytes = 0;
    }
}

/// A receiver of the broadcast as one FLV stream that begins with the last keyframe. Dropping it
/// detaches it.
#[derive(Debug)]
pub struct Monitor {
    id: u64,
    shared: Arc<SharedMonitors>,
    received: mpsc::Receiver<Batch>,
    queued: Arc<AtomicUsize>,
    format: MonitorWriter,
}

impl Monitor {
    /// The next bytes of the stream, to be written as they are; `None` if none come within
    /// `timeout`, as in an outage or between two engine runs.
    pub fn read(&mut self, timeout: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        let mut bytes = Vec::new();
        while bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let batch = self.received.recv_timeout(left).ok()?;
            self.take(&batch, &mut bytes);
        }
        while bytes.len() < READ
            && let Ok(batch) = self.received.try_recv()
        {
            self.take(&batch, &mut bytes);
        }
        Some(bytes)
    }

    fn take(&mut self, batch: &Batch, bytes: &mut Vec<u8>) {
        self.queued.fetch_sub(batch.cost, Ordering::Relaxed);
        bytes.reserve(batch.cost);
        for tag in batch.tags.iter() {
            self.format.write(batch.run, tag, bytes);
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let mut slots = self.shared.lock();
        slots.all.retain(|slot| slot.id != self.id);
        self.shared.attached.store(slots.all.len(), Ordering::Relaxed);
    }
}

/// The FLV stream of one monitor.
#[derive(Debug, Default)]
struct MonitorWriter {
    begun: bool,
    metadata_sent: bool,
    stream: ContinuousStream,
}

impl MonitorWriter {
    fn write(&mut self, run: u64, tag: &Tag, bytes: &mut Vec<u8>) {
        if tag.kind == Kind::Script {
            // Its time is not the broadcast's.
            if !std::mem::replace(&mut self.metadata_sent, true) {
                self.begin(bytes);
                Self::append(&Tag { timestamp: 0, ..tag.clone() }, bytes);
            }
        } else if let Some(tag) = self.stream.place(run, tag) {
            self.begin(bytes);
            Self::append(&tag, bytes);
        }
    }

    fn begin(&mut self, bytes: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            bytes.extend(FILE_HEADER);
        }
    }

    fn append(tag: &Tag, bytes: &mut Vec<u8>) {
        // Writing to memory cannot fail.
        let _ = write_tag(bytes, tag);
    }
}

#[cfg(test)]
mod tests;
