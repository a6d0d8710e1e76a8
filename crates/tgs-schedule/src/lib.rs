//! The timetable of a broadcast: which source has the air at which second.
//!
//! Reads the file of `SCHEDULE`, resolves its slots to moments of UTC in the file's time zone,
//! tells which slot owns a moment, plans a day, edits the file, and chooses filler items before a
//! start. Opens no file, reads no clock and starts no thread: the caller passes text and times.
//!
//! ```
//! use tgs_schedule::Timetable;
//!
//! let text = r#"
//! timezone = "Europe/Moscow"
//! [[slot]]
//! name = "Evening news"
//! days = "mon-fri"
//! at = "20:00"
//! play = "news/"
//! for = "30m"
//! "#;
//! let timetable = Timetable::parse(text)?;
//! // 2026-03-02, a Monday, 17:15 UTC: a quarter past eight in Moscow.
//! let segment = timetable.active_at(tgs_core::time::parse_utc("2026-03-02T17:15:00Z").unwrap());
//! let slot = segment.owner.map(|occurrence| timetable.slot(&occurrence));
//! assert_eq!(slot.map(|slot| slot.name.as_str()), Some("Evening news"));
//! # Ok::<(), tgs_schedule::TimetableProblems>(())
//! ```

pub mod back_timing;
mod calendar;
mod clock_time;
mod document;
pub mod edit;
mod likely;
mod occurrence;
pub mod plan;
mod problem;
mod slot;
mod sweep;
mod timetable;
mod zone;

pub use calendar::{DateError, Days};
pub use document::{LONGEST_FILE, MAX_SLOTS};
pub use occurrence::{MAX_LENGTH, MAX_RANGE, Occurrence};
pub use problem::{Problem, TimetableProblems};
pub use slot::{End, Fill, LONGEST_NAME, LONGEST_SOURCE, Late, Order, Pick, Slot, StartKind};
pub use sweep::{Ending, Lengths, Segment};
pub use timetable::Timetable;
pub use zone::Shift;
