//! Less than a minute of a timetable. `cargo xtask soak --programme` spreads five hard and two soft
//! starts over hours.

use std::time::Duration;

use tgs_e2e::{
    broadcast::Launch,
    programme_run::{self, Kind, Plan},
};

#[test]
fn slots_begin_when_they_are_due_and_the_as_run_log_says_so() {
    let plan = Plan {
        length: Duration::from_secs(50),
        kinds: vec![Kind::Cut, Kind::Soft, Kind::Covered],
        item: Duration::from_secs(8),
        preroll: Duration::from_secs(10),
        // Other tests run beside it; the timestamps are judged strictly.
        most_off: Duration::from_secs(5),
    };
    let (found, log) = programme_run::run(Launch::new().unwrap(), 14, &plan, |_| true).unwrap();
    assert!(found.targets().iter().all(|(met, _)| *met), "{found}\n{log}");
}
