//! Which slots are to be prepared, given up or ended now. Pure: opens nothing, reads no clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tgs_playout::lane::{LaneStart, LaneState};
use tgs_schedule::{Fill, Late, Occurrence, Pick, StartKind, Timetable};

/// A slot that has missed more of its time on air is late.
const LATE: Duration = Duration::from_secs(2);

/// An occurrence without an end that has missed more does not restart: it would begin hours after
/// its time, up to a week later, after an edit or a first start.
const LATEST_RESTART: Duration = Duration::from_hours(1);

/// A preroll counts as at least this: a slot opened at its start would be late.
const SHORTEST_PREROLL: Duration = Duration::from_secs(1);

/// How far around now occurrences are looked for: back over the longest slot, ahead for a clock
/// that is set back while a slot is on air.
const KNOWN: (Duration, Duration) = (Duration::from_hours(8 * 24), Duration::from_hours(24));

/// One occurrence of a slot, independent of edits of other slots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct OccurrenceKey {
    pub(super) name: String,
    /// Its start, in seconds since the epoch.
    pub(super) start: u64,
}

impl OccurrenceKey {
    pub(super) fn of(timetable: &Timetable, occurrence: &Occurrence) -> Self {
        Self { name: timetable.slot(occurrence).name.clone(), start: seconds(occurrence.start) }
    }
}

/// A decision.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum SlotAction {
    /// Prepare the occurrence; `joins_at` is how far into its items it begins.
    Open { key: OccurrenceKey, occurrence: Occurrence, joins_at: Duration, start: LaneStart },
    /// End the occurrence, or give it up before its start.
    Close { key: OccurrenceKey, cause: String },
    /// The occurrence ends at another time.
    SetEnd { key: OccurrenceKey, end: Option<SystemTime> },
    /// The occurrence is too late.
    Skip { key: OccurrenceKey },
}

/// The open and finished occurrences.
#[derive(Debug, Default)]
pub(super) struct SlotPolicy {
    open: Vec<OpenSlot>,
    finished: Vec<Finished>,
}

/// An occurrence whose lane is open.
#[derive(Debug)]
struct OpenSlot {
    key: OccurrenceKey,
    end: Option<SystemTime>,
    content: SlotContent,
}

/// What a lane is prepared from.
#[derive(Debug, PartialEq)]
struct SlotContent {
    play: String,
    pick: Option<Pick>,
    fill: Fill,
    start: StartKind,
}

impl SlotContent {
    fn of(timetable: &Timetable, occurrence: &Occurrence) -> Self {
        let slot = timetable.slot(occurrence);
        Self { play: slot.play.clone(), pick: slot.pick, fill: slot.fill.clone(), start: slot.start }
    }
}

/// An occurrence that is not opened again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finished {
    #[serde(flatten)]
    pub(super) key: OccurrenceKey,
    /// When it was over, in seconds since the epoch.
    #[serde(default)]
    pub(super) over_at: u64,
    /// When it is over in any case, in seconds since the epoch.
    pub(super) forget_at: u64,
}

/// What the policy decides by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now<'a> {
    pub(super) time: SystemTime,
    /// How long before its start an occurrence is opened.
    pub(super) preroll: Duration,
    /// Whether the server is connected: without, nothing can start in time.
    pub(super) connected: bool,
    pub(super) states: &'a [(OccurrenceKey, LaneState)],
}

/// An occurrence that has the air now or soon.
#[derive(Debug)]
struct Due {
    key: OccurrenceKey,
    occurrence: Occurrence,
    /// When it has the air, at first or again.
    airs_at: SystemTime,
}

impl SlotPolicy {
    pub(super) fn new(finished: Vec<Finished>) -> Self {
        Self { open: Vec::new(), finished }
    }

    /// The occurrences that are not opened again.
    pub(super) fn finished(&self) -> &[Finished] {
        &self.finished
    }

    /// Records that an [`SlotAction::Open`] has succeeded.
    pub(super) fn opened(&mut self, timetable: &Timetable, occurrence: &Occurrence) {
        let key = OccurrenceKey::of(timetable, occurrence);
        let content = SlotContent::of(timetable, occurrence);
        self.open.push(OpenSlot { key, end: occurrence.end, content });
    }

    /// What is to be done at `now`.
    pub(super) fn step(&mut self, timetable: &Timetable, now: Now<'_>) -> Vec<SlotAction> {
        self.finished.retain(|finished| finished.forget_at > seconds(now.time));
        let mut actions = Vec::new();
        let known = self.known(timetable, now.time);
        self.take_ended(&known, now);
        let due = self.due(timetable, now);
        self.follow_edits(timetable, &known, &due, now, &mut actions);
        for Due { key, occurrence, airs_at } in due {
            if self.open.iter().any(|open| open.key == key) {
                continue;
            }
            let slot = timetable.slot(&occurrence);
            let missed = self.missed(timetable, &occurrence, now.time);
            let late = missed > LATE;
            let begins = airs_at > now.time;
            let is_over = match slot.late {
                Late::Skip => late,
                Late::Restart => occurrence.end.is_none() && missed > LATEST_RESTART,
                Late::Join => false,
            };
            if is_over {
                self.finish(key.clone(), &occurrence, occurrence.start);
                actions.push(SlotAction::Skip { key });
            } else if now.connected || begins {
                let joins_at = if late && slot.late == Late::Join { missed } else { Duration::ZERO };
                let start = match slot.start {
                    // The time of a late soft start is running: it waits for no item.
                    _ if late => begins.then_some(airs_at).map_or(LaneStart::Now, LaneStart::At),
                    StartKind::Soft if airs_at == occurrence.start => LaneStart::AfterItem(airs_at),
                    _ if begins => LaneStart::At(airs_at),
                    _ => LaneStart::Now,
                };
                actions.push(SlotAction::Open { key, occurrence, joins_at, start });
            }
        }
        actions
    }

