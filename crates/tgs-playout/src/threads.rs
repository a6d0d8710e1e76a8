//! Waits for threads that cannot be asked to hurry: bounded, since one may hang in a file system.

use std::{
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Waits until all of them have ended, `patience` at most.
pub(crate) fn await_end<'a>(threads: impl IntoIterator<Item = &'a JoinHandle<()>>, patience: Duration) {
    let deadline = Instant::now() + patience;
    for thread in threads {
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}
