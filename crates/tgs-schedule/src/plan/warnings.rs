//! What an operator should look at: overlaps, missing files, wrong lengths, changes of the clock.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use jiff::civil::DateTime;
use tgs_core::time::clock;

use super::rows::{PlanWarning, SlotContents, WarningKind};
use crate::{
    clock_time::short,
    occurrence::Occurrence,
    slot::{End, Fill, StartKind},
    sweep::{Ending, Segment},
    timetable::Timetable,
    zone::Shift,
};

/// The most items of a slot that are named for a problem of theirs.
const MOST_ITEMS: usize = 5;

fn warning(kind: WarningKind, text: impl Into<String>) -> PlanWarning {
    PlanWarning { kind, text: text.into() }
}

impl Timetable {
    /// A warning for each slot that never begins again after `from`.
    pub(super) fn past_slots(&self, from: SystemTime) -> Vec<PlanWarning> {
        let Some(today) = self.zone().local(from).map(DateTime::date) else { return Vec::new() };
        let past = self.slots().iter().filter_map(|slot| {
            let last = slot.days.last().filter(|last| *last < today)?;
            let text =
                format!("{:?} (line {}) has no day after {last}; remove the slot", slot.name, slot.line);
            Some(warning(WarningKind::Past, text))
        });
        past.collect()
    }

    /// The time of day that the clocks show.
    fn time_of_day(&self, time: SystemTime) -> String {
        self.zone().local(time).map(|local| short(local.time())).unwrap_or_default()
    }
}

/// A timetable, and what its slots play by their index.
pub(super) struct KnownContents<'a> {
    pub(super) timetable: &'a Timetable,
    pub(super) contents: BTreeMap<usize, SlotContents>,
}

impl KnownContents<'_> {
    /// How long an occurrence plays before it gives the air back.
    pub(super) fn length(&self, occurrence: &Occurrence) -> Option<Duration> {
        let holds_to_its_end = occurrence.end.is_some() && self.timetable.slot(occurrence).fill != Fill::List;
        if holds_to_its_end { None } else { self.contents.get(&occurrence.slot)?.length() }
    }

    /// What is known of an occurrence before it begins.
    pub(super) fn warnings(&self, occurrence: &Occurrence) -> Vec<PlanWarning> {
        if occurrence.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<_> = self.shift(occurrence).into_iter().collect();
        if let Some(contents) = self.contents.get(&occurrence.slot) {
            missing(contents, &mut found);
            found.extend(too_long(contents, occurrence));
        }
        found
    }

    fn shift(&self, occurrence: &Occurrence) -> Option<PlanWarning> {
        let (date, at) = (occurrence.local.date(), short(occurrence.local.time()));
        let text = match occurrence.shift {
            Some(Shift::Skipped) => {
                let start = self.timetable.time_of_day(occurrence.start);
                format!("{at} does not exist on {date}: begins at {start}, when the clock jumps")
            }
            Some(Shift::Twice) => format!("{at} exists twice on {date}: begins at the first"),
            None => self.stretched(occurrence)?,
        };
        Some(warning(WarningKind::ClockChange, text))
    }

    /// A slot with `until` is longer or shorter than by the clock's face.
    fn stretched(&self, occurrence: &Occurrence) -> Option<String> {
        let slot = self.timetable.slot(occurrence);
        let Some(End::Until(until)) = slot.end else { return None };
        let seconds = slot.at.duration_until(until).as_secs().rem_euclid(86_400);
        let shown = Duration::from_secs(seconds as u64);
        let real = occurrence.end?.duration_since(occurrence.start).ok()?;
        let (word, difference) = (if real < shown { "less" } else { "more" }, real.abs_diff(shown));
        (!difference.is_zero()).then(|| format!("the clock changes: lasts {} {word}", clock(difference)))
    }

    /// A warning if another slot begins before the end of a segment's owner.
    pub(super) fn cut(&self, segment: &Segment) -> Option<PlanWarning> {
        let (Some(owner), Ending::Taken(next)) = (segment.owner, segment.ending) else { return None };
        // Without an end that is known, the next slot may be the end that is meant.
        if owner.end.is_none() && self.length(&owner).is_none() {
            return None;
        }
        let (slot, name) = (self.timetable.slot(&next), &self.timetable.slot(&next).name);
        let at = self.timetable.time_of_day(next.start);
        let text = match slot.start {
            StartKind::Hard => format!("{name:?} begins within it and cuts it at {at}"),
            StartKind::Soft => format!("{name:?} begins within it, after the item on air at {at}"),
        };
        Some(warning(WarningKind::Overlap, text))
    }

    /// A warning if a segment's owner has not had the air from its beginning.
    pub(super) fn late(&self, segment: &Segment) -> Option<PlanWarning> {
        let owner = segment.owner.filter(|owner| !segment.resumed && owner.start < segment.start)?;
        let at = self.timetable.time_of_day(owner.start);
        Some(warning(
            WarningKind::Overlap,
            format!("was to begin at {at}: another slot covers its beginning"),
        ))
    }

    /// Why an occurrence never has the air.
    pub(super) fn never(&self, occurrence: &Occurrence) -> Option<PlanWarning> {
        if occurrence.is_empty() {
            let date = occurrence.local.date();
            let text = format!("is left out: the clock jumps over all of it on {date}");
            return Some(warning(WarningKind::ClockChange, text));
        }
        if self.length(occurrence) == Some(Duration::ZERO) {
            return None;
        }
        Some(warning(
            WarningKind::Overlap,
            "never has the air: slots that begin with it or later cover all of it",
        ))
    }
}

fn missing(contents: &SlotContents, found: &mut Vec<PlanWarning>) {
    if let Some(problem) = &contents.problem {
        found.push(warning(WarningKind::Missing, format!("cannot play: {problem}")));
    } else if contents.items.is_empty() {
        found.push(warning(WarningKind::Missing, "has nothing to play"));
    }
    let problems: Vec<_> =
        contents.items.iter().filter_map(|item| Some((&item.title, item.problem.as_ref()?))).collect();
    for (title, problem) in problems.iter().take(MOST_ITEMS) {
        found.push(warning(WarningKind::Missing, format!("{title}: {problem}")));
    }
    if problems.len() > MOST_ITEMS {
        let more = problems.len() - MOST_ITEMS;
        found.push(warning(WarningKind::Missing, format!("{more} more items cannot play")));
    }
}

fn too_long(contents: &SlotContents, occurrence: &Occurrence) -> Option<PlanWarning> {
    let time = occurrence.end?.duration_since(occurrence.start).ok()?;
    let length = contents.length()?;
    let over = length.checked_sub(time).filter(|over| !over.is_zero())?;
    let text = format!("lasts {}, {} longer than its time: the end is cut", clock(length), clock(over));
    Some(warning(WarningKind::TooLong, text))
}
