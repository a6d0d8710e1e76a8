//! One turn: which entry comes next, what it resolves to, and the item that the engine gets.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tgs_playout::item::{FailureReason, Item, ItemFailure, Media, NextItem};

use super::{
    Playlist,
    bookmark::{self, Bookmark, PlayedEntry},
    order, title_of,
};
use crate::{
    check::still_copied,
    queue::QueuePlace,
    resolver::Resolved,
    source::{EntryKind, PlaylistEntry},
};

/// URLs that expire sooner are requested anew: ffmpeg opens them some time after it starts.
const EXPIRY_MARGIN: Duration = Duration::from_mins(1);

/// Files that are remembered as reported.
const MAX_REPORTED: usize = 1000;

/// What names an entry.
#[derive(Debug, Clone)]
enum Origin {
    List,
    Queue(QueuePlace),
    /// A pool of interstitials.
    Pool(usize),
    /// An interstitial of this pool that a command repeats.
    Again(String),
}

/// The next entry, before it is resolved.
struct Candidate {
    entry: PlaylistEntry,
    from: Duration,
    origin: Origin,
}

/// The files that were passed in one search for the next item, because they are being copied.
#[derive(Default)]
struct PassedFiles {
    /// Whether the queue waits for one.
    queue_waits: bool,
    /// How many of the list.
    listed: usize,
}

impl Playlist {
    /// The next entry: an interstitial that is due, one of the queue, else of the list.
    pub(super) fn advance(&mut self) -> NextItem {
        let mut passed = PassedFiles::default();
        loop {
            let Candidate { entry, from, origin } = match self.candidate(&passed) {
                Ok(candidate) => candidate,
                Err(next) => return *next,
            };
            let now = self.clock.now();
            match self.remote_lists.resolve(&entry, &self.resolver, now) {
                Ok(Resolved::Entries(found)) => self.expand_candidate(&origin, found),
                Ok(Resolved::Arriving) => {
                    if let Some(skip) = self.pass_arriving(&entry, &origin, &mut passed) {
                        return skip;
                    }
                }
                Ok(Resolved::Media { media, title }) => {
                    return NextItem::Play(self.make_item(entry, from, &origin, title, media));
                }
                // The cache can play a page that cannot be reached.
                Err(failure) if matches!(entry.kind, EntryKind::Page { .. }) => {
                    let media =
                        Media { sources: Vec::new(), part: entry.part(), ..Media::at(String::new(), false) };
                    return NextItem::Kept {
                        item: self.make_item(entry, from, &origin, None, media),
                        failure,
                    };
                }
                Err(failure) => {
                    self.pass(&origin);
                    self.list_first = false;
                    self.pending = None;
                    return skip(&entry, failure);
                }
            }
        }
    }

    /// The next entry; `Err` without one to resolve.
    fn candidate(&mut self, passed: &PassedFiles) -> Result<Candidate, Box<NextItem>> {
        let queued = if self.list_first || passed.queue_waits { None } else { self.queue.next() };
        if !self.list_first {
            if let Some((entry, pool, from)) = self.again.clone() {
                return Ok(Candidate { entry, from, origin: Origin::Again(pool) });
            }
            let follows = queued.is_some() || self.repeat || self.next_index < self.order.len();
            if follows && let Some((pool, entry)) = self.due_interstitial() {
                return Ok(Candidate { entry, from: Duration::ZERO, origin: Origin::Pool(pool) });
            }
        }
        if let Some(queued) = queued {
            let origin = Origin::Queue(queued.place);
            return Ok(Candidate { entry: queued.entry, from: queued.from, origin });
        }
        let title = self.listing.to_string();
        let no_item = |failure| Err(Box::new(NextItem::Skip { id: String::new(), title, failure }));
        let ended = self.next_index >= self.order.len() && !self.repeat;
        if passed.queue_waits && (ended || self.named.is_empty()) {
            return no_item(still_copied());
        }
        if self.named.is_empty() {
            return no_item(ItemFailure::new(
                FailureReason::Missing,
                "it cannot be read, or names nothing to play",
            ));
        }
        if ended {
            return Err(Box::new(NextItem::End));
        }
        if self.next_index >= self.order.len() {
            self.begin_round(order::next_seed(self.seed));
        }
        if let Some(entry) = self.order.get(self.next_index) {
            return Ok(Candidate { entry: entry.clone(), from: Duration::ZERO, origin: Origin::List });
        }
        no_item(ItemFailure::new(
            FailureReason::Unplayable,
            "it names nothing but interstitials (#TGS:every), which play between other items",
        ))
    }

    /// The interstitial that is due now.
    pub(super) fn due_interstitial(&self) -> Option<(usize, PlaylistEntry)> {
        let pool = self.interstitials.due(self.clock.now())?;
        Some((pool, self.interstitials.next(pool)?))
    }

    /// Replaces a page or remote list by what it names.
    fn expand_candidate(&mut self, origin: &Origin, found: Vec<PlaylistEntry>) {
        match origin {
            Origin::List => self.replace(self.next_index, found),
            Origin::Queue(place) => self.queue.expand(*place, found),
            Origin::Pool(pool) => self.interstitials.expand(*pool, found),
            Origin::Again(_) => self.again = None,
        }
    }

