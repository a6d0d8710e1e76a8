//! Interstitials: entries that are not part of the list's order, but play between its items, after
//! so many minutes or items. No I/O; the caller states the time.
//!
//! A state counts from the moment at which an item is handed out. The caller keeps the state from
//! before each item, and restores it when a command discards the item.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tgs_core::digest;

use crate::{
    list::Every,
    source::{EntryOrigin, PlaylistEntry},
};

/// Lines of a list that name interstitials.
const MAX_POOLS: usize = 100;

/// Files, pages and remote lists of one line.
const MAX_POOL: usize = 20_000;

/// The interstitials of a list.
#[derive(Debug, Default)]
pub(super) struct Interstitials {
    pools: Vec<Pool>,
}

/// The interstitials that one line names: one, or the files of a folder in turn.
#[derive(Debug)]
struct Pool {
    id: String,
    origin: Option<EntryOrigin>,
    every: Every,
    entries: Vec<PlaylistEntry>,
    state: PoolState,
}

/// Where a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PoolState {
    /// When its last one was handed out, or counting began.
    since: Duration,
    /// Items since then.
    items: u32,
    /// The index of the next one.
    next: usize,
}

/// The state of all pools at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot(Vec<(String, PoolState)>);

/// A pool's state in a saved position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedInterstitial {
    /// The pool.
    id: String,
    /// When its last one began, in seconds since 1970.
    since: u64,
    /// Items since then.
    items: u32,
    /// The index of the next one.
    next: usize,
}

impl Interstitials {
    /// Removes the interstitials from `entries`. Pools that were known keep their state; counting
    /// begins `now` for others.
    pub(super) fn take_from(&mut self, entries: &mut Vec<PlaylistEntry>, now: Duration) {
        let before = self.snapshot();
        self.pools.clear();
        if entries.iter().all(|entry| entry.options.every.is_none()) {
            return;
        }
        let mut ignored = 0_usize;
        entries.retain(|entry| {
            let Some(every) = entry.options.every else { return true };
            ignored += usize::from(!self.add(entry, every, now));
            false
        });
        if ignored > 0 {
            log::warn!(
                "{ignored} interstitials are ignored: a list has at most {MAX_POOLS} lines of them, and each line \
                 {MAX_POOL} files"
            );
        }
        self.restore(&before);
    }

    /// Adds `entry` to the pool of its line. Returns whether there was room.
    fn add(&mut self, entry: &PlaylistEntry, every: Every, now: Duration) -> bool {
        let last = self.pools.last_mut();
        let same_line = |pool: &&mut Pool| entry.origin.is_some() && pool.origin == entry.origin;
        if let Some(pool) = last.filter(same_line) {
            let room = pool.entries.len() < MAX_POOL;
            if room {
                pool.entries.push(entry.clone());
            }
            return room;
        }
        if self.pools.len() >= MAX_POOLS {
            return false;
        }
        let name = match entry.key.item.rsplit_once('/') {
            Some((folder, _)) if entry.in_folder => folder,
            _ => &entry.key.item,
        };
        let id = digest::key([name, &format!("{every:?}")]);
        let state = PoolState { since: now, items: 0, next: 0 };
        let (origin, entries) = (entry.origin.clone(), vec![entry.clone()]);
        self.pools.push(Pool { id, origin, every, entries, state });
        true
    }

    /// The index of the pool that is due: of several, the one that waits the longest.
    pub(super) fn due(&self, now: Duration) -> Option<usize> {
        let waits = |pool: &Pool| match pool.every {
            Every::Time(time) => now.saturating_sub(pool.state.since).checked_sub(time),
            Every::Items(items) => (pool.state.items >= items).then(|| now.saturating_sub(pool.state.since)),
        };
        let due = self.pools.iter().enumerate().filter_map(|(index, pool)| Some((waits(pool)?, index)));
        due.max_by_key(|(waits, index)| (*waits, std::cmp::Reverse(*index))).map(|(_, index)| index)
    }

