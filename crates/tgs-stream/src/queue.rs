//! The queue: entries that play before the rest of the list, kept in `STATE_DIR/queue.json`.
//!
//! Operators change it from any thread; the playlist takes items from it. An entry leaves the queue
//! once it has been published to its end, so that a crash loses none. The position within the entry
//! on air is part of the list's saved position (`position.json`), not of the queue's file.

mod entries;
mod error;
mod file;
mod line;

use std::{
    mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tgs_control::QueueEntry;
use tgs_playout::{command::Command, engine::Control};

pub(crate) use self::entries::{QueuePlace, QueuedItem};
pub use self::error::{MAX_ENTRIES, QueueError};
use self::{
    entries::{Entries, Entry, Taken},
    file::QueueFile,
    line::QueueLine,
};
use crate::source::{self, EntryKey, PlaylistEntry};

/// The queue. Clones share it.
///
/// A change is on the disk before its method returns. A change of what follows the current item
/// makes the engine request that again ([`Command::Replan`]).
#[derive(Debug, Clone)]
pub struct PlayQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Locked before `entries`, and while the file is written.
    file: Mutex<QueueFile>,
    /// Never locked during disk or network access.
    entries: Mutex<Entries>,
    /// The base of relative paths.
    base: PathBuf,
    control: Control,
}

impl PlayQueue {
    /// Opens the queue kept in `path`, setting a damaged file aside; `None` keeps the queue in
    /// memory. `list` is the playlist file: relative paths begin in its folder.
    #[must_use]
    pub fn open(path: Option<PathBuf>, list: Option<&Path>, control: Control) -> Self {
        // Entries must have the same identity in every working directory.
        let base = list.and_then(|list| list.parent()).unwrap_or(Path::new(""));
        let base = std::path::absolute(base.join(".")).unwrap_or_default();
        let (file, saved) = QueueFile::open(path);
        let entries = Entries::new(saved.iter().filter_map(Entry::from_saved).collect());
        Self(Arc::new(Shared { file: Mutex::new(file), entries: Mutex::new(entries), base, control }))
    }

    /// Adds an entry, which may be anything that a line of a playlist may be, before the entry at
    /// `position`, else at the end. Returns its ID.
    pub fn add(&self, source: &str, position: Option<usize>) -> Result<u64, QueueError> {
        let line = QueueLine::parse(source, &self.0.base).map_err(QueueError::Unplayable)?;
        let mut file = self.file();
        if self.entries().len() >= MAX_ENTRIES {
            return Err(QueueError::Full);
        }
        let id = file.next_id();
        let entry = Entry::new(id, line);
        log::info!("queueing “{}” as entry {id}", entry.title());
        self.change(&mut file, Some(entry), |order| {
            order.insert(position.unwrap_or(order.len()).min(order.len()), id);
        })?;
        Ok(id)
    }

    /// The entries in playing order, at most [`MAX_ENTRIES`].
    #[must_use]
    pub fn list(&self) -> Vec<QueueEntry> {
        self.entries().list()
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether the queue has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of changes since the start of the process.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.entries().changes()
    }

    /// Moves an entry to `position`, its index in [`PlayQueue::list`] afterwards; beyond the end,
    /// to the end. An item on air continues.
    pub fn move_to(&self, id: u64, position: usize) -> Result<(), QueueError> {
        let mut file = self.file();
        self.entries().find(id).ok_or(QueueError::NoEntry(id))?;
        self.change(&mut file, None, |order| {
            order.retain(|other| *other != id);
            order.insert(position.min(order.len()), id);
        })
    }

    /// Removes an entry. Of a folder or page that is on air, the item on air is played to its end.
    pub fn remove(&self, id: u64) -> Result<(), QueueError> {
        let mut file = self.file();
        if self.entries().ends_on_air(id).ok_or(QueueError::NoEntry(id))? {
            return Err(QueueError::OnAir(id));
        }
        self.change(&mut file, None, |order| order.retain(|other| *other != id))
    }

    /// Removes all entries, except one whose last item is on air.
    pub fn clear(&self) -> Result<(), QueueError> {
        let mut file = self.file();
        let kept = |id: u64| self.entries().ends_on_air(id).unwrap_or_default();
        self.change(&mut file, None, |order| order.retain(|id| kept(*id)))
    }

