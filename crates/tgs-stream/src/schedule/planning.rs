//! The plan of the timetable in force, for the control socket.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime},
};

use tgs_schedule::{
    DateError, Slot, Timetable,
    plan::{Plan, PlanItem, PlanWarning, SlotContents, WarningKind},
};

use super::{Schedule, contents::contents, store::ScheduleError};

/// Time limit for looking at files: a folder on a network may hang.
const LOOK_TIME_OUT: Duration = Duration::from_secs(2);

/// Limit of threads that look at files at once, and may hang.
const MOST_LOOKING: usize = 4;

/// Number of those threads.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// The turn of a thread that looks at files.
struct FileCheckSlot;

impl FileCheckSlot {
    fn take() -> Option<Self> {
        let more = |looking: usize| (looking < MOST_LOOKING).then_some(looking + 1);
        LOOKING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for FileCheckSlot {
    fn drop(&mut self) {
        LOOKING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Schedule {
    /// The plan of `days` from the date `from` on, today without one. Returns within 2 s.
    pub(crate) fn plan(&self, from: Option<&str>, days: u16) -> Result<Plan, ScheduleError> {
        let timetable = match self.timetable() {
            Some(timetable) => timetable,
            None => Arc::new(self.file().read()?.0),
        };
        let first = match from {
            Some(date) => timetable.day(date)?.0,
            None => SystemTime::now(),
        };
        let (from, to) = timetable.days_from(first, days).ok_or(DateError::OutOfRange)?;
        Ok(self.looked_at(&timetable, from, to).unwrap_or_else(|| {
            let mut plan = timetable.plan(from, to, &unknown);
            let text = format!("the files of the slots were not read within {} s", LOOK_TIME_OUT.as_secs());
            plan.warnings.push(PlanWarning { kind: WarningKind::Missing, text });
            plan
        }))
    }

    /// The plan with what is known of the slots' files in time.
    fn looked_at(&self, timetable: &Arc<Timetable>, from: SystemTime, to: SystemTime) -> Option<Plan> {
        let turn = FileCheckSlot::take()?;
        let (sender, planned) = mpsc::sync_channel(1);
        let (schedule, timetable) = (self.clone(), Arc::clone(timetable));
        let look = move || {
            let _turn = turn;
            let plan = timetable.plan(from, to, &|slot| contents(slot, schedule.dir(), None));
            // Nobody listens after the time limit.
            let _ = sender.send(plan);
        };
        thread::Builder::new().name("schedule-plan".into()).spawn(look).ok()?;
        planned.recv_timeout(LOOK_TIME_OUT).ok()
    }
}

fn unknown(slot: &Slot) -> SlotContents {
    let item = PlanItem { title: slot.name.clone(), length: None, problem: None };
    SlotContents { items: vec![item], problem: None }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tgs_control::{SchedulePlan, ScheduleRowKind};

    use super::*;

    #[test]
    fn a_client_reads_the_plan_as_it_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.mp4"), "x").unwrap();
        let text = "timezone = \"UTC\"\n\
                    [[slot]]\nname = \"A\"\nat = \"20:00\"\nplay = \"a.mp4\"\nfor = \"30m\"\n\
                    [[slot]]\nname = \"B\"\nat = \"21:00\"\nplay = \"b.mp4\"\nfill = \"no/\"\nfor = \"1h\"\n";
        let timetable = Timetable::parse(text).unwrap();
        let (from, to) = timetable.day("2026-03-02").unwrap();
        let plan = timetable.plan(from, to, &|slot| contents(slot, dir.path(), None));
        let json = serde_json::to_value(&plan).unwrap();
        let read: SchedulePlan = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
        let kinds: Vec<_> = read.rows.iter().map(|row| (row.kind, row.name.as_deref())).collect();
        let list = (ScheduleRowKind::List, None);
        assert_eq!(kinds[..3], [list, (ScheduleRowKind::Slot, Some("A")), list]);
        let warnings: Vec<_> =
            read.rows.iter().flat_map(|row| &row.warnings).map(|warning| warning.text.as_str()).collect();
        assert!(warnings.contains(&"b: there is no such file"), "{warnings:?}");
        assert!(warnings.iter().any(|text| text.starts_with("cannot play: fill: ")), "{warnings:?}");
    }
}
