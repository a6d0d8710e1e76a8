//! Where the time comes from for what is paced by it: the one seam through which a test can live
//! through months in minutes.
//!
//! It measures nothing and plans nothing. What waits for a child or a socket uses the machine's
//! clock directly: there is nothing to simulate behind it.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tgs_core::cancel::Cancel;

/// A source of time that can be waited on.
pub(crate) trait Clock: fmt::Debug + Send + Sync {
    /// The moment, on a clock that nobody sets.
    fn now(&self) -> Instant;
    /// Seconds since the epoch, on the clock that people and time servers set. Only fit to be
    /// shown.
    fn wall(&self) -> f64;
    /// Waits for `timeout`, or until `cancel` is set. Answers whether it is.
    fn wait(&self, timeout: Duration, cancel: &Cancel) -> bool;
}

/// This machine's.
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
