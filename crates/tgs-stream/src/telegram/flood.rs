//! A wait that Telegram has asked for, kept over restarts: asking again before its end makes it longer.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tgs_core::files;

/// Longer waits than this are those of a clock that was wrong when they were written.
const LONGEST: Duration = Duration::from_hours(7 * 24);

/// The file it is kept in.
#[derive(Debug)]
pub(crate) struct Flood(PathBuf);

impl Flood {
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self(state_dir.join("flood-wait"))
    }

    /// How long is still to be waited at `now`.
    pub(crate) fn left(&self, now: SystemTime) -> Option<Duration> {
        let until = fs::read_to_string(&self.0).ok()?.trim().parse().ok()?;
        let left = (UNIX_EPOCH.checked_add(Duration::from_secs(until))?).duration_since(now).ok()?;
        (left <= LONGEST && !left.is_zero()).then_some(left)
    }

    /// Telegram asks at `now` to wait.
    pub(crate) fn set(&self, wait: Duration, now: SystemTime) {
        let until = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() + wait.as_secs() + 1;
        if let Err(error) = files::replace(&self.0, format!("{until}\n").as_bytes(), 0o600) {
            log::warn!("cannot keep Telegram's wait in {}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_survives_a_restart_and_ends() {
        let dir = tempfile::tempdir().unwrap();
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_000_000_000 + seconds);
        assert_eq!(Flood::new(dir.path()).left(at(0)), None);
        Flood::new(dir.path()).set(Duration::from_secs(30), at(0));
        let flood = Flood::new(dir.path());
        assert_eq!(flood.left(at(10)), Some(Duration::from_secs(21)));
        assert_eq!(flood.left(at(31)), None);
        // A clock that was years ahead when it was written.
        flood.set(Duration::from_secs(30), at(100_000_000));
        assert_eq!(flood.left(at(0)), None);
        fs::write(dir.path().join("flood-wait"), "99999999999999999999").unwrap();
        assert_eq!(flood.left(at(0)), None);
    }
}
