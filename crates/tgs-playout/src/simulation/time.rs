//! The simulated clock, and the world that moves with it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tgs_core::cancel::Cancel;

use crate::clock::Clock;

/// The simulated time.
#[derive(Debug)]
pub(crate) struct SimulatedTime {
    pub(crate) began: Instant,
    /// The wall-clock time of the start, since the epoch.
    pub(crate) starts: Duration,
    /// Nanoseconds since the start.
    pub(crate) now: AtomicU64,
}

impl SimulatedTime {
    pub(crate) fn elapsed(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

impl Clock for SimulatedTime {
    fn now(&self) -> Instant {
        self.began + Duration::from_nanos(self.elapsed())
    }

    fn wall(&self) -> f64 {
        (self.starts + Duration::from_nanos(self.elapsed())).as_secs_f64()
    }

    fn wait(&self, _: Duration, _: &Cancel) -> bool {
        unreachable!("the read-ahead does not wait by this clock");
    }
}

/// What happens while simulated time passes.
pub(crate) trait World: Send {
    /// Lets time pass to `until`, in nanoseconds since the start.
    fn pass(&mut self, until: u64);
}

/// The simulated time, and the world that moves with it.
pub(crate) struct Simulated<W> {
    pub(crate) time: Arc<SimulatedTime>,
    pub(crate) world: Mutex<W>,
}

impl<W: World> Simulated<W> {
    pub(crate) fn world<T>(&self, act: impl FnOnce(&mut W) -> T) -> T {
        act(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn pass(&self, until: u64) {
        self.world(|world| world.pass(until));
    }
}

impl<W> fmt::Debug for Simulated<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.time.fmt(f)
    }
}

impl<W: World> Clock for Simulated<W> {
    fn now(&self) -> Instant {
        self.time.now()
    }

    fn wall(&self) -> f64 {
        self.time.wall()
    }

    fn wait(&self, timeout: Duration, cancel: &Cancel) -> bool {
        self.pass(self.time.elapsed() + timeout.as_nanos() as u64);
        cancel.is_cancelled()
    }
}