    /// The occurrences that an open lane may be one of.
    fn known(&self, timetable: &Timetable, now: SystemTime) -> Vec<(OccurrenceKey, Occurrence)> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let from = now.checked_sub(KNOWN.0).unwrap_or(UNIX_EPOCH);
        let found = timetable.occurrences(from, now + KNOWN.1);
        found.into_iter().map(|one| (OccurrenceKey::of(timetable, &one), one)).collect()
    }

    /// Takes note of the open occurrences that are over.
    fn take_ended(&mut self, known: &[(OccurrenceKey, Occurrence)], now: Now<'_>) {
        for open in std::mem::take(&mut self.open) {
            match state_of(&open.key, now) {
                Some(LaneState::Over) => {
                    if let Some((_, occurrence)) = known.iter().find(|(key, _)| *key == open.key) {
                        self.finish(open.key, occurrence, now.time);
                    }
                }
                // Its engine has ended: the next one joins it.
                None | Some(LaneState::Stopped) => {}
                Some(_) => self.open.push(open),
            }
        }
    }

    /// Closes and changes open lanes according to the timetable.
    fn follow_edits(
        &mut self,
        timetable: &Timetable,
        known: &[(OccurrenceKey, Occurrence)],
        due: &[Due],
        now: Now<'_>,
        actions: &mut Vec<SlotAction>,
    ) {
        for open in std::mem::take(&mut self.open) {
            let waits = matches!(state_of(&open.key, now), Some(LaneState::Preparing | LaneState::Ready));
            let occurrence = known.iter().find(|(key, _)| *key == open.key).map(|(_, occurrence)| occurrence);
            let airs_at = due.iter().find(|due| due.key == open.key).map(|due| due.airs_at);
            let why = match (occurrence, airs_at) {
                (None, _) => Some("was removed from the timetable"),
                (Some(_), None) if waits => Some("does not have the air next"),
                (Some(_), Some(at)) if waits && !now.connected && at < now.time => {
                    Some("begins once the server is connected")
                }
                (Some(one), _) if waits && SlotContent::of(timetable, one) != open.content => {
                    Some("was changed in the timetable")
                }
                _ => None,
            };
            match (why, occurrence) {
                (None, Some(occurrence)) => {
                    if open.end != occurrence.end {
                        actions.push(SlotAction::SetEnd { key: open.key.clone(), end: occurrence.end });
                    }
                    self.open.push(OpenSlot { end: occurrence.end, ..open });
                }
                (why, _) => {
                    let cause = format!("“{}” {}", open.key.name, why.unwrap_or("is over"));
                    actions.push(SlotAction::Close { key: open.key, cause });
                }
            }
        }
    }

    fn finish(&mut self, key: OccurrenceKey, occurrence: &Occurrence, over_at: SystemTime) {
        let (over_at, forget_at) = (seconds(over_at), seconds(occurrence.latest_end));
        self.finished.push(Finished { key, over_at, forget_at });
    }

    fn finished_at(&self, timetable: &Timetable, occurrence: &Occurrence) -> Option<u64> {
        let key = OccurrenceKey::of(timetable, occurrence);
        self.finished.iter().find(|finished| finished.key == key).map(|finished| finished.over_at)
    }

    /// The occurrences that have the air now or soon, in this order. One that others cover all the
    /// time does not count.
    fn due(&self, timetable: &Timetable, now: Now<'_>) -> Vec<Due> {
        let over = |one: &Occurrence| self.finished_at(timetable, one).map(|_| Duration::ZERO);
        let to = now.time + now.preroll.max(SHORTEST_PREROLL);
        let first = timetable.active_at_with(now.time, &over);
        let next = timetable.segments(first.end.min(to), to, &over);
        let mut due: Vec<Due> = Vec::new();
        for segment in std::iter::once(first).chain(next) {
            let Some(occurrence) = segment.owner else { continue };
            let key = OccurrenceKey::of(timetable, &occurrence);
            if due.iter().all(|due| due.key != key) {
                due.push(Due { key, occurrence, airs_at: segment.start });
            }
        }
        due
    }

    /// How long `occurrence` has had the air before `now` by the timetable.
    fn missed(&self, timetable: &Timetable, occurrence: &Occurrence, now: SystemTime) -> Duration {
        let lengths = |one: &Occurrence| {
            let over_at = self.finished_at(timetable, one)?;
            Some(Duration::from_secs(over_at.saturating_sub(seconds(one.start))))
        };
        let segments = timetable.segments(occurrence.start, now.max(occurrence.start), &lengths);
        let own = segments.iter().filter(|segment| segment.owner == Some(*occurrence));
        own.map(|segment| segment.end.duration_since(segment.start).unwrap_or_default()).sum()
    }
}

fn state_of(key: &OccurrenceKey, now: Now<'_>) -> Option<LaneState> {
    now.states.iter().find(|(of, _)| of == key).map(|(_, state)| *state)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
