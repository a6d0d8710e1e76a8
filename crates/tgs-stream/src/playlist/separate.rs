//! Random orders in which items of one artist, folder or category stay apart, and in which some
//! items come more often. No I/O: an order follows from its seed and the entries.

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
};

use tgs_core::settings::{SeparateBy, SeparateRule};

use super::order::{mix, rank, shuffle};
use crate::{
    source::{EntryKind, PlaylistEntry, number},
    url,
};

/// How far ahead an item is looked for that may come next. It bounds the time for lists of one
/// artist.
const LOOK_AHEAD: usize = 100;

/// Entries as often as their weights say, at most `max` in all.
pub(super) fn weighted(entries: Vec<PlaylistEntry>, max: usize) -> Vec<PlaylistEntry> {
    if entries.iter().all(|entry| entry.options.weight.is_none_or(|weight| weight == 1)) {
        return entries;
    }
    let mut left = max.saturating_sub(entries.len());
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries {
        let more = (entry.options.weight.unwrap_or(1) as usize).saturating_sub(1).min(left);
        left -= more;
        all.extend(std::iter::repeat_n(entry, more + 1));
    }
    number(&mut all);
    all
}

/// Sorts `entries` into the order of `seed`, as far apart as `rules` ask for. The first rule counts
/// the most where not all can be kept.
pub(super) fn arrange(entries: &mut Vec<PlaylistEntry>, rules: &[SeparateRule], seed: u64) {
    shuffle(entries, seed);
    let keys = Keys::of(entries, rules);
    if keys.rules.is_empty() {
        return;
    }
    let order = keys.order(entries, seed);
    let mut taken: Vec<Option<PlaylistEntry>> = std::mem::take(entries).into_iter().map(Some).collect();
    entries.extend(order.into_iter().filter_map(|index| taken[index].take()));
}

/// How badly `next` follows `before`, by `rules`; 0 if it follows them.
pub(super) fn violation(before: &[PlaylistEntry], next: &[PlaylistEntry], rules: &[SeparateRule]) -> u64 {
    let longest = rules.iter().map(|rule| rule.items as usize).max().unwrap_or_default();
    let before = &before[before.len().saturating_sub(longest)..];
    let next = &next[..next.len().min(longest)];
    let all: Vec<PlaylistEntry> = before.iter().chain(next).cloned().collect();
    let keys = Keys::of(&all, rules);
    let mut last = keys.none_yet();
    let between: Vec<usize> = keys.rules.iter().map(|rule| rule.between).collect();
    let mut total = 0;
    for index in 0..all.len() {
        if index >= before.len() {
            total += keys.violation(index, index, &last, &between);
        }
        keys.place(index, index, &mut last);
    }
    total
}

/// The values that rules compare.
struct Keys {
    rules: Vec<KeyRule>,
}

/// A rule, and of each entry its value as a small number.
struct KeyRule {
    /// How many others come between two of one value.
    between: usize,
    values: Vec<Option<u32>>,
}

impl Keys {
    fn of(entries: &[PlaylistEntry], rules: &[SeparateRule]) -> Self {
        // An item that comes several times does not follow itself.
        let repeated = entries.iter().any(|entry| entry.options.weight.is_some_and(|weight| weight > 1));
        let own = repeated
            .then(|| KeyRule { between: 1, values: numbered(entries, |entry| Some(entry.key.item.clone())) });
        let key_rule = |rule: &SeparateRule| {
            let value: fn(&PlaylistEntry) -> Option<String> = match rule.by {
                SeparateBy::Artist => artist,
                SeparateBy::Folder => folder,
                SeparateBy::Category => category,
            };
            KeyRule { between: rule.items as usize, values: numbered(entries, value) }
        };
        Self { rules: own.into_iter().chain(rules.iter().map(key_rule)).collect() }
    }

