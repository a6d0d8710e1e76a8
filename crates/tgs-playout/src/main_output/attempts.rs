//! The delays between attempts to connect the main output, and which failures are logged.

use std::time::{Duration, Instant};

use tgs_core::backoff::Backoff;

use crate::quiet_log::QuietLog;

/// After a connection that lasted longer than this, the next attempt follows without back-off.
const STEADY: Duration = Duration::from_secs(5);

/// The same failure is logged again after this time.
const REPEAT_EVERY: Duration = Duration::from_mins(1);

/// The attempts to connect.
#[derive(Debug)]
pub(crate) struct Attempts {
    backoff: Backoff,
    /// Time of the last successful connection.
    connected: Option<Instant>,
    /// Whether an attempt without back-off has already followed a short connection.
    hurried: bool,
    logged: QuietLog,
}

impl Default for Attempts {
    fn default() -> Self {
        let (connected, logged) = (None, QuietLog::default());
        Self { backoff: Backoff::reconnecting(), connected, hurried: false, logged }
    }
}

impl Attempts {
    /// The delay before the first attempt.
    pub(crate) fn begin(&mut self, now: Instant) -> Duration {
        self.logged.reset();
        if self.connected.is_none_or(|at| now - at > STEADY) {
            self.backoff.reset();
            self.hurried = false;
            return Duration::ZERO;
        }
        // A single short connection may be chance: the first one is followed by an immediate
        // attempt. Then back-off, for a server that accepts connections and drops them.
        if std::mem::replace(&mut self.hurried, true) { self.backoff.next_delay() } else { Duration::ZERO }
    }

    /// The delay after a failed attempt.
    pub(crate) fn next_delay(&mut self) -> Duration {
        self.backoff.next_delay()
    }

    /// Whether the failure of an attempt is to be logged: a new one, or once a minute.
    pub(crate) fn is_news(&mut self, failure: &str, now: Instant) -> bool {
        self.logged.is_due(failure, now, REPEAT_EVERY)
    }

    /// An attempt was successful.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.connected = Some(now);
    }
}