    /// The next one of a pool.
    pub(super) fn next(&self, pool: usize) -> Option<PlaylistEntry> {
        let pool = self.pools.get(pool)?;
        pool.entries.get(pool.state.next % pool.entries.len().max(1)).cloned()
    }

    /// Replaces the next one of a pool, a page or a remote list, by what it names.
    pub(super) fn expand(&mut self, pool: usize, mut found: Vec<PlaylistEntry>) {
        let Some(pool) = self.pools.get_mut(pool).filter(|pool| !pool.entries.is_empty()) else { return };
        let at = pool.state.next % pool.entries.len();
        found.truncate(MAX_POOL.saturating_sub(pool.entries.len()).max(1));
        pool.entries.splice(at..=at, found);
        pool.state.next = at;
    }

    /// Records that the next one of `pool` was handed out, or cannot be played.
    pub(super) fn handed_out(&mut self, pool: usize, now: Duration) {
        if let Some(Pool { state, entries, .. }) = self.pools.get_mut(pool) {
            let next = (state.next + 1) % entries.len().max(1);
            *state = PoolState { since: now, items: 0, next };
        }
    }

    /// The identity of a pool, for [`Interstitials::began`].
    pub(super) fn id(&self, pool: usize) -> String {
        self.pools.get(pool).map(|pool| pool.id.clone()).unwrap_or_default()
    }

    /// Records that one of the pool `id` begins now.
    pub(super) fn began(&mut self, id: &str, now: Duration) {
        for pool in self.pools.iter_mut().filter(|pool| pool.id == id) {
            pool.state.since = now;
        }
    }

