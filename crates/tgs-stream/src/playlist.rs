//! The playlist: which entry is next, in order or shuffled, after a restart and after edits of the
//! file.
//!
//! [`crate::source`] expands a line into entries, [`crate::resolver`] an entry into media. Nothing
//! here runs ahead: the engine requests one item early.

mod bookmark;
mod edits;
mod jumps;
mod listing;
mod order;
mod view;

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tgs_playout::item::{
    FailureReason, Item, ItemFailure, JumpTarget, Media, NextItem, Programme, UpcomingItem,
};

use bookmark::PlayedEntry;
pub use bookmark::{Bookmark, Bookmarks, QueuedPosition, ResumePoint};
use listing::FileStamp;
pub(crate) use listing::Listing;
pub use listing::PlaylistWatch;
pub use view::{EntryRef, NoSuchEntry, PlaylistView};

use crate::{
    queue::{PlayQueue, QueuePlace},
    resolver::{Resolved, Resolver},
    source::{self, EntryKey, EntryKind, NamedSource, PlaylistEntry, one_line},
};

/// URLs that expire sooner are requested anew: ffmpeg opens them some time after it starts.
const EXPIRY_MARGIN: Duration = Duration::from_mins(1);

/// How long an edit is probed for a playable entry. After that it is accepted.
const EDIT_TIME_OUT: Duration = Duration::from_secs(30);

/// The longest round, with all lists and pages expanded.
const MAX_ORDER: usize = 150_000;

/// The sources and how they are played.
#[derive(Debug)]
pub struct PlaylistConfig {
    /// Paths and URLs of the command line; they precede those of the file.
    pub sources: Vec<OsString>,
    /// The playlist file; its edits are followed.
    pub file: Option<PathBuf>,
    /// Repeat after the last entry (`LOOP`; not with `--once`).
    pub repeat: bool,
    /// Shuffle each round (`SHUFFLE`).
    pub shuffle: bool,
    /// Whether [`Playlist::open`] accepts an unreadable file and waits for it.
    pub wait: bool,
    /// The saved position.
    pub resume: Option<ResumePoint>,
    /// The entries that precede the rest of the list.
    pub queue: PlayQueue,
    /// Shows the list to other threads.
    pub view: PlaylistView,
    /// Resolves entries to media.
    pub resolver: Resolver,
}

/// The list being played.
#[derive(Debug)]
pub struct Playlist {
    listing: Listing,
    /// The last version of the file that was read, whether or not it was accepted.
    stamp: Option<FileStamp>,
    /// The sources of command line and file; expanded anew each round.
    named: Vec<NamedSource>,
    repeat: bool,
    shuffle: bool,
    resolver: Resolver,
    /// The seed of this round.
    seed: u64,
    /// This round. Pages and remote lists are single entries until they are due.
    order: Arc<Vec<PlaylistEntry>>,
    /// The index in `order` of the next entry.
    next_index: usize,
    /// The saved position, until the first item is requested.
    resume: Option<ResumePoint>,
    /// The entry that starts at an offset.
    start: Option<(EntryKey, Duration)>,
    /// The entries of an edit that is not applied yet.
    edit: Option<Vec<PlaylistEntry>>,
    /// Entries that precede the rest of the list.
    queue: PlayQueue,
    view: PlaylistView,
    /// Whether the next entry of the list precedes the queue: it is the target of a jump.
    list_first: bool,
    /// The entry returned last, until it is confirmed.
    pending: Option<PlayedEntry>,
    /// The number of the last turn.
    newest: u64,
    /// The last confirmed entry of the list; a queued one may play after it.
    playing: Option<Bookmark>,
    bookmarks: Bookmarks,
}

