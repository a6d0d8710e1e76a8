//! What fills the rest of a slot's time: items in their order, the last one chosen so that no dead
//! second is left before the slot's end.

use std::{sync::Arc, time::Duration};

use tgs_playout::item::{Item, JumpTarget, NextItem, Programme};
use tgs_schedule::back_timing::fill_choice;

use crate::playlist::{EntryRef, Playlist, PlaylistView};

/// Filling items whose lengths are measured; of a longer list the first ones fill.
const MOST_FILLERS: usize = 200;

/// The length of an item, if it is known before the item plays.
pub(crate) type LengthOf = dyn Fn(&Item) -> Option<Duration> + Send + Sync;

/// Plays the `fill` of a slot.
pub(super) struct FillPlayer {
    list: Playlist,
    view: PlaylistView,
    length: Arc<LengthOf>,
    /// The number of each entry for [`JumpTarget::Entry`], and its length; unknown before the first
    /// item.
    fillers: Option<Vec<(u64, Duration)>>,
    previous: Option<usize>,
}

impl FillPlayer {
    /// `list` repeats; `view` shows it.
    pub(super) fn new(list: Playlist, view: PlaylistView, length: Arc<LengthOf>) -> Self {
        Self { list, view, length, fillers: None, previous: None }
    }

    pub(super) fn list(&mut self) -> &mut Playlist {
        &mut self.list
    }

    /// The item that plays `left` before the end.
    pub(super) fn next(&mut self, left: Duration) -> NextItem {
        let fillers = match self.fillers.take() {
            Some(fillers) => fillers,
            None => self.measure(),
        };
        let lengths: Vec<_> = fillers.iter().map(|(_, length)| *length).enumerate().collect();
        let choice = fill_choice(left, &lengths, self.previous);
        let entry = choice.map(|choice| fillers[choice.index].0);
        self.previous = choice.map(|choice| choice.index).or(self.previous);
        self.fillers = Some(fillers);
        // Without lengths the list plays in its order, and is cut at the end.
        if let Some(entry) = entry {
            self.list.jump(None, JumpTarget::Entry(entry));
        }
        self.list.next()
    }

    /// The lengths of the entries. A source that is no plain file counts as endless.
    fn measure(&mut self) -> Vec<(u64, Duration)> {
        let total = self.view.list(0, 0).total.min(MOST_FILLERS);
        let mut fillers = Vec::new();
        for index in 0..total {
            let Ok(entry) = self.view.find(&EntryRef::Index(index)) else { continue };
            self.list.jump(None, JumpTarget::Entry(entry));
            let NextItem::Play(item) = self.list.next() else { continue };
            fillers.push((entry, (self.length)(&item).unwrap_or(Duration::MAX)));
        }
        self.list.jump(None, JumpTarget::After);
        fillers
    }
}
