//! What the acceptor, the connections and the tests share.

use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicUsize},
};

use super::{record::Record, setup::Setup};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    pub(super) paused: AtomicBool,
    /// Connections of an older generation are reset.
    pub(super) generation: AtomicU32,
    /// Connections of a lower number are reset.
    pub(super) oldest: AtomicUsize,
    /// Tells the acceptor to end.
    pub(super) closed: AtomicBool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) setup: Setup,
    pub(super) records: Vec<Record>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self, index: usize, change: impl FnOnce(&mut Record)) {
        change(&mut self.lock().records[index]);
        self.changed.notify_all();
    }
}
