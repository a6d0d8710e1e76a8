//! Bookmarks: what identifies an item's turn in a list that may be edited or shuffled.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::interstitials::{SavedInterstitial, Snapshot};
use crate::{
    queue::QueuePlace,
    source::{EntryKey, PlaylistEntry},
};

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
    /// Where the interstitials are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interstitials: Vec<SavedInterstitial>,
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

/// A position within an entry of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedPosition {
    /// The entry's ID.
    pub id: u64,
    /// The item: the entry itself, or one that its folder, list or page names.
    pub item: EntryKey,
    /// The published length of the item, in milliseconds from its beginning.
    pub offset_ms: u64,
    /// Whether the round continues after the bookmark's entry instead of with it.
    #[serde(default)]
    pub after: bool,
}

/// Where a restart resumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumePoint {
    /// The turn in the list.
    pub bookmark: Bookmark,
    /// The offset into its item.
    pub offset: Duration,
    /// The queued item that was on air; it precedes the turn in the list.
    pub queued: Option<QueuedPosition>,
    /// Whether the round continues after the bookmark's entry instead of with it. With a queued
    /// item, [`QueuedPosition::after`] says so.
    pub after: bool,
}

/// One play of an entry, as restarts and jumps need it.
#[derive(Debug, Clone)]
pub(super) struct PlayedEntry {
    /// Equals [`tgs_playout::item::Item::turn`].
    pub(super) turn: u64,
    /// The entry.
    pub(super) entry: PlaylistEntry,
    /// The title of its item.
    pub(super) title: String,
    /// Its turn in the list; for a queued entry, that of the item before it.
    pub(super) bookmark: Option<Bookmark>,
    /// Its place in the queue if it was queued: it has no turn of its own.
    pub(super) queued: Option<QueuePlace>,
    /// The pool of an interstitial, which has no turn of its own either.
    pub(super) interstitial: Option<String>,
    /// Where the interstitials were before it was handed out.
    pub(super) before: Snapshot,
    /// Where its item started.
    pub(super) from: Duration,
    /// Whether it preceded the queue as the target of a jump.
    pub(super) list_first: bool,
}

impl PlayedEntry {
    /// Whether the entry is not one of the list's order.
    pub(super) fn is_aside(&self) -> bool {
        self.queued.is_some() || self.interstitial.is_some()
    }
}

/// The entries encoded last. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Bookmarks(Arc<Mutex<VecDeque<PlayedEntry>>>);

impl Bookmarks {
    /// Where a restart resumes that was at `offset` of the item `turn`. After a queued item or an
    /// interstitial, the list continues with the entry after the item before it.
    #[must_use]
    pub fn resume_point(&self, turn: u64, offset: Duration) -> Option<ResumePoint> {
        let PlayedEntry { entry, bookmark, queued, interstitial, .. } = self.find(turn)?;
        let bookmark = bookmark?;
        let following = bookmark.clone().following();
        if interstitial.is_some() {
            let after = following.is_none();
            let bookmark = following.unwrap_or(bookmark);
            return Some(ResumePoint { bookmark, offset: Duration::ZERO, queued: None, after });
        }
        let Some(place) = queued else {
            return Some(ResumePoint { bookmark, offset, queued: None, after: false });
        };
        let queued = QueuedPosition {
            id: place.id,
            item: entry.key,
            offset_ms: offset.as_millis() as u64,
            after: following.is_none(),
        };
        let bookmark = following.unwrap_or(bookmark);
        Some(ResumePoint { bookmark, offset: Duration::ZERO, queued: Some(queued), after: false })
    }

    /// [`Bookmarks::resume_point`], if a restart there shows the very next picture: not within an
    /// interstitial, which a restart leaves out.
    pub(crate) fn exact_point(&self, turn: u64, offset: Duration) -> Option<ResumePoint> {
        self.find(turn).filter(|played| played.interstitial.is_none())?;
        self.resume_point(turn, offset)
    }

    /// Where a restart continues after the item `turn`. `next_in_entry` is the item that follows a
    /// queued one in its entry, if there is one.
    pub(crate) fn after(
        &self,
        turn: u64,
        next_in_entry: impl FnOnce(QueuePlace) -> Option<EntryKey>,
    ) -> Option<ResumePoint> {
        let played = self.find(turn)?;
        if let Some(next) = played.queued.and_then(next_in_entry) {
            let mut point = self.resume_point(turn, Duration::ZERO)?;
            point.queued.as_mut()?.item = next;
            return Some(point);
        }
        let bookmark = played.bookmark?.following()?;
        Some(ResumePoint { bookmark, offset: Duration::ZERO, queued: None, after: false })
    }

    pub(super) fn find(&self, turn: u64) -> Option<PlayedEntry> {
        self.locked().iter().rev().find(|played| played.turn == turn).cloned()
    }

    /// The bookmark of the item `turn`, and whether the list's order does not have that item.
    pub(super) fn place_of(&self, turn: u64) -> Option<(Bookmark, bool)> {
        let played = self.find(turn)?;
        let aside = played.is_aside();
        Some((played.bookmark?, aside))
    }

    /// The titles of the items handed out after `turn`.
    pub(super) fn titles_after(&self, turn: u64) -> Vec<String> {
        let entries = self.locked();
        entries.iter().filter(|played| played.turn > turn).map(|played| played.title.clone()).collect()
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