    /// The indices of `entries`, which are in the order of their ranks, in the final order.
    fn order(&self, entries: &[PlaylistEntry], seed: u64) -> Vec<usize> {
        let mut left: VecDeque<usize> = self.spread(entries, seed).into();
        let mut last = self.none_yet();
        let mut counts: Vec<Counts> = self.rules.iter().map(|rule| Counts::of(&rule.values)).collect();
        let mut order = Vec::with_capacity(entries.len());
        while !left.is_empty() {
            let place = order.len();
            let between = self.rules.iter().zip(&counts);
            let between: Vec<usize> =
                between.map(|(rule, counts)| counts.possible(rule.between, left.len())).collect();
            // Where the rest of the round is just long enough for a value, it comes now.
            let urgent = counts
                .iter()
                .zip(&between)
                .position(|(counts, between)| counts.is_urgent(*between, left.len()));
            let mut best = (u64::MAX, 0);
            for (at, index) in left.iter().take(LOOK_AHEAD).enumerate() {
                let waits =
                    urgent.is_some_and(|rule| !counts[rule].is_largest(self.rules[rule].values[*index]));
                let violation = self.violation(*index, place, &last, &between) * 2 + u64::from(waits);
                if violation < best.0 {
                    best = (violation, at);
                }
                if violation == 0 {
                    break;
                }
            }
            let Some(index) = left.remove(best.1) else { break };
            self.place(index, place, &mut last);
            for (rule, counts) in self.rules.iter().zip(&mut counts) {
                counts.take(rule.values[index]);
            }
            order.push(index);
        }
        order
    }

    /// The indices in an order that spreads the items of each value of the first rule evenly over
    /// the round, so that none is left over for its end.
    fn spread(&self, entries: &[PlaylistEntry], seed: u64) -> Vec<usize> {
        let values = &self.rules[0].values;
        let sizes = Counts::of(values);
        let unit = |hash: u64| (hash >> 11) as f64 / (1_u64 << 53) as f64;
        let size_of = |index: usize| values[index].map_or(1, |value| sizes.left[value as usize]);
        let singles = (0..entries.len()).filter(|index| size_of(*index) == 1).count();
        let mut groups: HashMap<u32, (u32, f64)> = HashMap::new();
        let mut placed: Vec<(f64, usize)> = Vec::with_capacity(entries.len());
        let mut single = 0;
        for (index, entry) in entries.iter().enumerate() {
            let position = match values[index].filter(|_| size_of(index) > 1) {
                None => {
                    single += 1;
                    (f64::from(single) - 0.5) / singles as f64
                }
                Some(value) => {
                    // The entries are in the order of their ranks: the first of a value decides.
                    let (nth, offset) =
                        groups.entry(value).or_insert_with(|| (0, unit(mix(rank(&entry.key, seed)))));
                    *nth += 1;
                    (f64::from(*nth - 1) + *offset) / f64::from(sizes.left[value as usize])
                }
            };
            placed.push((position, index));
        }
        placed.sort_by(|a, b| a.0.total_cmp(&b.0));
        placed.into_iter().map(|(_, index)| index).collect()
    }

    fn none_yet(&self) -> Vec<Vec<usize>> {
        self.rules.iter().map(|rule| vec![usize::MAX; Counts::of(&rule.values).left.len()]).collect()
    }

    /// By how many items the entry would come too early at `place`; the first rule counts the most.
    fn violation(&self, index: usize, place: usize, last: &[Vec<usize>], between: &[usize]) -> u64 {
        let mut total = 0;
        for ((rule, last), between) in self.rules.iter().zip(last).zip(between) {
            let last =
                rule.values[index].map(|value| last[value as usize]).filter(|last| *last != usize::MAX);
            let since = last.map_or(usize::MAX, |last| place - last);
            total = total * 1024 + (between + 1).saturating_sub(since) as u64;
        }
        total
    }

    fn place(&self, index: usize, place: usize, last: &mut [Vec<usize>]) {
        for (rule, last) in self.rules.iter().zip(last) {
            if let Some(value) = rule.values[index] {
                last[value as usize] = place;
            }
        }
    }
}

/// How many items of each value are left.
struct Counts {
    left: Vec<u32>,
    /// How many values have so many items.
    sizes: Vec<usize>,
    largest: usize,
}

impl Counts {
    fn of(values: &[Option<u32>]) -> Self {
        let most = values.iter().flatten().max().map_or(0, |value| *value as usize + 1);
        let mut left = vec![0; most];
        for value in values.iter().flatten() {
            left[*value as usize] += 1;
        }
        let largest = left.iter().max().copied().unwrap_or_default() as usize;
        let mut sizes = vec![0; largest + 1];
        for size in &left {
            sizes[*size as usize] += 1;
        }
        Self { left, sizes, largest }
    }

    /// How many others can come between two of one value, `wanted` at most, in the `places` that
    /// are left.
    fn possible(&self, wanted: usize, places: usize) -> usize {
        if self.largest < 2 {
            return wanted;
        }
        let distance = places.saturating_sub(self.sizes[self.largest]) / (self.largest - 1);
        wanted.min(distance.saturating_sub(1))
    }

