//! The playlist: which entry is next, in order or shuffled, after a restart and after edits of the
//! file.
//!
//! [`crate::source`] expands a line into entries, [`crate::resolver`] an entry into media. Nothing
//! here runs ahead: the engine requests one item early.

mod bookmark;
mod clock;
mod edits;
mod interstitials;
mod jumps;
mod listing;
mod order;
mod remote_lists;
mod separate;
mod turn;
mod view;

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use tgs_core::{cancel::Cancel, files::FileVersion, settings::SeparateRule};
use tgs_playout::item::{Item, JumpTarget, NextItem, Programme, UpcomingItem};

use bookmark::PlayedEntry;
pub use bookmark::{Bookmark, Bookmarks, QueuedPosition, ResumePoint};
use clock::ListClock;
use interstitials::Interstitials;
pub use interstitials::SavedInterstitial;
pub(crate) use listing::Listing;
pub use listing::PlaylistWatch;
use remote_lists::RemoteLists;
use view::ViewWriter;
pub use view::{EntryRef, NoSuchEntry, PlaylistView};

use crate::{
    queue::{PlayQueue, consumer::QueueConsumer},
    resolver::{Resolved, Resolver},
    source::{self, EntryKey, NamedSource, Places, PlaylistEntry, one_line},
};

/// How long an edit is probed for a playable entry. After that it is accepted.
const EDIT_TIME_OUT: Duration = Duration::from_secs(30);

/// The longest round, with all lists and pages expanded.
const MAX_ORDER: usize = 150_000;

