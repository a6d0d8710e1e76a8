//! Two years in four zones, against a model that counts minutes and knows no time zone database.
//!
//! The model walks over UTC in steps of five minutes and shows a clock by the zone's rule. A time
//! of day has come as soon as the clock shows it or a later one, once. Of the slots that have begun
//! and not ended, the one that began last has the air.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tgs_core::time::Utc;
use tgs_schedule::{Ending, Segment, Timetable};

const DAY: i64 = 1440;
const STEP: i64 = 5;

/// Days since 1970 of a date.
fn day(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 1 - 719_468
}

/// From Monday, 0.
fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

/// The first Sunday on or after a date.
fn sunday(year: i64, month: i64, from: i64) -> i64 {
    let first = day(year, month, from);
    first + (6 - weekday(first))
}

/// A zone's rule: offset in minutes at a minute of UTC.
struct Zone {
    name: &'static str,
    offset: fn(i64) -> i64,
}

fn year_of(minute: i64) -> i64 {
    (2024..2032).rev().find(|year| day(*year, 1, 1) * DAY <= minute).expect("a year of the test")
}

const ZONES: [Zone; 4] = [
    Zone { name: "Europe/Moscow", offset: |_| 180 },
    Zone {
        name: "Europe/Berlin",
        offset: |minute| {
            let year = year_of(minute);
            // The last Sundays of March and October, at 01:00 UTC.
            let summer = sunday(year, 3, 25) * DAY + 60..sunday(year, 10, 25) * DAY + 60;
            if summer.contains(&minute) { 120 } else { 60 }
        },
    },
    Zone {
        name: "America/New_York",
        offset: |minute| {
            let year = year_of(minute);
            // The second Sunday of March at 02:00 EST, the first of November at 02:00 EDT.
            let summer = sunday(year, 3, 8) * DAY + 420..sunday(year, 11, 1) * DAY + 360;
            if summer.contains(&minute) { -240 } else { -300 }
        },
    },
    Zone {
        name: "Australia/Lord_Howe",
        offset: |minute| {
            let year = year_of(minute);
            // Half an hour: from the first Sunday of April at 02:00 at +11 to that of October at
            // +10:30.
            let winter = sunday(year, 4, 1) * DAY + 120 - 660..sunday(year, 10, 1) * DAY + 120 - 630;
            if winter.contains(&minute) { 630 } else { 660 }
        },
    },
];

/// How a model slot ends: after minutes, or at a time of day.
#[derive(Clone, Copy)]
enum End {
    For(i64),
    Until(i64),
}

/// A slot of the model: its lines in the file are made from it.
struct Slot {
    days: &'static str,
    on: fn(i64) -> bool,
    at: i64,
    end: End,
}

fn hm(hour: i64, minute: i64) -> i64 {
    hour * 60 + minute
}

fn slots() -> Vec<Slot> {
    let slot = |days, on, at, end| Slot { days, on, at, end };
    vec![
        slot("daily", |_| true, hm(6, 0), End::Until(hm(12, 0))),
        slot("mon-fri", |day| weekday(day) < 5, hm(20, 0), End::For(30)),
        slot("daily", |_| true, hm(1, 30), End::Until(hm(2, 30))),
        slot("daily", |_| true, hm(2, 0), End::For(45)),
        // As a whole in the hour that does not exist.
        slot("daily", |_| true, hm(2, 10), End::Until(hm(2, 20))),
        // Inside of a longer one, which resumes.
        slot("sat,sun", |day| weekday(day) > 4, hm(8, 15), End::For(60)),
        // Over midnight, and a later one that begins at the same time.
        slot("daily", |_| true, hm(23, 30), End::Until(hm(0, 45))),
        slot("fri-mon", |day| [4, 5, 6, 0].contains(&weekday(day)), hm(23, 30), End::For(20)),
        slot(
            "2028-02-29,2027-12-31",
            |date| [day(2028, 2, 29), day(2027, 12, 31)].contains(&date),
            0,
            End::For(DAY),
        ),
        // Longer than to the next one of itself on Sundays.
        slot("sat,sun", |day| weekday(day) > 4, hm(13, 0), End::For(36 * 60)),
        slot("first mon", |date| weekday(date) == 0 && is_nth(date, 0), hm(3, 0), End::Until(hm(2, 55))),
        slot("last sun", |date| weekday(date) == 6 && is_last(date), hm(0, 0), End::For(hm(3, 30))),
    ]
}

