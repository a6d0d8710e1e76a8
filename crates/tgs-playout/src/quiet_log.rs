//! Keeps a message that repeats from filling the log.

use std::time::{Duration, Instant};

/// The message logged last, and when.
#[derive(Debug, Default)]
pub(crate) struct QuietLog(Option<(String, Instant)>);

impl QuietLog {
    /// Whether `text` is new, or was logged at least `silence` ago.
    pub(crate) fn is_due(&mut self, text: &str, now: Instant, silence: Duration) -> bool {
        let known = self.0.as_ref();
        let known =
            known.is_some_and(|(last, at)| last == text && now.saturating_duration_since(*at) < silence);
        if !known {
            self.0 = Some((text.to_owned(), now));
        }
        !known
    }

    /// The next message is logged in any case.
    pub(crate) fn reset(&mut self) {
        self.0 = None;
    }
}
