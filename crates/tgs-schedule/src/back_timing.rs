//! Back-timing: which filler item comes next, so that a start is met without a second of nothing.
//!
//! Items play in their order as long as one fits: it ends at the start, or at least `SHORTEST_REST`
//! before it; one that ends exactly at the start comes first. Then comes the last one: of the items
//! that reach the start, the one that ends soonest after it; it is cut at the start. Only if every
//! item ends within `SHORTEST_REST` before the start does a shorter rest remain, which another item
//! fills.

use std::time::Duration;

/// The shortest rest that is left for another item, if there is a choice.
pub const SHORTEST_REST: Duration = Duration::from_secs(5);
/// An item shorter than this is no filler.
pub const SHORTEST_ITEM: Duration = Duration::from_secs(1);

/// A filler item, and how much of it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillChoice {
    /// The number of the item, as the caller has it.
    pub index: usize,
    /// How long it plays.
    pub length: Duration,
    /// Whether it is cut before its end.
    pub cut: bool,
}

/// Chooses the filler item that plays next, `remaining` before a start. `fillers` are items by
/// their numbers with their lengths, in their order; an item that never ends has `Duration::MAX`.
/// The order goes on after `previous`, the item that has just played.
///
/// `None` if no time remains, or no item is at least a second long.
#[must_use]
pub fn fill_choice(
    remaining: Duration,
    fillers: &[(usize, Duration)],
    previous: Option<usize>,
) -> Option<FillChoice> {
    if remaining.is_zero() {
        return None;
    }
    let after = previous.and_then(|previous| fillers.iter().position(|(index, _)| *index == previous));
    let first = after.map_or(0, |position| position + 1);
    // The previous item comes last.
    let in_order = fillers[first..].iter().chain(&fillers[..first]);
    let items: Vec<_> = in_order.copied().filter(|(_, length)| *length >= SHORTEST_ITEM).collect();
    let whole = |(index, length)| FillChoice { index, length, cut: false };

    let exact = items.iter().find(|(index, length)| *length == remaining && Some(*index) != previous);
    let fits = |length: Duration| {
        length == remaining || length.checked_add(SHORTEST_REST).is_some_and(|end| end <= remaining)
    };
    if let Some(fitting) = exact.or_else(|| items.iter().find(|(_, length)| fits(*length))) {
        return Some(whole(*fitting));
    }
    // `min_by_key` takes the first of equals, so the previous item only if no other is as long.
    let reaching = items.iter().filter(|(_, length)| *length > remaining).min_by_key(|(_, length)| *length);
    if let Some((index, _)) = reaching {
        return Some(FillChoice { index: *index, length: remaining, cut: true });
    }
    items.iter().min_by_key(|(_, length)| *length).copied().map(whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(lengths: &[u64]) -> Vec<(usize, Duration)> {
        lengths.iter().map(|length| Duration::from_secs(*length)).enumerate().collect()
    }

    /// All choices before a start, as `index:seconds`, with `!` for a cut one.
    fn choices(remaining: u64, lengths: &[u64]) -> String {
        let fillers = seconds(lengths);
        let (mut remaining, mut previous, mut found) = (Duration::from_secs(remaining), None, Vec::new());
        while let Some(choice) = fill_choice(remaining, &fillers, previous) {
            let mark = if choice.cut { "!" } else { "" };
            found.push(format!("{}:{}{mark}", choice.index, choice.length.as_secs()));
            previous = Some(choice.index);
            remaining -= choice.length;
        }
        found.join(" ")
    }

    #[test]
    fn table() {
        for (remaining, lengths, expected) in [
            // In order, around, to the exact end.
            (90, &[10, 20, 30][..], "0:10 1:20 2:30 0:10 1:20"),
            // An exact one comes before the order.
            (60, &[20, 60], "1:60"),
            // What does not fit is passed over; the last is the shortest that reaches the start.
            (60, &[300, 25, 40], "1:25 1:25 1:10!"),
            (60, &[300, 65], "1:60!"),
            (60, &[300], "0:60!"),
            // 58 would leave 2 s: 70 is cut instead.
            (60, &[58, 70], "1:60!"),
            // Nothing reaches the start: the shortest leaves most of it to be filled.
            (10, &[8, 6], "1:6 1:4!"),
            (10, &[8], "0:8 0:2!"),
            // Not the same one twice, if another is as long.
            (65, &[60, 60], "0:60 1:5!"),
            (0, &[10], ""),
            (10, &[], ""),
            (10, &[0], ""),
        ] {
            assert_eq!(choices(remaining, lengths), expected, "{remaining} s with {lengths:?}");
        }
    }

    #[test]
    fn an_item_without_an_end_is_the_last() {
        let fillers = [(7, Duration::MAX), (9, Duration::from_secs(20))];
        let choice =
            |remaining, previous| fill_choice(Duration::from_secs(remaining), &fillers, previous).unwrap();
        assert_eq!(choice(60, None), FillChoice { index: 9, length: Duration::from_secs(20), cut: false });
        let cut = FillChoice { index: 9, length: Duration::from_secs(10), cut: true };
        assert_eq!(choice(10, Some(9)), cut);
        assert_eq!(fill_choice(Duration::from_mins(1), &fillers[..1], Some(3)).map(|one| one.index), Some(7));
    }

    proptest! {
        #[test]
        fn no_second_is_dead_and_no_choice_runs_over_the_start(
            remaining in 1_u64..20_000_000,
            lengths in proptest::collection::vec(1_000_u64..4_000_000, 1..20),
            previous in proptest::option::of(0_usize..25),
        ) {
            let fillers: Vec<_> = lengths.iter().map(|ms| Duration::from_millis(*ms)).enumerate().collect();
            let (mut remaining, mut previous) = (Duration::from_millis(remaining), previous);
            let mut count = 0;
            while !remaining.is_zero() {
                let choice = fill_choice(remaining, &fillers, previous).expect("a filler");
                let whole = fillers[choice.index].1;
                prop_assert!(!choice.length.is_zero() && choice.length <= remaining);
                // Cut at the start and nowhere else.
                prop_assert_eq!(choice.cut, choice.length < whole);
                prop_assert!(!choice.cut || choice.length == remaining);
                let rest = remaining.checked_sub(choice.length).expect("no longer than what remains");
                if !rest.is_zero() && rest < SHORTEST_REST {
                    let avoidable = fillers.iter().any(|(_, length)| {
                        *length >= remaining || *length + SHORTEST_REST <= remaining
                    });
                    prop_assert!(!avoidable, "{rest:?} remain");
                }
                if choice.cut {
                    // No other item would lose less.
                    prop_assert!(fillers.iter().all(|(_, length)| *length < remaining || *length >= whole));
                }
                remaining = rest;
                previous = Some(choice.index);
                count += 1;
                prop_assert!(count <= 20_001);
            }
            prop_assert_eq!(fill_choice(remaining, &fillers, previous), None);
        }
    }
}
