//! The as-run log of the real `tgs-stream` over commands, outages, kills and restarts: no time is
//! missing or counted twice, and what the server has received agrees.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::process::Signal;
use serde_json::Value;
use tgs_control::{AsRunEntry, AsRunKind, Timestamp};
use tgs_e2e::{
    broadcast::{Broadcast, Launch},
    clips::clip,
    ingest::Ingest,
};

const LIMIT: Duration = Duration::from_secs(30);

/// How far a time after a crash may be off.
const ESTIMATE: u64 = 2000;

/// The entries in order of time, each as its last line says.
fn entries(dir: &Path) -> Vec<AsRunEntry> {
    let text = fs::read_to_string(dir.join("state/as-run.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<AsRunEntry>(line).ok());
    let by_number: BTreeMap<_, _> = lines.map(|entry| ((entry.start, entry.n), entry)).collect();
    by_number.into_values().collect()
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn start(dir: &Path, url: &str) -> Broadcast {
    let broadcast = Launch::to(url).unwrap().keeping(dir).arg("--playlist").arg(dir.join("list.txt"));
    let broadcast = broadcast.start().unwrap();
    broadcast.wait_item("", 1, LIMIT).unwrap();
    broadcast
}

/// Waits for an entry after `count` others that is of this kind and open.
fn wait_open(broadcast: &Broadcast, dir: &Path, kind: AsRunKind, count: usize) -> usize {
    let open = || {
        let entries = entries(dir);
        let last = entries.last()?;
        (entries.len() > count && last.kind == kind && last.end.is_none()).then_some(entries.len())
    };
    broadcast.until("an entry of the as-run log", LIMIT, open).unwrap()
}

/// The entries without the filler, which a busy machine shows at any time, and with one entry for
/// an item that it has interrupted.
fn without_filler(all: &[AsRunEntry]) -> Vec<AsRunEntry> {
    let mut kept: Vec<AsRunEntry> = Vec::new();
    let mut filled = false;
    for entry in all {
        if entry.kind == AsRunKind::Filler {
            filled = true;
            continue;
        }
        let is_one = |last: &&mut AsRunEntry| {
            last.title == entry.title
                && last.kind == entry.kind
                && last.ended.as_deref() == Some("interrupted")
        };
        match kept.last_mut().filter(|last| filled && entry.resumed && is_one(last)) {
            Some(last) => {
                let (start, offset, resumed) = (last.start, last.offset_seconds, last.resumed);
                *last = AsRunEntry { start, offset_seconds: offset, resumed, ..entry.clone() };
            }
            None => kept.push(entry.clone()),
        }
        filled = false;
    }
    kept
}

/// A list of three clips, a minute each.
fn list(dir: &Path) {
    for name in ["a", "b", "c"] {
        clip("minute", (320, 180), "30", 44_100, 60_000).copy_to(&dir.join(format!("{name}.mp4"))).unwrap();
    }
    fs::write(dir.join("list.txt"), "a.mp4\nb.mp4\nc.mp4\n").unwrap();
}

/// Waits until the position in b and the time on air are saved, as they are each second or so.
fn wait_saved(broadcast: &Broadcast, dir: &Path) {
    let position = dir.join("state/position.json");
    let is_b = || {
        let saved: Value = serde_json::from_slice(&fs::read(&position).ok()?).ok()?;
        saved["lists"][0]["item"].as_str()?.ends_with("b.mp4").then_some(())
    };
    broadcast.until("the position in b to be saved", LIMIT, is_b).unwrap();
    let alive = dir.join("state/as-run.alive");
    let saved = fs::read(&alive).unwrap_or_default();
    let differs = || fs::read(&alive).ok().filter(|now| *now != saved);
    broadcast.until("the time on air to be saved", LIMIT, differs).unwrap();
}

#[test]
fn a_day_of_kills_outages_and_restarts_adds_up() {
    let dir = tempfile::tempdir().unwrap();
    list(dir.path());
    let mut ingest = Ingest::start().unwrap();
    let began = now();

    let mut broadcast = start(dir.path(), &ingest.url("key"));
    let count = wait_open(&broadcast, dir.path(), AsRunKind::Item, 0);
    broadcast.signal(Signal::USR1).unwrap();
    let count = wait_open(&broadcast, dir.path(), AsRunKind::Item, count);
    ingest.refuse();
    ingest.reset();
    let count = wait_open(&broadcast, dir.path(), AsRunKind::Outage, count);
    ingest.listen().unwrap();
    let count = wait_open(&broadcast, dir.path(), AsRunKind::Item, count);
    wait_saved(&broadcast, dir.path());
    broadcast.signal(Signal::KILL).unwrap();
    let killed = now();
    broadcast.wait(LIMIT).unwrap();

    let mut broadcast = start(dir.path(), &ingest.url("key"));
    let count = wait_open(&broadcast, dir.path(), AsRunKind::Item, count);
    broadcast.stop().unwrap();
    let stopped = now();

    let mut broadcast = start(dir.path(), &ingest.url("key"));
    wait_open(&broadcast, dir.path(), AsRunKind::Item, count);
    broadcast.stop().unwrap();
    let ended = now();

    let all = entries(dir.path());
    let shown = || format!("{all:#?}");
    let whole = without_filler(&all);
    let kinds: Vec<_> = whole.iter().map(|entry| entry.kind).collect();
    let (item, off_air) = (AsRunKind::Item, AsRunKind::OffAir);
    assert_eq!(
        kinds,
        [off_air, item, item, AsRunKind::Outage, item, off_air, item, off_air, item, off_air],
        "{}",
        shown()
    );
    for pair in all.windows(2) {
        assert_eq!(pair[0].end, Some(pair[1].start), "{}", shown());
    }
    let lengths = all.iter().filter_map(|entry| Some(entry.end?.millis_since(entry.start)));
    let (first, last) = (&all[0], all.last().unwrap());
    assert_eq!(lengths.sum::<u64>(), last.start.millis_since(first.start), "{}", shown());
    assert!(first.start >= began && first.start.millis_since(began) < 15_000, "{began} {}", shown());
    assert!(last.start <= ended && ended.millis_since(last.start) < 15_000, "{}", shown());

    let items: Vec<_> = whole.iter().filter(|entry| entry.kind == item).collect();
    let how = |entry: &AsRunEntry| entry.ended.clone().unwrap_or_default();
    let ends: Vec<_> = items.iter().map(|entry| how(entry)).collect();
    assert_eq!(ends, ["skipped", "interrupted", "cut", "cut", "cut"], "{}", shown());
    assert_eq!(items[0].by.as_deref(), Some("signal"));
    let titles: Vec<_> = items.iter().filter_map(|entry| entry.title.as_deref()).collect();
    assert_eq!(titles, ["a", "b", "b", "b", "b"]);
    assert!(items[2].resumed && items[2].estimated && !items[3].estimated, "{}", shown());
    let estimated = items[2].end.unwrap();
    assert!(estimated.0.abs_diff(killed.0) <= ESTIMATE, "{estimated} is not {killed}\n{}", shown());
    let cut = items[3].end.unwrap();
    assert!(cut <= stopped && stopped.millis_since(cut) < 15_000, "{cut} is not {stopped}\n{}", shown());
}
