//! `tgs-ytdlp-update` with real releases of yt-dlp: updates, ways back, and what it says of
//! everything that can go wrong. There is no network in it: the index is a folder of wheels.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tgs_e2e::{
    tools::YT_DLP_VERSIONS,
    web::{Page, Web},
    yt_dlp_place::{Place, Ran},
};

const OLD: &str = YT_DLP_VERSIONS[0];
const NEW: &str = YT_DLP_VERSIONS[1];

fn page() -> Page {
    Page::Whole(b"<html><body><video src=\"/film.mp4\"></video></body></html>".to_vec())
}

#[track_caller]
fn ended(ran: &Ran, code: i32, result: &str) {
    assert_eq!(ran.code, Some(code), "{}", ran.log);
    assert!(
        ran.result().starts_with(result),
        "{result:?} is not what {:?} begins with in\n{}",
        ran.result(),
        ran.log
    );
}

fn status(place: &Place) -> Value {
    serde_json::from_str(&place.run(&["--status", "--json"]).unwrap().stdout).unwrap()
}

#[test]
fn the_newest_comes_into_place_and_the_one_before_can_come_back() {
    let place = Place::with(&[OLD]).unwrap();
    let first = place.run(&[]).unwrap();
    ended(&first, 0, &format!("installed {OLD}"));
    assert!(first.log.contains(" WARN  there is no deno for this machine"), "{}", first.log);
    assert_eq!(place.version().unwrap(), "2026.07.04");
    ended(&place.run(&["--rollback"]).unwrap(), 1, "FAILED to roll back: there is no version before");

    place.offer(&format!("yt_dlp-{NEW}-")).unwrap();
    place.offer("deno-").unwrap();
    let check = place.run(&["--check"]).unwrap();
    assert_eq!(
        (check.code, &*check.stdout),
        (Some(0), &*format!("would be: updated {OLD} -> {NEW}\n")),
        "{}",
        check.log
    );
    assert_eq!(place.versions().unwrap(), [OLD], "--check changes nothing");

    // A canary that is not there is no fault of the new version.
    let update = place.run(&["--canary", "http://127.0.0.1:9/"]).unwrap();
    ended(&update, 0, &format!("updated {OLD} -> {NEW}"));
    for part in [
        "works; JavaScript: deno-",
        "the canary http://127.0.0.1:9/ works with neither version",
        "pip: Successfully",
    ] {
        assert!(update.log.contains(part), "{part:?} is not in\n{}", update.log);
    }
    assert!(update.log.lines().all(|line| line.starts_with("20")), "a time on each line of\n{}", update.log);
    assert_eq!(place.version().unwrap(), "2026.08.19");
    ended(&place.run(&[]).unwrap(), 0, &format!("already newest, {NEW}"));
    let now = status(&place);
    assert_eq!(
        (&now["current"]["version"], &now["previous"]["version"]),
        (&NEW.into(), &OLD.into()),
        "{now}"
    );
    assert!(now["last_success"].as_u64().unwrap() > 1_700_000_000 && now["rolled_back"].is_null(), "{now}");

    ended(&place.run(&["--rollback"]).unwrap(), 0, &format!("rolled back {NEW} -> {OLD}"));
    assert_eq!(place.version().unwrap(), "2026.07.04");
    ended(&place.run(&[]).unwrap(), 0, &format!("still {OLD}: {NEW} is the newest, but was rolled back"));
    assert!(place.run(&["--status"]).unwrap().stdout.contains(&format!("rolled back     {NEW};")));
    ended(&place.run(&["--rollback"]).unwrap(), 0, &format!("rolled back {OLD} -> {NEW}"));
    assert_eq!(place.version().unwrap(), "2026.08.19");
}

