//! The entries in playing order, and which of their items the engine has. Takes no lock, no I/O.
//!
//! The engine takes items long before they are on air, and returns those that a command discards.
//! An entry therefore stays until the published item has passed its last one.

use std::{collections::HashSet, time::Duration};

use tgs_control::QueueEntry;

use super::{file::SavedEntry, line::QueueLine};
use crate::source::{EntryKey, MAX_REMOTE, PlaylistEntry};

/// The engine holds fewer items of one entry.
const MAX_TURNS: usize = 256;

/// The place of an item in the queue, valid while the playlist is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueuePlace {
    /// The entry's ID.
    pub(crate) id: u64,
    /// The index among the entry's items.
    pub(super) index: usize,
}

/// The next item of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueuedItem {
    pub(crate) place: QueuePlace,
    pub(crate) entry: PlaylistEntry,
    /// Where it starts.
    pub(crate) from: Duration,
}

/// The result of [`QueueEntries::next`].
#[derive(Debug, Default)]
pub(super) enum Taken {
    Item(Box<QueuedItem>),
    /// The entry must be opened first: [`QueueEntries::open`].
    Unopened(u64, Box<QueueLine>),
    #[default]
    Nothing,
}

/// An entry of the queue.
#[derive(Debug)]
pub(super) struct PendingEntry {
    id: u64,
    line: QueueLine,
    /// The items that it names; `None` until it is opened.
    items: Option<Vec<PlaylistEntry>>,
    /// The index of the next item to hand out.
    next: usize,
    /// The item that starts at an offset; the items before it are left out.
    start: Option<(EntryKey, Duration)>,
    /// The turns of its items that are on air or handed out.
    turns: Vec<u64>,
}

impl PendingEntry {
    pub(super) fn new(id: u64, line: QueueLine) -> Self {
        Self { id, line, items: None, next: 0, start: None, turns: Vec::new() }
    }

    /// The entry of an earlier run; `None` with a WARN if this version cannot read the line.
    pub(super) fn from_saved(saved: &SavedEntry) -> Option<Self> {
        match QueueLine::parse(&saved.line.source, &saved.line.dir, saved.line.below.clone()) {
            Ok(line) => Some(Self::new(saved.id, line)),
            Err(why) => {
                log::warn!("dropping entry {} of the queue: {why}", saved.id);
                None
            }
        }
    }

    pub(super) fn title(&self) -> &str {
        &self.line.title
    }

    fn saved(&self) -> SavedEntry {
        SavedEntry { id: self.id, line: self.line.text.clone() }
    }

    /// Whether an item is still to be handed out.
    fn has_next(&self) -> bool {
        self.items.as_ref().is_none_or(|items| self.next < items.len())
    }

    /// Goes to the item to start with, as far as it is known.
    fn go_to_start(&mut self) {
        let (Some(items), Some((key, _))) = (&self.items, &self.start) else { return };
        let exact = |item: &PlaylistEntry| item.key == *key;
        let outer = |item: &PlaylistEntry| key.within.contains(&item.key.item);
        let left = &items[self.next.min(items.len())..];
        match left.iter().position(exact).or_else(|| left.iter().position(outer)) {
            Some(at) => self.next += at,
            None => self.start = None,
        }
    }
}

/// The queue's entries.
#[derive(Debug, Default)]
pub(super) struct QueueEntries {
    all: Vec<PendingEntry>,
    /// The entry that precedes all others once: it continues an item.
    first: Option<u64>,
    /// The turn being published; 0 before the first.
    published: u64,
    /// The turn of the list's item that was handed out because the queue had none; the largest
    /// number while that item is being resolved.
    list_turn: u64,
    /// The number of changes of membership and order.
    changes: u64,
    /// The number of consumers so far.
    epoch: u64,
}

