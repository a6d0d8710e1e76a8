//! What has to be kept of an item to find its place in the list again.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::source::{EntryKey, PlaylistEntry};

/// How many of the entries after an item are kept, for the case that it is gone.
pub(super) const FOLLOWERS: usize = 8;

/// The encoder is a few items ahead of what is on air, where they are short.
const REMEMBERED: usize = 64;

/// A place in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bookmark {
    /// The entry.
    #[serde(flatten)]
    pub key: EntryKey,
    /// What its round was shuffled with; `None` in the list's own order.
    #[serde(default)]
    pub shuffle_seed: Option<u64>,
    /// The entries that come after it.
    #[serde(default)]
    pub followed_by: Vec<EntryKey>,
}

impl Bookmark {
    /// The place behind it; `None` where the round ends with it, or what follows is not known.
    #[must_use]
    pub fn following(mut self) -> Option<Self> {
        if self.followed_by.is_empty() {
            return None;
        }
        let key = self.followed_by.remove(0);
        Some(Self { key, ..self })
    }
}

/// One turn of an item: what a restart needs to know of it, and a jump.
#[derive(Debug, Clone)]
pub(super) struct PlayedEntry {
    /// The number that [`tgs_playout::item::Item::turn`] has.
    pub(super) turn: u64,
    /// What is played.
    pub(super) entry: PlaylistEntry,
    /// Its place in the list; of a queued item that of the item before it, where there was one.
    pub(super) bookmark: Option<Bookmark>,
    /// Whether it was queued, and stands nowhere in the list.
    pub(super) queued: bool,
}

/// The turns of the items encoded last. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Bookmarks(Arc<Mutex<VecDeque<PlayedEntry>>>);

impl Bookmarks {
    /// Where a restart goes on that finds the item of this place `offset` into it, and how far into that. A queued item is
    /// not played again: what follows it is. `None` where that is not in the round.
    #[must_use]
    pub fn resume_point(&self, place: u64, offset: Duration) -> Option<(Bookmark, Duration)> {
        let turn = self.turn(place)?;
        if turn.queued {
            return Some((turn.bookmark?.following()?, Duration::ZERO));
        }
        Some((turn.bookmark?, offset))
    }

    /// Where a restart goes on behind the item of this place.
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

    /// Takes away the turns after the one of this place.
    pub(super) fn take_after(&self, place: u64) -> Vec<PlayedEntry> {
        let mut kept = self.locked();
        let first = kept.iter().position(|turn| turn.turn > place).unwrap_or(kept.len());
        kept.split_off(first).into()
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<PlayedEntry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
