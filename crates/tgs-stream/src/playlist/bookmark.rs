//! Bookmarks: what identifies an item's turn in a list that may be edited or shuffled.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::source::{EntryKey, PlaylistEntry};

/// How many following entries a bookmark names, in case its own is gone.
pub(super) const FOLLOWERS: usize = 8;

/// Short items: the encoder may be many items ahead of the published one.
const REMEMBERED: usize = 64;

/// A turn in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bookmark {
    /// The entry at the turn.
    #[serde(flatten)]
    pub key: EntryKey,
    /// The seed of its round; `None` in the list's own order.
    #[serde(default)]
    pub shuffle_seed: Option<u64>,
    /// The entries that follow.
    #[serde(default)]
    pub followed_by: Vec<EntryKey>,
}

impl Bookmark {
    /// The next turn; `None` at the end of the round.
    #[must_use]
    pub fn following(mut self) -> Option<Self> {
        if self.followed_by.is_empty() {
            return None;
        }
        let key = self.followed_by.remove(0);
        Some(Self { key, ..self })
    }
}

/// One play of an entry, as restarts and jumps need it.
#[derive(Debug, Clone)]
pub(super) struct PlayedEntry {
    /// Equals [`tgs_playout::item::Item::turn`].
    pub(super) turn: u64,
    /// The entry.
    pub(super) entry: PlaylistEntry,
    /// Its turn in the list; for a queued entry, that of the item before it.
    pub(super) bookmark: Option<Bookmark>,
    /// Whether it was queued: it has no turn of its own.
    pub(super) queued: bool,
}

/// The entries encoded last. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Bookmarks(Arc<Mutex<VecDeque<PlayedEntry>>>);

impl Bookmarks {
    /// Where a restart resumes that was at `offset` of the item `turn`. A queued item is not
    /// repeated: its follower comes. `None` if the round ends there.
    #[must_use]
    pub fn resume_point(&self, turn: u64, offset: Duration) -> Option<(Bookmark, Duration)> {
        let played = self.find(turn)?;
        if played.queued {
            return Some((played.bookmark?.following()?, Duration::ZERO));
        }
        Some((played.bookmark?, offset))
    }

    /// Where a restart continues after the item `turn`.
    #[must_use]
    pub fn after(&self, turn: u64) -> Option<Bookmark> {
        self.find(turn)?.bookmark?.following()
    }

    pub(super) fn find(&self, turn: u64) -> Option<PlayedEntry> {
        self.locked().iter().rev().find(|played| played.turn == turn).cloned()
    }

    pub(super) fn add(&self, entry: PlayedEntry) {
        let mut entries = self.locked();
        entries.push_back(entry);
        if entries.len() > REMEMBERED {
            entries.pop_front();
        }
    }

    /// Removes the entries after `turn`.
    pub(super) fn take_after(&self, turn: u64) -> Vec<PlayedEntry> {
        let mut entries = self.locked();
        let first = entries.iter().position(|played| played.turn > turn).unwrap_or(entries.len());
        entries.split_off(first).into()
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<PlayedEntry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
