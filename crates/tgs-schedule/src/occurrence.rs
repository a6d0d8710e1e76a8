//! The occurrences of slots: on which moments of UTC they begin and end.
//!
//! Rules. A time that the clock jumps over begins at the jump; a time that exists twice is its
//! first. `for` counts real time, `until` is a time of day. A slot that ends before it begins,
//! because the clock jumps over all of it, does not occur. The next occurrence of a slot ends the
//! one before.

use std::time::{Duration, SystemTime};

use jiff::civil::{Date, DateTime};

use crate::{
    slot::{End, Slot},
    timetable::Timetable,
    zone::Shift,
};

/// The longest a slot lasts, also one without `for` and `until`: seven days.
pub const MAX_LENGTH: Duration = Duration::from_hours(7 * 24);
/// The longest range of time that is resolved at once: 800 days; a later end is taken as this one.
pub const MAX_RANGE: Duration = Duration::from_hours(800 * 24);

/// One occurrence of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// The index of the slot in the timetable.
    pub slot: usize,
    /// The date and `at` of the slot, which the clocks may jump over.
    pub local: DateTime,
    /// When it begins.
    pub start: SystemTime,
    /// When it ends by `for` or `until`; `None`: with what it plays.
    pub end: Option<SystemTime>,
    /// When it ends at the latest.
    pub latest_end: SystemTime,
    /// How its beginning meets a change of the clock.
    pub shift: Option<Shift>,
}

impl Occurrence {
    /// Whether no time remains: the clock jumps over all of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.latest_end <= self.start
    }

    /// Of two occurrences that cover a moment, the greater has the air: the later start, the later
    /// `at` if both begin at a jump of the clock, then the one further down in the file.
    pub(crate) fn rank(&self) -> (SystemTime, DateTime, usize) {
        (self.start, self.local, self.slot)
    }
}

impl Timetable {
    /// The slot of an occurrence of this timetable.
    ///
    /// # Panics
    ///
    /// If the occurrence is one of another timetable, which has more slots.
    #[must_use]
    pub fn slot(&self, occurrence: &Occurrence) -> &Slot {
        &self.slots()[occurrence.slot]
    }

    /// The occurrences that begin from `from` on and before `to`, in the order of their start. Each
    /// is as its slot says; [`segments`](Self::segments) tells which of two that overlap has the
    /// air.
    #[must_use]
    pub fn occurrences(&self, from: SystemTime, to: SystemTime) -> Vec<Occurrence> {
        let mut found = self.all_occurrences(from, to);
        found.retain(|occurrence| !occurrence.is_empty());
        found
    }

    /// The first occurrence that begins at `time` or later, within 800 days.
    #[must_use]
    pub fn next_after(&self, time: SystemTime) -> Option<Occurrence> {
        let day = Duration::from_hours(24);
        let mut from = time;
        for days in [1, 7, 60, 732] {
            let to = from.checked_add(day * days)?;
            if let Some(first) = self.occurrences(from, to).first() {
                return Some(*first);
            }
            from = to;
        }
        None
    }

    /// With those that the clock jumps over as a whole.
    pub(crate) fn all_occurrences(&self, from: SystemTime, to: SystemTime) -> Vec<Occurrence> {
        let mut found = Vec::new();
        let Some((first, last)) = self.dates(from, to) else { return found };
        for (index, slot) in self.slots().iter().enumerate() {
            let mut date = first;
            while date <= last {
                let occurrence =
                    slot.days.contains(date).then(|| self.occurrence(index, slot, date)).flatten();
                found.extend(occurrence.filter(|one| from <= one.start && one.start < to));
                let Ok(next) = date.tomorrow() else { break };
                date = next;
            }
        }
        found.sort_by_key(Occurrence::rank);
        found
    }

    /// The local dates on which an occurrence of the range may be written, at most `MAX_RANGE`.
    fn dates(&self, from: SystemTime, to: SystemTime) -> Option<(Date, Date)> {
        if to <= from {
            return None;
        }
        let to = from.checked_add(MAX_RANGE).map_or(to, |limit| limit.min(to));
        let first = self.zone().local(from)?.date().yesterday().ok()?;
        Some((first, self.zone().local(to)?.date().tomorrow().ok()?))
    }

    fn occurrence(&self, index: usize, slot: &Slot, date: Date) -> Option<Occurrence> {
        let local = date.to_datetime(slot.at);
        let (start, shift) = self.zone().moment(local)?;
        let (end, latest_end) = match slot.end {
            Some(End::Until(until)) => {
                let day = if until > slot.at { date } else { date.tomorrow().ok()? };
                let (end, _) = self.zone().moment(day.to_datetime(until))?;
                (Some(end), end)
            }
            Some(End::For(length)) => {
                let end = self.or_next(slot, date, start.checked_add(length)?);
                (Some(end), end)
            }
            None => (None, self.or_next(slot, date, start.checked_add(MAX_LENGTH)?)),
        };
        Some(Occurrence { slot: index, local, start, end, latest_end, shift })
    }

    /// The next beginning of the slot after `date`, or `end` if it comes first.
    fn or_next(&self, slot: &Slot, date: Date, end: SystemTime) -> SystemTime {
        let mut date = date;
        // An occurrence reaches into the eighth day at most.
        for _ in 0..9 {
            let Ok(next) = date.tomorrow() else { break };
            date = next;
            let Some((start, _)) = self.zone().moment(date.to_datetime(slot.at)) else { break };
            if start >= end {
                break;
            }
            if slot.days.contains(date) {
                return start;
            }
        }
        end
    }
}
