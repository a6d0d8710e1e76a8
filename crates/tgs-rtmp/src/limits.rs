//! Limits of received data. A publisher receives a few hundred bytes while it connects and very
//! little afterwards. This module only counts: the caller closes the connection.

use std::time::{Duration, Instant};

/// Limit in bytes of answers (ping responses, acknowledgements) that the peer has not read.
pub(crate) const UNREAD_ANSWERS: usize = 8 * 1024;

/// The limit that the peer exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// Received bytes.
    #[error("more than {} kB at once or {} kB/s", .0.at_once / 1024, .0.per_second / 1024)]
    Bytes(Rate),
    /// Received messages.
    #[error("more than {} messages at once or {}/s", .0.at_once, .0.per_second)]
    Messages(Rate),
    /// Answers that the peer does not read.
    #[error("it asks for answers and does not read them")]
    Answers,
}

/// The remaining allowance of a peer.
#[derive(Debug)]
pub(crate) struct Allowance {
    bytes: Bucket,
    messages: Bucket,
    answers: usize,
}

impl Allowance {
    pub(crate) fn new(bytes: Rate, messages: Rate) -> Self {
        Self { bytes: Bucket::new(bytes), messages: Bucket::new(messages), answers: 0 }
    }

    /// Counts bytes received at `now`.
    pub(crate) fn bytes(&mut self, count: usize, now: Instant) -> Result<(), Excess> {
        self.bytes.take(count as u64, now).then_some(()).ok_or(Excess::Bytes(self.bytes.rate))
    }

    /// Counts a message received at `now`.
    pub(crate) fn message(&mut self, now: Instant) -> Result<(), Excess> {
        self.messages.take(1, now).then_some(()).ok_or(Excess::Messages(self.messages.rate))
    }

    /// Counts bytes queued as an answer.
    pub(crate) fn answer(&mut self, bytes: usize) -> Result<(), Excess> {
        self.answers = self.answers.saturating_add(bytes);
        if self.answers > UNREAD_ANSWERS { Err(Excess::Answers) } else { Ok(()) }
    }

    /// Resets the count of answers: the network has accepted all.
    pub(crate) fn answers_sent(&mut self) {
        self.answers = 0;
    }
}

/// A limit of bytes or messages: a burst and a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The burst size.
    pub at_once: u64,
    /// The sustained rate per second.
    pub per_second: u64,
}

impl Rate {
    /// The stricter of both in burst and rate.
    pub(crate) fn min(self, other: Self) -> Self {
        Self { at_once: self.at_once.min(other.at_once), per_second: self.per_second.min(other.per_second) }
    }
}

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    left: u64,
    /// Time of the last refill.
    filled: Option<Instant>,
}

impl Bucket {
    fn new(rate: Rate) -> Self {
        Self { rate, left: rate.at_once, filled: None }
    }

    /// Takes `amount` tokens, if available.
    fn take(&mut self, amount: u64, now: Instant) -> bool {
        let since = now.saturating_duration_since(*self.filled.get_or_insert(now));
        // Capped at the time that fills the bucket, so that the product cannot overflow.
        let since = since
            .min(Duration::from_secs((self.rate.at_once / self.rate.per_second.max(1)).saturating_add(1)));
        let more = (since.as_micros() as u64).saturating_mul(self.rate.per_second) / 1_000_000;
        if more > 0 {
            self.left = self.left.saturating_add(more).min(self.rate.at_once);
            self.filled = Some(now);
        }
        self.left.checked_sub(amount).map(|left| self.left = left).is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { at_once: 512 * 1024, per_second: 64 * 1024 };

    #[test]
    fn what_is_allowed_is_the_burst_and_then_the_rate() {
        let mut bucket = Bucket::new(Rate { at_once: 10, per_second: 2 });
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(bucket.take(10, at(0)) && !bucket.take(1, at(0)) && !bucket.take(1, at(499)));
        assert!(bucket.take(1, at(500)) && !bucket.take(1, at(999)));
        // Frequent calls lose no fraction of a token.
        assert!((1000..2000).step_by(10).filter(|ms| bucket.take(1, at(*ms))).count() == 2);
        // The burst limits the tokens after any idle time.
        assert!(bucket.take(10, at(u64::from(u32::MAX))) && !bucket.take(1, at(u64::from(u32::MAX))));
    }

    #[test]
    fn answers_count_until_they_are_sent() {
        let mut allowance = Allowance::new(RATE, RATE);
        for _ in 0..3 {
            for _ in 0..UNREAD_ANSWERS / 16 {
                allowance.answer(16).unwrap();
            }
            allowance.answers_sent();
        }
        allowance.answer(UNREAD_ANSWERS).unwrap();
        assert_eq!(allowance.answer(1), Err(Excess::Answers));
    }

    proptest! {
        /// No count and no time overflows, and a peer never exceeds burst and rate.
        #[test]
        fn nobody_gets_more(steps in proptest::collection::vec((0_u64..1 << 40, any::<u32>()), 1..200)) {
            let mut bucket = Bucket::new(RATE);
            let start = Instant::now();
            let (mut now, mut taken) = (start, 0_u64);
            for (amount, micros) in steps {
                now += Duration::from_micros(u64::from(micros));
                taken += if bucket.take(amount, now) { amount } else { 0 };
            }
            let most = RATE.at_once + (now - start).as_secs().saturating_add(1) * RATE.per_second;
            prop_assert!(taken <= most, "{taken} > {most}");
        }
    }
}