    /// Whether the values with the most items need all of the `places` that are left.
    fn is_urgent(&self, between: usize, places: usize) -> bool {
        self.largest > 1 && (self.largest - 1) * (between + 1) + self.sizes[self.largest] + between >= places
    }

    fn is_largest(&self, value: Option<u32>) -> bool {
        value.is_some_and(|value| self.left[value as usize] as usize == self.largest)
    }

    fn take(&mut self, value: Option<u32>) {
        let Some(value) = value else { return };
        let size = self.left[value as usize] as usize;
        self.left[value as usize] -= 1;
        self.sizes[size] -= 1;
        self.sizes[size - 1] += 1;
        while self.largest > 0 && self.sizes[self.largest] == 0 {
            self.largest -= 1;
        }
    }
}

/// Numbers for equal values.
fn numbered(entries: &[PlaylistEntry], value: impl Fn(&PlaylistEntry) -> Option<String>) -> Vec<Option<u32>> {
    let mut known: HashMap<String, u32> = HashMap::new();
    let number = |entry| {
        let next = known.len() as u32;
        Some(*known.entry(value(entry)?.to_lowercase()).or_insert(next))
    };
    entries.iter().map(number).collect()
}

/// The artist: the list's, or the part before the dash of the usual `Artist - Title`.
fn artist(entry: &PlaylistEntry) -> Option<String> {
    if let Some(artist) = &entry.options.artist {
        return Some(artist.clone());
    }
    let title = entry.title();
    let (artist, _) = title.split_once(" - ").or_else(|| title.split_once(" – "))?;
    Some(artist.trim().to_owned()).filter(|artist| !artist.is_empty())
}

/// The folder of a file or URL, or the page or list that names it.
fn folder(entry: &PlaylistEntry) -> Option<String> {
    let parent = |path: &Path| Some(path.parent()?.to_string_lossy().into_owned());
    match &entry.kind {
        EntryKind::File(path) => parent(path),
        EntryKind::Direct { url, .. } => {
            let path = url.split(['?', '#']).next().unwrap_or_default();
            path.rsplit_once('/').map(|(folder, _)| folder.to_owned())
        }
        EntryKind::List(url) | EntryKind::Page { url, .. } => {
            Some(entry.key.within.last().cloned().unwrap_or_else(|| url::host(url).to_owned()))
        }
        EntryKind::Bad(_) => None,
    }
}

