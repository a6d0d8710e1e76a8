//! What a run has found: a table of planned and real starts, and the targets.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use tgs_control::{AsRunEntry, AsRunKind, Timestamp};

use super::{
    live::{Leaving, PlannedLive, Visit},
    timetable::{LIST, PlannedSlot},
};
use crate::{
    as_run_log::apart,
    slot_starts::{Pictures, SlotStart, seconds},
};

/// How far a start may be off.
pub const MOST_OFF: Duration = Duration::from_millis(100);

/// The longest time without a picture.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// How far from its time a slot is looked for: a soft start waits for an item.
const SEARCH: Duration = Duration::from_mins(3);

/// From the first keyframe of a publisher until it is on air, in seconds.
const MOST_TAKEOVER: f64 = 4.0;

/// From the end of a publisher until the list is back, in seconds.
const MOST_RETURN: f64 = 1.0;

/// How much of an item may be shown again after a slot, in seconds: a group of pictures.
const SHOWN_AGAIN: std::ops::RangeInclusive<f64> = -0.05..=2.1;

/// What a run has found.
#[derive(Debug)]
pub struct Found {
    server: &'static str,
    most_off: Duration,
    /// Connections to the ingest.
    pub connections: usize,
    /// Deviations of the received stream from an unbroken one.
    pub broken: Vec<String>,
    /// The cause if the tool died.
    pub died: Option<String>,
    longest_gap: Duration,
    undecoded: Vec<String>,
    rows: Vec<Row>,
    lives: Vec<LiveRow>,
    /// When filler may bridge the absence of a publisher: from and to, seconds.
    bridges: Vec<(f64, f64)>,
    entries: usize,
    apart: Option<String>,
    wrong: Vec<String>,
}

/// A slot: planned and real.
#[derive(Debug)]
struct Row {
    name: String,
    is_soft: bool,
    at: Timestamp,
    /// When it was to begin, in seconds since the Unix epoch: a soft start after the item on air.
    due: f64,
    start: Option<SlotStart>,
    logged: Option<AsRunEntry>,
}

/// A publisher.
#[derive(Debug)]
struct LiveRow {
    name: String,
    at: Timestamp,
    visit: Option<Visit>,
    /// Arrival of its first picture, and of the first one of the list after it.
    seen: Option<f64>,
    back: Option<f64>,
}

impl Found {
    pub(super) fn new(server: &'static str, most_off: Duration) -> Self {
        Self {
            server,
            most_off,
            connections: 0,
            broken: Vec::new(),
            died: None,
            longest_gap: Duration::ZERO,
            undecoded: Vec::new(),
            rows: Vec::new(),
            lives: Vec::new(),
            bridges: Vec::new(),
            entries: 0,
            apart: None,
            wrong: Vec::new(),
        }
    }

    pub(super) fn judge_slots(&mut self, pictures: &Pictures, slots: &[PlannedSlot], log: &[AsRunEntry]) {
        self.longest_gap = pictures.longest_gap;
        self.undecoded.clone_from(&pictures.errors);
        for slot in slots {
            let logged = log.iter().find(|entry| entry.lane.as_deref() == Some(&slot.name));
            let due = if slot.is_soft { after_item(log, slot.at) } else { slot.at };
            let row = Row {
                name: slot.name.clone(),
                is_soft: slot.is_soft,
                at: slot.at,
                due: seconds(due.as_system_time()),
                start: pictures.start_of(slot.colour, due.as_system_time(), SEARCH),
                logged: logged.cloned(),
            };
            self.wrong.extend(row.faults(self.most_off));
            self.rows.push(row);
        }
    }

    pub(super) fn judge_lives(&mut self, pictures: &Pictures, lives: &[PlannedLive], visits: &[Visit]) {
        for (number, live) in lives.iter().enumerate() {
            let visit = visits.get(number).copied();
            let start = |visit: Visit| {
                let sends = Duration::try_from_secs_f64(visit.sends).ok()?;
                pictures.start_of(live.colour, SystemTime::UNIX_EPOCH + sends, SEARCH)
            };
            let back = |visit: Visit| pictures.next_of(&LIST, visit.left - 0.1);
            if let Some(visit) = visit.filter(|_| live.leaving == Leaving::Killed) {
                self.bridges.push((visit.sends, visit.left + MOST_RETURN));
            }
            self.lives.push(LiveRow {
                name: live.name.clone(),
                at: live.at,
                seen: visit.and_then(start).map(|start| start.at),
                back: visit.and_then(back),
                visit,
            });
        }
    }

