//! The results of `schedule.get` and `schedule.plan`.

use serde::{Deserialize, Serialize};

use crate::null::null_as_default;

/// The text of the timetable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleText {
    /// The file that SCHEDULE names.
    #[serde(deserialize_with = "null_as_default")]
    pub path: String,
    /// The text of the file.
    #[serde(deserialize_with = "null_as_default")]
    pub text: String,
    /// The text's version, for `schedule.set`.
    #[serde(deserialize_with = "null_as_default")]
    pub etag: String,
    /// Why the text is not used, with line numbers; absent for a text in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The plan of a range of days.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulePlan {
    /// The time zone of the timetable.
    #[serde(deserialize_with = "null_as_default")]
    pub timezone: String,
    /// In the order of their start, without a gap.
    #[serde(deserialize_with = "null_as_default")]
    pub rows: Vec<ScheduleRow>,
    /// What concerns no row.
    #[serde(deserialize_with = "null_as_default")]
    pub warnings: Vec<ScheduleWarning>,
}

/// A stretch of time, and who has the air.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleRow {
    /// When it begins.
    #[serde(deserialize_with = "null_as_default")]
    pub start: String,
    /// The same as the timetable's clocks show it: `2026-03-29T20:00:00+02:00`.
    #[serde(deserialize_with = "null_as_default")]
    pub local: String,
    /// How long it lasts.
    #[serde(deserialize_with = "null_as_default")]
    pub length_seconds: f64,
    /// What it is.
    #[serde(deserialize_with = "null_as_default")]
    pub kind: ScheduleRowKind,
    /// The index of the slot, from 0.
    pub slot: Option<usize>,
    /// The name of the slot.
    pub name: Option<String>,
    /// `hard` or `soft` where the slot begins.
    pub starts: Option<String>,
    /// Whether the slot goes on after another one that it contains.
    #[serde(deserialize_with = "null_as_default")]
    pub resumed: bool,
    /// Whether the length is a guess: the slot ends with what it plays, whose length is unknown.
    #[serde(deserialize_with = "null_as_default")]
    pub open: bool,
    /// What to look at.
    #[serde(deserialize_with = "null_as_default")]
    pub warnings: Vec<ScheduleWarning>,
}

/// What a row of the plan stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleRowKind {
    /// A slot plays its source.
    Slot,
    /// A slot has played all and fills its time.
    Fill,
    /// No slot has the air: the list plays.
    List,
    /// A slot begins and has the air for no time; its warnings say why.
    Never,
    /// A kind of a newer version.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A warning of the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleWarning {
    /// Its kind: `overlap`, `missing`, `too_long`, `clock_change` or `past`.
    #[serde(deserialize_with = "null_as_default")]
    pub kind: String,
    /// A sentence.
    #[serde(deserialize_with = "null_as_default")]
    pub text: String,
}