    /// Records that another item was handed out.
    pub(super) fn count_item(&mut self) {
        for pool in &mut self.pools {
            pool.state.items = pool.state.items.saturating_add(1);
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot(self.pools.iter().map(|pool| (pool.id.clone(), pool.state)).collect())
    }

    /// Returns to an earlier state, as far as the pools are the same.
    pub(super) fn restore(&mut self, to: &Snapshot) {
        for pool in &mut self.pools {
            if let Some((_, state)) = to.0.iter().find(|(id, _)| *id == pool.id) {
                pool.state = *state;
            }
        }
    }

    /// The state for the saved position; `wall` is the time of day of `now`.
    pub(super) fn save(&self, now: Duration, wall: Duration) -> Vec<SavedInterstitial> {
        let saved = |pool: &Pool| SavedInterstitial {
            id: pool.id.clone(),
            since: wall.saturating_sub(now.saturating_sub(pool.state.since)).as_secs(),
            items: pool.state.items,
            next: pool.state.next,
        };
        self.pools.iter().map(saved).collect()
    }

    /// Continues a saved state. The time of an outage counts.
    pub(super) fn load(&mut self, saved: &[SavedInterstitial], now: Duration, wall: Duration) {
        for pool in &mut self.pools {
            if let Some(saved) = saved.iter().find(|saved| saved.id == pool.id) {
                let age = wall.saturating_sub(Duration::from_secs(saved.since));
                let next = saved.next % pool.entries.len().max(1);
                pool.state = PoolState { since: now.saturating_sub(age), items: saved.items, next };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::source::{expand, named_in};

    /// What a list names: the entries of its order, and its interstitials.
    fn read(list: &str, now: u64) -> (Vec<PlaylistEntry>, Interstitials) {
        let mut entries = expand(&named_in(Path::new("/nowhere/list"), list.as_bytes()).unwrap());
        let mut interstitials = Interstitials::default();
        interstitials.take_from(&mut entries, minutes(now));
        (entries, interstitials)
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    /// Hands out what is due at `now`.
    fn play(interstitials: &mut Interstitials, now: u64) -> Option<String> {
        let pool = interstitials.due(minutes(now))?;
        let title = interstitials.next(pool)?.title();
        interstitials.handed_out(pool, minutes(now));
        Some(title)
    }

    #[test]
    fn they_are_due_after_time_or_items_and_are_not_in_the_order() {
        let (order, mut all) = read("a\n#TGS:every=15m\njingle\nb\n#TGS:every=2\nspot\n", 100);
        assert_eq!(order.iter().map(PlaylistEntry::title).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(play(&mut all, 114), None);
        assert_eq!(play(&mut all, 115).as_deref(), Some("jingle"));
        assert_eq!(play(&mut all, 129), None);
        all.count_item();
        assert_eq!(play(&mut all, 129), None);
        all.count_item();
        assert_eq!(play(&mut all, 129).as_deref(), Some("spot"));
        assert_eq!(play(&mut all, 129), None);
        all.count_item();
        all.count_item();
        // Both are due: the one that waits longer comes first.
        assert_eq!(play(&mut all, 140).as_deref(), Some("spot"));
        assert_eq!(play(&mut all, 140).as_deref(), Some("jingle"));
        assert_eq!(play(&mut all, 140), None);
    }

    #[test]
    fn the_files_of_a_folder_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["1.mp4", "2.mp4", "3.mp4"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let list = format!("#TGS:every=1\n{}\n", dir.path().display());
        let (order, mut all) = read(&list, 0);
        assert!(order.is_empty());
        let mut heard = String::new();
        for _ in 0..5 {
            all.count_item();
            heard += &play(&mut all, 0).unwrap();
        }
        assert_eq!(heard, "12312");
        // A file less.
        std::fs::remove_file(dir.path().join("3.mp4")).unwrap();
        let mut entries = expand(&named_in(Path::new("/nowhere/list"), list.as_bytes()).unwrap());
        all.take_from(&mut entries, minutes(1));
        all.count_item();
        assert_eq!(play(&mut all, 1).as_deref(), Some("1"));
    }

    #[test]
    fn a_discarded_item_does_not_count() {
        let (_, mut all) = read("#TGS:every=2\nspot\na\n", 0);
        all.count_item();
        let before = all.snapshot();
        all.count_item();
        assert_eq!(play(&mut all, 1).as_deref(), Some("spot"));
        all.restore(&before);
        assert_eq!(play(&mut all, 1), None);
        all.count_item();
        assert_eq!(play(&mut all, 1).as_deref(), Some("spot"));
    }

    #[test]
    fn the_state_outlives_a_restart_and_an_edit() {
        let list = "#TGS:every=15m\njingle\n#TGS:every=3\nspot\na\n";
        let (_, mut all) = read(list, 0);
        assert_eq!(play(&mut all, 20).as_deref(), Some("jingle"));
        all.count_item();
        all.count_item();
        let saved = all.save(minutes(25), minutes(1_000_000));
        let json = serde_json::to_string(&saved).unwrap();
        let saved: Vec<SavedInterstitial> = serde_json::from_str(&json).unwrap();
        // Restarted 5 minutes later, with another clock; the list was edited.
        let (_, mut all) = read(&format!("b\n{list}#TGS:every=1\nnew\n"), 3000);
        all.load(&saved, minutes(3000), minutes(1_000_005));
        assert_eq!(play(&mut all, 3004), None);
        assert_eq!(play(&mut all, 3005).as_deref(), Some("jingle"));
        all.count_item();
        assert_eq!(play(&mut all, 3005).as_deref(), Some("spot"));
        assert_eq!(play(&mut all, 3005).as_deref(), Some("new"));
        assert_eq!(play(&mut all, 3005), None);
    }

    #[test]
    fn their_number_is_bounded() {
        let list = (0..500).map(|n| format!("#TGS:every=1\n{n}")).collect::<Vec<_>>().join("\n");
        let (order, mut all) = read(&list, 0);
        assert!(order.is_empty());
        all.count_item();
        let heard: Vec<String> = std::iter::from_fn(|| play(&mut all, 0)).collect();
        assert_eq!(heard.len(), MAX_POOLS);
    }
}