    /// Leaves out an entry that cannot be played.
    fn pass(&mut self, origin: &Origin) {
        match origin {
            Origin::List => self.next_index += 1,
            Origin::Queue(place) => self.queue.skip(*place),
            Origin::Pool(pool) => self.interstitials.handed_out(*pool, self.clock.now()),
            Origin::Again(_) => self.again = None,
        }
    }

    /// Leaves out a file that is being copied: one of the list comes with the next round or,
    /// without one, at the end; one of the queue stays the next. Returns a failure if the list has
    /// no other.
    fn pass_arriving(
        &mut self,
        entry: &PlaylistEntry,
        origin: &Origin,
        passed: &mut PassedFiles,
    ) -> Option<NextItem> {
        if self.arriving.len() < MAX_REPORTED && self.arriving.insert(entry.key.item.clone()) {
            log::info!("“{}” is still being copied; it plays when it is complete", entry.title());
        }
        match origin {
            Origin::Queue(_) => passed.queue_waits = true,
            Origin::Pool(_) | Origin::Again(_) => self.pass(origin),
            Origin::List => {
                if self.repeat {
                    self.next_index += 1;
                } else {
                    let order = Arc::make_mut(&mut self.order);
                    let entry = order.remove(self.next_index);
                    order.push(entry);
                }
                self.list_first = false;
                passed.listed += 1;
            }
        }
        (passed.listed >= self.order.len().max(1)).then(|| skip(entry, entry.failure(still_copied())))
    }

    /// Makes the next `entry` an item.
    fn make_item(
        &mut self,
        entry: PlaylistEntry,
        from: Duration,
        origin: &Origin,
        title: Option<String>,
        media: Media,
    ) -> Item {
        let saved = self.start.take_if(|(key, _)| matches!(origin, Origin::List) && *key == entry.key);
        let from = saved.map_or(from, |(_, offset)| offset);
        let list_first = std::mem::take(&mut self.list_first);
        let before = self.interstitials.snapshot();
        self.newest += 1;
        let (mut queued, mut interstitial) = (None, None);
        match origin {
            Origin::Queue(place) => {
                self.queue.hand_out(*place, self.newest);
                queued = Some(*place);
            }
            Origin::List => {
                self.next_index += 1;
                if !list_first {
                    self.queue.list_item_follows(self.newest);
                }
            }
            Origin::Pool(pool) => interstitial = Some(self.interstitials.id(*pool)),
            Origin::Again(pool) => interstitial = Some(pool.clone()),
        }
        if interstitial.is_some() {
            self.pass(origin);
        } else {
            self.interstitials.count_item();
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
            interstitial,
            before,
            from,
            list_first,
        });
        item
    }

    /// Whether an interstitial precedes the item that was handed out last. It does not precede an
    /// item that continues, or that a command has chosen.
    pub(super) fn is_interrupted(&self, ahead: &PlayedEntry) -> bool {
        ahead.interstitial.is_none()
            && !ahead.list_first
            && ahead.from.is_zero()
            && self.due_interstitial().is_some()
    }

    /// Records that the entry returned last plays now.
    pub(super) fn confirm_pending(&mut self) {
        let Some(played) = self.pending.take() else { return };
        if let Some(pool) = &played.interstitial {
            self.interstitials.began(pool, self.clock.now());
        }
        if !played.is_aside() {
            self.playing = Some(self.bookmark(&played.entry));
        }
        // Before the list's first item, the list continues with its first entry.
        let nothing = || PlaylistEntry::new(String::new(), EntryKind::List(String::new()));
        let bookmark = self.playing.clone().unwrap_or_else(|| self.bookmark(&nothing()));
        let interstitials = self.interstitials.save(self.clock.now(), self.clock.wall());
        let bookmark = Some(Bookmark { interstitials, ..bookmark });
        self.bookmarks.add(PlayedEntry { bookmark, ..played });
    }

    /// The bookmark of the entry returned last.
    pub(super) fn bookmark(&self, entry: &PlaylistEntry) -> Bookmark {
        Bookmark {
            key: entry.key.clone(),
            shuffle_seed: self.shuffle.then_some(self.seed),
            followed_by: self.order[self.next_index.min(self.order.len())..]
                .iter()
                .take(bookmark::FOLLOWERS)
                .map(|e| e.key.clone())
                .collect(),
            interstitials: Vec::new(),
        }
    }

    /// `item` with URLs that do not expire soon, or with the file to which a restricted path leads
    /// now.
    pub(super) fn with_fresh_urls(&self, item: Item, entry: &PlaylistEntry) -> NextItem {
        let soon = SystemTime::now() + EXPIRY_MARGIN;
        let expires = item.media.expires.is_some_and(|expires| expires <= soon);
        let restricted = entry.below.is_some() && matches!(entry.kind, EntryKind::File(_));
        if !expires && !restricted {
            return NextItem::Play(item);
        }
        log::debug!("resolving {} again before it plays", item.id);
        let failure = match self.resolver.resolve(entry) {
            Ok(Resolved::Media { media, .. }) => return NextItem::Play(Item { media, ..item }),
            Ok(Resolved::Arriving) => still_copied(),
            Ok(Resolved::Entries(_)) => {
                ItemFailure::new(FailureReason::Unplayable, "the page has become a list")
            }
            Err(failure) => failure,
        };
        NextItem::Skip { id: item.id, title: item.title, failure }
    }
}

fn skip(entry: &PlaylistEntry, failure: ItemFailure) -> NextItem {
    NextItem::Skip { id: entry.key.item.clone(), title: entry.title(), failure }
}
