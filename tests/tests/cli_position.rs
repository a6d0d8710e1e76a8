//! Where a restart resumes: shown by the pictures' own content, or by the items that go
//! on air.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tgs_e2e::{
    broadcast::{Broadcast, Launch},
    clips::{Clip, PLAIN, VIDEO, Video, clip},
    flvcheck::{Report, brightness},
    ingest::{Ingest, Record},
};

const LIMIT: Duration = Duration::from_mins(1);

/// The length of [`ramp`] in seconds.
const RAMP: f64 = 15.0;

/// A clip that grows from grey to white: each brightness is one moment of it. No slate is as bright
/// as its beginning.
fn ramp() -> PathBuf {
    let filters = ",drawbox=c=white:t=fill,fade=in:st=0:d=15:color=gray";
    let video = Video { size: (320, 180), filters, millis: 15_000, ..VIDEO };
    Clip { name: "ramp", video: Some(video), audio: None, ..PLAIN }.path().unwrap()
}

/// The moment of the ramp in s that looks like `luma`.
fn moment(luma: f64) -> f64 {
    const GREY: f64 = 126.0;
    const WHITE: f64 = 235.0;
    (luma - GREY) / (WHITE - GREY) * RAMP
}

/// The moments of the ramp that a connection began and ended with; a slate before it is not looked
/// at.
fn seen(record: &Record, dir: &Path) -> (f64, f64) {
    let path = dir.join("seen.flv");
    record.write_flv(&path).unwrap();
    Report::of_file(&path).unwrap().check(30.0, 44_100.0).unwrap();
    let pictures = brightness(&path).unwrap();
    let bright: Vec<f64> = pictures.into_iter().map(|(_, luma)| luma).filter(|luma| *luma > 115.0).collect();
    (moment(bright[0]), moment(*bright.last().unwrap()))
}

/// STATE_DIR and CACHE_DIR that several runs share, and a list file.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn launch(&self, output: &str) -> Launch {
        Launch::to(output).unwrap().keeping(self.0.path())
    }

    /// Items of these names, 2 s each.
    fn items(&self, names: &str) -> Vec<PathBuf> {
        let clip = clip("two", (320, 180), "30", 44_100, 2000);
        let item = |name| {
            let path = self.path(&format!("{name}.mp4"));
            clip.copy_to(&path).unwrap();
            path
        };
        names.split(' ').map(item).collect()
    }

    /// Changes how far the item that was left is said to have been played.
    fn set_offset(&self, millis: u64) {
        let file = self.path("state/position.json");
        let mut book: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        book["lists"][0]["offset_ms"] = millis.into();
        fs::write(&file, book.to_string()).unwrap();
    }
}

/// Makes an item 20 s long, so that a stop is within it.
fn lengthen(item: &Path) {
    clip("twenty", (320, 180), "30", 44_100, 20_000).copy_to(item).unwrap();
}

/// Waits until items (not the filler) have been on air for `seconds`.
fn wait_on_air(broadcast: &Broadcast, seconds: f64) {
    let items = || {
        let all = broadcast.metric("tgs_output_media_seconds_total").ok()?;
        Some(all - broadcast.metric("tgs_filler_seconds_total").ok()?)
    };
    broadcast.until("items on air", LIMIT, || items().filter(|s| *s >= seconds)).unwrap();
}

/// Broadcasts until items have been on air for `seconds`, and stops then.
fn stopped_after(seconds: f64, launch: Launch) -> Broadcast {
    let mut broadcast = launch.start().unwrap();
    wait_on_air(&broadcast, seconds);
    broadcast.stop().unwrap();
    broadcast
}

/// What the server saw of the ramp on each connection, all of which have ended.
fn all_seen(home: &Home, ingest: &Ingest) -> Vec<(f64, f64)> {
    ingest.wait_ended(Duration::from_secs(5)).unwrap();
    ingest.records().iter().map(|record| seen(record, home.0.path())).collect()
}

#[test]
fn a_stop_and_a_start_go_on_where_the_viewers_were() {
    let (home, ingest) = (Home::new(), Ingest::start().unwrap());
    let launch = || home.launch(&ingest.url("key")).play([ramp()]);
    stopped_after(3.6, launch());
    stopped_after(1.4, launch());
    stopped_after(1.4, launch().arg("--from-start"));
    // --from-start is where it is now.
    stopped_after(0.5, launch());
    let seen = all_seen(&home, &ingest);
    assert!(seen[0].0 < 0.3 && seen[0].1 > 3.0, "{seen:?}");
    assert!((seen[1].0 - seen[0].1).abs() < 0.5, "{seen:?}");
    assert!(seen[2].0 < 0.3, "{seen:?}");
    assert!((seen[3].0 - seen[2].1).abs() < 0.5, "{seen:?}");
}

