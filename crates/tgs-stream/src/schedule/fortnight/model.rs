//! The model: counts seconds of local time, and knows of one change of the clock.

use std::collections::BTreeSet;

use tgs_control::{AsRunEntry, AsRunKind};

const DAY: u64 = 86_400;
const HOUR: u64 = 3600;

/// Seconds from the start to the change of the clock, when 02:00 becomes 03:00.
const JUMP: u64 = 2 * DAY + 2 * HOUR;

/// The first day of the week, from Monday: a Friday.
const FIRST_WEEKDAY: u64 = 4;

/// When the timetable is edited: Monday, 10:40, while the list is on air.
pub(super) const EDITED_AT: u64 = 3 * DAY + 10 * HOUR + 40 * 60;

/// What a slot shows once its items are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    List,
    Loop,
    Slate,
    Promos,
}

/// A slot of the timetable.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    name: &'static str,
    days: &'static str,
    /// Its days, from Monday.
    weekdays: &'static [u64],
    at: u64,
    /// The length of what it plays, in seconds.
    plays: u64,
    soft: bool,
    /// How long it lasts by the clock's face; `None`: as long as it plays.
    lasts: Option<u64>,
    /// Whether `lasts` is written as `until`.
    until: bool,
    rest: Rest,
}

const DAILY: &[u64] = &[0, 1, 2, 3, 4, 5, 6];

pub(super) fn slots() -> Vec<Slot> {
    let slot = Slot {
        name: "Morning",
        days: "daily",
        weekdays: DAILY,
        at: 7 * HOUR,
        plays: 2000,
        soft: false,
        lasts: Some(2 * HOUR),
        until: false,
        rest: Rest::Promos,
    };
    let (at, lasts) = (8 * HOUR + 900, Some(300));
    let flash = Slot { name: "Flash", at, plays: 600, lasts, rest: Rest::List, ..slot.clone() };
    let news = Slot {
        name: "News",
        days: "mon-fri",
        weekdays: &[0, 1, 2, 3, 4],
        at: 18 * HOUR,
        plays: 300,
        lasts: None,
        rest: Rest::List,
        ..slot.clone()
    };
    let kids = Slot {
        name: "Kids",
        days: "sat,sun",
        weekdays: &[5, 6],
        at: 9 * HOUR + 1800,
        plays: 1111,
        lasts: Some(2 * HOUR),
        until: true,
        rest: Rest::Loop,
        ..slot.clone()
    };
    let (days, weekdays): (_, &[u64]) = ("fri,sat", &[4, 5]);
    let film = Slot { name: "Film", days, weekdays, at: 20 * HOUR, plays: 5400, soft: true, ..news.clone() };
    let (at, lasts) = (HOUR + 1800, Some(3 * HOUR + 1800));
    let night =
        Slot { name: "Night", at, plays: 3600, lasts, until: true, rest: Rest::Slate, ..slot.clone() };
    vec![slot, flash, news, kids, film, night]
}

/// The timetable after the edit: the news half an hour later.
pub(super) fn edited() -> Vec<Slot> {
    let later = |slot: Slot| Slot { at: slot.at + if slot.name == "News" { 1800 } else { 0 }, ..slot };
    slots().into_iter().map(later).collect()
}

fn of_day(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / HOUR % 24, seconds / 60 % 60, seconds % 60)
}

impl Slot {
    pub(super) fn to_toml(&self) -> String {
        let start = if self.soft { "soft" } else { "hard" };
        let end = match self.lasts {
            Some(lasts) if self.until => format!("until = \"{}\"\n", of_day(self.at + lasts)),
            Some(lasts) => format!("for = \"{lasts}s\"\n"),
            None => String::new(),
        };
        let rest = match self.rest {
            Rest::List => "",
            Rest::Loop => "fill_mode = \"loop\"\n",
            Rest::Slate => "fill_mode = \"slate\"\n",
            Rest::Promos => "fill = \"http://h/promo-45.mp4\"\n",
        };
        format!(
            "[[slot]]\nname = \"{name}\"\ndays = \"{}\"\nat = \"{}\"\nplay = \"http://h/{name}-{}.mp4\"\nstart = \
             \"{start}\"\n{end}{rest}",
            self.days,
            of_day(self.at),
            self.plays,
            name = self.name,
        )
    }
}

/// The seconds from the start at which clocks show this local time, counted from local midnight of
/// the first day.
fn moment(local: u64) -> u64 {
    if local < JUMP { local } else { (local - HOUR).max(JUMP) }
}

/// A live input or an outage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Takeover {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Takeover {
    pub(super) fn has(&self, second: u64) -> bool {
        (self.from..self.to).contains(&second)
    }
}

/// An occurrence of a slot.
#[derive(Debug, Clone)]
struct Occurrence {
    slot: Slot,
    start: u64,
    end: Option<u64>,
    /// The length of its items that has not been on air.
    left: u64,
}

pub(super) struct Model {
    occurrences: Vec<Occurrence>,
    live: Vec<Takeover>,
    outages: Vec<Takeover>,
}

