//! Where the list continues after a restart or a command.

use std::sync::Arc;

use tgs_playout::item::JumpTarget;

use super::{
    MAX_ORDER, Playlist,
    bookmark::{Bookmark, PlayedEntry, ResumePoint},
    order, view,
};
use crate::resolver::Resolved;

impl Playlist {
    /// Continues at `to`, relative to the item of turn `turn`.
    pub(super) fn jump_to(&mut self, turn: Option<u64>, to: JumpTarget) {
        self.apply_edit_and_resume();
        self.again = None;
        let mut unseen = self.bookmarks.take_after(turn.unwrap_or(u64::MAX));
        let ahead = self.pending.take().map(|played| {
            let bookmark =
                if played.is_aside() { self.playing.clone() } else { Some(self.bookmark(&played.entry)) };
            PlayedEntry { bookmark, ..played }
        });
        if let Some(first) = unseen.first().or(ahead.as_ref()) {
            // What was not broadcast has not interrupted the list.
            self.interstitials.restore(&first.before);
        }
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
            None => pending.list_first || pending.interstitial.is_some() || !self.queue.has_next(),
        };
        if !stays {
            self.put_back(pending);
        }
        stays
    }

    /// Makes the item that was handed out last the next one again, unless it is an interstitial.
    pub(super) fn put_back(&mut self, pending: PlayedEntry) {
        self.pending = None;
        self.interstitials.restore(&pending.before);
        self.list_first = pending.list_first;
        match pending.queued {
            Some(place) => self.queue.give_back(place, pending.turn, pending.from),
            None if pending.interstitial.is_some() => {}
            None => {
                self.next_index = self.next_index.saturating_sub(1);
                self.start = Some((pending.entry.key, pending.from)).filter(|(_, from)| !from.is_zero());
            }
        }
    }

    /// Goes to the saved position.
    pub(super) fn go_to_saved(&mut self) {
        if self.named.is_empty() {
            return;
        }
        let Some(ResumePoint { bookmark, offset, queued, after }) = self.resume.take() else { return };
        let found = self.go_to(&bookmark);
        match queued {
            Some(queued) if found && queued.after => {
                self.next_index += 1;
                self.playing = Some(bookmark);
            }
            None if found && after => {
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
            let now = self.clock.now();
            match self.remote_lists.resolve(&self.order[index], &self.resolver, now) {
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
        let aside = origin.is_aside();
        let PlayedEntry { bookmark, queued, turn, interstitial, entry, .. } = origin;
        self.list_first = to == JumpTarget::Before || (to != JumpTarget::After && !aside);
        match (to, queued) {
            (JumpTarget::Again(from), Some(place)) => self.queue.repeat(place, turn, from),
            (JumpTarget::Again(from), None) => {
                self.again = interstitial.map(|pool| (entry, pool, from));
            }
            _ => {}
        }
        let Some(bookmark) = bookmark else { return };
        if let Some(seed) = bookmark.shuffle_seed.filter(|seed| *seed != self.seed) {
            // It belongs to the previous round.
            self.seed = seed;
            let entries = self.expand();
            let entries = self.arrange(entries, MAX_ORDER);
            self.order = Arc::new(order::reopen(entries, &self.order, MAX_ORDER));
        }
        if let JumpTarget::Entry(id) = to
            && self.go_to_entry(id)
        {
            self.list_first = true;
            return;
        }
        let found = self.go_to(&bookmark);
        match (to, aside) {
            (JumpTarget::Again(from), false) if found => {
                self.start = Some((self.order[self.next_index].key.clone(), from));
            }
            (JumpTarget::Before, false) => self.next_index = self.next_index.saturating_sub(1),
            (JumpTarget::After | JumpTarget::Entry(_), _) | (JumpTarget::Again(_), true) => {
                self.next_index += usize::from(found);
            }
            (JumpTarget::Again(_), false) | (JumpTarget::Before, true) => {}
        }
        if let JumpTarget::Entry(_) = to {
            self.list_first = false;
        }
        let plays = match to {
            JumpTarget::After | JumpTarget::Entry(_) => true,
            JumpTarget::Again(_) => aside,
            JumpTarget::Before => false,
        };
        self.playing = Some(bookmark).filter(|bookmark| plays && !bookmark.key.item.is_empty());
    }
}