fn category(entry: &PlaylistEntry) -> Option<String> {
    entry.options.category.clone()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Files `/FOLDER/ARTIST - N.mp4`, as `folder artist count`.
    fn files(groups: &[(&str, &str, usize)]) -> Vec<PlaylistEntry> {
        let mut all = Vec::new();
        for (folder, artist, count) in groups {
            all.extend((0..*count).map(|n| {
                let path = format!("/{folder}/{artist} - {n}.mp4");
                PlaylistEntry::new(path.clone(), EntryKind::File(path.into()))
            }));
        }
        number(&mut all);
        all
    }

    fn rule(by: SeparateBy, items: u32) -> SeparateRule {
        SeparateRule { by, items }
    }

    /// The smallest distance of two items with one value.
    fn closest(order: &[PlaylistEntry], value: impl Fn(&PlaylistEntry) -> Option<String>) -> usize {
        let values: Vec<_> = order.iter().map(value).collect();
        let distance =
            |at: usize| values[..at].iter().rev().position(|other| *other == values[at] && other.is_some());
        (0..values.len()).filter_map(distance).map(|between| between + 1).min().unwrap_or(usize::MAX)
    }

    #[test]
    fn artists_and_folders_stay_apart_in_every_order() {
        let all = files(&[("x", "A", 10), ("x", "B", 10), ("y", "C", 10), ("y", "D", 10), ("y", "E", 10)]);
        let rules = [rule(SeparateBy::Artist, 3)];
        for seed in 0..200 {
            let mut order = all.clone();
            arrange(&mut order, &rules, seed);
            assert_eq!(order.len(), all.len());
            assert!(closest(&order, artist) > 3, "seed {seed}");
        }
        let rules = [rule(SeparateBy::Artist, 2), rule(SeparateBy::Folder, 1)];
        let all = files(&[("x", "A", 8), ("x", "B", 8), ("y", "C", 8), ("y", "D", 8), ("z", "E", 8)]);
        let mut pairs = 0;
        for seed in 0..200 {
            let mut order = all.clone();
            arrange(&mut order, &rules, seed);
            assert!(closest(&order, artist) > 2, "seed {seed}");
            pairs += order.windows(2).filter(|pair| folder(&pair[0]) == folder(&pair[1])).count();
        }
        // Without the second rule, about a third of all.
        assert!(pairs < 200 * 40 / 100, "{pairs} pairs of one folder");
    }

    #[test]
    fn an_artist_of_half_the_list_is_never_twice_in_a_row() {
        let all = files(&[("x", "A", 50), ("x", "B", 5), ("x", "C", 20), ("x", "D", 25)]);
        for seed in 0..100 {
            let mut order = all.clone();
            arrange(&mut order, &[rule(SeparateBy::Artist, 3)], seed);
            let pairs = order.windows(2).filter(|pair| artist(&pair[0]) == artist(&pair[1])).count();
            assert_eq!(pairs, 0, "seed {seed}");
        }
    }

    #[test]
    fn a_weighted_item_comes_as_often_and_spread() {
        let mut all = files(&[("x", "A", 40)]);
        all[7].options = crate::list::EntryOptions { weight: Some(5), ..Default::default() }.into();
        for seed in 0..100 {
            let mut order = weighted(all.clone(), 1000);
            arrange(&mut order, &[], seed);
            let item = &all[7].key.item;
            let places: Vec<_> =
                order.iter().enumerate().filter(|(_, e)| e.key.item == *item).map(|(n, _)| n).collect();
            assert_eq!((order.len(), places.len()), (44, 5), "seed {seed}");
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 4), "seed {seed}: {places:?}");
            let keys: std::collections::HashSet<_> = order.iter().map(|entry| &entry.key).collect();
            assert_eq!(keys.len(), 44, "each has a key of its own");
        }
        assert_eq!(weighted(all, 42).len(), 42);
    }

    #[test]
    fn the_artist_is_known_from_the_list_or_the_name() {
        let named = |path: &str| PlaylistEntry::new(path.into(), EntryKind::File(path.into()));
        let mut entry = named("/m/AC-DC - Thunder - live.mp4");
        assert_eq!(artist(&entry).as_deref(), Some("AC-DC"));
        entry.options = crate::list::EntryOptions { artist: Some("X".into()), ..Default::default() }.into();
        assert_eq!(artist(&entry).as_deref(), Some("X"));
        assert_eq!(artist(&named("/m/clip.mp4")), None);
        assert_eq!(folder(&entry).as_deref(), Some("/m"));
    }

    #[test]
    fn a_hundred_thousand_of_one_artist_are_arranged_in_seconds() {
        let mut all = files(&[("x", "A", 100_000)]);
        let begun = std::time::Instant::now();
        arrange(&mut all, &[rule(SeparateBy::Artist, 100), rule(SeparateBy::Folder, 100)], 1);
        assert_eq!(all.len(), 100_000);
        // Minutes without the bound; a debug build on a busy machine takes some seconds.
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn an_order_loses_nothing_and_follows_from_its_seed(
            counts in prop::collection::vec(0_usize..12, 1..6),
            items in 1_u32..5,
            seed: u64,
        ) {
            let names = ["A", "B", "C", "D", "E", "F"];
            let groups: Vec<_> = counts.iter().zip(names).map(|(count, name)| ("x", name, *count)).collect();
            let all = files(&groups);
            let rules = [rule(SeparateBy::Artist, items)];
            let (mut order, mut again) = (all.clone(), all.clone());
            arrange(&mut order, &rules, seed);
            again.reverse();
            arrange(&mut again, &rules, seed);
            prop_assert_eq!(&order, &again);
            let mut keys: Vec<_> = order.iter().map(|entry| entry.key.item.clone()).collect();
            let mut expected: Vec<_> = all.iter().map(|entry| entry.key.item.clone()).collect();
            keys.sort();
            expected.sort();
            prop_assert_eq!(keys, expected);
            // Where it is possible, it is done.
            let largest = counts.iter().max().copied().unwrap_or_default();
            let ties = counts.iter().filter(|count| **count == largest).count();
            if largest > 0 && (largest - 1) * (items as usize + 1) + ties <= all.len() {
                prop_assert!(closest(&order, artist) > items as usize);
            }
        }
    }
}
