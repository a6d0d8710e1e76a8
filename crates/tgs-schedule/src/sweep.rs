//! Which slot has the air when.
//!
//! Of the occurrences that cover a moment, the one with the later start has the air. When it is
//! over, the air goes back to the one it has covered, if that is not over by then, else to the
//! list. A soft start counts from its `at` here; in fact it takes the air when the item on air
//! ends.

use std::{
    iter::Peekable,
    time::{Duration, SystemTime},
    vec,
};

use crate::{
    occurrence::{MAX_LENGTH, Occurrence},
    timetable::Timetable,
};

/// How long what a slot plays lasts on air, before the slot gives the air back; `None`: unknown, or
/// to the end of the slot. Zero: the occurrence is over, or is to be skipped.
pub type Lengths<'a> = dyn Fn(&Occurrence) -> Option<Duration> + 'a;

/// A stretch of time during which one occurrence, or the list, has the air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Who has the air; `None`: the list.
    pub owner: Option<Occurrence>,
    /// Since when.
    pub start: SystemTime,
    /// Until when.
    pub end: SystemTime,
    /// Whether the owner has had the air before, and was covered meanwhile.
    pub resumed: bool,
    /// Why it ends.
    pub ending: Ending,
}

/// Why a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The slot's end has come: `for`, `until`, its next occurrence, or seven days without any.
    Planned,
    /// All of what the slot plays has been on air.
    Played,
    /// Another slot begins, which takes the air.
    Taken(Occurrence),
    /// Nothing ends it: the range is over.
    Range,
}

impl Timetable {
    /// Who has the air at `time`, since when and until when, as far as `for` and `until` tell. An
    /// end in more than eight days is not looked for: `Ending::Range`.
    #[must_use]
    pub fn active_at(&self, time: SystemTime) -> Segment {
        self.active_at_with(time, &|_| None)
    }

    /// As [`active_at`](Self::active_at), with what the caller knows of lengths.
    #[must_use]
    pub fn active_at_with(&self, time: SystemTime, lengths: &Lengths) -> Segment {
        let to = time.checked_add(MAX_LENGTH + Duration::from_hours(24)).unwrap_or(time);
        let found = Sweep::new(self, time, to, lengths).find(|segment| segment.end > time);
        // The sweep reaches beyond `time`, but for a time at the end of all.
        found.unwrap_or(Segment { owner: None, start: time, end: to, resumed: false, ending: Ending::Range })
    }

    /// Who has the air from `from` to `to`, at most 800 days, without a gap: the list is a segment
    /// too.
    #[must_use]
    pub fn segments(&self, from: SystemTime, to: SystemTime, lengths: &Lengths) -> Vec<Segment> {
        let segments = Sweep::new(self, from, to, lengths).filter(|segment| segment.end > from);
        segments.map(|segment| Segment { start: segment.start.max(from), ..segment }).collect()
    }
}

/// An occurrence that has begun and is not over.
struct Running {
    occurrence: Occurrence,
    /// What remains of its length.
    remaining: Option<Duration>,
    has_aired: bool,
}

impl Running {
    fn is_over(&self, now: SystemTime) -> bool {
        self.occurrence.latest_end <= now || self.remaining == Some(Duration::ZERO)
    }
}

/// Walks over the starts and ends of occurrences.
pub(crate) struct Sweep<'a> {
    coming: Peekable<vec::IntoIter<Occurrence>>,
    /// In the order of their start: the last one has the air.
    running: Vec<Running>,
    lengths: &'a Lengths<'a>,
    now: SystemTime,
    to: SystemTime,
    /// Whether a slot without an end and a known length is over when another one begins.
    guesses: bool,
}

impl<'a> Sweep<'a> {
    /// Begins so long before `from` that no earlier occurrence reaches it.
    pub(crate) fn new(
        timetable: &Timetable,
        from: SystemTime,
        to: SystemTime,
        lengths: &'a Lengths<'a>,
    ) -> Self {
        let now = from.checked_sub(MAX_LENGTH).unwrap_or(from);
        let to = now.checked_add(crate::occurrence::MAX_RANGE).map_or(to, |limit| limit.min(to));
        let coming = timetable.occurrences(now, to).into_iter().peekable();
        Self { coming, running: Vec::new(), lengths, now, to, guesses: false }
    }

    /// Takes a slot whose end nobody knows for over when another one begins, as a plan does.
    pub(crate) fn guessing(self) -> Self {
        Self { guesses: true, ..self }
    }

    /// Begins and ends occurrences at `now`.
    fn settle(&mut self) {
        let now = self.now;
        while let Some(occurrence) = self.coming.next_if(|one| one.start <= now) {
            let remaining = (self.lengths)(&occurrence);
            if self.guesses && remaining != Some(Duration::ZERO) {
                self.end_unknown();
            }
            self.running.push(Running { occurrence, remaining, has_aired: false });
        }
        // Those below stay until they would have the air: looking at all of them at each start
        // takes the square of their number.
        while self.running.pop_if(|top| top.is_over(now)).is_some() {}
    }

    /// Ends the owner if nobody knows its end. Those below it have been ended when it began.
    fn end_unknown(&mut self) {
        if let Some(top) = self.running.last_mut().filter(|top| top.occurrence.end.is_none()) {
            top.remaining.get_or_insert(Duration::ZERO);
        }
    }

    /// Goes on to the next start or end.
    fn advance(&mut self) {
        let mut next = self.to;
        if let Some(coming) = self.coming.peek() {
            next = next.min(coming.start);
        }
        if let Some(top) = self.running.last_mut() {
            next = next.min(top.occurrence.latest_end);
            if let Some(remaining) = &mut top.remaining {
                next = self.now.checked_add(*remaining).map_or(next, |end| next.min(end));
                *remaining = remaining.saturating_sub(next.duration_since(self.now).unwrap_or_default());
            }
        }
        self.now = next;
    }

    fn owner(&self) -> Option<Occurrence> {
        self.running.last().map(|top| top.occurrence)
    }

    /// Why `owner` no longer has the air at `now`.
    fn ending(&self, owner: Option<Occurrence>) -> Ending {
        let still_runs = owner.is_none_or(|owner| {
            let running = self.running.iter().rev().find(|one| one.occurrence == owner);
            running.is_some_and(|running| !running.is_over(self.now))
        });
        match (self.owner(), owner) {
            (Some(next), _) if still_runs => Ending::Taken(next),
            (_, Some(owner)) if owner.latest_end <= self.now => Ending::Planned,
            _ => Ending::Played,
        }
    }
}

impl Iterator for Sweep<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        if self.now >= self.to {
            return None;
        }
        let start = self.now;
        self.settle();
        let owner = self.owner();
        let resumed = self.running.last_mut().is_some_and(|top| std::mem::replace(&mut top.has_aired, true));
        while self.now < self.to {
            self.advance();
            if self.now >= self.to {
                break;
            }
            self.settle();
            if self.owner() != owner {
                return Some(Segment { owner, start, end: self.now, resumed, ending: self.ending(owner) });
            }
        }
        let is_over = owner.is_some_and(|owner| owner.latest_end <= self.now);
        let ending = if is_over { Ending::Planned } else { Ending::Range };
        Some(Segment { owner, start, end: self.now, resumed, ending })
    }
}
