//! Which entries of its source a slot plays: `pick` and `count`.

use std::{cmp::Reverse, fs, time::SystemTime};

use tgs_schedule::{Order, Pick};

use crate::source::{EntryKind, PlaylistEntry};

/// The entries that `pick` chooses. The choice of `random` depends on `seed` alone, so that a
/// restart continues with the same items; without one, the first entries stand for it.
pub(super) fn picked(mut entries: Vec<PlaylistEntry>, pick: Pick, seed: Option<u64>) -> Vec<PlaylistEntry> {
    entries.retain(|entry| !matches!(entry.kind, EntryKind::Bad(_)));
    match (pick.order, seed) {
        // A list on the network has its own order.
        (Order::Newest, _) => entries.sort_by_cached_key(|entry| Reverse(changed(entry))),
        (Order::Random, Some(seed)) => fastrand::Rng::with_seed(seed).shuffle(&mut entries),
        (Order::Random, None) => {}
    }
    entries.truncate(pick.count);
    entries
}

fn changed(entry: &PlaylistEntry) -> Option<SystemTime> {
    let EntryKind::File(path) = &entry.kind else { return None };
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
