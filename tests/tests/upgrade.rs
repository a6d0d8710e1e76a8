//! Upgrades of a running broadcast: the new program continues with the very next picture; one that
//! fails is dropped, and the old one goes on.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;
use tgs_control::{
    AsRunListing,
    method::{AsRunParams, Call},
};
use tgs_e2e::{
    bin_path::tgs_stream,
    broadcast::{Broadcast, Launch, Process},
    ingest::{Ingest, Record},
    numbered::film,
    telegram::Scene,
    upgrades::{breaks, connect, gaps, pictures, request, upgrade},
};

const LIMIT: Duration = Duration::from_mins(1);

/// Waits until the newest of `count` connections has brought so many messages of media.
fn until_media(ingest: &Ingest, count: usize, media: usize) {
    let enough = |records: &[Record]| records.len() == count && records[count - 1].media().count() >= media;
    ingest.wait("media", LIMIT, enough).unwrap();
}

/// Asserts that the connections show each picture once and in order, and never two of them at once.
/// Prints the times without media between them.
fn assert_seamless(records: &[Record], dir: &Path) {
    let mut seen = pictures(records, dir).unwrap();
    // A busy machine may show the filler, which has no number.
    seen.retain(|number| *number > 0);
    assert_in_order(&seen, records);
}

fn assert_in_order(seen: &[usize], records: &[Record]) {
    assert!(seen.last().is_some_and(|last| *last > 0), "no number was read");
    assert!(breaks(seen).is_empty(), "{:?} of {} pictures", breaks(seen), seen.len());
    println!("without media: {:?}", gaps(records).unwrap());
}

/// Asserts that the as-run log has neither gap nor overlap.
fn assert_log_whole(state: &Path) {
    let call = Call::AsRunList(AsRunParams::default());
    let listing: AsRunListing = connect(state).unwrap().get(&call).unwrap();
    for pair in listing.entries.windows(2) {
        assert_eq!(pair[0].end, Some(pair[1].start), "{:#?}", listing.entries);
    }
}

#[test]
fn two_upgrades_into_telegram_show_every_picture_once() {
    let dir = tempfile::tempdir().unwrap();
    let scene = Scene::new().unwrap();
    let state = scene.env_file().with_file_name("state");
    let launch = scene.launch().unwrap().play([film(dir.path(), 200).unwrap()]);
    let mut broadcast = launch.start().unwrap();
    broadcast.wait_item("numbered", 1, LIMIT).unwrap();
    until_media(&scene.ingest, 1, 100);
    let (first, _first_process) = upgrade(&state).unwrap_or_else(|e| panic!("{e:#}\n{}", broadcast.log()));
    assert!(broadcast.wait(LIMIT).unwrap().success(), "{}", broadcast.log());
    until_media(&scene.ingest, 2, 300);
    broadcast.wait_log_nth(&["signed in as Alice"], 2, LIMIT).unwrap();
    let (second, _second_process) = upgrade(&state).unwrap_or_else(|e| panic!("{e:#}\n{}", broadcast.log()));
    until_media(&scene.ingest, 3, 300);
    broadcast.wait_log_nth(&["signed in as Alice"], 3, LIMIT).unwrap();
    assert_seamless(&scene.ingest.records(), dir.path());
    println!("as reported: {:?}, {:?}", first.gap_seconds, second.gap_seconds);
    assert_log_whole(&state);
    assert_eq!(scene.dc.count("phone.createGroupCall"), 1);
    scene.no_secret_in_text("the log", &broadcast.log()).unwrap();
}

/// A program that speaks as a successor does and then acts.
fn pretender(path: &Path, acts: &str) {
    let text = format!(
        r#"#!/usr/bin/env python3
import json, os, socket, sys, time
channel = socket.socket(fileno=0)
lines = channel.makefile("r")
def say(**what): channel.sendall((json.dumps(what) + "\n").encode())
{acts}
"#
    );
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A broadcast that is started by a link, which leads to another program afterwards.
struct Linked {
    dir: TempDir,
    ingest: Ingest,
    broadcast: Broadcast,
}

/// What each pretender says first.
const HELLO: &str = "say(say='hello', protocol=1, version='9')\nlines.readline()\n";

impl Linked {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("tgs-stream");
        symlink(tgs_stream(), &link).unwrap();
        let ingest = Ingest::start().unwrap();
        let launch = Launch::of(&link).unwrap().keeping(dir.path()).arg("--output").arg(ingest.url("key"));
        let broadcast = launch.play([film(dir.path(), 200).unwrap()]).start().unwrap();
        broadcast.wait_item("numbered", 1, LIMIT).unwrap();
        until_media(&ingest, 1, 100);
        Self { dir, ingest, broadcast }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Lets the link lead to `program`.
    fn install(&self, program: &Path) {
        let link = self.dir.path().join("tgs-stream");
        fs::remove_file(&link).unwrap();
        symlink(program, &link).unwrap();
    }

    /// Asks for an upgrade to a program that acts like this, and returns the error.
    fn fail_with(&self, acts: &str) -> String {
        let other = self.dir.path().join("other");
        pretender(&other, acts);
        self.install(&other);
        request(&mut connect(&self.state()).unwrap()).unwrap_err().to_string()
    }
}

#[test]
fn a_new_program_that_fails_is_dropped_and_the_old_one_goes_on() {
    let linked = Linked::start();
    for (acts, words) in [
        ("sys.exit(78)", "did not start, and the old one goes on: it has ended (exit status: 78)"),
        ("say(say='hello', protocol=2, version='9')\ntime.sleep(99)", "version 9 hands over by protocol 2"),
        (&format!("{HELLO}os.abort()"), "did not get ready"),
        (&format!("{HELLO}say(say='refuses', why='no font')\ntime.sleep(99)"), "no font"),
        (&format!("{HELLO}time.sleep(99)"), "it did not answer in time"),
    ] {
        let error = linked.fail_with(acts);
        assert!(error.contains(words) && error.contains("the old one goes on"), "{error}");
        assert_eq!(linked.ingest.records().len(), 1, "{words}");
    }
}

#[test]
fn a_death_of_either_program_is_survived_by_one() {
    let mut linked = Linked::start();
    // This one dies once the old one has left the air: that comes back with the same picture.
    let error = linked.fail_with(&format!("{HELLO}say(say='ready')\nlines.readline()"));
    assert!(error.contains("did not publish"), "{error}");
    until_media(&linked.ingest, 2, 300);
    // The old process is killed while the new one gets ready, which then ends as well.
    linked.install(tgs_stream());
    let mut client = connect(&linked.state()).unwrap();
    let asking = std::thread::spawn(move || request(&mut client).is_err());
    let named = |process: &Process| process.args.first().is_some_and(|arg| arg.ends_with("/tgs-stream"));
    let successor = linked.broadcast.wait_process(LIMIT, named).unwrap();
    linked.broadcast.signal(Signal::KILL).unwrap();
    linked.broadcast.wait(LIMIT).unwrap();
    let end = Instant::now() + LIMIT;
    while successor.runs() {
        assert!(Instant::now() < end, "the successor goes on alone");
        std::thread::yield_now();
    }
    assert!(asking.join().unwrap());
    let records = linked.ingest.records();
    assert_eq!(records.len(), 2);
    // The old one starts its encoder anew; until it is ready, there is filler, which has no number.
    let mut seen = pictures(&records, linked.dir.path()).unwrap();
    seen.retain(|number| *number > 0);
    assert_in_order(&seen, &records);
}
