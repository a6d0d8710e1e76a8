//! `queue.json`: the entries and the next ID. A damaged file is set aside.

use std::{
    fs, io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::{
    error::{MAX_ENTRIES, QueueError},
    line::SavedLine,
};
use crate::state_file::{self, StateFileError};

/// The versions of the format: 2 has restricted entries, which an older version would not restrict.
const VERSIONS: RangeInclusive<u32> = 1..=2;

/// More than the longest queue of the longest lines needs.
const MAX_FILE: u64 = 24 << 20;

/// An entry as it is saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedEntry {
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) line: SavedLine,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct QueueContent<E> {
    version: u32,
    /// The ID of the next new entry: larger than any used before.
    next_id: u64,
    entries: Vec<E>,
}

/// Writes the file.
#[derive(Debug)]
pub(super) struct QueueFile {
    /// `None` for a queue in memory.
    path: Option<PathBuf>,
    next_id: u64,
    /// Whether the last entry that ended could not be removed from the file.
    pub(super) failing: bool,
}

impl QueueFile {
    /// Reads the file; on any error, there are no entries.
    pub(super) fn open(path: Option<PathBuf>) -> (Self, Vec<SavedEntry>) {
        let read = path.as_deref().map(read).transpose();
        let (content, damaged) = match read {
            Ok(content) => (content, false),
            Err(StateFileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => (None, false),
            Err(problem) => {
                set_aside(path.as_deref().unwrap_or(Path::new("")), &problem);
                (None, true)
            }
        };
        let QueueContent { next_id, entries, .. } =
            content.unwrap_or(QueueContent { version: 1, next_id: 1, entries: Vec::new() });
        let used = entries.iter().map(|entry: &SavedEntry| entry.id).max().unwrap_or_default();
        // The IDs that a damaged file held must not be used again: the clock is beyond them.
        let least = if damaged { seconds_since_epoch() } else { 1 };
        let next_id = next_id.max(used.saturating_add(1)).max(least);
        (Self { path, next_id, failing: false }, entries)
    }

    /// The ID of the next new entry.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Saves these entries. Returns after they are on the disk.
    pub(super) fn save(&mut self, entries: &[SavedEntry]) -> Result<(), QueueError> {
        let used = entries.iter().map(|entry| entry.id).max().unwrap_or_default();
        let next_id = self.next_id.max(used.saturating_add(1));
        if let Some(path) = &self.path {
            let restricted = entries.iter().any(|entry| entry.line.below.is_some());
            let version = if restricted { 2 } else { 1 };
            let content = QueueContent { version, next_id, entries: entries.iter().collect() };
            let written = serde_json::to_vec(&content).map_err(io::Error::from);
            // URLs may hold passwords.
            written
                .and_then(|bytes| tgs_core::files::replace(path, &bytes, 0o600))
                .map_err(|error| QueueError::NotSaved { path: path.clone(), why: error.to_string() })?;
        }
        self.next_id = next_id;
        Ok(())
    }
}

fn read(path: &Path) -> Result<QueueContent<SavedEntry>, StateFileError> {
    let mut content: QueueContent<SavedEntry> = state_file::read_versions(path, &VERSIONS, MAX_FILE)?;
    content.entries.truncate(MAX_ENTRIES);
    Ok(content)
}

fn set_aside(path: &Path, problem: &StateFileError) {
    let (shown, aside) = (path.display(), path.with_extension("json.broken"));
    match fs::rename(path, &aside) {
        Ok(()) => log::warn!(
            "failed to read {shown}: {problem}; the queue is empty, the file is saved as {}",
            aside.display()
        ),
        Err(error) => {
            log::warn!("failed to read {shown}: {problem}; the queue is empty (not saved aside: {error})");
        }
    }
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |since| since.as_secs())
}
