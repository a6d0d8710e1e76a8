//! Where the list continues after a restart or a command.

use std::time::Duration;

use tgs_playout::item::JumpTarget;

use super::{
    Playlist,
    bookmark::{Bookmark, PlayedEntry},
    order,
};
use crate::{resolver::Resolved, source};

impl Playlist {
    /// Continues at `to`, relative to the item of turn `turn`.
    pub(super) fn jump_to(&mut self, turn: Option<u64>, to: JumpTarget) {
        self.apply_edit_and_resume();
        let mut unseen = self.bookmarks.take_after(turn.unwrap_or(u64::MAX));
        let ahead = self.pending.take().map(|played| {
            let bookmark =
                if played.queued { self.playing.clone() } else { Some(self.bookmark(&played.entry)) };
            PlayedEntry { bookmark, ..played }
        });
        let known = turn.and_then(|turn| self.bookmarks.find(turn));
        let from = match (known, ahead) {
            (Some(played), ahead) => {
                unseen.extend(ahead);
                played
            }
            (None, Some(ahead)) if Some(ahead.turn) == turn => ahead,
            (None, _) => {
                let back = usize::from(to == JumpTarget::Before);
                self.next_index = self.next_index.saturating_sub(back);
                self.list_first = back > 0;
                return;
            }
        };
        for played in unseen.into_iter().rev().filter(|played| played.queued) {
            self.queue.push_front((played.entry, Duration::ZERO));
        }
        self.go_relative(from, to);
    }

    /// Goes to the saved position.
    pub(super) fn go_to_saved(&mut self) {
        if self.named.is_empty() {
            return;
        }
        let Some((bookmark, offset)) = self.resume.take() else { return };
        if self.go_to(&bookmark) {
            self.start = Some((self.order[self.next_index].key.clone(), offset));
        } else {
            log::info!("{} is no longer in the list; continuing with its follower", bookmark.key.item);
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

    /// Goes to `to`, relative to `origin`.
    fn go_relative(&mut self, origin: PlayedEntry, to: JumpTarget) {
        let PlayedEntry { entry, bookmark, queued, .. } = origin;
        self.list_first = to == JumpTarget::Before || (to != JumpTarget::After && !queued);
        if let (JumpTarget::Again(from), true) = (to, queued) {
            self.queue.push_front((entry, from));
        }
        let Some(bookmark) = bookmark else { return };
        if let Some(seed) = bookmark.shuffle_seed.filter(|seed| *seed != self.seed) {
            // It belongs to the previous round.
            self.seed = seed;
            self.order = self.arrange(source::expand(&self.named));
        }
        let found = self.go_to(&bookmark);
        match (to, queued) {
            (JumpTarget::Again(from), false) if found => {
                self.start = Some((self.order[self.next_index].key.clone(), from));
            }
            (JumpTarget::Before, false) => self.next_index = self.next_index.saturating_sub(1),
            (JumpTarget::After, false) | (JumpTarget::Again(_) | JumpTarget::After, true) => {
                self.next_index += usize::from(found);
            }
            (JumpTarget::Again(_), false) | (JumpTarget::Before, true) => {}
        }
        let plays = (queued && to != JumpTarget::Before) || to == JumpTarget::After;
        self.playing = Some(bookmark).filter(|_| plays);
    }
}
