//! Random timetables: no moment without an owner, plans without a gap, edits that keep lengths.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use tgs_schedule::{
    End, Occurrence, Segment, Timetable,
    edit::{move_slot, remove_slot},
    plan::{PlanItem, RowKind, SlotContents},
};

fn clock() -> impl Strategy<Value = String> {
    // Around the changes of the clock and midnight, and anywhere.
    prop_oneof![
        (0_u32..4, 0_u32..60).prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}")),
        (0_u32..24, 0_u32..60, 0_u32..60).prop_map(|(h, m, s)| format!("{h:02}:{m:02}:{s:02}")),
        Just("23:59:59".to_owned()),
    ]
}

fn slot() -> impl Strategy<Value = String> {
    let days = prop::sample::select(vec![
        "daily",
        "mon-fri",
        "sat,sun",
        "last sun",
        "first mon, 2028-02-29",
        "2027-03-28",
        "fri-mon",
    ]);
    let end = prop_oneof![
        Just(String::new()),
        (1_u64..200_000).prop_map(|seconds| format!("for = \"{seconds}s\"\n")),
        clock().prop_map(|until| format!("until = \"{until}\"\n")),
    ];
    let fill = prop::sample::select(vec![
        "",
        "fill = \"f/\"\n",
        "fill_mode = \"loop\"\n",
        "fill_mode = \"slate\"\n",
    ]);
    let play = prop::sample::select(vec!["", "?", "20", "20+5", "600", "3000+?", "!"]);
    let start = prop::sample::select(vec!["hard", "soft"]);
    (days, clock(), end, fill, play, start).prop_map(|(days, at, end, fill, play, start)| {
        let fill = if end.is_empty() { "" } else { fill };
        let slot = format!("[[slot]]\nname = \"a\"\ndays = \"{days}\"\nat = \"{at}\"\nplay = \"x{play}\"\n");
        // `until` at the time of `at` is refused.
        let end = if end.contains(&format!("\"{at}")) || at.contains(end.get(9..14).unwrap_or("-")) {
            "for = \"1h\"\n".to_owned()
        } else {
            end
        };
        format!("{slot}start = \"{start}\"\n{end}{fill}")
    })
}

fn timetable() -> impl Strategy<Value = String> {
    let zones = vec![
        "Europe/Moscow",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "Asia/Kathmandu",
    ];
    (prop::sample::select(zones), prop::collection::vec(slot(), 0..12))
        .prop_map(|(zone, slots)| format!("timezone = \"{zone}\"\n{}", slots.concat()))
}

/// A moment of 2027 or 2028, often near a change of the clock in Berlin.
fn moment() -> impl Strategy<Value = SystemTime> {
    let day = prop_oneof![Just(20_905_u64), Just(21_118), Just(21_269), 20_819_u64..21_549];
    (day, 0_u64..86_400).prop_map(|(day, second)| UNIX_EPOCH + Duration::from_secs(day * 86_400 + second))
}

/// Lengths in minutes after the `x` of `play`; `?` is unknown, `!` cannot play.
fn contents(play: &str) -> SlotContents {
    let item = |text: &str| PlanItem {
        title: text.to_owned(),
        length: text.parse().ok().map(Duration::from_mins),
        problem: (text == "!").then(|| "no such file".to_owned()),
    };
    let texts = play.trim_start_matches('x').split('+').filter(|text| !text.is_empty());
    SlotContents { items: texts.map(item).collect(), problem: None }
}

fn is_whole(segments: &[Segment], from: SystemTime, to: SystemTime) -> bool {
    segments.first().is_some_and(|first| first.start == from)
        && segments.last().is_some_and(|last| last.end == to)
        && segments.iter().all(|one| one.start < one.end)
        && segments.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].owner != pair[1].owner)
}

/// The greatest of the occurrences that cover a moment, found without a sweep.
fn owner(all: &[Occurrence], time: SystemTime) -> Option<Occurrence> {
    let covers = all.iter().filter(|one| one.start <= time && time < one.latest_end);
    covers.max_by_key(|one| (one.start, one.local, one.slot)).copied()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_moment_has_one_owner(text in timetable(), from in moment(), hours in 1_u64..100, at in 0.0..1.0_f64) {
        let timetable = Timetable::parse(&text).unwrap();
        let to = from + Duration::from_hours(hours);
        let segments = timetable.segments(from, to, &|_| None);
        prop_assert!(is_whole(&segments, from, to), "{segments:?}");
        let all = timetable.occurrences(from - Duration::from_hours(8 * 24), to);
        for segment in &segments {
            let time = segment.start + (segment.end.duration_since(segment.start).unwrap()).mul_f64(at * 0.999);
            prop_assert_eq!(segment.owner, owner(&all, time));
            prop_assert_eq!(timetable.active_at(time).owner, segment.owner);
        }
    }

    #[test]
    fn lengths_end_slots_and_leave_no_gap(text in timetable(), from in moment(), minutes in 0_u64..500) {
        let timetable = Timetable::parse(&text).unwrap();
        let to = from + Duration::from_hours(50);
        let length = Duration::from_mins(minutes);
        let segments = timetable.segments(from, to, &|_| Some(length));
        prop_assert!(is_whole(&segments, from, to), "{segments:?}");
        let mut aired = std::collections::HashMap::new();
        for segment in &segments {
            let Some(owner) = segment.owner else { continue };
            let sum = aired.entry((owner.slot, owner.start)).or_insert(Duration::ZERO);
            *sum += segment.end.duration_since(segment.start).unwrap();
            prop_assert!(*sum <= length && segment.end <= owner.latest_end);
        }
    }

    #[test]
    fn a_plan_has_no_gap(text in timetable(), from in moment(), hours in 1_u64..60) {
        let timetable = Timetable::parse(&text).unwrap();
        let to = from + Duration::from_hours(hours);
        let plan = timetable.plan(from, to, &|slot| contents(&slot.play));
        let mut at = from;
        for row in &plan.rows {
            if row.kind == RowKind::Never {
                prop_assert!(!row.warnings.is_empty() && (from..to).contains(&row.start), "{row:?}");
                continue;
            }
            prop_assert!(row.start.duration_since(at).unwrap_or_default() < Duration::from_millis(1), "{plan}");
            at = row.start + Duration::from_secs_f64(row.length_seconds);
        }
        prop_assert!(to.duration_since(at).unwrap_or_default() < Duration::from_millis(1), "{plan}");
        prop_assert!(!plan.to_string().is_empty());
    }

    #[test]
    fn a_moved_slot_keeps_its_length_and_the_others(text in timetable(), index in 0_usize..12, at in clock()) {
        let before = Timetable::parse(&text).unwrap();
        let moved = move_slot(&text, index, &at);
        prop_assert_eq!(moved.is_ok(), index < before.slots().len());
        let Ok(moved) = moved else { return Ok(()) };
        let after = Timetable::parse(&moved).unwrap();
        for (number, (old, new)) in before.slots().iter().zip(after.slots()).enumerate() {
            if number != index {
                prop_assert_eq!(old, new);
            } else if let (Some(End::Until(old_end)), Some(End::Until(new_end))) = (old.end, new.end) {
                let seconds = |from: jiff::civil::Time, to| from.duration_until(to).as_secs().rem_euclid(86_400);
                prop_assert_eq!(seconds(old.at, old_end), seconds(new.at, new_end));
            }
        }
        let removed = Timetable::parse(&remove_slot(&text, index).unwrap()).unwrap();
        prop_assert_eq!(removed.slots().len() + 1, before.slots().len());
    }
}