/// Whether `date` is among the seven days of a month from the day 7 n + 1 on.
fn is_nth(date: i64, n: i64) -> bool {
    months().any(|first| (first + 7 * n..first + 7 * n + 7).contains(&date))
}

fn is_last(date: i64) -> bool {
    months().any(|first| (first - 7..first).contains(&date))
}

/// The first days of months.
fn months() -> impl Iterator<Item = i64> {
    (2026..2030).flat_map(|year| (1..=12).map(move |month| day(year, month, 1)))
}

fn text(zone: &Zone) -> String {
    let clock = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
    let slots = slots().into_iter().enumerate().map(|(index, slot)| {
        let end = match slot.end {
            End::For(minutes) => format!("for = \"{minutes}m\""),
            End::Until(minute) => format!("until = \"{}\"", clock(minute)),
        };
        let (days, at) = (slot.days, clock(slot.at));
        format!("[[slot]]\nname = \"{index}\"\ndays = \"{days}\"\nat = \"{at}\"\nplay = \"a\"\n{end}\n")
    });
    format!("timezone = \"{}\"\n{}", zone.name, slots.collect::<String>())
}

/// An occurrence of the model, in minutes of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Occurrence {
    start: i64,
    /// The local minute at which the file has it.
    written: i64,
    slot: usize,
    end: i64,
}

/// What the clocks of a zone show, for every step of the test's years.
struct Clock {
    from: i64,
    shown: Vec<i64>,
}

impl Clock {
    fn of(zone: &Zone) -> Self {
        let (from, to) = (day(2026, 11, 1) * DAY, day(2029, 3, 1) * DAY);
        let steps = (from..to).step_by(STEP as usize);
        Self { from, shown: steps.map(|minute| minute + (zone.offset)(minute)).collect() }
    }

    /// The minutes of UTC at which the clocks first show each of `written`, local minutes in order,
    /// or a later one.
    fn resolve(&self, written: &[i64], from: i64, to: i64) -> Vec<i64> {
        let (mut found, mut coming) = (Vec::new(), written.iter().peekable());
        for minute in (from..to).step_by(STEP as usize) {
            let shown = self.shown[((minute - self.from) / STEP) as usize];
            while coming.next_if(|one| **one <= shown).is_some() {
                found.push(minute);
            }
        }
        found
    }
}

fn model(zone: &Zone, from: i64, to: i64) -> Vec<Occurrence> {
    let clock = Clock::of(zone);
    let mut found = Vec::new();
    for (index, slot) in slots().iter().enumerate() {
        let dates: Vec<_> = ((from / DAY)..(to / DAY)).filter(|date| (slot.on)(*date)).collect();
        let starts: Vec<_> = dates.iter().map(|date| date * DAY + slot.at).collect();
        let resolved = clock.resolve(&starts, from - DAY, to + 2 * DAY);
        let ends: Vec<_> = match slot.end {
            End::For(minutes) => resolved.iter().map(|start| start + minutes).collect(),
            End::Until(until) => {
                let day = |date: &i64| date * DAY + until + if until > slot.at { 0 } else { DAY };
                clock.resolve(&dates.iter().map(day).collect::<Vec<_>>(), from - DAY, to + 4 * DAY)
            }
        };
        for (number, start) in resolved.iter().enumerate() {
            let end = resolved.get(number + 1).map_or(ends[number], |next| ends[number].min(*next));
            found.push(Occurrence { start: *start, written: starts[number], slot: index, end });
        }
    }
    found.retain(|one| one.end > one.start);
    found.sort_by_key(|one| (one.start, one.written, one.slot));
    found
}

fn time(minute: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(minute as u64 * 60)
}

#[test]
fn the_days_of_the_model() {
    assert_eq!((day(1970, 1, 1), day(2000, 3, 1), day(2028, 2, 29)), (0, 11_017, 21_243));
    assert_eq!((weekday(day(2026, 3, 29)), sunday(2026, 3, 25)), (6, day(2026, 3, 29)));
}