    /// Last, since it needs to know when filler was right.
    pub(super) fn judge_log(&mut self, log: &[AsRunEntry]) {
        (self.entries, self.apart) = (log.len(), apart(log));
        self.wrong.extend(list_faults(log));
        let is_fault = |kind| !matches!(kind, AsRunKind::Item | AsRunKind::OffAir);
        // Filler before the first slot only shows that the machine is busy.
        let first = self.rows.iter().map(|row| row.at).min();
        let begun = log.iter().skip_while(|entry| first.is_some_and(|first| entry.start < first));
        for entry in begun.filter(|entry| is_fault(entry.kind)) {
            let at = seconds(entry.start.as_system_time());
            if !self.bridges.iter().any(|(from, to)| (*from..*to).contains(&at)) {
                self.wrong.push(format!("{} where an item was due: {entry:?}", entry.kind.name()));
            }
        }
    }

    /// The targets: whether each is met, and its description.
    #[must_use]
    pub fn targets(&self) -> Vec<(bool, String)> {
        let or = |faults: &[String], well: String| {
            if faults.is_empty() { well } else { format!("{}: {}", faults.len(), faults.join("; ")) }
        };
        let seen = self.rows.iter().filter(|row| row.start.is_some_and(|start| start.is_first)).count();
        let worst = |of: &dyn Fn(&Row) -> Option<f64>| {
            self.rows.iter().filter_map(of).fold(0.0, |worst: f64, off| worst.max(off.abs()))
        };
        let spare = self.most_off.saturating_sub(MOST_OFF).as_secs_f64();
        let (arrival, stream) = (worst(&Row::off), worst(&|row| row.off_by_timestamp(spare)));
        let (most, least) = (self.most_off.as_millis(), MOST_OFF.as_millis());
        let all = self.rows.len();
        vec![
            (all > 0 && seen == all, format!("{seen} of {all} slots begin with their first picture")),
            (
                arrival <= self.most_off.as_secs_f64(),
                format!("starts at most {:.0} ms off at the ingest (target ≤ {most} ms)", arrival * 1000.0),
            ),
            (
                stream <= MOST_OFF.as_secs_f64(),
                format!("by the timestamps at most {:.0} ms off (target ≤ {least} ms)", stream * 1000.0),
            ),
            (
                self.lives.iter().all(LiveRow::is_well),
                format!(
                    "{} publishers on air within {MOST_TAKEOVER} s, the list back within {MOST_RETURN} s",
                    self.lives.len()
                ),
            ),
            (self.connections == 1, format!("{} connection(s) to the ingest (target 1)", self.connections)),
            (self.broken.is_empty(), or(&self.broken, "one unbroken stream".to_owned())),
            (
                self.longest_gap <= LONGEST_GAP.max(self.most_off),
                format!("longest time without a picture {:.2} s", self.longest_gap.as_secs_f64()),
            ),
            (self.undecoded.is_empty(), or(&self.undecoded, "every frame was decoded".to_owned())),
            (
                self.entries > 0 && self.apart.is_none(),
                self.apart.clone().unwrap_or_else(|| format!("{} as-run entries add up", self.entries)),
            ),
            (
                self.wrong.is_empty(),
                or(&self.wrong, "the as-run log agrees with the plan and the ingest".to_owned()),
            ),
            (
                self.died.is_none(),
                self.died.clone().unwrap_or_else(|| "tgs-stream lived to the end".to_owned()),
            ),
        ]
    }
}

impl LiveRow {
    /// Seconds from the first keyframe.
    fn takeover(&self) -> Option<f64> {
        Some(self.seen? - self.visit?.sends)
    }

    /// Seconds from the end to the list.
    fn giving_back(&self) -> Option<f64> {
        Some(self.back? - self.visit?.left)
    }

    fn is_well(&self) -> bool {
        self.takeover().is_some_and(|took| took <= MOST_TAKEOVER)
            && self.giving_back().is_some_and(|took| took <= MOST_RETURN)
    }
}

impl Row {
    /// The start at the ingest after its time, in seconds; negative: before.
    fn off(&self) -> Option<f64> {
        self.start.map(|start| start.at - self.due)
    }

    /// The same by the timestamps. A soft start is due when the as-run log says that the item
    /// before was over: on a busy machine up to `spare` seconds after its timestamp.
    fn off_by_timestamp(&self, spare: f64) -> Option<f64> {
        let off = self.start?.by_timestamp - self.due;
        Some(if self.is_soft && off < 0.0 { (off + spare).min(0.0) } else { off })
    }

