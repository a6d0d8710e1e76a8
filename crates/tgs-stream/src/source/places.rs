//! Notices changes of the folders and local lists that entries come from.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use tgs_core::files::FileVersion;

use super::entry::PlaylistEntry;

/// Places that are followed. More are read again when a round begins.
const MAX_PLACES: usize = 2000;

/// The folders and local lists that an expansion has read.
#[derive(Debug, Default)]
pub struct Places {
    /// Adding, removing and renaming a file changes the version of its folder, writing to it does
    /// not.
    read: Vec<(PathBuf, Option<FileVersion>)>,
    entries: u64,
}

impl Places {
    /// Adds a place that is read afterwards.
    pub(super) fn add(&mut self, place: &Path) {
        if self.read.len() < MAX_PLACES {
            self.read.push((place.to_owned(), FileVersion::of(place)));
        }
    }

    /// Completes the places of `entries`.
    pub(super) fn with_entries(mut self, entries: &[PlaylistEntry]) -> Self {
        let mut hasher = DefaultHasher::new();
        for entry in entries {
            entry.key.hash(&mut hasher);
        }
        self.entries = hasher.finish();
        self
    }

    /// Whether a place has changed since it was read.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.read.iter().any(|(place, read)| FileVersion::of(place) != *read)
    }

    /// Whether both have the same entries.
    #[must_use]
    pub fn names_same(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}
