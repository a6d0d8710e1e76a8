//! Contains panics: a panic fails one item, request or iteration, and the process continues. The
//! hook that [`crate::logging::init`] sets logs each panic with its location; the caller decides
//! what the failure means.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::{backoff::Backoff, mask};

/// Limit of a panic message, in characters.
const LONGEST: usize = 200;

/// Delay before a loop that panicked restarts; doubles up to [`SLOWEST`].
const FIRST: Duration = Duration::from_secs(1);

const SLOWEST: Duration = Duration::from_mins(1);

/// A contained panic. Displays its message on one line, bounded, with secrets masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic(String);

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Panic {
    /// Converts a panic's `payload`.
    #[must_use]
    pub fn of(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let one_line = text.unwrap_or("a panic without a message").replace(char::is_control, " ");
        Self(mask::mask(&one_line).chars().take(LONGEST).collect())
    }
}

/// Runs `work` and returns a panic in it as an error.
///
/// Data that `work` changed stays as the panic left it: let `work` own its data, or check the data
/// afterwards.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panic::of(&*payload))
}

/// Runs the loop `name` until it returns, and restarts it after each panic with a growing delay.
/// `pause` waits and returns whether to stop.
pub fn keep_running(name: &str, mut pause: impl FnMut(Duration) -> bool, mut run: impl FnMut()) {
    let mut backoff = Backoff::new(FIRST, SLOWEST);
    while let Err(panic) = contain(&mut run) {
        let delay = backoff.next_delay();
        log::error!(
            "thread {name} panicked ({panic}); restarting it in {:.0} s; please report this",
            delay.as_secs_f64().ceil()
        );
        if pause(delay) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        assert_eq!(contain(|| 7), Ok(7));
        let text = |work: fn()| contain(work).unwrap_err().to_string();
        assert_eq!(text(|| panic!("plain")), "plain");
        assert_eq!(text(|| panic!("{} of {}", 1, 2)), "1 of 2");
        assert_eq!(text(|| std::panic::panic_any(7)), "a panic without a message");
    }

    #[test]
    fn the_message_is_one_short_line_without_secrets() {
        let shown = contain(|| panic!("open http://me:secret@host/x?token=hidden:\n{}", "y".repeat(1000)));
        let shown = shown.unwrap_err().to_string();
        assert!(!shown.contains("secret") && !shown.contains("hidden") && !shown.contains('\n'), "{shown}");
        assert!(shown.contains("host") && shown.chars().count() <= LONGEST, "{shown}");
    }

    #[test]
    fn a_loop_starts_again_after_growing_waits() {
        let (mut runs, mut waits) = (0, Vec::new());
        let pause = |wait| {
            waits.push(wait);
            false
        };
        keep_running("x", pause, || {
            runs += 1;
            assert!(runs > 5, "run {runs}");
        });
        assert_eq!((runs, waits.len()), (6, 5));
        // Each wait lies between half of its step and the whole: the first and the last cannot
        // overlap.
        assert!(waits[0] <= FIRST && waits[4] >= 8 * FIRST && waits[4] <= SLOWEST, "{waits:?}");
    }

    #[test]
    fn a_loop_that_is_to_end_does_not_start_again() {
        let mut runs = 0;
        keep_running(
            "x",
            |_| true,
            || {
                runs += 1;
                panic!("once");
            },
        );
        assert_eq!(runs, 1);
    }
}
