//! A timetable that has been read: its time zone and slots.

use std::time::SystemTime;

use crate::{clock_time, slot::Slot, zone::Zone};

/// The slots of a channel, and the time zone of their times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    zone: Zone,
    slots: Vec<Slot>,
}

impl Timetable {
    pub(crate) fn new(zone: Zone, slots: Vec<Slot>) -> Self {
        Self { zone, slots }
    }

    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The name of the time zone, such as `Europe/Moscow`; `local` if the host's has no name.
    #[must_use]
    pub fn timezone(&self) -> &str {
        self.zone.name()
    }

    /// The slots in the order of the file.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// A time as the timetable's clocks show it: `2026-03-29T20:00:00+02:00`.
    #[must_use]
    pub fn local(&self, time: SystemTime) -> String {
        self.zone.format(time)
    }

    /// What the timetable's clocks show at `time`: `20:00`, or `20:00:30`.
    #[must_use]
    pub fn clock(&self, time: SystemTime) -> Option<String> {
        self.zone.local(time).map(|local| clock_time::short(local.time()))
    }
}
