//! The plan as data, which is also its JSON.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tgs_core::time::{Utc, parse_utc};

use crate::slot::StartKind;

/// One item of what a slot plays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanItem {
    /// Its title.
    pub title: String,
    /// Its length, if known.
    pub length: Option<Duration>,
    /// Why it cannot play.
    pub problem: Option<String>,
}

/// What a slot plays, as far as is known ahead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotContents {
    /// The items, in their order.
    pub items: Vec<PlanItem>,
    /// Why the source cannot be read.
    pub problem: Option<String>,
}

impl SlotContents {
    /// How long all items last; `None` if one has no known length.
    #[must_use]
    pub fn length(&self) -> Option<Duration> {
        let playable = self.items.iter().filter(|item| item.problem.is_none());
        playable.map(|item| item.length).try_fold(Duration::ZERO, |sum, length| sum.checked_add(length?))
    }
}

/// What a row of the plan stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowKind {
    /// A slot plays its source.
    Slot,
    /// A slot has played all and fills its time: `fill`, or the slate.
    Fill,
    /// No slot has the air: the list plays.
    List,
    /// A slot begins and has the air for no time; its warnings say why.
    Never,
}

/// A stretch of time, and who has the air.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanRow {
    /// When it begins.
    #[serde(serialize_with = "write_utc", deserialize_with = "read_utc")]
    pub start: SystemTime,
    /// The same as the timetable's clocks show it: `2026-03-29T20:00:00+02:00`.
    pub local: String,
    /// How long it lasts.
    pub length_seconds: f64,
    /// What it is.
    pub kind: RowKind,
    /// The index of the slot, from 0.
    pub slot: Option<usize>,
    /// The name of the slot.
    pub name: Option<String>,
    /// How the slot begins; `None` where it goes on.
    pub starts: Option<StartKind>,
    /// Whether the slot goes on after another one that it contains.
    pub resumed: bool,
    /// Whether the length is a guess: the slot ends with what it plays, whose length is unknown.
    pub open: bool,
    /// What to look at.
    pub warnings: Vec<PlanWarning>,
}

/// The plan of a range of time, usually a day. The rows leave no gap; those of the list are the
/// gaps of the timetable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The time zone of the timetable.
    pub timezone: String,
    /// In the order of their start.
    pub rows: Vec<PlanRow>,
    /// What concerns no row.
    pub warnings: Vec<PlanWarning>,
}

fn write_utc<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Utc(*time))
}

fn read_utc<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_utc(&text).ok_or_else(|| de::Error::custom("expected a time like 2026-02-28T23:59:59.123Z"))
}

/// What kind of warning it is, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// Two slots overlap.
    Overlap,
    /// The source, or an item of it, cannot play.
    Missing,
    /// What the slot plays is longer than its time.
    TooLong,
    /// The clock changes at the slot's time.
    ClockChange,
    /// All days of the slot are in the past.
    Past,
}

/// A warning of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanWarning {
    /// Its kind.
    pub kind: WarningKind,
    /// A sentence.
    pub text: String,
}
