//! Limits the log when many items fail in a row: single lines first, then one line for many.

use std::time::{Duration, Instant};

/// Failures per [`WINDOW`] that get a line each.
const SINGLE: u32 = 20;

const WINDOW: Duration = Duration::from_mins(1);

/// Interval of the summary lines for further failures.
const SUM_EVERY: Duration = Duration::from_secs(10);

/// Logged and pending failures.
#[derive(Debug)]
pub(super) struct SkipLog {
    /// Start of the current window, and its number of single lines.
    window: Instant,
    single: u32,
    /// Pending failures: their count, the time of the first, the line of the last.
    held: u64,
    since: Instant,
    last: String,
}

impl SkipLog {
    pub(super) fn new(now: Instant) -> Self {
        Self { window: now, single: 0, held: 0, since: now, last: String::new() }
    }

    /// Records a failure described by `line`. Returns the line to log now, if any.
    pub(super) fn add(&mut self, line: String, now: Instant) -> Option<String> {
        if now.saturating_duration_since(self.window) >= WINDOW {
            (self.window, self.single) = (now, 0);
        }
        if self.single < SINGLE && self.held == 0 {
            self.single += 1;
            return Some(line);
        }
        if self.held == 0 {
            self.since = now;
        }
        self.held += 1;
        self.last = line;
        self.sum_up(now)
    }

    /// The summary line of the pending failures, if due.
    pub(super) fn sum_up(&mut self, now: Instant) -> Option<String> {
        let gathered = now.saturating_duration_since(self.since);
        if self.held == 0 || gathered < SUM_EVERY {
            return None;
        }
        let (held, seconds) = (std::mem::take(&mut self.held), gathered.as_secs());
        Some(format!("{held} more items failed in the last {seconds} s, last: {}", self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that `failures` make, one every `every`, `window` long at most.
    fn lines(failures: u32, every: Duration) -> Vec<String> {
        let began = Instant::now();
        let mut log = SkipLog::new(began);
        let mut lines: Vec<_> = (0..failures)
            .filter_map(|n| log.add(format!("skipped “{n}”: gone"), began + every * n))
            .collect();
        lines.extend(log.sum_up(began + every * failures + SUM_EVERY));
        lines
    }

    #[test]
    fn few_failures_have_a_line_each() {
        assert_eq!(lines(3, Duration::from_millis(1)).len(), 3);
        // One every four seconds, for an hour.
        assert_eq!(lines(900, Duration::from_secs(4)).len(), 900);
    }

    #[test]
    fn many_failures_are_summed_up_and_none_is_forgotten() {
        let lines = lines(6000, Duration::from_millis(10));
        assert!(lines.len() < 30, "{} lines in a minute", lines.len());
        assert!(lines[..20].iter().all(|line| line.starts_with("skipped")), "{lines:?}");
        let summed: u64 =
            lines[20..].iter().map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap()).sum();
        assert_eq!(summed, 5980);
        assert!(
            lines[20].starts_with("1001 more items failed in the last 10 s, last: skipped “1020”: gone"),
            "{}",
            lines[20]
        );
    }

    #[test]
    fn nothing_that_was_held_is_summed_up_twice() {
        let now = Instant::now();
        let mut log = SkipLog::new(now);
        for n in 0..25 {
            log.add(n.to_string(), now);
        }
        assert_eq!(log.sum_up(now), None, "too early");
        let later = now + SUM_EVERY;
        assert_eq!(log.sum_up(later).as_deref(), Some("5 more items failed in the last 10 s, last: 24"));
        assert_eq!(log.sum_up(later + SUM_EVERY), None);
    }
}