#[test]
fn starts_and_ends_of_two_years_are_those_of_the_model() {
    let (from, to) = (day(2027, 1, 1) * DAY, day(2029, 1, 1) * DAY);
    for zone in &ZONES {
        let timetable = Timetable::parse(&text(zone)).unwrap();
        let found = timetable.occurrences(time(from), time(to));
        // Local dates begin before those of UTC, or after.
        let expected = model(zone, from - 3 * DAY, to + 10 * DAY);
        let expected: Vec<_> = expected.into_iter().filter(|one| (from..to).contains(&one.start)).collect();
        assert!(expected.len() > 5000, "{}", expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let shown = (found.slot, found.start, found.end);
            let end = Some(time(expected.end));
            assert_eq!(
                shown,
                (expected.slot, time(expected.start), end),
                "{}: {}",
                zone.name,
                Utc(found.start)
            );
        }
        assert_eq!(found.len(), expected.len(), "{}", zone.name);
    }
}

#[test]
fn at_every_five_minutes_of_two_years_the_model_has_the_same_slot_on_air() {
    let (from, to) = (day(2027, 1, 1) * DAY, day(2029, 1, 1) * DAY);
    for zone in &ZONES {
        let timetable = Timetable::parse(&text(zone)).unwrap();
        let segments = timetable.segments(time(from), time(to), &|_| None);
        assert_eq!((segments[0].start, segments[segments.len() - 1].end), (time(from), time(to)));
        assert!(
            segments.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].owner != pair[1].owner)
        );

        let mut coming = model(zone, from - 20 * DAY, to + 10 * DAY).into_iter().peekable();
        let (mut running, mut at) = (Vec::new(), 0);
        let mut minute = from;
        while minute < to {
            while let Some(next) = coming.next_if(|one| one.start <= minute) {
                running.push(next);
            }
            running.retain(|one: &Occurrence| one.end > minute);
            let owner = running.iter().max_by_key(|one| (one.start, one.written, one.slot));
            while segments[at].end <= time(minute) {
                at += 1;
            }
            let found = segments[at].owner.map(|one| (one.slot, one.start));
            assert_eq!(
                found,
                owner.map(|one| (one.slot, time(one.start))),
                "{} {}",
                zone.name,
                Utc(time(minute))
            );
            minute += STEP;
        }
    }
}

#[test]
fn a_moment_is_answered_as_the_whole_range_is() {
    for zone in &ZONES {
        let timetable = Timetable::parse(&text(zone)).unwrap();
        // Around the changes of the clock in all four, and the leap day.
        for start in
            [day(2028, 2, 27), day(2028, 3, 10), day(2028, 3, 24), day(2028, 9, 29), day(2028, 10, 27)]
        {
            let (from, to) = (start * DAY, (start + 4) * DAY);
            let segments = timetable.segments(time(from), time(to), &|_| None);
            for minute in (from..to).step_by(47) {
                let range = segments.iter().find(|segment| segment.end > time(minute)).unwrap();
                let one = timetable.active_at(time(minute));
                assert_eq!((one.owner, one.resumed), (range.owner, range.resumed));
                // The range cuts its first and last segment.
                assert!(one.start == range.start || range.start == time(from));
                assert!((one.end, one.ending) == (range.end, range.ending) || range.ending == Ending::Range);
            }
        }
    }
}

#[test]
fn the_next_one_begins_first() {
    for zone in &ZONES {
        let timetable = Timetable::parse(&text(zone)).unwrap();
        let starts: Vec<_> = model(zone, day(2028, 3, 20) * DAY, day(2028, 5, 1) * DAY);
        for minute in (day(2028, 3, 23) * DAY..day(2028, 4, 2) * DAY).step_by(61) {
            let expected = starts.iter().find(|one| one.start >= minute).map(|one| time(one.start));
            assert_eq!(timetable.next_after(time(minute)).map(|one| one.start), expected);
        }
    }
}

/// `active_at` is small enough for a thread that asks each second; this bounds what it looks at.
#[test]
fn segments_end() {
    let timetable = Timetable::parse("timezone = \"UTC\"").unwrap();
    let list = timetable.active_at(time(day(2027, 1, 1) * DAY));
    assert!(matches!(list, Segment { owner: None, ending: Ending::Range, .. }));
    assert_eq!(timetable.next_after(time(0)), None);
}