impl QueueEntries {
    pub(super) fn new(all: Vec<PendingEntry>) -> Self {
        Self { all, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.all.iter().map(|entry| entry.id).collect()
    }

    pub(super) fn find(&self, id: u64) -> Option<&PendingEntry> {
        self.all.iter().find(|entry| entry.id == id)
    }

    fn find_mut(&mut self, id: u64) -> Option<&mut PendingEntry> {
        self.all.iter_mut().find(|entry| entry.id == id)
    }

    pub(super) fn list(&self) -> Vec<QueueEntry> {
        let shown = |entry: &PendingEntry| QueueEntry {
            id: entry.id,
            source: entry.line.text.shown(),
            title: entry.line.title.clone(),
            on_air: self.is_on_air(entry),
        };
        self.all.iter().map(shown).collect()
    }

    fn is_on_air(&self, entry: &PendingEntry) -> bool {
        entry.turns.contains(&self.published)
    }

    /// Whether the engine has an item of the entry that is not on air.
    fn is_ahead(&self, entry: &PendingEntry) -> bool {
        entry.turns.iter().any(|turn| *turn > self.published)
    }

    /// Whether the entry's last item is on air; `None` without such an entry.
    pub(super) fn ends_on_air(&self, id: u64) -> Option<bool> {
        let entry = self.find(id)?;
        Some(self.is_on_air(entry) && !entry.has_next() && !self.is_ahead(entry))
    }

    /// The entries in this order, `new` among them, as they are saved.
    pub(super) fn saved(&self, order: &[u64], new: Option<&PendingEntry>) -> Vec<SavedEntry> {
        order
            .iter()
            .filter_map(|id| self.find(*id).or(new.filter(|new| new.id == *id)))
            .map(PendingEntry::saved)
            .collect()
    }

    /// Applies an order; entries that it does not name are removed. Returns whether it changes what
    /// the engine has and what is not on air.
    pub(super) fn rearrange(&mut self, order: &[u64], new: Option<PendingEntry>) -> bool {
        let had: Vec<u64> =
            self.all.iter().filter(|entry| self.is_ahead(entry)).map(|entry| entry.id).collect();
        let mut left: Vec<Option<PendingEntry>> = self.all.drain(..).chain(new).map(Some).collect();
        // At most 1,000 entries.
        let mut take = |id: &u64| {
            left.iter_mut().find(|entry| entry.as_ref().is_some_and(|entry| entry.id == *id))?.take()
        };
        self.all = order.iter().filter_map(&mut take).collect();
        self.changes += 1;
        let comes = self.all.iter().filter(|entry| had.contains(&entry.id) || entry.has_next());
        let comes: Vec<u64> = comes.map(|entry| entry.id).collect();
        let list_ahead = self.list_turn > self.published && self.has_next();
        list_ahead || !comes.starts_with(&had)
    }

    pub(super) fn has_next(&self) -> bool {
        self.all.iter().any(PendingEntry::has_next)
    }

    pub(super) fn next(&mut self) -> Taken {
        let first = self.first.and_then(|id| self.find(id)).filter(|entry| entry.has_next());
        let Some(entry) = first.or_else(|| self.all.iter().find(|entry| entry.has_next())) else {
            self.list_turn = u64::MAX;
            return Taken::Nothing;
        };
        let Some(item) = entry.items.as_ref().and_then(|items| items.get(entry.next)) else {
            return Taken::Unopened(entry.id, Box::new(entry.line.clone()));
        };
        let from = entry.start.as_ref().filter(|(key, _)| *key == item.key);
        Taken::Item(Box::new(QueuedItem {
            place: QueuePlace { id: entry.id, index: entry.next },
            entry: item.clone(),
            from: from.map_or(Duration::ZERO, |(_, from)| *from),
        }))
    }

    pub(super) fn open(&mut self, id: u64, items: Vec<PlaylistEntry>) {
        if let Some(entry) = self.find_mut(id).filter(|entry| entry.items.is_none()) {
            entry.items = Some(items);
            entry.go_to_start();
        }
    }

    pub(super) fn expand(&mut self, place: QueuePlace, mut found: Vec<PlaylistEntry>) {
        let Some(entry) = self.find_mut(place.id) else { return };
        let Some(items) = entry.items.as_mut().filter(|items| place.index < items.len()) else { return };
        // Pages in pages share the limit of one.
        let room = if items.len() < MAX_REMOTE { MAX_REMOTE } else { 1 };
        if found.len() > room {
            log::warn!("entry {} of the queue names too many items; ignoring the rest", place.id);
            found.truncate(room);
        }
        items.splice(place.index..=place.index, found);
        entry.go_to_start();
    }

    pub(super) fn hand_out(&mut self, place: QueuePlace, turn: u64) {
        self.first.take_if(|first| *first == place.id);
        let published = self.published;
        let Some(entry) = self.find_mut(place.id) else { return };
        entry.next = place.index + 1;
        entry.start = None;
        if entry.turns.len() >= MAX_TURNS {
            entry.turns.retain(|turn| *turn == published);
        }
        entry.turns.push(turn);
    }

    pub(super) fn skip(&mut self, place: QueuePlace) {
        self.first.take_if(|first| *first == place.id);
        if let Some(entry) = self.find_mut(place.id) {
            entry.next = place.index + 1;
            entry.start = None;
        }
    }

    pub(super) fn following(&self, place: QueuePlace) -> Option<EntryKey> {
        let items = self.find(place.id)?.items.as_ref()?;
        items.get(place.index + 1).map(|item| item.key.clone())
    }

    pub(super) fn list_item_follows(&mut self, turn: u64) {
        self.list_turn = turn;
    }

    pub(super) fn give_back(&mut self, place: QueuePlace, turn: u64, from: Duration) {
        if !from.is_zero() {
            return self.repeat(place, turn, from);
        }
        let published = self.published;
        if let Some(entry) = self.find_mut(place.id) {
            entry.next = entry.next.min(place.index);
            entry.turns.retain(|other| *other < turn || *other == published);
        }
    }

    pub(super) fn repeat(&mut self, place: QueuePlace, turn: u64, from: Duration) {
        let published = self.published;
        let Some(entry) = self.find_mut(place.id) else { return };
        entry.next = entry.next.min(place.index);
        entry.turns.retain(|other| *other < turn || *other == published);
        let item = entry.items.as_ref().and_then(|items| items.get(entry.next));
        entry.start = item.map(|item| (item.key.clone(), from));
        self.first = Some(place.id);
    }

    /// Takes back all items for a new consumer, and returns its number.
    pub(super) fn rewind(&mut self) -> u64 {
        for entry in &mut self.all {
            (entry.items, entry.next, entry.start) = (None, 0, None);
            entry.turns.clear();
        }
        (self.first, self.published, self.list_turn) = (None, 0, 0);
        self.epoch += 1;
        self.epoch
    }

    pub(super) fn resume(&mut self, id: u64, key: EntryKey, from: Duration) {
        if let Some(entry) = self.find_mut(id) {
            entry.start = Some((key, from));
            self.first = Some(id).filter(|_| !from.is_zero());
        }
    }

    /// Records the turn being published. Returns whether it ends an entry.
    pub(super) fn published(&mut self, turn: u64) -> bool {
        self.published = turn;
        for entry in &mut self.all {
            entry.turns.retain(|other| *other >= turn);
        }
        self.all.iter().any(Self::has_ended)
    }

    /// Records that the published item has ended, and nothing follows.
    pub(super) fn last_ended(&mut self) {
        let published = self.published;
        for entry in &mut self.all {
            entry.turns.retain(|other| *other > published);
        }
    }

    fn has_ended(entry: &PendingEntry) -> bool {
        !entry.has_next() && entry.turns.is_empty()
    }

    /// The IDs of the entries that have not ended.
    pub(super) fn unended(&self) -> Vec<u64> {
        self.all.iter().filter(|entry| !Self::has_ended(entry)).map(|entry| entry.id).collect()
    }

    pub(super) fn waiting_titles(&self) -> Vec<String> {
        let first = self.first.and_then(|id| self.find(id));
        let mut seen = HashSet::new();
        let order =
            first.into_iter().chain(&self.all).filter(|entry| entry.has_next() && seen.insert(entry.id));
        order.map(|entry| entry.line.title.clone()).collect()
    }
}
