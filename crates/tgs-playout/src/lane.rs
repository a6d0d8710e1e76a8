//! Lanes: programmes that take the air from the list for a time, such as a slot of a timetable or a
//! live input.
//!
//! # Theory of operation
//!
//! A lane has a prepare thread, an encode thread and a read-ahead of its own, so that its first
//! item is encoded before it is due. The playout thread alone decides which lane is on air: the
//! one of the highest rank that has begun, among equals the one opened last, else the list. It
//! changes lanes where no picture is missing. The list, or a lower lane, keeps its read-ahead and
//! continues with the group of pictures that was cut.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use tgs_core::cancel::Cancel;

use crate::{item::Programme, lane_slate::LaneSlate, read_ahead::ReadAhead, threads::await_end};

/// Limit of lanes open at once: each holds a read-ahead, and at times an encoder.
pub const MOST_LANES: usize = 8;

/// Item numbers of lane `n` begin above `n << SEQ_BITS`; those of the list above 0.
const SEQ_BITS: u32 = 32;

/// The lane of the item number `seq`; 0 is the list.
pub(crate) fn lane_of(seq: u64) -> u64 {
    seq >> SEQ_BITS
}

/// A lane to be opened.
pub struct Lane {
    /// The name shown to operators, such as a slot's.
    pub name: String,
    /// The items. [`crate::item::NextItem::End`] ends the lane.
    pub programme: Box<dyn Programme>,
    /// When it takes the air.
    pub start: LaneStart,
    /// When it gives the air back, at the latest.
    pub end: Option<SystemTime>,
    /// A lane takes the air from lanes of the same rank opened before, and of lower ranks.
    pub rank: u8,
    /// What viewers see from the end of the programme until `end`.
    pub after_end: AfterEnd,
    /// Text of the built-in slate while the filler follows until `end`; `None`: the usual one.
    pub slate_text: Option<String>,
    /// Where the list continues afterwards.
    pub list_returns: ListReturn,
    /// Encoded media to hold; `None`: as much as the list does.
    pub read_ahead: Option<Duration>,
    /// Whether its encoders make a keyframe each second, so that little has to be held.
    pub short_groups: bool,
}

/// When a lane takes the air. A lane that is not ready takes it as soon as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneStart {
    /// As soon as its first item is ready.
    Now,
    /// At this time of the wall clock, cutting the item on air.
    At(SystemTime),
    /// After the item that is on air at this time.
    AfterItem(SystemTime),
}

/// What viewers see once a lane's programme has ended before the lane's `end`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AfterEnd {
    /// The list.
    #[default]
    List,
    /// The filler.
    Filler,
}

/// Where the list continues after a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ListReturn {
    /// Where the lane has cut it; up to two seconds are shown again.
    #[default]
    Resume,
    /// With its next item.
    Next,
}

/// The state of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneState {
    /// Its first item is being prepared.
    Preparing,
    /// Its first item is ready and not yet due.
    Ready,
    /// It is on air.
    OnAir,
    /// Another lane has taken the air from it.
    Interrupted,
    /// It has given the air back, or never took it.
    Over,
    /// Its engine has ended before it.
    Stopped,
}

/// Handle to an open lane. Dropping it leaves the lane open.
#[derive(Debug, Clone)]
pub struct LaneHandle(pub(crate) Arc<OpenLane>);

impl LaneHandle {
    /// Ends the lane: the air goes back where no picture is missing.
    pub fn close(&self, cause: &str) {
        self.0.close(cause);
    }

    /// Lets a lane that starts [`LaneStart::At`] or [`LaneStart::AfterItem`] start now.
    pub fn start_now(&self) {
        self.0.at_once.store(true, Ordering::Relaxed);
    }

    /// Sets when it gives the air back, at the latest. The text of its slate may name the time
    /// before, so it is not shown any more.
    pub fn set_end(&self, end: Option<SystemTime>) {
        let mut current = self.0.end.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != end {
            *current = end;
            self.0.slate.withdraw();
        }
    }

    /// The lane's state.
    #[must_use]
    pub fn state(&self) -> LaneState {
        self.0.state()
    }

    /// The lane's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

/// A lane, as its threads and the playout thread share it.
#[derive(Debug)]
pub(crate) struct OpenLane {
    /// Its number in this process, from 1.
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) start: LaneStart,
    end: Mutex<Option<SystemTime>>,
    pub(crate) rank: u8,
    pub(crate) after_end: AfterEnd,
    pub(crate) slate: LaneSlate,
    pub(crate) list_returns: ListReturn,
    pub(crate) read_ahead: Arc<ReadAhead>,
    short_groups: bool,
    /// Ends its threads.
    pub(crate) cancel: Cancel,
    /// Why it is to end.
    closing: Mutex<Option<String>>,
    at_once: AtomicBool,
    /// Whether its first item has been ready.
    ready: AtomicBool,
    /// Whether its first item has been shown.
    shown: AtomicBool,
    /// Whether it has been on air.
    begun: AtomicBool,
    on_air: AtomicBool,
    over: AtomicBool,
    /// Whether its engine has ended.
    stopped: AtomicBool,
    /// Whether the broadcast ends with this lane.
    ends_broadcast: AtomicBool,
}

impl OpenLane {
    pub(crate) fn new(id: u64, lane: &Lane, read_ahead: Arc<ReadAhead>, cancel: Cancel) -> Self {
        Self {
            id,
            name: lane.name.clone(),
            start: lane.start,
            end: Mutex::new(lane.end),
            rank: lane.rank,
            after_end: lane.after_end,
            slate: LaneSlate::default(),
            list_returns: lane.list_returns,
            read_ahead,
            short_groups: lane.short_groups,
            cancel,
            closing: Mutex::default(),
            at_once: AtomicBool::new(false),
            ready: AtomicBool::new(false),
            shown: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            on_air: AtomicBool::new(false),
            over: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            ends_broadcast: AtomicBool::new(false),
        }
    }