impl Playlist {
    /// Reads the list. Fails if it names nothing.
    pub fn open(config: PlaylistConfig) -> anyhow::Result<Self> {
        let listing = Listing::new(config.sources, config.file);
        let stamp = listing.stamp();
        let named = match listing.read() {
            Err(why) if config.wait => {
                log::warn!("{why:#}; waiting for it");
                Vec::new()
            }
            read => read?,
        };
        let saved = config.resume.as_ref().and_then(|resume| resume.bookmark.shuffle_seed);
        let mut playlist = Self {
            listing,
            stamp,
            named,
            repeat: config.repeat,
            shuffle: config.shuffle,
            resolver: config.resolver,
            seed: saved.unwrap_or_else(|| fastrand::u64(..)),
            order: Arc::default(),
            next_index: 0,
            resume: config.resume,
            start: None,
            edit: None,
            queue: config.queue,
            view: config.view,
            list_first: false,
            pending: None,
            newest: 0,
            playing: None,
            bookmarks: Bookmarks::default(),
        };
        playlist.begin_round(playlist.seed);
        playlist.queue.rewind();
        if let Some(queued) = playlist.resume.as_ref().and_then(|resume| resume.queued.clone()) {
            playlist.queue.resume(queued.id, queued.item, Duration::from_millis(queued.offset_ms));
        }
        playlist.show();
        Ok(playlist)
    }

    /// The bookmarks of the played items, for restarts.
    #[must_use]
    pub fn bookmarks(&self) -> Bookmarks {
        self.bookmarks.clone()
    }

    /// Watches the file for edits since it was read.
    #[must_use]
    pub fn watch(&self) -> PlaylistWatch {
        self.listing.watch(self.stamp)
    }

    /// Begins a round. A shuffled one does not begin with the entry played last: another seed is
    /// chosen, so that the order depends on the seed alone.
    fn begin_round(&mut self, seed: u64) {
        let entries = source::expand(&self.named);
        self.seed = seed;
        if self.shuffle {
            self.seed = order::seed_of_round(&entries, seed, |entry| self.was_played_last(entry));
        }
        self.order = Arc::new(self.arrange(entries));
        self.next_index = 0;
    }

    fn arrange(&self, mut entries: Vec<PlaylistEntry>) -> Vec<PlaylistEntry> {
        if self.shuffle {
            order::shuffle(&mut entries, self.seed);
        }
        entries
    }

    /// Whether `entry` was played last.
    fn was_played_last(&self, entry: &PlaylistEntry) -> bool {
        self.playing.as_ref().is_some_and(|playing| playing.key.item == entry.key.item)
    }

    /// Whether a shuffled round of these would begin with the entry played last.
    fn begins_with_last(&self, entries: &[PlaylistEntry]) -> bool {
        self.shuffle && entries.first().is_some_and(|first| self.was_played_last(first))
    }

    /// How many entries may replace the one at `index`: nested lists share a limit. At least one.
    fn room_at(&self, index: usize) -> usize {
        let entry = &self.order[index];
        let root = entry.key.within.first().unwrap_or(&entry.key.item);
        let beside = |other: &&PlaylistEntry| other.key.within.first() == Some(root);
        let before = self.order[..index].iter().rev().take_while(beside).count();
        let behind = self.order[index + 1..].iter().take_while(beside).count();
        let left = source::MAX_REMOTE.saturating_sub(before + behind);
        left.min(MAX_ORDER.saturating_sub(self.order.len())).max(1)
    }

    /// Replaces the entry at `index` by `found`.
    fn replace(&mut self, index: usize, mut found: Vec<PlaylistEntry>) {
        let room = self.room_at(index);
        if found.len() > room {
            log::warn!("{} names too many entries; ignoring the rest", self.order[index].title());
            found.truncate(room);
        }
        let mut found = self.arrange(found);
        if index == 0
            && self.begins_with_last(&found)
            && let Some(other) = found.iter().position(|entry| !self.was_played_last(entry))
        {
            found.swap(0, other);
        }
        Arc::make_mut(&mut self.order).splice(index..=index, found);
    }