#[test]
fn a_failed_update_names_the_cause_and_keeps_the_version() {
    let place = Place::with(&[OLD, NEW]).unwrap();
    ended(&place.run(&[]).unwrap(), 0, &format!("installed {NEW}"));
    let fails = |args: &[&str], class: &str| {
        let ran = place.run(args).unwrap();
        ended(&ran, 1, "FAILED to ");
        assert!(ran.result().contains(class), "{class:?} is not in {}", ran.result());
        assert!(ran.result().ends_with(&format!("; still {NEW}, which works")), "{}", ran.result());
        assert_eq!(place.version().unwrap(), "2026.08.19");
        assert_eq!(place.versions().unwrap(), [NEW]);
        ran
    };
    let quick = |version: &str, old: &str, new: &str, class: &str| {
        place.forge(version, "METADATA", old, new).unwrap();
        fails(&[], class);
        place.withdraw(version).unwrap();
    };
    let before = status(&place)["last_success"].clone();

    // pip alone would install the old version when the newest is unavailable.
    place.withdraw(NEW).unwrap();
    let certifi = ("Requires-Dist: certifi;", "Requires-Dist: certifi>=2099;");
    quick(
        "2026.9.1",
        certifi.0,
        certifi.1,
        &format!(
            "silent downgrade: No matching distribution found for certifi>=2099; extra == \"default\"; pip left to itself would install {OLD}, lower than {NEW}"
        ),
    );
    quick("2026.9.2", "Requires-Python: >=3.10", "Requires-Python: >=4", "Python too old: ");
    place.offer(&format!("yt_dlp-{NEW}-")).unwrap();
    quick("2026.9.3", certifi.0, certifi.1, "a package that it needs is not available: No matching");

    let unreachable = ["--index-url", "http://127.0.0.1:9/simple"];
    let ran: Ran = place.bare().args(unreachable).output().unwrap().into();
    ended(&ran, 1, "FAILED to reach the package index, no network: ");

    // The holder of the lock names itself.
    let mut held = File::create(place.root().join("lock")).unwrap();
    held.lock().unwrap();
    let pid = std::process::id();
    writeln!(held, "{pid} tgs-ytdlp-update").unwrap();
    let busy = place.run(&[]).unwrap();
    ended(&busy, 75, "FAILED to lock ");
    assert!(busy.result().ends_with(&format!("another update runs (pid {pid})")), "{}", busy.result());
    drop(held);

    // The release that is good for nothing, though it knows its version.
    let extract = "    def _real_extract(self, url):\n        if url.startswith('//'):";
    let broken = "    def _real_extract(self, url):\n        raise ExtractorError('out of order')\n        if url.startswith('//'):";
    place.forge("2026.9.4", "yt_dlp/extractor/generic.py", extract, broken).unwrap();
    stopped_by_a_signal(&place);
    let path = Path::new("/nonexistent");
    let no_python: Ran = place.command(&[]).env("PATH", path).output().unwrap().into();
    ended(&no_python, 1, "FAILED to start python3: ");
    let ran = fails(
        &[],
        "trust yt-dlp 2026.9.4, broken release: it does not extract from a page on this machine: ",
    );
    assert!(ran.result().contains("out of order"), "{}", ran.result());
    assert_eq!(status(&place)["last_success"], before, "a failure is no success");
}

#[test]
fn an_update_must_open_the_first_page_of_the_playlist() {
    let place = Place::with(&[OLD]).unwrap();
    ended(&place.run(&[]).unwrap(), 0, &format!("installed {OLD}"));
    let web = Web::serve([("/watch", page())]).unwrap();
    let extract = "    def _real_extract(self, url):\n        if url.startswith('//'):";
    let changed = "    def _real_extract(self, url):\n        if '/watch' in url:\n            raise ExtractorError('no such \
                   player')\n        if url.startswith('//'):";
    place.forge("2026.9.5", "yt_dlp/extractor/generic.py", extract, changed).unwrap();
    let list = place.index().join("list.txt");
    fs::write(&list, format!("film.mp4\n{}\n", web.url("/watch"))).unwrap();
    let env = place.index().join("env");
    fs::write(&env, format!("PLAYLIST={}\nSTATE_DIR=/s\nCACHE_DIR=/c\n", list.display())).unwrap();
    let ran = place.run(&["--env-file", env.to_str().unwrap()]).unwrap();
    ended(&ran, 1, "FAILED to trust yt-dlp 2026.9.5, broken release: it does not extract ");
    assert!(
        ran.result().contains(&web.url("/watch")) && ran.result().contains("no such player"),
        "{}",
        ran.result()
    );
    assert_eq!(place.version().unwrap(), "2026.07.04");
}

/// SIGTERM, as systemd sends it, ends a run in order.
fn stopped_by_a_signal(place: &Place) {
    let mut tool = place.command(&[]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tool.stderr.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.contains("the newest yt-dlp is")).unwrap();
    kill_process(Pid::from_child(&tool), Signal::TERM).unwrap();
    let last = lines.last().unwrap();
    assert!(
        last.ends_with("RESULT: FAILED to finish: stopped by a signal; what was in place still is"),
        "{last}"
    );
    assert_eq!(tool.wait().unwrap().code(), Some(1));
}
