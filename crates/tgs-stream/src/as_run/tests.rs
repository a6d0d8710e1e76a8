//! The as-run log over simulated days and over files that are torn, damaged, full and old.

use std::{fs, os::unix::fs::PermissionsExt};

use proptest::prelude::*;
use tgs_control::{AiredItem, BroadcastEvent, CommandSender, ItemEnd};

use super::*;

const KEEP: Duration = Duration::from_hours(24 * 400);
/// 2026-11-28T00:00:00Z
const DAY: u64 = 1_795_824_000_000;

fn item(seq: u64) -> AiredItem {
    AiredItem { seq, id: format!("/{seq}"), title: format!("item {seq}"), source: None, lane: None }
}

fn began(at: u64, seq: u64, offset: f64, resumed: bool) -> BroadcastEvent {
    let (at, item, duration_seconds) = (Timestamp(at), item(seq), Some(60.0));
    BroadcastEvent::ItemBegan {
        at,
        item,
        offset_seconds: offset,
        duration_seconds,
        resumed,
        planned_start: None,
    }
}

fn ended(at: u64, seq: u64, offset: f64, how: ItemEnd) -> BroadcastEvent {
    BroadcastEvent::ItemEnded { at: Timestamp(at), item: item(seq), offset_seconds: offset, how }
}

fn interrupted() -> ItemEnd {
    ItemEnd::Interrupted { cause: "paused".into() }
}

/// A tool that writes into `dir`, without its thread.
struct Tool {
    files: LogFiles,
    ledger: Ledger,
}

impl Tool {
    fn start(dir: &Path, at: u64) -> Self {
        let mut files = LogFiles::new(dir, KEEP);
        let (ledger, lines) = Ledger::resume(files.last_entry(), files.alive(), Timestamp(at));
        files.append(&lines);
        Self { files, ledger }
    }

    fn apply(&mut self, event: &BroadcastEvent) {
        let lines = self.ledger.apply(event);
        self.files.append(&lines);
    }

    /// The entry on air is known to be on air at `at`.
    fn alive(&mut self, at: u64) {
        let open = self.ledger.open().expect("an entry").n;
        self.files.set_alive(open, Timestamp(at));
    }
}

fn all(dir: &Path) -> Vec<AsRunEntry> {
    list(dir, None, usize::MAX).unwrap()
}

/// A line for each entry: seconds of the day, kind and end.
fn lines(dir: &Path) -> Vec<String> {
    let second = |time: Timestamp| (time.0 - DAY) / 1000;
    let line = |entry: AsRunEntry| {
        let end = entry.end.map_or("…".to_owned(), |end| second(end).to_string());
        let what = entry.title.as_deref().unwrap_or(entry.kind.name());
        let about = if entry.estimated { "about " } else { "" };
        let ended = entry.ended.map(|ended| format!(" {ended}")).unwrap_or_default();
        format!("{}-{about}{end} {what}{ended}", second(entry.start))
    };
    all(dir).into_iter().map(line).collect()
}

/// The entries cover the time from the first to the last once.
fn adds_up(dir: &Path) -> u64 {
    let entries: Vec<_> = all(dir).into_iter().filter(|entry| entry.end != Some(entry.start)).collect();
    for pair in entries.windows(2) {
        assert_eq!(pair[0].end, Some(pair[1].start), "{pair:?}");
    }
    let total: u64 = entries.iter().filter_map(|e| Some(e.end?.millis_since(e.start))).sum();
    let last = entries.last().expect("an entry");
    assert_eq!(total, last.end.unwrap_or(last.start).millis_since(entries[0].start));
    total
}

