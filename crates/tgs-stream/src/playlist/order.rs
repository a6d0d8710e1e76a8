//! The order of a round, and how places map between two orders. No I/O.

use std::collections::{HashMap, HashSet};

use crate::source::{EntryKey, PlaylistEntry};

/// Sorts `entries` into the order of `seed`. Each has a rank of its own, so an edit moves no other.
pub(super) fn shuffle(entries: &mut [PlaylistEntry], seed: u64) {
    entries.sort_by_cached_key(|entry| rank(&entry.key, seed));
}

/// The seed of the next round.
pub(super) fn next_seed(seed: u64) -> u64 {
    // The increment of SplitMix64.
    mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15))
}

/// Seeds tried for a round that does not begin with the last played entry.
const MAX_SEEDS: usize = 64;

/// `seed`, or the first seed after it whose order does not begin with an entry that
/// `was_played_last`. Returns `seed` if none of the tried ones does.
pub(super) fn seed_of_round(
    entries: &[PlaylistEntry],
    seed: u64,
    was_played_last: impl Fn(&PlaylistEntry) -> bool,
) -> u64 {
    if entries.iter().all(&was_played_last) {
        return seed;
    }
    let hashes: Vec<u64> = entries.iter().map(|entry| hash(&entry.key)).collect();
    let mut tried = seed;
    for _ in 0..MAX_SEEDS {
        let first = hashes.iter().zip(entries).min_by_key(|(hash, _)| mix(**hash ^ mix(tried)));
        if first.is_none_or(|(_, entry)| !was_played_last(entry)) {
            return tried;
        }
        tried = next_seed(tried);
    }
    seed
}

/// `seed`, or of the seeds after it the one whose order of so many entries has the least `badness`.
pub(super) fn best_seed(seed: u64, entries: usize, badness: impl Fn(u64) -> u64) -> u64 {
    // Each costs a whole order.
    let tries = (100_000 / entries.max(1)).clamp(1, MAX_SEEDS);
    let (mut best, mut candidate) = ((u64::MAX, seed), seed);
    for _ in 0..tries {
        let bad = badness(candidate);
        if bad < best.0 {
            best = (bad, candidate);
        }
        if bad == 0 {
            break;
        }
        candidate = next_seed(candidate);
    }
    best.1
}

pub(super) fn rank(key: &EntryKey, seed: u64) -> u64 {
    mix(hash(key) ^ mix(seed))
}

/// FNV-1a over the identity. Saved positions hold seeds: this and `mix` must never change.
fn hash(key: &EntryKey) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for text in key.within.iter().chain([&key.item]) {
        text.bytes().for_each(&mut add);
        add(0);
    }
    key.nth.to_le_bytes().into_iter().for_each(add);
    hash
}

/// The finaliser of SplitMix64.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The index of the entry `key`, else of one of the same name.
pub(super) fn find(order: &[PlaylistEntry], key: &EntryKey) -> Option<usize> {
    order.iter().position(|entry| entry.key == *key).or_else(|| find_item(order, &key.item))
}

/// The index of the last entry of this name.
pub(super) fn find_item(order: &[PlaylistEntry], item: &str) -> Option<usize> {
    order.iter().rposition(|entry| entry.key.item == item)
}

/// Where to continue in `new` after the entry `key` of `old`: after it; if it is gone, at its first
/// follower, else after its last predecessor.
pub(super) fn after(old: &[PlaylistEntry], new: &[PlaylistEntry], key: &EntryKey) -> usize {
    if let Some(index) = find(new, key) {
        return index + 1;
    }
    let Some(was) = old.iter().position(|entry| entry.key == *key) else { return 0 };
    let (before, behind) = (&old[..was], &old[was + 1..]);
    let mut places: HashMap<&EntryKey, usize> = HashMap::with_capacity(new.len());
    for (place, entry) in new.iter().enumerate() {
        places.entry(&entry.key).or_insert(place);
    }
    let in_new = |entry: &PlaylistEntry| places.get(&entry.key).copied();
    let follower = behind.iter().find_map(in_new);
    follower.or_else(|| Some(before.iter().rev().find_map(in_new)? + 1)).unwrap_or(0)
}