    /// Where the as-run log differs from the plan or from what arrived, `most_off` after its time
    /// at most.
    fn faults(&self, most_off: Duration) -> Vec<String> {
        let mut faults = Vec::new();
        let mut say = |bad: bool, words: &str| {
            if bad {
                faults.push(format!("{}: {words}", self.name));
            }
        };
        let Some(logged) = &self.logged else {
            return vec![format!("{}: is not in the as-run log", self.name)];
        };
        say(!self.is_soft && logged.planned_start != Some(self.at), "another planned_start is logged");
        say(logged.offset_seconds != Some(0.0), "is logged as begun within its item");
        let said = seconds(logged.start.as_system_time());
        let seen = self.start.map_or(f64::INFINITY, |start| start.by_timestamp);
        let late = 0.5 + most_off.as_secs_f64();
        say(said < seen - 0.5 || said > seen + late, "another start is logged than the ingest has seen");
        faults
    }
}

/// When the item that was on air at `at` ended.
fn after_item(log: &[AsRunEntry], at: Timestamp) -> Timestamp {
    let on_air = log.iter().rev().find(|entry| entry.start <= at);
    on_air.and_then(|entry| entry.end).unwrap_or(at)
}

/// Where the list does not continue as it was cut.
fn list_faults(log: &[AsRunEntry]) -> Vec<String> {
    let is_list = |entry: &&AsRunEntry| entry.lane.is_none() && entry.kind == AsRunKind::Item;
    let list: Vec<_> = log.iter().filter(is_list).collect();
    let mut faults = Vec::new();
    for pair in list.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let again = match (before.end_offset_seconds, after.offset_seconds) {
            (Some(end), Some(start)) => end - start,
            _ => f64::NAN,
        };
        let is_well = match before.ended.as_deref() {
            Some("interrupted") => {
                after.resumed && before.title == after.title && SHOWN_AGAIN.contains(&again)
            }
            _ => !after.resumed && before.ended.as_deref() == Some("played"),
        };
        if !is_well {
            faults.push(format!("the list does not continue: {before:?}, then {after:?}"));
        }
    }
    faults
}

/// The time of day, to the millisecond.
fn clock(seconds: f64) -> String {
    Timestamp((seconds * 1000.0).round() as u64).to_string()[11..23].to_owned()
}

/// `text`, or a dash.
fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

fn stamp(time: Timestamp) -> String {
    clock(seconds(time.as_system_time()))
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, at, due, start, logged, .. } = self;
        let millis = |off: Option<f64>| or_dash(off.map(|off| format!("{:+.0} ms", off * 1000.0)));
        write!(
            f,
            "{name:<18} {:<12} {:<12} {:<12} {:>8} {:>13} {:>8}  {:<12} {:<12}",
            stamp(*at),
            clock(*due),
            or_dash(start.map(|start| clock(start.at))),
            millis(self.off()),
            millis(self.off_by_timestamp(0.0)),
            or_dash(start.map(|start| format!("{:.2} s", start.lasts))),
            or_dash(logged.as_ref().and_then(|entry| entry.planned_start).map(stamp)),
            or_dash(logged.as_ref().map(|entry| stamp(entry.start))),
        )
    }
}

impl fmt::Display for LiveRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, at, visit, seen, back } = self;
        let time = |seconds: Option<f64>| or_dash(seconds.filter(|s| s.is_finite()).map(clock));
        let after = |seconds: Option<f64>| or_dash(seconds.map(|s| format!("{s:+.2} s")));
        write!(
            f,
            "{name:<18} {:<12} {:<12} {:<12} {:>8}  {:<12} {:<12} {:>8}",
            stamp(*at),
            time(visit.map(|visit| visit.sends)),
            time(*seen),
            after(self.takeover()),
            time(visit.map(|visit| visit.left)),
            time(*back),
            after(self.giving_back()),
        )
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ingest: {}; times in UTC; off: − is early\n", self.server)?;
        writeln!(
            f,
            "{:<18} {:<12} {:<12} {:<12} {:>8} {:>13} {:>8}  {:<12} {:<12}",
            "slot", "at", "due", "first seen", "off", "by timestamp", "lasts", "as-run plan", "as-run start"
        )?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        if !self.lives.is_empty() {
            writeln!(
                f,
                "\n{:<18} {:<12} {:<12} {:<12} {:>8}  {:<12} {:<12} {:>8}",
                "publisher", "started", "sends", "first seen", "after", "left", "list again", "after"
            )?;
        }
        self.lives.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        writeln!(f)?;
        for (met, words) in self.targets() {
            writeln!(f, "{:<4} {words}", if met { "ok" } else { "MISS" })?;
        }
        Ok(())
    }
}
