//! The list as other threads see it. Never waits for the prepare thread, which may be resolving a
//! page: that thread leaves a snapshot here, which shares the entries with it.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tgs_control::{EntryState, ListedEntry, PlaylistPage};
use tgs_core::{digest, mask};
use tgs_playout::status::SharedStatus;

use super::{bookmark::Bookmarks, order};
use crate::{
    queue::PlayQueue,
    source::{EntryKey, PlaylistEntry},
};

/// The largest part of the list that [`PlaylistView::list`] returns.
const MAX_PAGE: usize = 1000;

/// An entry of the list, as an operator names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryRef {
    /// Its index in the playing order of the round on air, from 0.
    Index(usize),
    /// Its [`ListedEntry::id`].
    Id(String),
}

/// Why no entry of the list is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchEntry {
    /// The index is beyond the end.
    #[error("the list has no entry {index}: it has {total}, counted from 0")]
    Index {
        /// The index asked for.
        index: usize,
        /// The number of entries.
        total: usize,
    },
    /// No entry has this ID.
    #[error("no entry of the list has this id; it may have been edited away")]
    Id,
}

/// The number of an entry in [`tgs_playout::item::JumpTarget::Entry`]. A secure hash: its text is
/// shown, and the key may hold a token.
pub(super) fn entry_number(key: &EntryKey) -> u64 {
    let parts = key.within.iter().chain([&key.item]).map(String::as_bytes);
    let nth = key.nth.to_le_bytes();
    let hex = digest::key(parts.chain([&nth[..]]));
    u64::from_str_radix(&hex[..16], 16).unwrap_or_default()
}

fn entry_id(key: &EntryKey) -> String {
    format!("{:016x}", entry_number(key))
}

/// A round as the prepare thread left it.
#[derive(Debug, Clone, Default)]
pub(super) struct Round {
    pub(super) order: Arc<Vec<PlaylistEntry>>,
    /// The seed of a shuffled round.
    pub(super) seed: Option<u64>,
    /// The index of the next entry to hand out.
    pub(super) next_index: usize,
    /// Whether that entry precedes the queue.
    pub(super) list_first: bool,
    /// Whether the next round has the same order.
    pub(super) repeats: bool,
    pub(super) bookmarks: Bookmarks,
    /// The item handed out last, until it is confirmed.
    pub(super) ahead: Option<HandedOutItem>,
}

/// An item that is handed out and not confirmed.
#[derive(Debug, Clone)]
pub(super) struct HandedOutItem {
    pub(super) turn: u64,
    pub(super) title: String,
    /// Whether the list names it, not the queue.
    pub(super) listed: bool,
}

/// The list as other threads see it. Clones share it.
#[derive(Debug, Clone)]
pub struct PlaylistView(Arc<SharedView>);

#[derive(Debug)]
struct SharedView {
    rounds: Mutex<Rounds>,
    queue: PlayQueue,
    status: SharedStatus,
}

/// The right of one playlist to fill the view: an older playlist, whose thread may outlive its
/// engine, changes nothing any more.
#[derive(Debug)]
pub(super) struct ViewWriter {
    view: PlaylistView,
    /// The view's number of writers when this one began.
    epoch: u64,
}

/// The round that the list is in, and the one before: its last items may still be on air.
#[derive(Debug, Default)]
struct Rounds {
    now: Round,
    before: Option<Round>,
    /// The number of writers so far.
    epoch: u64,
}

/// Where the round on air is.
struct Place {
    order: Arc<Vec<PlaylistEntry>>,
    current: Option<usize>,
    /// The entries before this one have had their turn.
    passed: usize,
    /// The first entry after what is on air; may lie behind the end.
    next: usize,
}

impl PlaylistView {
    /// A view of a list that [`super::Playlist::open`] fills.
    #[must_use]
    pub fn new(queue: PlayQueue, status: SharedStatus) -> Self {
        Self(Arc::new(SharedView { rounds: Mutex::default(), queue, status }))
    }

    /// Begins a new writer, and disables those before.
    pub(super) fn writer(&self) -> ViewWriter {
        let mut rounds = self.rounds();
        rounds.epoch += 1;
        ViewWriter { view: self.clone(), epoch: rounds.epoch }
    }