/// Expands those pages and remote lists of `new` that are expanded in `old`, which saves requests.
/// Those that would exceed `max` entries stay closed.
pub(super) fn reopen(new: Vec<PlaylistEntry>, old: &[PlaylistEntry], max: usize) -> Vec<PlaylistEntry> {
    let mut seen = HashSet::new();
    let mut inside: HashMap<&str, Vec<&PlaylistEntry>> = HashMap::new();
    for entry in old {
        if let Some(list) = entry.key.within.first()
            && seen.insert(&entry.key)
        {
            inside.entry(list).or_default().push(entry);
        }
    }
    let mut left = max.saturating_sub(new.len());
    let mut order = Vec::with_capacity(new.len());
    for entry in new {
        // A page that is listed twice is expanded twice.
        match inside.get(&*entry.key.item).filter(|found| found.len() <= left) {
            Some(found) => {
                left -= found.len();
                order.extend(found.iter().copied().cloned());
            }
            None => order.push(entry),
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::{EntryKind, number};

    /// Entries by letter; `xy` is `y`, found in the page `x`.
    fn entries(names: &str) -> Vec<PlaylistEntry> {
        let entry = |name: &str| {
            let (within, item) = name.split_at(name.len() - 1);
            let mut entry = PlaylistEntry::new(item.into(), EntryKind::List(item.into()));
            entry.key.within = within.chars().map(String::from).collect();
            entry
        };
        let mut all: Vec<PlaylistEntry> = names.split_whitespace().map(entry).collect();
        number(&mut all);
        all
    }

    fn names(order: &[PlaylistEntry]) -> String {
        order.iter().map(|e| format!("{}{}", e.key.within.concat(), e.key.item)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn places_in_an_edited_list() {
        let cases = [
            // before, index of the playing entry, after, index of the next one
            ("a b c", 1, "a b c", 2),
            ("a b c", 1, "c b a", 2),
            ("a b c", 1, "x b y z", 2),
            ("a b c", 1, "a c", 1),
            ("a b c", 1, "c a", 0),
            ("a b c d", 1, "a x d", 2),
            ("a b c", 2, "a b", 2),
            ("a b c", 2, "a x", 1),
            ("a b c", 1, "x y", 0),
            ("a j b j c", 3, "a j b j x", 4),
            ("a j b j c", 3, "a j x", 2),
        ];
        for (old, playing, new, next) in cases {
            let (old, new) = (entries(old), entries(new));
            assert_eq!(after(&old, &new, &old[playing].key), next, "{} -> {}", names(&old), names(&new));
        }
    }

    #[test]
    fn expanded_lists_stay_expanded() {
        let old = entries("a xb xc yd");
        assert_eq!(names(&reopen(entries("x e z"), &old, 9)), "xb xc e z");
        assert_eq!(names(&reopen(entries("x x"), &old, 9)), "xb xc xb xc");
        assert_eq!(names(&reopen(entries("x x x x"), &old, 9)), "xb xc xb xc x x");
    }

    #[test]
    fn the_order_of_a_seed_never_changes() {
        let mut order = entries("a b c d e f g h");
        shuffle(&mut order, 1);
        assert_eq!(names(&order), "e a c g f d h b");
        assert_eq!(next_seed(1), 0x910a_2dec_8902_5cc1);
    }

    #[test]
    fn a_round_of_a_hundred_thousand_entries_is_fast() {
        let url = |name: &str| PlaylistEntry::new(name.into(), EntryKind::List(name.into()));
        let mut all = vec![url("http://h/the/same/clip.mp4"); 100_000];
        let was_played_last = |entry: &PlaylistEntry| entry.key.item.ends_with("clip.mp4");
        number(&mut all);
        let begun = std::time::Instant::now();
        assert_eq!(seed_of_round(&all, 1, was_played_last), 1);
        // A single other entry comes first once in a hundred thousand orders.
        all[5] = url("http://h/other.mp4");
        seed_of_round(&all, 1, was_played_last);
        let none = [url("http://h/x")];
        assert_eq!(after(&all, &none, &all[50_000].key), 0);
        let page: Vec<PlaylistEntry> = (0..1000)
            .map(|n| {
                let mut entry = url(&n.to_string());
                entry.key.within = vec!["http://h/the/same/clip.mp4".into()];
                entry
            })
            .collect();
        assert_eq!(reopen(all, &page, 150_000).len(), 100_000 + 50 * 999);
        // It used to take hours; a debug build on a busy machine takes two seconds.
        assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    }

    #[test]
    fn every_place_is_equally_likely() {
        let (mut counts, mut seed) = ([[0_u32; 4]; 4], 7);
        for _ in 0..4000 {
            let mut order = entries("a b c d");
            shuffle(&mut order, seed);
            for (place, entry) in order.iter().enumerate() {
                counts[place][usize::from(entry.key.item.as_bytes()[0] - b'a')] += 1;
            }
            seed = next_seed(seed);
        }
        // 1000 expected, standard deviation 27.
        assert!(counts.iter().flatten().all(|count| (860..1140).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn an_edit_moves_no_other_entry(keep in prop::collection::vec(any::<bool>(), 20), seed: u64) {
            let mut whole = entries("a b c d e f g h i j k l m n o p q r s t");
            let mut part: Vec<PlaylistEntry> =
                whole.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(entry, _)| entry.clone()).collect();
            shuffle(&mut whole, seed);
            shuffle(&mut part, seed);
            whole.retain(|entry| part.contains(entry));
            prop_assert_eq!(whole, part);
        }
    }
}