    /// The next entry: of the queue, else of the list.
    fn advance(&mut self) -> NextItem {
        loop {
            let queued = if self.list_first { None } else { self.queue.next() };
            let is_queued = queued.is_some();
            if self.named.is_empty() && !is_queued {
                let failure =
                    ItemFailure::new(FailureReason::Missing, "it cannot be read, or names nothing to play");
                return NextItem::Skip { id: String::new(), title: self.listing.to_string(), failure };
            }
            if self.next_index >= self.order.len() && !is_queued {
                if !self.repeat {
                    return NextItem::End;
                }
                self.begin_round(order::next_seed(self.seed));
            }
            let (entry, from, place) = match queued {
                Some(queued) => (queued.entry, queued.from, Some(queued.place)),
                None => (self.order[self.next_index].clone(), Duration::ZERO, None),
            };
            match (self.resolver.resolve(&entry), place) {
                (Ok(Resolved::Entries(found)), Some(place)) => self.queue.expand(place, found),
                (Ok(Resolved::Entries(found)), None) => self.replace(self.next_index, found),
                (Ok(Resolved::Media { media, title }), place) => {
                    return NextItem::Play(self.make_item(entry, from, place, title, media));
                }
                // The cache can play a page that cannot be reached.
                (Err(failure), place) if matches!(entry.kind, EntryKind::Page { .. }) => {
                    let media = Media { sources: Vec::new(), live: false, expires: None, identity: None };
                    return NextItem::Kept { item: self.make_item(entry, from, place, None, media), failure };
                }
                (Err(failure), place) => {
                    match place {
                        Some(place) => self.queue.skip(place),
                        None => self.next_index += 1,
                    }
                    self.list_first = false;
                    self.pending = None;
                    return NextItem::Skip { id: entry.key.item.clone(), title: entry.title(), failure };
                }
            }
        }
    }

    /// Makes the next `entry` an item.
    fn make_item(
        &mut self,
        entry: PlaylistEntry,
        from: Duration,
        queued: Option<QueuePlace>,
        title: Option<String>,
        media: Media,
    ) -> Item {
        let saved = self.start.take_if(|(key, _)| queued.is_none() && *key == entry.key);
        let from = saved.map_or(from, |(_, offset)| offset);
        let list_first = std::mem::take(&mut self.list_first);
        self.newest += 1;
        if let Some(place) = queued {
            self.queue.hand_out(place, self.newest);
        } else {
            self.next_index += 1;
            if !list_first {
                self.queue.list_item_follows(self.newest);
            }
        }
        let item = Item {
            id: entry.key.item.clone(),
            turn: self.newest,
            title: title_of(&entry, title),
            start: if media.live { Duration::ZERO } else { from },
            media,
        };
        self.pending = Some(PlayedEntry {
            turn: self.newest,
            entry,
            title: item.title.clone(),
            bookmark: None,
            queued,
            from,
            list_first,
        });
        item
    }

    /// Shows the list's present state to other threads.
    fn show(&self) {
        self.view.set(view::Round {
            order: Arc::clone(&self.order),
            seed: self.shuffle.then_some(self.seed),
            next_index: self.next_index,
            list_first: self.list_first,
            repeats: self.repeat && !self.shuffle,
            bookmarks: self.bookmarks.clone(),
            ahead: self.pending.as_ref().map(|ahead| view::Ahead {
                turn: ahead.turn,
                title: ahead.title.clone(),
                listed: ahead.queued.is_none(),
            }),
        });
    }

    /// Applies an edit, then goes to the saved position.
    fn apply_edit_and_resume(&mut self) {
        if let Some(entries) = self.edit.take() {
            let anchor = self.next_index.checked_sub(1).map(|last| self.order[last].key.clone());
            self.apply_edit(entries, anchor.as_ref());
        }
        self.go_to_saved();
    }

    /// Records that the entry returned last plays now.
    fn confirm_pending(&mut self) {
        let Some(played) = self.pending.take() else { return };
        if played.queued.is_none() {
            self.playing = Some(self.bookmark(&played.entry));
        }
        // Before the list's first item, the list continues with its first entry.
        let nothing = || PlaylistEntry::new(String::new(), EntryKind::List(String::new()));
        let bookmark = self.playing.clone().unwrap_or_else(|| self.bookmark(&nothing()));
        self.bookmarks.add(PlayedEntry { bookmark: Some(bookmark), ..played });
    }

    /// The bookmark of the entry returned last.
    fn bookmark(&self, entry: &PlaylistEntry) -> Bookmark {
        Bookmark {
            key: entry.key.clone(),
            shuffle_seed: self.shuffle.then_some(self.seed),
            followed_by: self.order[self.next_index.min(self.order.len())..]
                .iter()
                .take(bookmark::FOLLOWERS)
                .map(|e| e.key.clone())
                .collect(),
        }
    }

