//! Why items end before their end: notes of the command router and the encode thread, read by the
//! playout thread when the item leaves the air.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tgs_control::{CommandSender, ItemEnd};

/// Notes kept: more items than the read-ahead and the waiting commands can name.
const MOST: usize = 256;

/// The notes of one engine run. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ItemNotes {
    notes: Arc<Mutex<Notes>>,
}

#[derive(Debug, Default)]
struct Notes {
    /// Item numbers, and why each ends.
    items: VecDeque<(u64, ItemEnd)>,
    stopped_by: Option<CommandSender>,
}

impl ItemNotes {
    /// Forgets everything: another run numbers its items anew.
    pub(crate) fn clear(&self) {
        *self.lock() = Notes::default();
    }

    /// The item `seq` ends for this reason. The first note of an item counts.
    pub(crate) fn set(&self, seq: u64, end: ItemEnd) {
        let mut notes = self.lock();
        if notes.items.iter().any(|(noted, _)| *noted == seq) {
            return;
        }
        if notes.items.len() >= MOST {
            notes.items.pop_front();
        }
        notes.items.push_back((seq, end));
    }

    /// Removes the note of an item whose command was refused.
    pub(crate) fn forget(&self, seq: u64) {
        self.lock().items.retain(|(noted, _)| *noted != seq);
    }

    /// Why the item `seq` has ended; `None` if it played to its end.
    pub(crate) fn of(&self, seq: u64) -> Option<ItemEnd> {
        self.lock().items.iter().find(|(noted, _)| *noted == seq).map(|(_, end)| end.clone())
    }

    /// The broadcast is being stopped.
    pub(crate) fn stopped(&self, by: &CommandSender) {
        self.lock().stopped_by.get_or_insert_with(|| by.clone());
    }

    /// Who has stopped the broadcast.
    pub(crate) fn stopped_by(&self) -> Option<CommandSender> {
        self.lock().stopped_by.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
