//! Where the list continues after a restart or a command.

use std::sync::Arc;

use tgs_playout::item::JumpTarget;

use super::{
    MAX_ORDER, Playlist,
    bookmark::{Bookmark, PlayedEntry, ResumePoint},
    order, view,
};
use crate::{resolver::Resolved, source};

impl Playlist {
    /// Continues at `to`, relative to the item of turn `turn`.
    pub(super) fn jump_to(&mut self, turn: Option<u64>, to: JumpTarget) {
        self.apply_edit_and_resume();
        let mut unseen = self.bookmarks.take_after(turn.unwrap_or(u64::MAX));
        let ahead = self.pending.take().map(|played| {
            let bookmark = if played.queued.is_some() {
                self.playing.clone()
            } else {
                Some(self.bookmark(&played.entry))
            };
            PlayedEntry { bookmark, ..played }
        });
        let known = turn.and_then(|turn| self.bookmarks.find(turn));
        let from = match (known, ahead) {
            (Some(played), ahead) => {
                unseen.extend(ahead);
                Some(played)
            }
            (None, Some(ahead)) if Some(ahead.turn) == turn => Some(ahead),
            (None, _) => None,
        };
        for played in unseen.into_iter().rev() {
            if let Some(place) = played.queued {
                self.queue.give_back(place, played.turn, played.from);
            }
        }
        match (from, to) {
            (Some(from), _) => self.go_relative(from, to),
            (None, JumpTarget::Entry(id)) => {
                self.list_first = self.go_to_entry(id);
            }
            (None, _) => {
                let back = usize::from(to == JumpTarget::Before);
                self.next_index = self.next_index.saturating_sub(back);
                self.list_first = back > 0;
            }
        }
    }

    /// Takes back the entry returned last if another one precedes it now. Returns whether it stays.
    pub(super) fn replan_pending(&mut self) -> bool {
        let Some(pending) = self.pending.clone() else { return true };
        let stays = match pending.queued {
            Some(place) => {
                self.queue.give_back(place, pending.turn, pending.from);
                let stays = self.queue.next().is_some_and(|next| next.place == place);
                if stays {
                    self.queue.hand_out(place, pending.turn);
                }
                stays
            }
            None => pending.list_first || !self.queue.has_next(),
        };
        if !stays {
            self.pending = None;
            self.list_first = pending.list_first;
            if pending.queued.is_none() {
                self.next_index = self.next_index.saturating_sub(1);
                self.start = Some((pending.entry.key, pending.from)).filter(|(_, from)| !from.is_zero());
            }
        }
        stays
    }

    /// Goes to the saved position.
    pub(super) fn go_to_saved(&mut self) {
        if self.named.is_empty() {
            return;
        }
        let Some(ResumePoint { bookmark, offset, queued }) = self.resume.take() else { return };
        let found = self.go_to(&bookmark);
        match queued {
            Some(queued) if found && queued.after => {
                self.next_index += 1;
                self.playing = Some(bookmark);
            }
            None if found => {
                self.start = Some((self.order[self.next_index].key.clone(), offset));
                // It was on air: what is queued comes after it.
                self.list_first = !offset.is_zero();
            }
            Some(_) if found => {}
            _ if bookmark.key.item.is_empty() => {}
            _ => log::info!("{} is no longer in the list; continuing with its follower", bookmark.key.item),
        }
    }

    /// Makes the bookmark's entry the next one. If it is gone, returns `false` and chooses its
    /// follower.
    fn go_to(&mut self, bookmark: &Bookmark) -> bool {
        self.start = None;
        for list in &bookmark.key.within {
            let Some(index) = self.order.iter().position(|entry| entry.key.item == *list) else { break };
            match self.resolver.resolve(&self.order[index]) {
                Ok(Resolved::Entries(found)) => self.replace(index, found),
                _ => break,
            }
        }
        let found = order::find(&self.order, &bookmark.key);
        let next = || bookmark.followed_by.iter().find_map(|key| order::find(&self.order, key));
        let list = || bookmark.key.within.iter().find_map(|item| order::find_item(&self.order, item));
        self.next_index = found.or_else(next).or_else(list).unwrap_or(0);
        found.is_some()
    }

    /// Makes the list's entry of this number the next one. If it is gone, returns `false` and
    /// changes nothing.
    fn go_to_entry(&mut self, id: u64) -> bool {
        let Some(index) = self.order.iter().position(|entry| view::entry_number(&entry.key) == id) else {
            log::warn!("the entry to go to is no longer in the list; continuing after the current item");
            return false;
        };
        (self.next_index, self.start, self.playing) = (index, None, None);
        true
    }

    /// Goes to `to`, relative to `origin`.
    fn go_relative(&mut self, origin: PlayedEntry, to: JumpTarget) {
        let PlayedEntry { bookmark, queued, turn, .. } = origin;
        self.list_first = to == JumpTarget::Before || (to != JumpTarget::After && queued.is_none());
        if let (JumpTarget::Again(from), Some(place)) = (to, queued) {
            self.queue.repeat(place, turn, from);
        }
        let Some(bookmark) = bookmark else { return };
        if let Some(seed) = bookmark.shuffle_seed.filter(|seed| *seed != self.seed) {
            // It belongs to the previous round.
            self.seed = seed;
            let entries = self.arrange(source::expand(&self.named));
            self.order = Arc::new(order::reopen(entries, &self.order, MAX_ORDER));
        }
        if let JumpTarget::Entry(id) = to
            && self.go_to_entry(id)
        {
            self.list_first = true;
            return;
        }
        let found = self.go_to(&bookmark);
        match (to, queued) {
            (JumpTarget::Again(from), None) if found => {
                self.start = Some((self.order[self.next_index].key.clone(), from));
            }
            (JumpTarget::Before, None) => self.next_index = self.next_index.saturating_sub(1),
            (JumpTarget::After | JumpTarget::Entry(_), _) | (JumpTarget::Again(_), Some(_)) => {
                self.next_index += usize::from(found);
            }
            (JumpTarget::Again(_), None) | (JumpTarget::Before, Some(_)) => {}
        }
        if let JumpTarget::Entry(_) = to {
            self.list_first = false;
        }
        let plays = match to {
            JumpTarget::After | JumpTarget::Entry(_) => true,
            JumpTarget::Again(_) => queued.is_some(),
            JumpTarget::Before => false,
        };
        self.playing = Some(bookmark).filter(|bookmark| plays && !bookmark.key.item.is_empty());
    }
}
