//! What an operator asks of the running `tgs-stream` by signals: the list is read again, the next
//! item comes. What each command does to the picture is shown frame by frame in
//! `crates/tgs-playout/tests/commands.rs`.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{fs, path::Path, time::Duration};

use rustix::process::Signal;
use tgs_control::{OnAir, Status};
use tgs_e2e::{
    broadcast::{Broadcast, Launch},
    clips::clip,
    flvcheck::Report,
    ingest::Ingest,
};

const SECOND: Duration = Duration::from_secs(1);

/// A playlist of these files in `dir`, 20 s each.
fn list(dir: &Path, names: &[&str]) {
    for name in names {
        let path = dir.join(format!("{name}.mp4"));
        if !path.exists() {
            clip("twenty", (320, 180), "30", 44_100, 20_000).copy_to(&path).unwrap();
        }
    }
    let lines: Vec<String> = names.iter().map(|name| format!("{name}.mp4")).collect();
    fs::write(dir.join("new"), lines.join("\n")).unwrap();
    fs::rename(dir.join("new"), dir.join("list.txt")).unwrap();
}

fn start(url: &str, dir: &Path) -> Broadcast {
    let broadcast = Launch::to(url).unwrap().arg("--playlist").arg(dir.join("list.txt")).start().unwrap();
    broadcast.wait_item("", 1, 30 * SECOND).unwrap();
    broadcast
}

/// Sends SIGUSR1 and answers what comes on air then.
fn next(broadcast: &Broadcast) -> String {
    let shown = broadcast.on_air().len();
    broadcast.signal(Signal::USR1).unwrap();
    broadcast.until("the next item", 30 * SECOND, || broadcast.on_air().get(shown).cloned()).unwrap()
}

#[test]
fn signals_lead_to_the_next_item_and_to_the_list_as_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    list(dir.path(), &["a", "b", "c"]);
    let ingest = Ingest::start().unwrap();
    let mut broadcast = start(&ingest.url("key"), dir.path());
    assert_eq!(next(&broadcast), "b");
    // The end of "c" has not been encoded yet: what follows it is the list's as it is then.
    list(dir.path(), &["a", "b", "c", "d"]);
    broadcast.signal(Signal::HUP).unwrap();
    broadcast.wait_log(&["list.txt was edited: 4 entries"], 10 * SECOND).unwrap();
    broadcast.signal(Signal::HUP).unwrap();
    assert_eq!(next(&broadcast), "c");
    assert_eq!(next(&broadcast), "d");
    let shows = |status: &Status| {
        matches!(&status.engine.on_air, OnAir::Item(item) if item.title == "d") && !status.engine.paused
    };
    broadcast.until("d in /status", 10 * SECOND, || broadcast.status().ok().filter(shows)).unwrap();
    assert_eq!(broadcast.metric("streams_played_total").unwrap() as u64, 4);
    broadcast.stop().unwrap();
    assert_eq!(broadcast.warnings_but_filler(), [""; 0]);
    assert_eq!(broadcast.log().matches("was edited").count(), 1, "{}", broadcast.log());
    ingest.wait_ended(5 * SECOND).unwrap();
    let tags: Vec<_> = ingest.record().unwrap().tags().collect();
    Report::of_tags(&tags).check(30.0, 44_100.0).unwrap();
}

#[test]
fn a_command_during_an_outage_is_obeyed_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    list(dir.path(), &["a", "b"]);
    let mut ingest = Ingest::start().unwrap();
    let mut broadcast = start(&ingest.url("key"), dir.path());
    ingest.refuse();
    ingest.reset();
    broadcast.wait_log(&["cannot publish to"], 10 * SECOND).unwrap();
    broadcast.signal(Signal::USR1).unwrap();
    broadcast.wait_log(&["command: next"], 10 * SECOND).unwrap();
    ingest.listen().unwrap();
    broadcast.wait_item("b", 1, 40 * SECOND).unwrap();
    broadcast.stop().unwrap();
    ingest.wait_ended(5 * SECOND).unwrap();
    let records = ingest.records();
    Report::of_tags(&records.last().unwrap().tags().collect::<Vec<_>>()).check(30.0, 44_100.0).unwrap();
    assert!(!broadcast.log().contains("cut short"), "{}", broadcast.log());
}