    /// Saves the order that `edit` makes of the entries' IDs, then applies it. `new` is the entry
    /// that `edit` adds.
    fn change(
        &self,
        file: &mut QueueFile,
        new: Option<Entry>,
        edit: impl FnOnce(&mut Vec<u64>),
    ) -> Result<(), QueueError> {
        let before = self.entries().ids();
        let mut order = before.clone();
        edit(&mut order);
        if order == before {
            return Ok(());
        }
        let saved = self.entries().saved(&order, new.as_ref());
        file.save(&saved)?;
        let replan = self.entries().rearrange(&order, new);
        if replan && let Err(refused) = self.0.control.send(Command::Replan) {
            log::debug!("the change of the queue takes effect with a later item: {refused}");
        }
        Ok(())
    }

    /// The next item, `None` if the queue has no further one. It stays the next one until
    /// [`PlayQueue::hand_out`] or [`PlayQueue::skip`]. May open a folder or a list on this machine.
    pub(crate) fn next(&self) -> Option<QueuedItem> {
        loop {
            let taken = self.entries().next();
            match taken {
                Taken::Item(item) => return Some(*item),
                Taken::Unopened(id, named) => {
                    let items = source::expand(&[named]);
                    self.entries().open(id, items);
                }
                Taken::Nothing => return None,
            }
        }
    }

    /// Whether [`PlayQueue::next`] has an item.
    pub(crate) fn has_next(&self) -> bool {
        self.entries().has_next()
    }

    /// Replaces the item at `place`, a page or a remote list, by the items that it names.
    pub(crate) fn expand(&self, place: QueuePlace, found: Vec<PlaylistEntry>) {
        self.entries().expand(place, found);
    }

    /// Marks the item at `place` as handed out to the engine under the number `turn`.
    pub(crate) fn hand_out(&self, place: QueuePlace, turn: u64) {
        self.entries().hand_out(place, turn);
    }

    /// Leaves out the item at `place`, which cannot be played.
    pub(crate) fn skip(&self, place: QueuePlace) {
        self.entries().skip(place);
    }

    /// The list's item `turn` was handed out because the queue had no further item.
    pub(crate) fn list_item_follows(&self, turn: u64) {
        self.entries().list_item_follows(turn);
    }

    /// Takes back the item at `place`, handed out as `turn`, which has not been broadcast. It
    /// starts at `from` again; with an offset it precedes all entries.
    pub(crate) fn give_back(&self, place: QueuePlace, turn: u64, from: Duration) {
        self.entries().give_back(place, turn, from);
    }

    /// Takes back the item at `place`, handed out as `turn`, to play it next, from `from` on.
    pub(crate) fn repeat(&self, place: QueuePlace, turn: u64, from: Duration) {
        self.entries().repeat(place, turn, from);
    }

    /// Takes back all items: the playlist was opened again. Turns begin at 1 again.
    pub(crate) fn rewind(&self) {
        self.entries().rewind();
    }

    /// Continues entry `id` at the offset `from` of its item `key`, before all entries.
    pub(crate) fn resume(&self, id: u64, key: EntryKey, from: Duration) {
        self.entries().resume(id, key, from);
    }

    /// Records that the item `turn` is being published. Removes the entries that it ends.
    pub(crate) fn published(&self, turn: u64) {
        let ended = self.entries().published(turn);
        if ended {
            self.forget_ended();
        }
    }

    /// Records that the list has ended after the item that was published last.
    pub(crate) fn ended(&self) {
        self.entries().last_ended();
        self.forget_ended();
    }

    /// Removes the entries that were shown to their end, or cannot be played.
    fn forget_ended(&self) {
        let mut file = self.file();
        let order = self.entries().unended();
        let saved = self.entries().saved(&order, None);
        let failed_before = mem::replace(&mut file.failing, false);
        if let Err(error) = file.save(&saved) {
            file.failing = true;
            if !failed_before {
                log::warn!("{error}; a restart would play the last entries again");
            }
        }
        self.entries().rearrange(&order, None);
    }

    /// The titles of the entries of which items are still to be handed out.
    pub(crate) fn waiting_titles(&self) -> Vec<String> {
        self.entries().waiting_titles()
    }

    fn file(&self) -> MutexGuard<'_, QueueFile> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