    /// The number below the lane's first item.
    pub(crate) fn first_seq(id: u64) -> u64 {
        id << SEQ_BITS
    }

    pub(crate) fn close(&self, cause: &str) {
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        closing.get_or_insert_with(|| cause.to_owned());
    }

    /// Why the lane is to end, if it is.
    pub(crate) fn closing(&self) -> Option<String> {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn end(&self) -> Option<SystemTime> {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its programme has ended, and the filler follows until its end.
    pub(crate) fn holds_with_filler(&self) -> bool {
        self.after_end == AfterEnd::Filler && self.end().is_some() && self.read_ahead.is_ended()
    }

    pub(crate) fn starts_at_once(&self) -> bool {
        self.start == LaneStart::Now || self.at_once.load(Ordering::Relaxed)
    }

    /// Whether its time has come by `now`.
    pub(crate) fn starts_by(&self, now: SystemTime) -> bool {
        match self.start {
            LaneStart::At(at) | LaneStart::AfterItem(at) => self.starts_at_once() || at <= now,
            LaneStart::Now => true,
        }
    }

    /// The time of a hard start, for its first item.
    pub(crate) fn take_planned(&self) -> Option<SystemTime> {
        let again = self.shown.swap(true, Ordering::Relaxed);
        match self.start {
            LaneStart::At(at) if !again && !self.at_once.load(Ordering::Relaxed) => Some(at),
            _ => None,
        }
    }

    /// Whether enough of its first item is encoded.
    pub(crate) fn is_startable(&self) -> bool {
        // A live lane that waits drops its oldest groups, and stays ready.
        let ready = self.ready.load(Ordering::Relaxed) || self.read_ahead.is_startable(self.short_groups);
        self.ready.store(ready, Ordering::Relaxed);
        ready
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    pub(crate) fn is_on_air(&self) -> bool {
        self.on_air.load(Ordering::Relaxed)
    }

    pub(crate) fn set_on_air(&self, on_air: bool) {
        self.on_air.store(on_air, Ordering::Relaxed);
        if on_air {
            self.begun.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn end_broadcast(&self) {
        self.ends_broadcast.store(true, Ordering::Relaxed);
    }

    pub(crate) fn ends_broadcast(&self) -> bool {
        self.ends_broadcast.load(Ordering::Relaxed)
    }

    fn state(&self) -> LaneState {
        if self.stopped.load(Ordering::Relaxed) {
            LaneState::Stopped
        } else if self.over.load(Ordering::Relaxed) {
            LaneState::Over
        } else if self.is_on_air() {
            LaneState::OnAir
        } else if self.has_begun() {
            LaneState::Interrupted
        } else if self.is_startable() {
            LaneState::Ready
        } else {
            LaneState::Preparing
        }
    }
}

/// The open lanes of a broadcast. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lanes {
    shared: Arc<SharedLanes>,
}

#[derive(Debug, Default)]
struct SharedLanes {
    open: Mutex<Vec<Arc<OpenLane>>>,
    /// Number of lanes in `open`: the playout thread takes no lock while it is 0.
    count: AtomicU64,
    /// Number of changes of `open`.
    changes: AtomicU64,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Why a lane is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LaneRefused {
    /// No engine runs, or it is being stopped.
    #[error("the broadcast does not run")]
    NotRunning,
    /// [`MOST_LANES`] lanes are open.
    #[error("{MOST_LANES} lanes are open, and more are not allowed")]
    TooMany,
    /// Its thread cannot be started.
    #[error("the system starts no further thread")]
    Thread,
}

impl Lanes {
    pub(crate) fn add(&self, lane: Arc<OpenLane>) -> Result<(), LaneRefused> {
        let mut open = self.lock();
        if open.len() >= MOST_LANES {
            return Err(LaneRefused::TooMany);
        }
        open.push(lane);
        self.note_change(&open);
        Ok(())
    }

    /// Removes a lane and ends its threads.
    pub(crate) fn remove(&self, id: u64) {
        let mut open = self.lock();
        open.retain(|lane| {
            if lane.id == id {
                lane.over.store(true, Ordering::Relaxed);
                lane.on_air.store(false, Ordering::Relaxed);
                lane.cancel.cancel();
            }
            lane.id != id
        });
        self.note_change(&open);
    }

    fn note_change(&self, open: &[Arc<OpenLane>]) {
        self.shared.changes.fetch_add(1, Ordering::Release);
        self.shared.count.store(open.len() as u64, Ordering::Release);
    }

    /// Number of changes so far.
    pub(crate) fn changes(&self) -> u64 {
        self.shared.changes.load(Ordering::Acquire)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shared.count.load(Ordering::Acquire) == 0
    }

    pub(crate) fn all(&self) -> Vec<Arc<OpenLane>> {
        self.lock().clone()
    }

    /// The lane that is on air, unless the list is.
    pub(crate) fn on_air(&self) -> Option<Arc<OpenLane>> {
        if self.is_empty() {
            return None;
        }
        self.lock().iter().find(|lane| lane.is_on_air()).cloned()
    }

    pub(crate) fn keep_thread(&self, thread: JoinHandle<()>) {
        let mut threads = self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }

    /// Ends all lanes and waits for their threads, `patience` at most.
    pub(crate) fn end_all(&self, patience: Duration) {
        for lane in self.all() {
            lane.stopped.store(true, Ordering::Relaxed);
            self.remove(lane.id);
        }
        let threads =
            std::mem::take(&mut *self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner));
        await_end(&threads, patience);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<OpenLane>>> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
