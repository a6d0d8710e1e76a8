//! What has to be kept of an item to find its place in the list again.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::source::Key;

/// How many of the entries after an item are kept, for the case that it is gone.
pub(super) const FOLLOWERS: usize = 8;

/// The encoder is a few items ahead of what is on air, where they are short.
const REMEMBERED: usize = 64;

/// A place in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bookmark {
    /// The entry.
    #[serde(flatten)]
    pub key: Key,
    /// What its round was shuffled with; `None` in the list's own order.
    #[serde(default)]
    pub shuffle_seed: Option<u64>,
    /// The entries that come after it.
    #[serde(default)]
    pub followed_by: Vec<Key>,
}

/// The bookmarks of the items encoded last. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Bookmarks(Arc<Mutex<VecDeque<Bookmark>>>);

impl Bookmarks {
    /// The bookmark of the item with this `Item::id`, the latest where it was played several times.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<Bookmark> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().find(|bookmark| bookmark.key.item == id).cloned()
    }

    pub(super) fn add(&self, bookmark: Bookmark) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(bookmark);
        if kept.len() > REMEMBERED {
            kept.pop_front();
        }
    }
}