/// The sources and how they are played.
#[derive(Debug)]
pub struct PlaylistConfig {
    /// The sources of the command line; they precede those of the file.
    pub sources: Vec<NamedSource>,
    /// The playlist file; its edits are followed.
    pub file: Option<PathBuf>,
    /// Repeat after the last entry (`LOOP`; not with `--once`).
    pub repeat: bool,
    /// Shuffle each round (`SHUFFLE`).
    pub shuffle: bool,
    /// What stays apart in a shuffled round (`SEPARATE`).
    pub separate: Vec<SeparateRule>,
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
    version: Option<FileVersion>,
    /// The sources of command line and file; expanded anew each round.
    named: Vec<NamedSource>,
    repeat: bool,
    shuffle: bool,
    separate: Vec<SeparateRule>,
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
    /// The folders and lists that the entries come from.
    places: Places,
    /// The files that were reported as still being copied.
    arriving: HashSet<String>,
    remote_lists: RemoteLists,
    interstitials: Interstitials,
    /// The interstitial that a command repeats, and from where.
    again: Option<(PlaylistEntry, String, Duration)>,
    clock: ListClock,
    /// Entries that precede the rest of the list.
    queue: QueueConsumer,
    view: ViewWriter,
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
        let version = listing.version();
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
            version,
            named,
            repeat: config.repeat,
            shuffle: config.shuffle,
            separate: config.separate,
            resolver: config.resolver,
            seed: saved.unwrap_or_else(|| fastrand::u64(..)),
            order: Arc::default(),
            next_index: 0,
            resume: config.resume,
            start: None,
            edit: None,
            places: Places::default(),
            arriving: HashSet::new(),
            remote_lists: RemoteLists::default(),
            interstitials: Interstitials::default(),
            again: None,
            clock: ListClock::start(),
            queue: config.queue.consumer(),
            view: config.view.writer(),
            list_first: false,
            pending: None,
            newest: 0,
            playing: None,
            bookmarks: Bookmarks::default(),
        };
        playlist.begin_round(playlist.seed);
        if let Some(resume) = &playlist.resume {
            let (now, wall) = (playlist.clock.now(), playlist.clock.wall());
            playlist.interstitials.load(&resume.bookmark.interstitials, now, wall);
        }
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

    /// The list's side of the queue.
    pub(crate) fn queue(&self) -> QueueConsumer {
        self.queue.clone()
    }

    /// Ends the opening of sources when `cancel` is set, instead of the resolver's own.
    pub fn end_with(&mut self, cancel: Cancel) {
        self.resolver.cancel = cancel;
    }

    /// Watches the file for edits since it was read.
    #[must_use]
    pub fn watch(&self) -> PlaylistWatch {
        self.listing.watch(self.version)
    }

    /// Begins a round. A shuffled one does not begin with the entry played last: another seed is
    /// chosen, so that the order depends on the seed alone.
    fn begin_round(&mut self, seed: u64) {
        let entries = self.expand();
        self.seed = seed;
        if self.shuffle {
            self.seed = self.seed_of_round(&entries, seed);
        }
        self.order = Arc::new(self.arrange(entries, MAX_ORDER));
        self.next_index = 0;
    }

    fn seed_of_round(&self, entries: &[PlaylistEntry], seed: u64) -> u64 {
        let weighted = entries.iter().any(|entry| entry.options.weight.is_some());
        if self.separate.is_empty() && !weighted {
            return order::seed_of_round(entries, seed, |entry| self.was_played_last(entry));
        }
        let before = &self.order[..self.next_index.min(self.order.len())];
        let badness = |seed: u64| {
            let order = self.arrange_by(entries.to_vec(), seed, MAX_ORDER);
            let again = order.first().is_some_and(|first| self.was_played_last(first));
            u64::from(again) << 60 | separate::violation(before, &order, &self.separate).min(1 << 59)
        };
        order::best_seed(seed, entries.len(), badness)
    }

    /// The entries of the list's order that the sources name now.
    fn expand(&mut self) -> Vec<PlaylistEntry> {
        let (entries, places) = source::expand_followed(&self.named);
        self.places = places;
        self.without_interstitials(entries)
    }

    fn without_interstitials(&mut self, mut entries: Vec<PlaylistEntry>) -> Vec<PlaylistEntry> {
        self.interstitials.take_from(&mut entries, self.clock.now());
        entries
    }

    /// `entries` in the order of the round, `max` at most with those that come several times.
    fn arrange(&self, entries: Vec<PlaylistEntry>, max: usize) -> Vec<PlaylistEntry> {
        if self.shuffle { self.arrange_by(entries, self.seed, max) } else { entries }
    }

    fn arrange_by(&self, entries: Vec<PlaylistEntry>, seed: u64, max: usize) -> Vec<PlaylistEntry> {
        let mut entries = separate::weighted(entries, max);
        separate::arrange(&mut entries, &self.separate, seed);
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
        let mut found = self.arrange(found, room);
        if index == 0
            && self.begins_with_last(&found)
            && let Some(other) = found.iter().position(|entry| !self.was_played_last(entry))
        {
            found.swap(0, other);
        }
        Arc::make_mut(&mut self.order).splice(index..=index, found);
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
            ahead: self.pending.as_ref().map(|ahead| view::HandedOutItem {
                turn: ahead.turn,
                title: ahead.title.clone(),
                listed: !ahead.is_aside(),
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
}

impl Programme for Playlist {
    fn next(&mut self) -> NextItem {
        self.follow_places();
        self.apply_edit_and_resume();
        self.follow_remote_lists();
        let next = self.advance();
        self.show();
        next
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        let Some(ahead) = self.pending.clone().filter(|ahead| ahead.turn == item.turn) else {
            return NextItem::Play(item);
        };
        self.follow_places();
        let same = match self.edit.take() {
            // It is queued, or an interstitial: an edit does not move it.
            Some(entries) if ahead.is_aside() => {
                let before = || Some(self.order[self.next_index.checked_sub(1)?].key.clone());
                let anchor = self.playing.as_ref().map(|playing| playing.key.clone()).or_else(before);
                self.apply_edit(entries, anchor.as_ref());
                true
            }
            Some(entries) => self.apply_edit_to_pending(entries, &ahead),
            None => true,
        };
        let next = if same && self.is_interrupted(&ahead) {
            self.put_back(ahead);
            self.advance()
        } else if same {
            self.with_fresh_urls(item, &ahead.entry)
        } else {
            self.advance()
        };
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
            let (id, part) = (entry.key.item.clone(), entry.part());
            let find = Box::new(move || match resolver.resolve(&entry) {
                Ok(Resolved::Media { media, title }) => {
                    let (id, title) = (entry.key.item.clone(), title_of(&entry, title));
                    Some(Item { id, turn: 0, title, start: Duration::ZERO, media })
                }
                // A list is expanded when it is due.
                Ok(Resolved::Entries(_) | Resolved::Arriving) | Err(_) => None,
            });
            UpcomingItem { id, part, find }
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
            // It is queued, or an interstitial: an edit does not move it.
            Some(ahead) if ahead.is_aside() => None,
            Some(ahead) => {
                let entries = self.edit.take()?;
                let stays = self.apply_edit_to_pending(entries, &ahead);
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
mod follow_tests;
#[cfg(test)]
mod interstitial_tests;
#[cfg(test)]
mod long_run;
#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod remote_tests;
#[cfg(test)]
mod restart_tests;
#[cfg(test)]
mod tests;