    /// `item` with URLs that do not expire soon.
    fn with_fresh_urls(&self, item: Item, entry: &PlaylistEntry) -> NextItem {
        let soon = SystemTime::now() + EXPIRY_MARGIN;
        if item.media.expires.is_none_or(|expires| expires > soon) {
            return NextItem::Play(item);
        }
        log::debug!("the URLs of {} expire; requesting them again", item.id);
        let failure = match self.resolver.resolve(entry) {
            Ok(Resolved::Media { media, .. }) => return NextItem::Play(Item { media, ..item }),
            Ok(Resolved::Entries(_)) => {
                ItemFailure::new(FailureReason::Unplayable, "the page has become a list")
            }
            Err(failure) => failure,
        };
        NextItem::Skip { id: item.id, title: item.title, failure }
    }
}

impl Programme for Playlist {
    fn next(&mut self) -> NextItem {
        self.apply_edit_and_resume();
        let next = self.advance();
        self.show();
        next
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        let Some(ahead) = self.pending.clone().filter(|ahead| ahead.turn == item.turn) else {
            return NextItem::Play(item);
        };
        let same = match self.edit.take() {
            // It is queued: an edit does not move it.
            Some(entries) if ahead.queued.is_some() => {
                let before = || Some(self.order[self.next_index.checked_sub(1)?].key.clone());
                let anchor = self.playing.as_ref().map(|playing| playing.key.clone()).or_else(before);
                self.apply_edit(entries, anchor.as_ref());
                true
            }
            Some(entries) => self.apply_edit_to_pending(entries, &ahead.entry),
            None => true,
        };
        let next = if same { self.with_fresh_urls(item, &ahead.entry) } else { self.advance() };
        if matches!(next, NextItem::Play(_) | NextItem::Kept { .. }) {
            self.confirm_pending();
        }
        self.show();
        next
    }

    fn upcoming(&self, count: usize) -> Vec<UpcomingItem> {
        let again: &[PlaylistEntry] = if self.repeat && !self.shuffle { &self.order } else { &[] };
        let entries = self.order[self.next_index.min(self.order.len())..].iter().chain(again).cloned();
        let coming = |entry: PlaylistEntry| -> UpcomingItem {
            let resolver = self.resolver.clone();
            let id = entry.key.item.clone();
            let find = Box::new(move || match resolver.resolve(&entry) {
                Ok(Resolved::Media { media, title }) => {
                    let (id, title) = (entry.key.item.clone(), title_of(&entry, title));
                    Some(Item { id, turn: 0, title, start: Duration::ZERO, media })
                }
                // A list is expanded when it is due.
                Ok(Resolved::Entries(_)) | Err(_) => None,
            });
            UpcomingItem { id, find }
        };
        entries.take(count).map(coming).collect()
    }

    fn round_len(&self) -> usize {
        self.order.len()
    }

    fn jump(&mut self, turn: Option<u64>, to: JumpTarget) {
        self.jump_to(turn, to);
        self.show();
    }

    fn replan(&mut self, turn: Option<u64>) -> bool {
        let stays = match turn {
            Some(_) => {
                self.jump_to(turn, JumpTarget::After);
                false
            }
            None => self.replan_pending(),
        };
        self.show();
        stays
    }

    fn reload(&mut self) {
        self.read_if_edited();
    }

    fn replaced(&mut self) -> Option<NextItem> {
        match self.pending.clone() {
            // It is queued: an edit does not move it.
            Some(ahead) if ahead.queued.is_some() => None,
            Some(ahead) => {
                let entries = self.edit.take()?;
                let stays = self.apply_edit_to_pending(entries, &ahead.entry);
                let other = (!stays).then(|| self.advance());
                self.show();
                other
            }
            // It could not be played.
            None => self.edit.is_some().then(|| self.next()),
        }
    }
}

/// The title of the list, else of the media, else the name.
pub(crate) fn title_of(entry: &PlaylistEntry, found: Option<String>) -> String {
    match found {
        Some(title) if entry.title.is_none() && !one_line(&title).is_empty() => one_line(&title),
        _ => entry.title(),
    }
}

#[cfg(test)]
mod long_run;
#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod tests;