#[test]
fn a_day_with_a_pause_an_outage_a_kill_and_a_restart_adds_up() {
    let dir = tempfile::tempdir().unwrap();
    let at = |second: u64| DAY + second * 1000;
    let mut tool = Tool::start(dir.path(), at(0));
    tool.apply(&BroadcastEvent::Started { at: Timestamp(at(1)) });
    tool.apply(&began(at(2), 1, 0.0, false));
    tool.apply(&ended(at(62), 1, 60.0, ItemEnd::Played));
    tool.apply(&began(at(62), 2, 0.0, false));
    tool.apply(&ended(at(70), 2, 8.0, interrupted()));
    tool.apply(&BroadcastEvent::FillerBegan { at: Timestamp(at(70)), cause: "paused".into() });
    tool.apply(&BroadcastEvent::FillerEnded { at: Timestamp(at(80)) });
    tool.apply(&began(at(80), 2, 8.0, true));
    let by = CommandSender { user: "uid 0 (root)".into(), client: Some("desk".into()) };
    tool.apply(&ended(at(90), 2, 18.0, ItemEnd::Skipped { by, command: "next".into() }));
    tool.apply(&began(at(90), 3, 0.0, false));
    tool.apply(&ended(at(95), 3, 4.0, interrupted()));
    tool.apply(&BroadcastEvent::OutageBegan { at: Timestamp(at(95)), cause: "reset".into() });
    tool.apply(&BroadcastEvent::OutageEnded { at: Timestamp(at(99)) });
    tool.apply(&began(at(100), 3, 4.0, true));
    tool.alive(at(120));
    // Killed here. It runs again 30 s later.
    drop(tool);
    let mut tool = Tool::start(dir.path(), at(150));
    tool.apply(&began(at(155), 1, 24.0, false));
    tool.apply(&ended(at(160), 1, 29.0, ItemEnd::Cut { cause: "stopped by signal".into() }));
    tool.apply(&BroadcastEvent::Stopped { at: Timestamp(at(160)), cause: "stopped by signal".into() });
    drop(tool);
    // Restarted, and killed before anything was on air: one entry without a broadcast.
    drop(Tool::start(dir.path(), at(170)));
    let mut tool = Tool::start(dir.path(), at(180));
    tool.apply(&began(at(190), 1, 29.0, false));
    assert_eq!(
        lines(dir.path()),
        [
            "0-2 off_air",
            "2-62 item 1 played",
            "62-70 item 2 interrupted",
            "70-80 filler",
            "80-90 item 2 skipped",
            "90-95 item 3 interrupted",
            "95-100 outage",
            "100-about 120 item 3 cut",
            "120-155 off_air",
            "155-160 item 1 cut",
            "160-190 off_air",
            "190-… item 1",
        ]
    );
    assert_eq!(adds_up(dir.path()), 190_000);
    let all = all(dir.path());
    assert_eq!(all[4].by.as_deref(), Some("uid 0 (root) (stated: desk)"));
    // Planned from the item before it, as it really began: at 62 + 60 s.
    assert_eq!(
        (all[1].planned_start, all[2].planned_start),
        (Some(Timestamp(at(2))), Some(Timestamp(at(62))))
    );
    assert_eq!(
        (all[2].planned_end, all[5].planned_start),
        (Some(Timestamp(at(122))), Some(Timestamp(at(132))))
    );
    assert_eq!((all[4].planned_start, all[4].resumed), (None, true));
    assert_eq!(all[7].end_offset_seconds, Some(24.0));
}

#[test]
fn an_end_is_never_before_its_start_nor_after_the_next_start() {
    // The saved time is that of another entry, or of a clock that was ahead.
    for (saved, end) in [(Some((7, 500)), 100), (Some((4, 500)), 300), (Some((4, 50)), 100), (None, 100)] {
        let open = AsRunEntry { n: 4, kind: AsRunKind::Filler, start: Timestamp(100), ..Default::default() };
        let alive = saved.map(|(n, at)| (n, Timestamp(at)));
        let (_, lines) = Ledger::resume((Some(open), 5), alive, Timestamp(300));
        assert_eq!((lines[0].end, lines[0].estimated), (Some(Timestamp(end)), true));
        assert_eq!((lines[1].start, lines[1].end, lines[1].n), (Timestamp(end), None, 5));
    }
}

#[test]
fn an_item_that_failed_before_air_has_no_length() {
    let dir = tempfile::tempdir().unwrap();
    let mut tool = Tool::start(dir.path(), DAY);
    tool.apply(&began(DAY, 1, 0.0, false));
    let failed = |played_seconds| BroadcastEvent::ItemFailed {
        at: Timestamp(DAY + 5000),
        title: "gone".into(),
        reason: "missing".into(),
        detail: "no such file".into(),
        played_seconds,
    };
    tool.apply(&failed(0.0));
    tool.apply(&failed(3.0));
    // An interrupted item that a command has left.
    tool.apply(&ended(DAY + 6000, 1, 6.0, interrupted()));
    tool.apply(&BroadcastEvent::FillerBegan { at: Timestamp(DAY + 6000), cause: "paused".into() });
    tool.apply(&BroadcastEvent::FillerEnded { at: Timestamp(DAY + 8000) });
    let by = CommandSender::signal();
    tool.apply(&ended(DAY + 8000, 1, 6.0, ItemEnd::Skipped { by, command: "next".into() }));
    tool.apply(&began(DAY + 8000, 2, 0.0, false));
    drop(tool);
    Tool::start(dir.path(), DAY + 9000);
    assert_eq!(
        lines(dir.path())[1..],
        [
            "0-6 item 1 interrupted",
            "5-5 gone failed",
            "6-8 filler",
            "8-8 item 1 skipped",
            "8-about 8 item 2 cut",
            "8-… off_air",
        ]
    );
    adds_up(dir.path());
}

