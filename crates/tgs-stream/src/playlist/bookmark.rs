//! Bookmarks: what identifies an item's place in a list that may be edited or shuffled.

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

/// A place in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bookmark {
    /// The entry at the place.
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
    /// The next place; `None` at the end of the round.
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
    /// Its place in the list; for a queued entry, that of the item before it.
    pub(super) bookmark: Option<Bookmark>,
    /// Whether it was queued: it has no place of its own.
    pub(super) queued: bool,
}

/// The entries encoded last. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Bookmarks(Arc<Mutex<VecDeque<PlayedEntry>>>);

impl Bookmarks {
    /// Where a restart resumes that was at `offset` of the item `place`. A queued item is not
    /// repeated: its follower comes. `None` if the round ends there.
    #[must_use]
    pub fn resume_point(&self, place: u64, offset: Duration) -> Option<(Bookmark, Duration)> {
        let turn = self.turn(place)?;
        if turn.queued {
            return Some((turn.bookmark?.following()?, Duration::ZERO));
        }
        Some((turn.bookmark?, offset))
    }

    /// Where a restart continues after the item `place`.
    #[must_use]
    pub fn after(&self, place: u64) -> Option<Bookmark> {
        self.turn(place)?.bookmark?.following()
    }

    pub(super) fn turn(&self, place: u64) -> Option<PlayedEntry> {
        self.locked().iter().rev().find(|turn| turn.turn == place).cloned()
    }

    pub(super) fn add(&self, turn: PlayedEntry) {
        let mut kept = self.locked();
        kept.push_back(turn);
        if kept.len() > REMEMBERED {
            kept.pop_front();
        }
    }

    /// Removes the entries after `place`.
    pub(super) fn take_after(&self, place: u64) -> Vec<PlayedEntry> {
        let mut kept = self.locked();
        let first = kept.iter().position(|turn| turn.turn > place).unwrap_or(kept.len());
        kept.split_off(first).into()
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<PlayedEntry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
