//! Telegram's FLOOD_WAIT, kept across restarts: a request before its end makes it longer.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tgs_core::files;

/// Limit of a stored wait. A longer wait in the file comes from a wrong clock.
const LONGEST: Duration = Duration::from_hours(7 * 24);

/// The FLOOD_WAITs of one instance's sessions. The file has a line per session: session, end in
/// Unix seconds.
#[derive(Debug)]
pub struct FloodWaits {
    file: PathBuf,
    /// The same waits, in case the file is not writable.
    waits: Mutex<BTreeMap<String, u64>>,
}

impl FloodWaits {
    /// Reads the waits kept in `state_dir`.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        let file = state_dir.join("flood-wait");
        let text = files::read_text(&file).unwrap_or_default();
        let line = |line: &str| {
            let (session, until) = line.split_once(' ')?;
            Some((session.to_owned(), until.parse().ok()?))
        };
        let waits = Mutex::new(text.lines().filter_map(line).collect());
        Self { file, waits }
    }

    /// Returns the remaining wait of this session (its short hash) at `now`.
    #[must_use]
    pub fn left(&self, session: &str, now: SystemTime) -> Option<Duration> {
        let until = *self.locked().get(session)?;
        let left = Duration::from_secs(until).checked_sub(since_epoch(now))?;
        (left <= LONGEST + Duration::from_secs(1) && !left.is_zero()).then_some(left)
    }

    /// Records a FLOOD_WAIT that Telegram sent at `now`.
    pub fn set(&self, session: &str, wait: Duration, now: SystemTime) {
        let mut waits = self.locked();
        let now = since_epoch(now).as_secs();
        waits.retain(|_, until| *until > now);
        waits.insert(session.to_owned(), now.saturating_add(wait.min(LONGEST).as_secs()).saturating_add(1));
        let lines: Vec<_> = waits.iter().map(|(session, until)| format!("{session} {until}\n")).collect();
        if let Err(error) = files::replace(&self.file, lines.concat().as_bytes(), 0o600) {
            log::warn!("cannot keep Telegram's wait in {}: {error}", self.file.display());
        }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn since_epoch(now: SystemTime) -> Duration {
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_survives_a_restart_and_ends() {
        let dir = tempfile::tempdir().unwrap();
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_000_000_000 + seconds);
        assert_eq!(FloodWaits::new(dir.path()).left("a", at(0)), None);
        FloodWaits::new(dir.path()).set("a", Duration::from_secs(30), at(0));
        let flood = FloodWaits::new(dir.path());
        assert_eq!(flood.left("a", at(10)), Some(Duration::from_secs(21)));
        assert_eq!(flood.left("a", at(31)), None);
        assert_eq!(flood.left("b", at(10)), None, "another session is not meant");
        flood.set("b", Duration::from_secs(5), at(10));
        assert_eq!(flood.left("a", at(10)), Some(Duration::from_secs(21)));
        flood.set("c", Duration::MAX, at(10));
        assert_eq!(flood.left("c", at(10)), Some(LONGEST + Duration::from_secs(1)));
        // A clock that was years ahead when it was written.
        flood.set("a", Duration::from_secs(30), at(100_000_000));
        assert_eq!(flood.left("a", at(0)), None);
        std::fs::write(dir.path().join("flood-wait"), "a 99999999999999999999\nnonsense\n").unwrap();
        assert_eq!(FloodWaits::new(dir.path()).left("a", at(0)), None);
    }

    #[test]
    fn it_holds_without_a_file() {
        let flood = FloodWaits::new(Path::new("/nowhere/at/all"));
        flood.set("a", Duration::from_secs(30), UNIX_EPOCH);
        assert_eq!(flood.left("a", UNIX_EPOCH), Some(Duration::from_secs(31)));
    }
}
