//! A flag that asks all threads with a copy of it to stop. It interrupts no system call: to wake a
//! thread blocked in a read, close or kill the source.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// A cancellation flag. Clones share it; once set, it stays set.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    // Outside the mutex, so that a check takes no lock.
    cancelled: Arc<AtomicBool>,
    /// The flags of all parents.
    above: Arc<[Arc<AtomicBool>]>,
    /// Shared with all parents and children: setting a parent wakes threads that wait for a child.
    woken: Arc<(Mutex<()>, Condvar)>,
}

impl Cancel {
    /// Creates an unset flag.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a flag that is also set once this one is, to cancel a part of the work.
    #[must_use]
    pub fn child(&self) -> Self {
        let above = self.above.iter().chain([&self.cancelled]).cloned().collect();
        Self { cancelled: Arc::default(), above, woken: Arc::clone(&self.woken) }
    }

    /// Sets the flag and wakes all threads in [`Cancel::wait`].
    pub fn cancel(&self) {
        // Under the lock: a thread that just saw the flag unset must be waiting before the wake-up.
        let _guard = self.woken.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.cancelled.store(true, Ordering::SeqCst);
        self.woken.1.notify_all();
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.above.iter().chain([&self.cancelled]).any(|flag| flag.load(Ordering::SeqCst))
    }

    /// Sleeps for `timeout`, or until the flag is set. Returns whether it is set.
    pub fn wait(&self, timeout: Duration) -> bool {
        let guard = self.woken.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.woken.1.wait_timeout_while(guard, timeout, |()| !self.is_cancelled());
        drop(waited);
        self.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Instant};

    use super::*;

    #[test]
    fn a_clone_sees_the_flag() {
        let first = Cancel::new();
        let second = first.clone();
        assert!(!second.is_cancelled());
        first.cancel();
        assert!(second.is_cancelled());
    }

    #[test]
    fn a_child_is_set_by_its_parents_and_sets_none() {
        let parent = Cancel::new();
        let (one, other) = (parent.child(), parent.child());
        let below = one.child();
        one.cancel();
        assert!(
            one.is_cancelled() && below.is_cancelled() && !other.is_cancelled() && !parent.is_cancelled()
        );
        let waiter = thread::spawn({
            let other = other.child();
            move || other.wait(Duration::from_mins(1))
        });
        parent.cancel();
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn waiting_ends_with_the_flag_or_the_time() {
        let cancel = Cancel::new();
        assert!(!cancel.wait(Duration::from_millis(1)));
        let other = cancel.clone();
        let began = Instant::now();
        let waiter = thread::spawn(move || other.wait(Duration::from_mins(1)));
        cancel.cancel();
        assert!(waiter.join().unwrap());
        assert!(began.elapsed() < Duration::from_secs(30), "the wait was not interrupted");
    }
}
