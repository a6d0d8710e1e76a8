//! The programme: which entry is next, in the list's order or shuffled, from where a broken-off run left it, and
//! through edits of the playlist file.
//!
//! What a line names is found by [`crate::source`], what an entry plays by [`crate::resolver`]. Nothing here runs ahead:
//! the engine asks one item early.

mod bookmark;
mod edits;
mod jumps;
mod listing;
mod order;

use std::{
    collections::VecDeque,
    ffi::OsString,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use tgs_playout::item::{
    FailureReason, Item, ItemFailure, JumpTarget, Media, NextItem, Programme, UpcomingItem,
};

use bookmark::PlayedEntry;
pub use bookmark::{Bookmark, Bookmarks};
use listing::FileStamp;
pub(crate) use listing::Listing;
pub use listing::PlaylistWatch;

use crate::{
    resolver::{Resolved, Resolver},
    source::{self, EntryKey, EntryKind, NamedSource, PlaylistEntry, one_line},
};

/// URLs that have no longer to live are asked for anew: ffmpeg opens them some time after it is started.
const EXPIRY_MARGIN: Duration = Duration::from_mins(1);

/// How long an edit may be probed for something playable. After that it has the benefit of the doubt.
const EDIT_TIME_OUT: Duration = Duration::from_secs(30);

/// A round has no more entries, with all lists and pages opened.
const MAX_ORDER: usize = 150_000;

/// What is to be played, and how.
#[derive(Debug)]
pub struct PlaylistConfig {
    /// Paths and URLs from the command line; they come before those of the file.
    pub sources: Vec<OsString>,
    /// The playlist file; its edits are followed.
    pub file: Option<PathBuf>,
    /// Begin again after the last entry (`LOOP`; not with `--once`).
    pub repeat: bool,
    /// Play each round in an order of its own (`SHUFFLE`).
    pub shuffle: bool,
    /// Whether a file that cannot be read is waited for, and is no error of [`Playlist::open`].
    pub wait: bool,
    /// Where an earlier run was, and how far it had come in that item.
    pub resume: Option<(Bookmark, Duration)>,
    /// What finds out what an entry plays.
    pub resolver: Resolver,
}

/// The list being played.
#[derive(Debug)]
pub struct Playlist {
    listing: Listing,
    /// The file as it was last looked at, whether or not that edit was taken.
    stamp: Option<FileStamp>,
    /// What sources and file name; opened anew each round.
    named: Vec<NamedSource>,
    repeat: bool,
    shuffle: bool,
    resolver: Resolver,
    /// What this round is shuffled with.
    seed: u64,
    /// This round, as far as it is known: a page that lists others stands for them until its turn comes.
    order: Vec<PlaylistEntry>,
    /// Where in `order` the entry is that comes next.
    at: usize,
    /// Where to start, before the first item is asked for.
    resume: Option<(Bookmark, Duration)>,
    /// The entry that does not begin at its beginning.
    start: Option<(EntryKey, Duration)>,
    /// What an edit has made of the list, until the next item takes it.
    edit: Option<Vec<PlaylistEntry>>,
    /// What was queued, with how far into it to start.
    queue: VecDeque<(PlaylistEntry, Duration)>,
    /// Whether an entry of the list has its turn before the queue: somebody went to it.
    list_first: bool,
    /// Given out last, and not yet confirmed.
    ahead: Option<PlayedEntry>,
    /// The number of the newest turn.
    newest: u64,
    /// The entry of the list confirmed last: it plays, or something queued behind it.
    playing: Option<Bookmark>,
    bookmarks: Bookmarks,
}

impl Playlist {
    /// Reads the list. An error says in words what is missing where it names nothing at all.
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
        let saved = config.resume.as_ref().and_then(|(bookmark, _)| bookmark.shuffle_seed);
        let mut playlist = Self {
            listing,
            stamp,
            named,
            repeat: config.repeat,
            shuffle: config.shuffle,
            resolver: config.resolver,
            seed: saved.unwrap_or_else(|| fastrand::u64(..)),
            order: Vec::new(),
            at: 0,
            resume: config.resume,
            start: None,
            edit: None,
            queue: VecDeque::new(),
            list_first: false,
            ahead: None,
            newest: 0,
            playing: None,
            bookmarks: Bookmarks::default(),
        };
        playlist.begin_round(playlist.seed);
        Ok(playlist)
    }

    /// What to keep of the items that play, so that a restart finds them again.
    #[must_use]
    pub fn bookmarks(&self) -> Bookmarks {
        self.bookmarks.clone()
    }

    /// Watches the file for edits from how it was read.
    #[must_use]
    pub fn watch(&self) -> PlaylistWatch {
        self.listing.watch(self.stamp)
    }

    /// Begins a round with what is named now. Shuffled, it does not begin with what has just been played: the seed is
    /// another one then, so that the order follows from the seed alone and an edit finds it again.
    fn begin_round(&mut self, seed: u64) {
        let entries = source::expand(&self.named);
        self.seed = seed;
        if self.shuffle {
            self.seed = order::seed_of_round(&entries, seed, |entry| self.is_last(entry));
        }
        self.order = self.arrange(entries);
        self.at = 0;
    }

    fn arrange(&self, mut entries: Vec<PlaylistEntry>) -> Vec<PlaylistEntry> {
        if self.shuffle {
            order::shuffle(&mut entries, self.seed);
        }
        entries
    }

    /// Whether this was played last.
    fn is_last(&self, entry: &PlaylistEntry) -> bool {
        self.playing.as_ref().is_some_and(|playing| playing.key.item == entry.key.item)
    }

    /// Whether these, shuffled, begin with what was played last.
    fn begins_with_last(&self, entries: &[PlaylistEntry]) -> bool {
        self.shuffle && entries.first().is_some_and(|first| self.is_last(first))
    }

    /// For how many entries the one at `index` may stand: lists in lists have a sum, and so has everything. One at least.
    fn room_at(&self, index: usize) -> usize {
        let entry = &self.order[index];
        let root = entry.key.within.first().unwrap_or(&entry.key.item);
        let beside = |other: &&PlaylistEntry| other.key.within.first() == Some(root);
        let before = self.order[..index].iter().rev().take_while(beside).count();
        let behind = self.order[index + 1..].iter().take_while(beside).count();
        let left = source::MAX_REMOTE.saturating_sub(before + behind);
        left.min(MAX_ORDER.saturating_sub(self.order.len())).max(1)
    }

    /// Puts `found` in the place of the entry at `index`.
    fn replace(&mut self, index: usize, mut found: Vec<PlaylistEntry>) {
        let room = self.room_at(index);
        if found.len() > room {
            log::warn!("{} names too many entries: the rest is left out", self.order[index].title());
            found.truncate(room);
        }
        let mut found = self.arrange(found);
        if index == 0
            && self.begins_with_last(&found)
            && let Some(other) = found.iter().position(|entry| !self.is_last(entry))
        {
            found.swap(0, other);
        }
        self.order.splice(index..=index, found);
    }

    /// The next entry that has not been given out: of the queue, else of the list.
    fn advance(&mut self) -> NextItem {
        loop {
            let queued = if self.list_first { None } else { self.queue.pop_front() };
            let is_queued = queued.is_some();
            if self.named.is_empty() && !is_queued {
                let failure =
                    ItemFailure::new(FailureReason::Missing, "it cannot be read, or names nothing to play");
                return NextItem::Skip { id: String::new(), title: self.listing.to_string(), failure };
            }
            if self.at >= self.order.len() && !is_queued {
                if !self.repeat {
                    return NextItem::End;
                }
                self.begin_round(order::next_seed(self.seed));
            }
            let (entry, from) = match queued {
                Some(queued) => queued,
                None => (self.order[self.at].clone(), Duration::ZERO),
            };
            match self.resolver.resolve(&entry) {
                Ok(Resolved::Entries(found)) if is_queued => self.queue_first(found),
                Ok(Resolved::Entries(found)) => self.replace(self.at, found),
                Ok(Resolved::Media { media, title }) => {
                    return NextItem::Play(self.give_out(entry, from, is_queued, title, media));
                }
                // What was kept of a page plays though it cannot be asked now.
                Err(failure) if matches!(entry.kind, EntryKind::Page { .. }) => {
                    let media = Media { sources: Vec::new(), live: false, expires: None, identity: None };
                    return NextItem::Kept {
                        item: self.give_out(entry, from, is_queued, None, media),
                        failure,
                    };
                }
                Err(failure) => {
                    self.at += usize::from(!is_queued);
                    self.list_first = false;
                    self.ahead = None;
                    return NextItem::Skip { id: entry.key.item.clone(), title: entry.title(), failure };
                }
            }
        }
    }

    /// `entry`, which is next, as the item that `media` and `title` make of it.
    fn give_out(
        &mut self,
        entry: PlaylistEntry,
        from: Duration,
        queued: bool,
        title: Option<String>,
        media: Media,
    ) -> Item {
        let saved = self.start.take_if(|(key, _)| !queued && *key == entry.key);
        let start = saved.map_or(from, |(_, offset)| offset);
        self.at += usize::from(!queued);
        self.list_first = false;
        self.newest += 1;
        let item = Item {
            id: entry.key.item.clone(),
            turn: self.newest,
            title: title_of(&entry, title),
            start: if media.live { Duration::ZERO } else { start },
            media,
        };
        self.ahead = Some(PlayedEntry { turn: self.newest, entry, bookmark: None, queued });
        item
    }

    /// Puts `entries` before what is queued.
    fn queue_first(&mut self, entries: Vec<PlaylistEntry>) {
        for entry in entries.into_iter().rev() {
            self.queue.push_front((entry, Duration::ZERO));
        }
        self.queue.truncate(source::MAX_REMOTE);
    }

    /// Takes an edit, and goes to where the earlier run was.
    fn settle(&mut self) {
        if let Some(entries) = self.edit.take() {
            let anchor = self.at.checked_sub(1).map(|last| self.order[last].key.clone());
            self.take_edit(entries, anchor.as_ref());
        }
        self.go_back();
    }

    /// Notes that the entry given out last plays from now on.
    fn plays(&mut self) {
        let Some(turn) = self.ahead.take() else { return };
        if !turn.queued {
            self.playing = Some(self.bookmark(&turn.entry));
        }
        self.bookmarks.add(PlayedEntry { bookmark: self.playing.clone(), ..turn });
    }

    /// The place of the entry given out last.
    fn bookmark(&self, entry: &PlaylistEntry) -> Bookmark {
        Bookmark {
            key: entry.key.clone(),
            shuffle_seed: self.shuffle.then_some(self.seed),
            followed_by: self.order[self.at.min(self.order.len())..]
                .iter()
                .take(bookmark::FOLLOWERS)
                .map(|e| e.key.clone())
                .collect(),
        }
    }

    /// `item`, which stands for `entry`, with URLs that will last.
    fn renewed(&self, item: Item, entry: &PlaylistEntry) -> NextItem {
        let soon = SystemTime::now() + EXPIRY_MARGIN;
        if item.media.expires.is_none_or(|expires| expires > soon) {
            return NextItem::Play(item);
        }
        log::debug!("the URLs of {} expire: asking again", item.id);
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
        self.settle();
        self.advance()
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        let Some(ahead) = self.ahead.clone().filter(|ahead| ahead.turn == item.turn) else {
            return NextItem::Play(item);
        };
        let same = match self.edit.take() {
            // It stands in no list.
            Some(entries) if ahead.queued => {
                let anchor = self.playing.as_ref().map(|playing| playing.key.clone());
                self.take_edit(entries, anchor.as_ref());
                true
            }
            Some(entries) => self.take_edit_ahead(entries, &ahead.entry),
            None => true,
        };
        let next = if same { self.renewed(item, &ahead.entry) } else { self.advance() };
        if matches!(next, NextItem::Play(_) | NextItem::Kept { .. }) {
            self.plays();
        }
        next
    }

    fn upcoming(&self, count: usize) -> Vec<UpcomingItem> {
        let again: &[PlaylistEntry] = if self.repeat && !self.shuffle { &self.order } else { &[] };
        let entries = self.order[self.at.min(self.order.len())..].iter().chain(again).cloned();
        let coming = |entry: PlaylistEntry| -> UpcomingItem {
            let resolver = self.resolver.clone();
            let id = entry.key.item.clone();
            let find = Box::new(move || match resolver.resolve(&entry) {
                Ok(Resolved::Media { media, title }) => {
                    let (id, title) = (entry.key.item.clone(), title_of(&entry, title));
                    Some(Item { id, turn: 0, title, start: Duration::ZERO, media })
                }
                // What a list holds is known when its turn comes.
                Ok(Resolved::Entries(_)) | Err(_) => None,
            });
            UpcomingItem { id, find }
        };
        entries.take(count).map(coming).collect()
    }

    fn round_len(&self) -> usize {
        self.order.len()
    }

    fn jump(&mut self, place: Option<u64>, to: JumpTarget) {
        self.jump_to(place, to);
    }

    fn queue(&mut self, line: &str) {
        let entries = self.listing.entries_of(line);
        if entries.is_empty() {
            log::warn!("cannot queue “{line}”: it names nothing to play");
        }
        self.queue.extend(entries.into_iter().map(|entry| (entry, Duration::ZERO)));
    }

    fn reload(&mut self) {
        self.look_for_edit();
    }

    fn replaced(&mut self) -> Option<NextItem> {
        match self.ahead.clone() {
            // It stands in no list.
            Some(ahead) if ahead.queued => None,
            Some(ahead) => {
                let entries = self.edit.take()?;
                if self.take_edit_ahead(entries, &ahead.entry) { None } else { Some(self.advance()) }
            }
            // It could not be played.
            None => self.edit.is_some().then(|| self.next()),
        }
    }
}

/// The title that a list gives; else the one found with the media; else the name.
pub(crate) fn title_of(entry: &PlaylistEntry, found: Option<String>) -> String {
    match found {
        Some(title) if entry.title.is_none() && !one_line(&title).is_empty() => one_line(&title),
        _ => entry.title(),
    }
}

#[cfg(test)]
mod long_run;
#[cfg(test)]
mod tests;
