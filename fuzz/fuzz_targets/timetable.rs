//! No text panics the reader of the timetable; what it accepts has a plan without a gap, and can be
//! edited.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use tgs_schedule::{
    Timetable, edit,
    plan::{RowKind, SlotContents},
};

fuzz_target!(|text: &str| {
    let Ok(timetable) = Timetable::parse(text) else { return };
    // The day of Berlin's change of the clock, 2026-03-29.
    let from = UNIX_EPOCH + Duration::from_secs(1_774_738_800);
    let to = from + Duration::from_secs(86_400);
    let plan = timetable.plan(from, to, &|_| SlotContents::default());
    let mut at = from;
    for row in plan.rows.iter().filter(|row| row.kind != RowKind::Never) {
        assert_eq!(row.start, at);
        at += Duration::from_secs_f64(row.length_seconds);
    }
    assert_eq!(at, to);
    if !timetable.slots().is_empty() {
        let moved = edit::move_slot(text, 0, "12:34").map(|text| Timetable::parse(&text).unwrap());
        assert!(moved.is_ok_and(|moved| moved.slots().len() == timetable.slots().len()));
        assert!(edit::remove_slot(text, 0).is_ok());
    }
});
