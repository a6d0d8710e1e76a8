//! The time by which interstitials and fetched lists are due. A test moves it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time at the start, so that states from before a restart have a time too.
const START: Duration = Duration::from_hours(24 * 30);

/// A monotonic clock, and the time of day.
#[derive(Debug)]
pub(super) struct ListClock {
    begun: Instant,
    /// By how much a test is ahead of the system's clock.
    #[cfg(test)]
    pub(super) ahead: Duration,
}

impl ListClock {
    pub(super) fn start() -> Self {
        Self {
            begun: Instant::now(),
            #[cfg(test)]
            ahead: Duration::ZERO,
        }
    }

    /// The monotonic time.
    pub(super) fn now(&self) -> Duration {
        START + self.begun.elapsed() + self.ahead()
    }

    /// The time since 1970, which time servers may step.
    pub(super) fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + self.ahead()
    }

    #[cfg(test)]
    fn ahead(&self) -> Duration {
        self.ahead
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the signature of the one that a test moves")]
    fn ahead(&self) -> Duration {
        Duration::ZERO
    }
}
