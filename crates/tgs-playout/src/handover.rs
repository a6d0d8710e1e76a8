//! Both ends of a hand-over between two engines: one leaves the air before a chosen keyframe, the
//! other one is ready beforehand and begins with that picture.
//!
//! # Theory of operation
//!
//! The leaving engine names the keyframes that it has not yet sent
//! ([`crate::engine::Control::leave_points`]). The other engine starts held at one of them
//! ([`crate::engine::Control::hold`]): it reads its first item ahead, and neither connects nor
//! sends. Once it is ready, the first one is asked to leave there, sends what comes before, and
//! closes its connection; the other one is then released. Until the moment of leaving the request
//! can be withdrawn, and the broadcast goes on as if nothing had been asked.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tgs_core::cancel::Cancel;
use tgs_rtmp::flv::Tag;

use crate::read_ahead::StartedItem;

/// How often a wait looks at what wakes nobody.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A keyframe of the list at which another engine can continue without a picture lost or repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavePoint {
    /// The [`crate::item::Item::turn`] of its item.
    pub turn: u64,
    /// Offset from the item's own beginning: an encoder that starts there begins with this picture.
    pub offset: Duration,
    /// Whether the item is live: it has no positions, and continues at its live edge.
    pub live: bool,
    /// Length of the media before it; zero if the list waits at this point.
    pub after: Duration,
    pub(crate) key: Keyframe,
}

/// A keyframe in a run of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keyframe {
    /// Number of its item.
    pub(crate) seq: u64,
    /// Its offset from the item's own beginning, in milliseconds.
    pub(crate) offset_ms: u64,
}

impl Keyframe {
    /// The keyframe `tag` of `item`.
    pub(crate) fn of(item: &StartedItem, tag: &Tag) -> Self {
        Self { seq: item.seq, offset_ms: item.item.start.as_millis() as u64 + tag.timestamp }
    }

    /// Whether both are the same picture, whose time may be rounded otherwise.
    fn is(self, other: Self) -> bool {
        self.seq == other.seq && self.offset_ms.abs_diff(other.offset_ms) < 10
    }
}

/// Where a broadcast is to leave the air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeaveAt {
    /// Before this keyframe of the list.
    Before(Keyframe),
    /// As soon as the list waits: the filler or a lane is on air.
    AtRest,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum LeaveState {
    #[default]
    Stays,
    Asked(LeaveAt),
    /// The last pictures are being sent; no way back.
    Leaving,
    /// The connection is closed.
    Left,
}

/// The request to leave the air. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leaving(Arc<(Mutex<LeaveState>, Condvar)>);

impl Leaving {
    pub(crate) fn before(&self, key: Keyframe) {
        self.ask(LeaveAt::Before(key));
    }

    pub(crate) fn at_rest(&self) {
        self.ask(LeaveAt::AtRest);
    }

    fn ask(&self, leave: LeaveAt) {
        let mut state = self.lock();
        if matches!(*state, LeaveState::Stays | LeaveState::Asked(_)) {
            *state = LeaveState::Asked(leave);
        }
    }

    /// Withdraws the request. `false` if the broadcast is leaving already.
    pub(crate) fn stay(&self) -> bool {
        let mut state = self.lock();
        if let LeaveState::Asked(_) = *state {
            *state = LeaveState::Stays;
        }
        *state == LeaveState::Stays
    }

    /// A new run begins.
    pub(crate) fn begin_run(&self) {
        *self.lock() = LeaveState::Stays;
    }

    /// Whether there is a request that has not taken effect.
    pub(crate) fn is_asked(&self) -> bool {
        matches!(*self.lock(), LeaveState::Asked(_))
    }

    /// Whether the last pictures are being sent.
    pub(crate) fn is_leaving(&self) -> bool {
        *self.lock() == LeaveState::Leaving
    }

    /// Begins to leave if the list is about to continue with `next`.
    pub(crate) fn leaves_before(&self, next: Keyframe) -> bool {
        self.leave_if(|leave| matches!(leave, LeaveAt::Before(key) if key.is(next)))
    }