#[test]
fn killed_it_goes_back_two_seconds_at_most() {
    let (home, ingest) = (Home::new(), Ingest::start().unwrap());
    let launch = || home.launch(&ingest.url("key")).play([ramp()]);
    for _ in 0..2 {
        let mut broadcast = launch().start().unwrap();
        wait_on_air(&broadcast, 4.3);
        broadcast.signal(Signal::KILL).unwrap();
        broadcast.wait(Duration::from_secs(5)).unwrap();
    }
    stopped_after(0.5, launch());
    let seen = all_seen(&home, &ingest);
    for (killed, next) in seen.iter().zip(&seen[1..]) {
        // The ramp's brightness gives the time to 0.15 s.
        assert!(next.0 > killed.1 - 2.15 && next.0 < killed.1 + 0.3, "{seen:?}");
    }
}

#[test]
fn a_shuffled_round_is_finished_after_a_restart() {
    let home = Home::new();
    let names = "a b c d e f g h";
    let items = home.items(names);
    let launch = || home.launch("out.flv").play(&items).set("SHUFFLE", "1").set("LOOP", "0");
    // In the fourth.
    let first = stopped_after(6.3, launch().arg("--realtime"));
    let second = launch().finish(LIMIT).unwrap();
    let (before, mut after) = (first.on_air(), second.on_air());
    assert_eq!(before.last(), Some(&after.remove(0)), "{before:?}, then {after:?}");
    let mut all = [before.clone(), after.clone()].concat();
    all.sort();
    assert_eq!(all.join(" "), names, "{before:?}, then {after:?}");
    // Played to its end, the next run is a round of its own.
    let third = launch().finish(LIMIT).unwrap();
    assert_eq!(third.on_air().len(), 8);
    assert!(!third.log().contains("resuming "), "{}", third.log());
}

#[test]
fn a_removed_item_is_replaced_by_its_follower() {
    let home = Home::new();
    lengthen(&home.items("a b c d")[1]);
    let list = home.path("list.txt");
    let launch = |entries: &str| {
        fs::write(&list, entries.replace(' ', ".mp4\n") + ".mp4\n").unwrap();
        home.launch("out.flv").arg("--playlist").arg(&list).set("LOOP", "0")
    };
    let first = stopped_after(2.4, launch("a b c d").arg("--realtime"));
    assert_eq!(first.on_air(), ["a", "b"]);
    let second = launch("d a c").finish(LIMIT).unwrap();
    assert_eq!(second.on_air(), ["c"]);
    assert!(second.log().contains("b.mp4 is no longer in the list"), "{}", second.log());
    assert_eq!(second.warnings(), [""; 0]);
}

#[test]
fn an_item_left_at_its_end_is_not_repeated() {
    let home = Home::new();
    let items = home.items("a b");
    lengthen(&items[0]);
    let launch = || home.launch("out.flv").play(&items).set("LOOP", "0");
    // Its length, a part of its last picture, and more than there is: the file was replaced by a
    // shorter one.
    for millis in [20_000, 19_985, 50_000] {
        stopped_after(0.5, launch().arg("--realtime"));
        home.set_offset(millis);
        let next = launch().finish(LIMIT).unwrap();
        assert_eq!(next.on_air(), ["b"], "left at {millis} ms");
        assert_eq!(next.warnings(), [""; 0], "left at {millis} ms");
    }
}

#[test]
fn a_position_that_cannot_be_read_is_a_warning_and_a_start_from_the_beginning() {
    let home = Home::new();
    let items = home.items("a b");
    fs::create_dir(home.path("state")).unwrap();
    let file = home.path("state/position.json");
    for broken in ["", "{\"version\":1,\"lists\":[{\"list\":", "\0\0\0\0"] {
        fs::write(&file, broken).unwrap();
        let launch = home.launch("out.flv").play(&items).set("LOOP", "0");
        let broadcast = launch.finish(LIMIT).unwrap();
        assert_eq!(broadcast.on_air(), ["a", "b"]);
        let warnings = broadcast.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains(file.to_str().unwrap()) && warnings[0].contains("beginning"),
            "{warnings:?}"
        );
        assert_eq!(fs::read_to_string(home.path("state/position.json.broken")).unwrap(), broken);
    }
}
