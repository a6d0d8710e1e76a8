//! Edits of the playlist file: which are accepted, and where the list continues after one.

use std::{sync::Arc, time::Instant};

use anyhow::ensure;
use tgs_playout::item::ItemFailure;

use super::{EDIT_TIME_OUT, MAX_ORDER, Playlist, bookmark::PlayedEntry, order, remote_lists};
use crate::{
    resolver::Resolved,
    source::{self, EntryKey, EntryKind, NamedSource, Places, PlaylistEntry},
};

impl Playlist {
    /// Reads the file if it has changed. An edit with nothing to play is refused.
    pub(super) fn read_if_edited(&mut self) {
        let version = self.listing.version();
        if version == self.version {
            return;
        }
        self.version = version;
        match self.read_edit() {
            Ok((named, entries, places)) => {
                log::info!("{} was edited: {} entries", self.listing, entries.len());
                (self.named, self.places) = (named, places);
                self.edit = Some(entries);
            }
            Err(why) => {
                log::warn!("edit of {} rejected; the old list stays in use: {why:#}", self.listing);
            }
        }
    }

    /// Expands the sources again if a folder or list that they name has changed.
    pub(super) fn follow_places(&mut self) {
        if self.edit.is_some() || !self.places.changed() {
            return;
        }
        let (entries, places) = source::expand_followed(&self.named);
        let same = places.names_same(&self.places);
        self.places = places;
        if !same {
            log::info!("a folder or list of {} has changed: {} entries", self.listing, entries.len());
            self.edit = Some(entries);
        }
    }

    /// Applies what a list on a server names now, and starts to fetch one that is due.
    pub(super) fn follow_remote_lists(&mut self) {
        let now = self.clock.now();
        if let Some((list, found)) = self.remote_lists.take_changed(now) {
            log::info!("the list {} has changed: {} entries", list.title(), found.len());
            let found = self.arrange(found, source::MAX_REMOTE);
            let new = remote_lists::replaced(&self.order, &list, &found, MAX_ORDER);
            let last = self.next_index.checked_sub(1).and_then(|last| self.order.get(last));
            self.next_index = last.map_or(0, |last| order::after(&self.order, &new, &last.key));
            self.order = Arc::new(new);
        }
        self.remote_lists.start_due(&self.order, &self.resolver, now);
    }

    pub(super) fn read_edit(&self) -> anyhow::Result<(Vec<NamedSource>, Vec<PlaylistEntry>, Places)> {
        let named = self.listing.read()?;
        let (entries, places) = source::expand_followed(&named);
        let deadline = Instant::now() + EDIT_TIME_OUT;
        let mut first = None;
        for entry in &entries {
            let Err(failure) = self.seems_playable(entry) else { return Ok((named, entries, places)) };
            if Instant::now() > deadline || self.resolver.cancel.is_cancelled() {
                return Ok((named, entries, places));
            }
            first.get_or_insert_with(|| format!("{}: {failure}", entry.title()));
        }
        ensure!(first.is_none(), "nothing in it can be played ({})", first.unwrap_or_default());
        Ok((named, entries, places))
    }

    /// A remote source may come back at any time, so only local files are probed.
    fn seems_playable(&self, entry: &PlaylistEntry) -> Result<(), ItemFailure> {
        if matches!(entry.kind, EntryKind::Direct { .. } | EntryKind::List(_) | EntryKind::Page { .. }) {
            return Ok(());
        }
        match self.resolver.resolve(entry)? {
            Resolved::Media { media, .. } => self.resolver.probe(&media).map(drop),
            Resolved::Entries(_) | Resolved::Arriving => Ok(()),
        }
    }

    /// Replaces the list by `entries`; the entry after `anchor` is next.
    pub(super) fn apply_edit(&mut self, entries: Vec<PlaylistEntry>, anchor: Option<&EntryKey>) {
        let entries = self.without_interstitials(entries);
        let new = order::reopen(self.arrange(entries, MAX_ORDER), &self.order, MAX_ORDER);
        self.next_index = anchor.map_or(0, |key| order::after(&self.order, &new, key));
        self.order = Arc::new(new);
        if self.next_index == self.order.len() && self.repeat && !self.shuffle {
            self.next_index = 0;
        }
    }

    /// Applies an edit between an item's `Programme::next` and its confirmation: goes back to the
    /// entry after the playing one. Returns whether that entry is still the same.
    pub(super) fn apply_edit_to_pending(
        &mut self,
        entries: Vec<PlaylistEntry>,
        pending: &PlayedEntry,
    ) -> bool {
        let ahead = &pending.entry;
        match self.playing.clone() {
            // It belongs to the previous round.
            Some(playing) if self.shuffle && playing.shuffle_seed != Some(self.seed) => {
                self.begin_round(self.seed);
            }
            Some(playing) => self.apply_edit(entries, Some(&playing.key)),
            None => {
                self.apply_edit(entries, Some(&ahead.key));
                self.next_index = order::find(&self.order, &ahead.key).unwrap_or(self.next_index);
            }
        }
        let is_same = |entry: &PlaylistEntry| entry.key == ahead.key && entry.options == ahead.options;
        let same = self.order.get(self.next_index).is_some_and(is_same);
        if same {
            self.next_index += 1;
        } else {
            self.interstitials.restore(&pending.before);
        }
        same
    }
}
