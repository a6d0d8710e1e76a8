//! Turns who has the air when into the rows of a plan.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

use super::{
    rows::{Plan, PlanRow, RowKind, SlotContents},
    warnings::KnownContents,
};
use crate::{
    calendar::{DateError, parse_date},
    occurrence::{MAX_LENGTH, Occurrence},
    slot::{Fill, Slot},
    sweep::{Segment, Sweep},
    timetable::Timetable,
};

impl Timetable {
    /// The plan from `from` to `to`, at most 790 days. `contents` is asked once for each slot of
    /// it.
    #[must_use]
    pub fn plan(&self, from: SystemTime, to: SystemTime, contents: &dyn Fn(&Slot) -> SlotContents) -> Plan {
        let begun = from.checked_sub(MAX_LENGTH).unwrap_or(from);
        let all = self.all_occurrences(begun, to);
        let mut known = KnownContents { timetable: self, contents: BTreeMap::new() };
        for occurrence in &all {
            known.contents.entry(occurrence.slot).or_insert_with(|| contents(self.slot(occurrence)));
        }
        // Beyond the range: a slot that begins in it covered may have the air later.
        let beyond = to.checked_add(MAX_LENGTH).unwrap_or(to);
        let lengths = |occurrence: &Occurrence| known.length(occurrence);
        let segments: Vec<_> = Sweep::new(self, from, beyond, &lengths).guessing().collect();
        let mut planner = Planner { known, range: (from, to), aired: HashMap::new(), rows: Vec::new() };
        for segment in segments {
            planner.add(&segment);
        }
        planner.add_never(all.iter().filter(|one| one.start >= from));
        planner.rows.sort_by_key(|row| row.start);
        Plan { timezone: self.timezone().to_owned(), rows: planner.rows, warnings: self.past_slots(from) }
    }

    /// The first moments of the date that contains `time`, and of the date `days` later.
    #[must_use]
    pub fn days_from(&self, time: SystemTime, days: u16) -> Option<(SystemTime, SystemTime)> {
        self.dates_from(self.zone().local(time)?.date(), days)
    }

    /// The first moments of a date like `2026-03-29`, and of the next one.
    pub fn day(&self, date: &str) -> Result<(SystemTime, SystemTime), DateError> {
        self.dates_from(parse_date(date)?, 1).ok_or(DateError::OutOfRange)
    }

    fn dates_from(&self, date: jiff::civil::Date, days: u16) -> Option<(SystemTime, SystemTime)> {
        let last = date.checked_add(jiff::Span::new().try_days(days).ok()?).ok()?;
        Some((self.zone().midnight(date)?, self.zone().midnight(last)?))
    }
}

/// Turns segments into rows.
struct Planner<'a> {
    known: KnownContents<'a>,
    /// What the plan shows.
    range: (SystemTime, SystemTime),
    /// How long an occurrence has had the air so far.
    aired: HashMap<(usize, SystemTime), Duration>,
    rows: Vec<PlanRow>,
}

impl Planner<'_> {
    /// Adds the rows of a segment.
    fn add(&mut self, segment: &Segment) {
        let length = segment.end.duration_since(segment.start).unwrap_or_default();
        let Some(owner) = segment.owner else {
            self.push(RowKind::List, segment.start, segment.end, None);
            return;
        };
        let aired = self.aired.entry((owner.slot, owner.start)).or_default();
        let before = std::mem::replace(aired, *aired + length);
        let fills = matches!(self.known.timetable.slot(&owner).fill, Fill::Source(_) | Fill::Slate)
            && owner.end.is_some();
        let contents = self.known.contents.get(&owner.slot).and_then(SlotContents::length).filter(|_| fills);
        // Where the source is over, and the filler begins.
        let remaining = contents.map(|length| length.saturating_sub(before));
        let over = remaining
            .and_then(|rest| segment.start.checked_add(rest))
            .map_or(segment.end, |at| at.min(segment.end));
        let first = self.rows.len();
        self.push(RowKind::Slot, segment.start, over, Some(segment));
        self.push(RowKind::Fill, over, segment.end, Some(segment));
        let mut warnings = if segment.resumed { Vec::new() } else { self.known.warnings(&owner) };
        warnings.extend(self.known.late(segment));
        warnings.extend(self.known.cut(segment));
        if let Some(row) = self.rows.get_mut(first) {
            row.warnings = warnings;
        }
    }

    fn push(&mut self, kind: RowKind, start: SystemTime, end: SystemTime, segment: Option<&Segment>) {
        let (start, end) = (start.max(self.range.0), end.min(self.range.1));
        if end <= start {
            return;
        }
        let owner = segment.and_then(|segment| segment.owner);
        let slot = owner.map(|owner| self.known.timetable.slot(&owner));
        let begins = owner.filter(|owner| owner.start == start);
        let is_open = owner.is_some_and(|owner| owner.end.is_none() && self.known.length(&owner).is_none());
        self.rows.push(PlanRow {
            start,
            local: self.known.timetable.local(start),
            length_seconds: end.duration_since(start).unwrap_or_default().as_secs_f64(),
            kind,
            slot: owner.map(|owner| owner.slot),
            name: slot.map(|slot| slot.name.clone()),
            starts: begins.and(slot).map(|slot| slot.start),
            resumed: segment.is_some_and(|segment| segment.resumed) && kind == RowKind::Slot,
            open: is_open,
            warnings: Vec::new(),
        });
    }

    /// Adds rows for the occurrences that never have the air.
    fn add_never<'o>(&mut self, occurrences: impl Iterator<Item = &'o Occurrence>) {
        for occurrence in
            occurrences.filter(|one| !self.aired.contains_key(&(one.slot, one.start))).collect::<Vec<_>>()
        {
            let slot = self.known.timetable.slot(occurrence);
            let mut warnings = self.known.warnings(occurrence);
            warnings.extend(self.known.never(occurrence));
            self.rows.push(PlanRow {
                start: occurrence.start,
                local: self.known.timetable.local(occurrence.start),
                length_seconds: 0.0,
                kind: RowKind::Never,
                slot: Some(occurrence.slot),
                name: Some(slot.name.clone()),
                starts: Some(slot.start),
                resumed: false,
                open: false,
                warnings,
            });
        }
    }
}