    /// `limit` entries from `offset` on, 1,000 at most, in the playing order of the round on
    /// air. Entries beyond the end are not there.
    #[must_use]
    pub fn list(&self, offset: usize, limit: usize) -> PlaylistPage {
        let Place { order, current, passed, next } = self.place();
        let state = |index: usize| match index {
            _ if current == Some(index) => EntryState::Current,
            _ if index == next => EntryState::Next,
            _ if index < passed => EntryState::Passed,
            _ => EntryState::Later,
        };
        let listed = |(index, entry): (usize, &PlaylistEntry)| ListedEntry {
            index,
            id: entry_id(&entry.key),
            title: entry.title(),
            source: mask::urls(&entry.key.item).into_owned(),
            state: state(index),
        };
        let entries = order.iter().enumerate().skip(offset).take(limit.min(MAX_PAGE)).map(listed).collect();
        PlaylistPage { total: order.len(), entries }
    }

    /// The number of the entry meant, for [`tgs_playout::command::Command::Goto`].
    pub fn find(&self, entry: &EntryRef) -> Result<u64, NoSuchEntry> {
        let order = self.place().order;
        match entry {
            EntryRef::Index(index) => order
                .get(*index)
                .map(|entry| entry_number(&entry.key))
                .ok_or(NoSuchEntry::Index { index: *index, total: order.len() }),
            EntryRef::Id(id) => {
                let number = u64::from_str_radix(id, 16).map_err(|_| NoSuchEntry::Id)?;
                let there = order.iter().any(|entry| entry_number(&entry.key) == number);
                there.then_some(number).ok_or(NoSuchEntry::Id)
            }
        }
    }

    /// The titles of the next `count` items after the one on air, as far as they are known without
    /// opening a source.
    #[must_use]
    pub fn upcoming(&self, count: usize) -> Vec<String> {
        let on_air = self.on_air();
        let round = self.rounds().now.clone();
        let mut titles: VecDeque<String> = round.bookmarks.titles_after(on_air).into();
        titles.extend(round.ahead.filter(|ahead| ahead.turn > on_air).map(|ahead| ahead.title));
        let left = &round.order[round.next_index.min(round.order.len())..];
        let again: &[PlaylistEntry] = if round.repeats { &round.order } else { &[] };
        let mut listed = left.iter().chain(again).map(PlaylistEntry::title);
        titles.extend(listed.by_ref().take(usize::from(round.list_first)));
        titles.extend(self.0.queue.waiting_titles());
        titles.extend(listed.take(count.saturating_sub(titles.len())));
        titles.truncate(count);
        titles.into()
    }

    /// The turn being sent; 0 before the first.
    fn on_air(&self) -> u64 {
        self.0.status.sent_turn().unwrap_or_default()
    }

    fn place(&self) -> Place {
        let on_air = self.on_air();
        let (now, before) = {
            let rounds = self.rounds();
            (rounds.now.clone(), rounds.before.clone())
        };
        let Some((bookmark, queued)) = now.bookmarks.place_of(on_air) else {
            let listed = now.ahead.is_some_and(|ahead| ahead.listed);
            let next = now.next_index.saturating_sub(usize::from(listed));
            return Place { order: now.order, current: None, passed: next, next };
        };
        let round = match before {
            Some(before) if bookmark.shuffle_seed == before.seed && now.seed != before.seed => before,
            _ => now,
        };
        let found = order::find(&round.order, &bookmark.key);
        let after = || bookmark.followed_by.iter().find_map(|key| order::find(&round.order, key));
        let passed = found.map(|at| at + 1).or_else(after).unwrap_or_default();
        let next = if passed >= round.order.len() && round.repeats { 0 } else { passed };
        Place { current: found.filter(|_| !queued), passed, next, order: round.order }
    }

    fn rounds(&self) -> MutexGuard<'_, Rounds> {
        self.0.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ViewWriter {
    /// Replaces the snapshot.
    pub(super) fn set(&self, round: Round) {
        let mut rounds = self.view.rounds();
        if rounds.epoch != self.epoch {
            return;
        }
        if round.seed != rounds.now.seed {
            rounds.before = Some(mem::take(&mut rounds.now));
        }
        let old = mem::replace(&mut rounds.now, round);
        drop(rounds);
        // Dropping a long order takes time.
        drop(old);
    }
}
