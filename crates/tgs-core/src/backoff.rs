//! Delays between attempts. Only computes them: the caller sleeps.

use std::time::Duration;

/// Growing delays: optionally constant ones first, then doubling ones with jitter up to a cap.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    steady_for: Duration,
    /// Sum of the constant delays returned so far.
    waited: Duration,
    next: Duration,
}

impl Backoff {
    /// Delays that double from `first` to `cap`. Each is drawn between half of its value and the
    /// whole, so that tools that failed at the same moment do not retry at the same moment.
    #[must_use]
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, steady_for: Duration::ZERO, waited: Duration::ZERO, next: first }
    }

    /// For a lost connection: every 0.5 s for 10 s, because most outages are short, then doubling
    /// to 30 s.
    #[must_use]
    pub fn reconnecting() -> Self {
        let steady_for = Duration::from_secs(10);
        Self { steady_for, ..Self::new(Duration::from_millis(500), Duration::from_secs(30)) }
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        if self.waited < self.steady_for {
            self.waited += self.first;
            self.next = self.first.saturating_mul(2).min(self.cap);
            return self.first;
        }
        let whole = self.next.min(self.cap);
        self.next = whole.saturating_mul(2);
        whole.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Starts over. Call it after a success.
    pub fn reset(&mut self) {
        self.waited = Duration::ZERO;
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that the next waits lie between half of these (in ms) and the whole.
    fn doubling(backoff: &mut Backoff, wholes: &[u64]) {
        for &whole in wholes {
            let delay = backoff.next_delay().as_secs_f64() * 1000.0;
            assert!(delay >= whole as f64 / 2.0 && delay <= whole as f64, "{delay} ms of {whole} ms");
        }
    }

    #[test]
    fn doubles_to_the_cap() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        doubling(&mut backoff, &[1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        backoff.reset();
        doubling(&mut backoff, &[1000, 2000]);
    }

    #[test]
    fn reconnecting_is_steady_for_ten_seconds() {
        let mut backoff = Backoff::reconnecting();
        for _ in 0..2 {
            for _ in 0..20 {
                assert_eq!(backoff.next_delay(), Duration::from_millis(500));
            }
            doubling(&mut backoff, &[1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
            backoff.reset();
        }
    }

    #[test]
    fn delays_differ() {
        let mut backoff = Backoff::new(Duration::from_mins(1), Duration::from_mins(1));
        let first = backoff.next_delay();
        assert!((0..20).any(|_| backoff.next_delay() != first));
    }

    #[test]
    fn the_longest_durations_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::MAX / 4, Duration::MAX / 4);
        assert!(backoff.next_delay() <= Duration::MAX / 4);
    }
}