#[test]
fn torn_and_damaged_lines_are_skipped_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("as-run.jsonl");
    let mut tool = Tool::start(dir.path(), DAY);
    tool.apply(&began(DAY + 1000, 1, 0.0, false));
    tool.apply(&ended(DAY + 2000, 1, 1.0, ItemEnd::Played));
    tool.apply(&began(DAY + 2000, 2, 0.0, false));
    drop(tool);
    let text = fs::read_to_string(&path).unwrap();
    let mut written: Vec<&str> = text.lines().collect();
    written.insert(1, "{\"n\":9,");
    written.insert(2, "\0\0\0\0");
    written.insert(3, "[]");
    // Power was lost within the last line.
    fs::write(&path, format!("{}\n{{\"n\":5,\"ki", written.join("\n"))).unwrap();
    Tool::start(dir.path(), DAY + 9000);
    assert_eq!(
        lines(dir.path()),
        ["0-1 off_air", "1-2 item 1 played", "2-about 2 item 2 cut", "2-… off_air"]
    );
    adds_up(dir.path());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
    fs::write(dir.path().join("as-run.alive"), "nonsense").unwrap();
    assert_eq!(LogFiles::new(dir.path(), KEEP).alive(), None);
}

#[test]
fn entries_are_written_once_the_disk_works_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("as-run.jsonl");
    // A directory in the file's place fails as a full disk does.
    fs::create_dir(&path).unwrap();
    let mut tool = Tool::start(dir.path(), DAY);
    tool.apply(&began(DAY + 1000, 1, 0.0, false));
    tool.apply(&ended(DAY + 2000, 1, 1.0, ItemEnd::Played));
    fs::remove_dir(&path).unwrap();
    tool.files.retry();
    assert_eq!(lines(dir.path()), ["0-1 off_air", "1-2 item 1 played"]);
}

#[test]
fn files_are_rotated_each_month_and_kept_for_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let day = 24 * 3_600_000;
    fs::write(dir.path().join("as-run-20240101T000000000Z.jsonl"), "").unwrap();
    fs::write(dir.path().join("as-run-notes.jsonl"), "").unwrap();
    let mut tool = Tool::start(dir.path(), DAY);
    for n in 0..9 {
        let at = DAY + n * 9 * day;
        tool.apply(&began(at, n, 0.0, false));
        tool.apply(&ended(at + 9 * day, n, 60.0, ItemEnd::Played));
    }
    let mut names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "as-run-20261207T000000000Z.jsonl",
            "as-run-20270103T000000000Z.jsonl",
            "as-run-20270208T000000000Z.jsonl",
            "as-run-notes.jsonl",
            "as-run.jsonl"
        ]
    );
    assert_eq!(all(dir.path()).len(), 10);
    assert_eq!(adds_up(dir.path()), 81 * day);
    // Numbers go on, and the newest entries are those asked for.
    assert_eq!(tool.files.last_entry().1, 11);
    let last: Vec<_> = list(dir.path(), None, 2).unwrap().into_iter().filter_map(|e| e.title).collect();
    assert_eq!(last, ["item 7", "item 8"]);
    let since = Some(Timestamp(DAY + 60 * day));
    assert_eq!(list(dir.path(), since, 100).unwrap().len(), 2);
    tool.files.expire(Timestamp(DAY + 500 * day));
    assert_eq!(all(dir.path()).len(), 1);
}

proptest! {
    /// Whatever happens in whichever order, no time is missing or counted twice.
    #[test]
    fn any_day_adds_up(steps in prop::collection::vec((0..9_u8, 0..100_000_u64, 1..4_u64), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut now = DAY;
        let mut tool = Tool::start(dir.path(), now);
        for (step, passed, seq) in steps {
            now += passed;
            let (at, cause) = (Timestamp(now), "x".to_owned());
            match step {
                0 => tool.apply(&began(now, seq, 0.0, false)),
                1 => tool.apply(&ended(now, seq, 1.0, ItemEnd::Played)),
                2 => tool.apply(&ended(now, seq, 1.0, interrupted())),
                3 => tool.apply(&BroadcastEvent::FillerBegan { at, cause }),
                4 => tool.apply(&BroadcastEvent::FillerEnded { at }),
                5 => tool.apply(&BroadcastEvent::OutageBegan { at, cause }),
                6 => tool.apply(&BroadcastEvent::Stopped { at, cause }),
                // The clock is set back.
                7 => tool.apply(&BroadcastEvent::OutageBegan { at: Timestamp(now - passed / 2), cause }),
                // Killed.
                _ => {
                    drop(tool);
                    tool = Tool::start(dir.path(), now + 1000);
                }
            }
        }
        tool.apply(&BroadcastEvent::Stopped { at: Timestamp(now + 5000), cause: String::new() });
        adds_up(dir.path());
    }
}
