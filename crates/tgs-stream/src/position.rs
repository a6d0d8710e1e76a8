//! The position in each list, saved in `STATE_DIR` for restarts.
//!
//! An error never stops a broadcast: at worst it starts from the beginning. How an item is found
//! again is the playlist's job.

mod file;
mod list_key;

use std::{
    mem,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use tgs_core::supervise::keep_running;

pub use file::Position;
use file::PositionFile;
pub use list_key::ListKey;

/// The save interval within an item. A restart resumes within 2 s of the published position: it is
/// read every 0.2 s, and may be 0.25 s old then.
pub const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Where a list is to continue, as far as that is known.
#[derive(Debug, Clone, Default)]
pub(crate) enum ListPlace {
    /// Where it was saved.
    #[default]
    Saved,
    /// There.
    At(Box<Position>),
    /// At its beginning.
    Beginning,
}

/// Saves a list's position on a thread of its own, because writing waits for the disk.
///
/// Dropping it saves the last position.
#[derive(Debug)]
pub struct PositionStore {
    shared: Arc<StoreShared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct StoreShared {
    state: Mutex<StoreState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct StoreState {
    position: Option<Position>,
    /// Save before the interval ends.
    now: bool,
    stop: bool,
}

impl StoreShared {
    fn lock(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits up to `limit` for the stop. Returns whether it has come.
    fn stopped_within(&self, limit: Duration) -> bool {
        let waiting = self.changed.wait_timeout_while(self.lock(), limit, |s| !s.stop);
        waiting.unwrap_or_else(PoisonError::into_inner).0.stop
    }
}

impl PositionStore {
    /// Opens `position.json` in `state_dir`, which must exist, for the list `list`.
    ///
    /// Returns the store and the saved position, which stays saved until [`PositionStore::set`] or
    /// [`PositionStore::clear`]. `every` is [`SAVE_EVERY`], except in tests.
    #[must_use]
    pub fn start(state_dir: &Path, list: ListKey, every: Duration) -> (Self, Option<Position>) {
        let path = state_dir.join("position.json");
        let positions = PositionFile::open(&path);
        let position = positions.get(&list).cloned();
        let state = StoreState { position: position.clone(), ..StoreState::default() };
        let shared = Arc::new(StoreShared { state: Mutex::new(state), changed: Condvar::new() });
        let mut writer = Writer { path, list, saved: position.clone(), positions, failing: false };
        let thread = thread::Builder::new().name("position".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                keep_running("position", |delay| shared.stopped_within(delay), || writer.run(&shared, every));
            }
        });
        if let Err(e) = &thread {
            log::warn!("failed to start the thread that keeps the position, so it will not be saved: {e}");
        }
        (Self { shared, thread: thread.ok() }, position)
    }

    /// Sets the published position without blocking. A new item is saved at once, progress at the
    /// next interval.
    pub fn set(&self, position: Position) {
        let mut state = self.shared.lock();
        let same_item = state.position.as_ref().is_some_and(|old| old.is_in_item_of(&position));
        state.position = Some(position);
        if !same_item {
            state.now = true;
            self.shared.changed.notify_one();
        }
    }

    /// The list has ended: the next run starts at its beginning.
    pub fn clear(&self) {
        let mut state = self.shared.lock();
        state.position = None;
        state.now = true;
        self.shared.changed.notify_one();
    }
}

impl Drop for PositionStore {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's state.
struct Writer {
    path: PathBuf,
    list: ListKey,
    positions: PositionFile,
    saved: Option<Position>,
    failing: bool,
}

impl Writer {
    fn run(&mut self, shared: &StoreShared, every: Duration) {
        loop {
            let (position, stop) = {
                let waiting = shared.changed.wait_timeout_while(shared.lock(), every, |s| !s.now && !s.stop);
                let (mut state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
                state.now = false;
                (state.position.clone(), state.stop)
            };
            if position != self.saved {
                self.save(position);
            }
            if stop {
                return;
            }
        }
    }

    /// Writes the file. Logs the first of a series of failures, and the recovery.
    fn save(&mut self, position: Option<Position>) {
        self.positions.set(&self.list, position.as_ref());
        let result = self.positions.write(&self.path);
        let failed_before = mem::replace(&mut self.failing, result.is_err());
        match result {
            Ok(()) => {
                self.saved = position;
                if failed_before {
                    log::info!("the position is saved in {} again", self.path.display());
                }
            }
            Err(e) if !failed_before => log::warn!(
                "failed to keep the position in {}: {e}; the broadcast goes on, a restart would go back to what was saved last",
                self.path.display()
            ),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