impl Model {
    pub(super) fn new(slots: &[Slot], edited: &[Slot], live: Vec<Takeover>, outages: Vec<Takeover>) -> Self {
        let mut occurrences = Vec::new();
        for day in 0..15 {
            for (slots, is_in_force) in [(slots, false), (edited, true)] {
                for slot in slots.iter().filter(|slot| slot.weekdays.contains(&((day + FIRST_WEEKDAY) % 7))) {
                    let local = day * DAY + slot.at;
                    let start = moment(local);
                    // `for` counts real time, `until` is the clock's.
                    let end = slot.lasts.map(
                        |lasts| {
                            if slot.until { moment(local + lasts) } else { start + lasts }
                        },
                    );
                    if (start > EDITED_AT) == is_in_force {
                        occurrences.push(Occurrence { slot: slot.clone(), start, end, left: slot.plays });
                    }
                }
            }
        }
        occurrences.sort_by_key(|occurrence| occurrence.start);
        Self { occurrences, live, outages }
    }

    /// Takes the starts of the soft slot from the log: the first after each planned time, which
    /// waits for the end of an item.
    pub(super) fn soft_starts(&mut self, seen: impl Iterator<Item = u64>) {
        let seen: Vec<u64> = seen.collect();
        let longest = 3600 + 1800 + 100;
        for occurrence in self.occurrences.iter_mut().filter(|occurrence| occurrence.slot.soft) {
            let start = seen.iter().find(|start| **start + 2 >= occurrence.start);
            if let Some(start) = start.filter(|start| **start <= occurrence.start + longest) {
                occurrence.start = *start;
            }
        }
        self.occurrences.sort_by_key(|occurrence| occurrence.start);
    }

    /// Whether an outage or a live input is near.
    pub(super) fn is_disturbed(&self, second: u64) -> bool {
        self.live.iter().chain(&self.outages).any(|one| (one.from..one.to + 10).contains(&(second + 5)))
    }

    /// The seconds at which the log shows something else, as lines. Differences within `unsure`
    /// seconds of a change are none.
    pub(super) fn compare(
        &mut self,
        log: &[AsRunEntry],
        start: u64,
        seconds: u64,
        unsure: u64,
    ) -> Vec<(u64, String)> {
        let expected: Vec<Option<&'static str>> = (0..seconds).map(|second| self.at(second)).collect();
        let mut changes: BTreeSet<u64> = (1..seconds)
            .filter(|second| expected[*second as usize] != expected[*second as usize - 1])
            .collect();
        changes.insert(0);
        let mut wrong: Vec<(u64, String)> = Vec::new();
        let mut entries = log.iter().peekable();
        let mut counted = 0;
        for second in 0..seconds {
            let at = (start + second) * 1000 + 500;
            while entries.next_if(|entry| entry.end.is_some_and(|end| end.0 <= at)).is_some() {}
            let Some(entry) = entries.peek() else { break };
            let near = second.saturating_sub(unsure)..=second + unsure;
            let Some(expected) = expected[second as usize].filter(|_| changes.range(near).next().is_none())
            else {
                continue;
            };
            counted += 1;
            let shown = match (entry.kind, &entry.lane) {
                (AsRunKind::Item, Some(lane)) => lane,
                (AsRunKind::Item, None) => "list",
                (AsRunKind::Filler, _) => "filler",
                _ => "nothing",
            };
            let last = wrong
                .last()
                .is_some_and(|(_, line)| line.contains(&format!(": {shown} instead of {expected}")));
            if shown != expected && !last {
                let (day, of_day) = (second / DAY, of_day(second));
                wrong.push((
                    second,
                    format!("day {day} {of_day} (s {second}): {shown} instead of {expected}"),
                ));
            }
        }
        assert!(counted > seconds * 9 / 10, "only {counted} of {seconds} seconds are compared");
        wrong
    }

    /// What is on air in this second; `None` in an outage.
    fn at(&mut self, second: u64) -> Option<&'static str> {
        let away = self.outages.iter().find(|away| away.has(second)).copied();
        let is_live = self.live.iter().any(|live| live.has(second));
        let is_over = |one: &Occurrence| match one.end {
            Some(end) => end <= second || (one.left == 0 && one.slot.rest == Rest::List),
            None => one.left == 0,
        };
        let running = self.occurrences.iter_mut().take_while(|one| one.start <= second);
        let owner = running.filter(|one| !is_over(one)).last();
        let shown = match &owner {
            _ if is_live => "live",
            None => "list",
            Some(one) if one.left == 0 && one.slot.rest == Rest::Slate => "filler",
            Some(one) => one.slot.name,
        };
        if let Some(one) = owner {
            // A slot that begins in an outage is joined where it would be.
            let plays = away.map_or(!is_live, |away| away.from <= one.start);
            if plays {
                one.left = one.left.saturating_sub(1);
            }
        }
        away.is_none().then_some(shown)
    }
}
