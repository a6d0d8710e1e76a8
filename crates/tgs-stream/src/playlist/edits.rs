//! Edits of the playlist file: which are accepted, and where the list continues after one.

use std::{sync::Arc, time::Instant};

use anyhow::ensure;
use tgs_playout::item::ItemFailure;

use super::{EDIT_TIME_OUT, MAX_ORDER, Playlist, order};
use crate::{
    resolver::Resolved,
    source::{self, EntryKey, EntryKind, NamedSource, PlaylistEntry},
};

impl Playlist {
    /// Reads the file if it has changed. An edit with nothing to play is refused.
    pub(super) fn read_if_edited(&mut self) {
        let stamp = self.listing.stamp();
        if stamp == self.stamp {
            return;
        }
        self.stamp = stamp;
        match self.read_edit() {
            Ok((named, entries)) => {
                log::info!("{} was edited: {} entries", self.listing, entries.len());
                self.named = named;
                self.edit = Some(entries);
            }
            Err(why) => {
                log::warn!("edit of {} rejected; the old list stays in use: {why:#}", self.listing);
            }
        }
    }

    pub(super) fn read_edit(&self) -> anyhow::Result<(Vec<NamedSource>, Vec<PlaylistEntry>)> {
        let named = self.listing.read()?;
        let entries = source::expand(&named);
        let deadline = Instant::now() + EDIT_TIME_OUT;
        let mut first = None;
        for entry in &entries {
            let Err(failure) = self.seems_playable(entry) else { return Ok((named, entries)) };
            if Instant::now() > deadline || self.resolver.cancel.is_cancelled() {
                return Ok((named, entries));
            }
            first.get_or_insert_with(|| format!("{}: {failure}", entry.title()));
        }
        ensure!(first.is_none(), "nothing in it can be played ({})", first.unwrap_or_default());
        Ok((named, entries))
    }

    /// A remote source may come back at any time, so only local files are probed.
    fn seems_playable(&self, entry: &PlaylistEntry) -> Result<(), ItemFailure> {
        if matches!(entry.kind, EntryKind::Direct { .. } | EntryKind::List(_) | EntryKind::Page { .. }) {
            return Ok(());
        }
        match self.resolver.resolve(entry)? {
            Resolved::Media { media, .. } => self.resolver.probe(&media).map(drop),
            Resolved::Entries(_) => Ok(()),
        }
    }

    /// Replaces the list by `entries`; the entry after `anchor` is next.
    pub(super) fn apply_edit(&mut self, entries: Vec<PlaylistEntry>, anchor: Option<&EntryKey>) {
        let new = order::reopen(self.arrange(entries), &self.order, MAX_ORDER);
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
        ahead: &PlaylistEntry,
    ) -> bool {
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
        let same = self.order.get(self.next_index).is_some_and(|entry| entry.key == ahead.key);
        if same {
            self.next_index += 1;
        }
        same
    }
}
