//! A slot as it is written in the timetable: when, what, and how it starts and ends.

use std::{fmt, time::Duration};

use jiff::civil::Time;
use serde::{Deserialize, Serialize};

use crate::calendar::Days;

/// The longest name of a slot, in characters.
pub const LONGEST_NAME: usize = 200;
/// The longest source in `play` and `fill`, in characters.
pub const LONGEST_SOURCE: usize = 4096;

/// One `[[slot]]` of the timetable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The name, for logs, the as-run log and the desk.
    pub name: String,
    /// The days on which it begins.
    pub days: Days,
    /// The time of day at which it begins, in the timetable's time zone.
    pub at: Time,
    /// The source, as written. May hold a token: belongs into no log.
    pub play: String,
    /// Which items of the source play; `None`: all, in their order.
    pub pick: Option<Pick>,
    /// How it takes the air.
    pub start: StartKind,
    /// When it ends; `None`: at the end of what it plays.
    pub end: Option<End>,
    /// What plays if it is over before its end.
    pub fill: Fill,
    /// What happens if the broadcast comes back during the slot.
    pub late: Late,
    /// The line of its `[[slot]]` in the file, from 1.
    pub line: usize,
}

/// `pick` and `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Which items come first.
    pub order: Order,
    /// How many of them play.
    pub count: usize,
}

/// `pick`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `newest`: the files changed last.
    Newest,
    /// `random`: any.
    Random,
}

/// `start`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartKind {
    /// `hard`: cuts in at its second.
    #[default]
    Hard,
    /// `soft`: after the item on air.
    Soft,
}

/// `for` or `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `for`: a length in real time, also on the day on which the clock changes.
    For(Duration),
    /// `until`: a time of day, on the next day if it is not after `at`.
    Until(Time),
}

/// `fill` or `fill_mode`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fill {
    /// `fill_mode = "list"`: the air goes back to what the slot covers.
    #[default]
    List,
    /// `fill_mode = "loop"`: the slot's source plays again.
    Loop,
    /// `fill_mode = "slate"`.
    Slate,
    /// `fill`: another source, as written. May hold a token.
    Source(String),
}

/// `late`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Late {
    /// `join`: where it would be without the outage.
    #[default]
    Join,
    /// `restart`: from its beginning, in the time that remains.
    Restart,
    /// `skip`: not at all.
    Skip,
}

impl Order {
    pub(crate) const WORDS: [(&str, Self); 2] = [("newest", Self::Newest), ("random", Self::Random)];
}

impl StartKind {
    pub(crate) const WORDS: [(&str, Self); 2] = [("hard", Self::Hard), ("soft", Self::Soft)];
}

impl Fill {
    pub(crate) const WORDS: [(&str, Self); 3] =
        [("loop", Self::Loop), ("list", Self::List), ("slate", Self::Slate)];
}

impl Late {
    pub(crate) const WORDS: [(&str, Self); 3] =
        [("join", Self::Join), ("restart", Self::Restart), ("skip", Self::Skip)];
}

impl fmt::Display for StartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
        })
    }
}
