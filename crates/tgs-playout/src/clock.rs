//! The clock of all paced work: the seam through which a test simulates months in minutes.
//!
//! Waits for a child or a socket use the system clock directly, because tests do not simulate
//! these.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tgs_core::cancel::Cancel;

/// A source of time that can be waited on.
pub(crate) trait Clock: fmt::Debug + Send + Sync {
    /// The current monotonic time.
    fn now(&self) -> Instant;
    /// The wall-clock time in seconds since the epoch, which time servers may step. For display
    /// only.
    fn wall(&self) -> f64;
    /// Waits for `timeout`, or until `cancel` is set. Returns whether `cancel` is set.
    fn wait(&self, timeout: Duration, cancel: &Cancel) -> bool;
}

/// The system clock.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> f64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }

    fn wait(&self, timeout: Duration, cancel: &Cancel) -> bool {
        cancel.wait(timeout)
    }
}