    /// Begins to leave if that is where the list waits.
    pub(crate) fn leaves_at_rest(&self) -> bool {
        self.leave_if(|leave| leave == LeaveAt::AtRest)
    }

    fn leave_if(&self, due: impl FnOnce(LeaveAt) -> bool) -> bool {
        let mut state = self.lock();
        let leaves = matches!(*state, LeaveState::Asked(leave) if due(leave));
        if leaves {
            *state = LeaveState::Leaving;
        }
        leaves
    }

    /// The connection is closed, if the broadcast was leaving.
    pub(crate) fn note_closed(&self) {
        let mut state = self.lock();
        if *state == LeaveState::Leaving {
            *state = LeaveState::Left;
            self.0.1.notify_all();
        }
    }

    pub(crate) fn has_left(&self) -> bool {
        *self.lock() == LeaveState::Left
    }

    /// Waits until the broadcast has left, up to `limit`.
    pub(crate) fn wait_left(&self, limit: Duration) -> bool {
        let waited = self.0.1.wait_timeout_while(self.lock(), limit, |state| *state != LeaveState::Left);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == LeaveState::Left
    }

    fn lock(&self) -> MutexGuard<'_, LeaveState> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct HoldState {
    held: bool,
    ready: bool,
}

/// Whether the engine is held before it connects. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeldStart(Arc<(Mutex<HoldState>, Condvar)>);

impl HeldStart {
    pub(crate) fn hold(&self) {
        *self.lock() = HoldState { held: true, ready: false };
    }

    pub(crate) fn release(&self) {
        self.lock().held = false;
        self.0.1.notify_all();
    }

    pub(crate) fn is_held(&self) -> bool {
        self.lock().held
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.lock().ready
    }

    /// Waits for the release, and shows meanwhile whether the engine `is_ready`. `false` if
    /// `cancel` was set.
    pub(crate) fn wait(&self, cancel: &Cancel, is_ready: impl Fn(Duration) -> bool) -> bool {
        let began = Instant::now();
        while self.is_held() && !cancel.is_cancelled() {
            let ready = is_ready(began.elapsed());
            let mut state = self.lock();
            state.ready = ready;
            if state.held {
                drop(self.0.1.wait_timeout(state, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner));
            }
        }
        !cancel.is_cancelled()
    }

    fn lock(&self) -> MutexGuard<'_, HoldState> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const KEY: Keyframe = Keyframe { seq: 3, offset_ms: 2000 };

    #[test]
    fn a_request_is_withdrawn_until_it_takes_effect() {
        let leaving = Leaving::default();
        leaving.before(KEY);
        assert!(!leaving.leaves_before(Keyframe { offset_ms: 0, ..KEY }) && !leaving.leaves_at_rest());
        assert!(leaving.stay() && !leaving.is_asked() && !leaving.leaves_before(KEY));
        leaving.before(KEY);
        assert!(leaving.leaves_before(KEY) && !leaving.stay() && !leaving.has_left());
        leaving.note_closed();
        assert!(leaving.has_left() && leaving.wait_left(Duration::ZERO) && !leaving.stay());
        leaving.begin_run();
        leaving.note_closed();
        assert!(!leaving.has_left() && leaving.stay());
        leaving.at_rest();
        assert!(!leaving.leaves_before(KEY) && leaving.leaves_at_rest());
    }

    #[test]
    fn a_held_start_waits_for_its_release_or_a_stop() {
        let (held, cancel) = (HeldStart::default(), Cancel::new());
        assert!(held.wait(&cancel, |_| panic!("it is not held")));
        held.hold();
        thread::scope(|threads| {
            let waiting = threads.spawn(|| held.wait(&cancel, |_| true));
            while !held.is_ready() {
                thread::yield_now();
            }
            assert!(held.is_held());
            held.release();
            assert!(waiting.join().unwrap());
        });
        held.hold();
        cancel.cancel();
        assert!(!held.is_ready() && !held.wait(&cancel, |_| true));
    }
}
