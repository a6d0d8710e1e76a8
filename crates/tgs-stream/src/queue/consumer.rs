//! The playlist's side of the queue: it takes items, and reports what was published.
//!
//! A prepare thread may outlive its engine, since a page that hangs cannot be interrupted at once.
//! The queue therefore obeys its newest consumer only: the older ones get no item and change
//! nothing.

use std::{mem, time::Duration};

use super::{
    PlayQueue,
    entries::{QueueEntries, QueuePlace, QueuedItem, Taken},
};
use crate::source::{EntryKey, PlaylistEntry};

/// Takes the queue's items for one playlist. Clones share its right to do so.
#[derive(Debug, Clone)]
pub(crate) struct QueueConsumer {
    queue: PlayQueue,
    /// The queue's number of consumers when this one began.
    epoch: u64,
}

impl PlayQueue {
    /// Begins a new consumer, which gets all items again, and disables those before. Turns begin
    /// at 1 again.
    pub(crate) fn consumer(&self) -> QueueConsumer {
        QueueConsumer { queue: self.clone(), epoch: self.entries().rewind() }
    }
}

impl QueueConsumer {
    /// The queue itself.
    #[cfg(test)]
    pub(crate) fn queue(&self) -> &PlayQueue {
        &self.queue
    }

    /// Acts on the entries, unless a newer consumer has begun.
    fn with<T: Default>(&self, act: impl FnOnce(&mut QueueEntries) -> T) -> T {
        let mut entries = self.queue.entries();
        if entries.epoch() == self.epoch { act(&mut entries) } else { T::default() }
    }

    /// The next item, `None` if the queue has no further one. It stays the next one until
    /// [`QueueConsumer::hand_out`] or [`QueueConsumer::skip`]. May open a folder or a list on this
    /// machine.
    pub(crate) fn next(&self) -> Option<QueuedItem> {
        loop {
            match self.with(QueueEntries::next) {
                Taken::Item(item) => return Some(*item),
                Taken::Unopened(id, line) => {
                    let items = line.expand();
                    self.with(|entries| entries.open(id, items));
                }
                Taken::Nothing => return None,
            }
        }
    }

    /// Whether [`QueueConsumer::next`] has an item.
    pub(crate) fn has_next(&self) -> bool {
        self.with(|entries| entries.has_next())
    }

    /// Replaces the item at `place`, a page or a remote list, by the items that it names.
    pub(crate) fn expand(&self, place: QueuePlace, found: Vec<PlaylistEntry>) {
        self.with(|entries| entries.expand(place, found));
    }

    /// Marks the item at `place` as handed out to the engine under the number `turn`.
    pub(crate) fn hand_out(&self, place: QueuePlace, turn: u64) {
        self.with(|entries| entries.hand_out(place, turn));
    }

    /// Leaves out the item at `place`, which cannot be played.
    pub(crate) fn skip(&self, place: QueuePlace) {
        self.with(|entries| entries.skip(place));
    }

    /// The list's item `turn` was handed out because the queue had no further item.
    pub(crate) fn list_item_follows(&self, turn: u64) {
        self.with(|entries| entries.list_item_follows(turn));
    }

    /// Takes back the item at `place`, handed out as `turn`, which has not been broadcast. It
    /// starts at `from` again; with an offset it precedes all entries.
    pub(crate) fn give_back(&self, place: QueuePlace, turn: u64, from: Duration) {
        self.with(|entries| entries.give_back(place, turn, from));
    }

    /// Takes back the item at `place`, handed out as `turn`, to play it next, from `from` on.
    pub(crate) fn repeat(&self, place: QueuePlace, turn: u64, from: Duration) {
        self.with(|entries| entries.repeat(place, turn, from));
    }

    /// Continues entry `id` at the offset `from` of its item `key`. With an offset it precedes all
    /// entries.
    pub(crate) fn resume(&self, id: u64, key: EntryKey, from: Duration) {
        self.with(|entries| entries.resume(id, key, from));
    }

    /// Records that the item `turn` is being published. Removes the entries that it ends.
    pub(crate) fn published(&self, turn: u64) {
        if self.with(|entries| entries.published(turn)) {
            self.forget_ended();
        }
    }

    /// The item that follows the one at `place` in the same entry; `None` after its last one.
    pub(crate) fn following(&self, place: QueuePlace) -> Option<EntryKey> {
        self.with(|entries| entries.following(place))
    }

    /// Records that the list has ended after the item that was published last.
    pub(crate) fn ended(&self) {
        self.with(QueueEntries::last_ended);
        self.forget_ended();
    }

    /// Removes the entries that were shown to their end, or cannot be played.
    fn forget_ended(&self) {
        let mut file = self.queue.file();
        let saved = self.with(|entries| {
            let order = entries.unended();
            Some((entries.saved(&order, None), order))
        });
        // A newer consumer plays them again.
        let Some((saved, order)) = saved else { return };
        let failed_before = mem::replace(&mut file.failing, false);
        if let Err(error) = file.save(&saved) {
            file.failing = true;
            if !failed_before {
                log::warn!("{error}; a restart would play the last entries again");
            }
        }
        self.queue.entries().rearrange(&order, None);
    }
}
