//! The queue: entries that play before the rest of the list, kept in `STATE_DIR/queue.json`.
//!
//! Operators change it from any thread; the playlist takes items from it (`consumer`). An entry
//! leaves the queue once it has been published to its end, so that a crash loses none. The position
//! within the entry on air is part of the list's saved position (`position.json`), not of the
//! queue's file.

pub(crate) mod consumer;
mod entries;
mod error;
mod file;
mod line;
mod restriction;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tgs_control::QueueEntry;
use tgs_playout::{command::Command, engine::Control};

use crate::source::PlaylistEntry;

pub(crate) use self::entries::QueuePlace;
pub use self::error::{MAX_ENTRIES, QueueError};
use self::{
    entries::{PendingEntry, QueueEntries},
    file::QueueFile,
    line::QueueLine,
};

/// The queue. Clones share it.
///
/// A change is on the disk before its method returns. A change of what follows the current item
/// makes the engine request that again ([`Command::Replan`]).
#[derive(Debug, Clone)]
pub struct PlayQueue(Arc<SharedQueue>);

#[derive(Debug)]
struct SharedQueue {
    /// Locked before `entries`, and while the file is written.
    file: Mutex<QueueFile>,
    /// Never locked during disk or network access.
    entries: Mutex<QueueEntries>,
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
        let entries = QueueEntries::new(saved.iter().filter_map(PendingEntry::from_saved).collect());
        Self(Arc::new(SharedQueue { file: Mutex::new(file), entries: Mutex::new(entries), base, control }))
    }

    /// Adds an entry, which may be anything that a line of a playlist may be, before the entry at
    /// `position`, else at the end. Returns its ID.
    pub fn add(&self, source: &str, position: Option<usize>) -> Result<u64, QueueError> {
        self.add_line(source, position, None)
    }

    /// Adds an entry that leads to files below these directories and to public http(s) addresses
    /// only, whenever it is opened.
    pub fn add_restricted(
        &self,
        source: &str,
        position: Option<usize>,
        below: Vec<PathBuf>,
    ) -> Result<u64, QueueError> {
        self.add_line(source, position, Some(below))
    }

    fn add_line(
        &self,
        source: &str,
        position: Option<usize>,
        below: Option<Vec<PathBuf>>,
    ) -> Result<u64, QueueError> {
        let line = QueueLine::parse(source, &self.0.base, below).map_err(QueueError::Unplayable)?;
        let mut file = self.file();
        if self.entries().len() >= MAX_ENTRIES {
            return Err(QueueError::Full);
        }
        let id = file.next_id();
        let entry = PendingEntry::new(id, line);
        log::info!("queueing “{}” as entry {id}", entry.title());
        self.change(&mut file, Some(entry), |order| {
            order.insert(position.unwrap_or(order.len()).min(order.len()), id);
        })?;
        Ok(id)
    }

    /// The items that a line names at present, restricted as by [`PlayQueue::add_restricted`].
    pub(crate) fn items_of(
        &self,
        source: &str,
        below: Option<Vec<PathBuf>>,
    ) -> Result<Vec<PlaylistEntry>, QueueError> {
        let line = QueueLine::parse(source, &self.0.base, below).map_err(QueueError::Unplayable)?;
        Ok(line.expand())
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
        new: Option<PendingEntry>,
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

    /// The titles of the entries of which items are still to be handed out.
    pub(crate) fn waiting_titles(&self) -> Vec<String> {
        self.entries().waiting_titles()
    }

    fn file(&self) -> MutexGuard<'_, QueueFile> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self) -> MutexGuard<'_, QueueEntries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
