//! No process outlives the tool, however it ends; and it ends at once, whatever it was doing.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{os::unix::process::ExitStatusExt, time::Duration};

use rustix::process::Signal;
use tgs_e2e::{
    broadcast::{Broadcast, Launch, Process, until},
    clips::clip,
    ingest::{Ingest, Record, Setup, Welcome},
    nginx::free_port,
    web::{Page, Web},
};

const SECOND: Duration = Duration::from_secs(1);

/// A broadcast of a long item, and of one that its server never gives.
fn broadcast(url: &str, publisher: &str, hanging: &str) -> Broadcast {
    let long = clip("killed", (320, 180), "30", 44_100, 30_000).path().unwrap();
    let launch = Launch::to(url).unwrap().set("PUBLISHER", publisher).arg("--from-start");
    launch.play([long.as_os_str(), hanging.as_ref()]).start().unwrap()
}

fn hanging() -> (Web, String) {
    let web = Web::serve([("/hangs.mp4", Page::Hangs)]).unwrap();
    let url = web.url("/hangs.mp4");
    (web, url)
}

fn has_media(records: &[Record]) -> bool {
    records.iter().any(|r| r.media().count() > 30)
}

fn all_gone(processes: &[Process]) {
    until("the end of all children", 10 * SECOND, || processes.iter().all(|p| !p.runs()).then_some(()))
        .unwrap_or_else(|e| panic!("{e}: {processes:?}"));
}

#[test]
fn no_child_outlives_a_killed_tool() {
    let ingest = Ingest::start().unwrap();
    let (_web, hanging) = hanging();
    let mut broadcast = broadcast(&ingest.url("key"), "ffmpeg", &hanging);
    broadcast.wait_item("", 1, 60 * SECOND).unwrap();
    for kind in [Process::is_encoder, Process::is_sender, |p: &Process| {
        p.args.first().is_some_and(|name| name.ends_with("ffprobe"))
    }] {
        broadcast.wait_process(60 * SECOND, kind).unwrap();
    }
    let processes = broadcast.processes();
    broadcast.signal(Signal::KILL).unwrap();
    broadcast.wait(10 * SECOND).unwrap();
    all_gone(&processes);
}

/// Stops a broadcast that is in some state; fails where that takes over 3 s, is no success or
/// leaves a child.
fn stops(state: &str, mut broadcast: Broadcast, signal: Signal) {
    let processes = broadcast.processes();
    broadcast.signal(signal).unwrap();
    let status = broadcast.wait(3 * SECOND).unwrap_or_else(|e| panic!("{state}: {e:#}"));
    assert!(status.success(), "{state}: {status}\n{}", broadcast.log());
    all_gone(&processes);
}

#[test]
fn it_says_goodbye_and_ends_within_three_seconds() {
    let (_web, hanging) = hanging();
    for (publisher, signal) in [("native", Signal::TERM), ("ffmpeg", Signal::INT)] {
        let ingest = Ingest::start().unwrap();
        let broadcast = broadcast(&ingest.url("key"), publisher, &hanging);
        ingest.wait("media", 60 * SECOND, has_media).unwrap();
        stops(publisher, broadcast, signal);
        ingest.wait_ended(10 * SECOND).unwrap();
        let record = ingest.record().unwrap();
        let commands: Vec<String> = record.commands().into_iter().map(|(name, _)| name).collect();
        assert!(
            commands.ends_with(&["FCUnpublish".into(), "deleteStream".into()]),
            "{publisher}: {commands:?}"
        );
    }
}

#[test]
fn it_ends_in_time_whatever_it_was_doing() {
    let (_web, hanging) = hanging();
    let refused = format!("rtmp://127.0.0.1:{}/live/key", free_port().unwrap());
    let unreachable = broadcast(&refused, "native", &hanging);
    let silent = Ingest::start_with(Setup { welcome: Welcome::Silence, ..Setup::default() }).unwrap();
    let unanswered = broadcast(&silent.url("key"), "native", &hanging);
    let ingest = Ingest::start().unwrap();
    let waiting = Launch::to(ingest.url("key")).unwrap().play([&hanging]).start().unwrap();
    unreachable.wait_log(&["refuses connections"], 60 * SECOND).unwrap();
    stops("reconnecting", unreachable, Signal::TERM);
    silent.wait("a connection", 60 * SECOND, |records| !records.is_empty()).unwrap();
    stops("connecting", unanswered, Signal::TERM);
    waiting
        .wait_process(60 * SECOND, |p| p.args.first().is_some_and(|name| name.ends_with("ffprobe")))
        .unwrap();
    stops("probing", waiting, Signal::TERM);
    let stalled = broadcast(&ingest.url("key"), "native", &hanging);
    stalled.wait_item("", 1, 60 * SECOND).unwrap();
    stalled.wait_process(60 * SECOND, Process::is_encoder).unwrap().signal(Signal::STOP).unwrap();
    stops("encoder stopped", stalled, Signal::TERM);
    let starting = broadcast(&ingest.url("key"), "native", &hanging);
    starting.until("its first child", 60 * SECOND, || starting.processes().into_iter().next()).unwrap();
    stops("starting", starting, Signal::TERM);
    for publisher in ["native", "ffmpeg"] {
        let ingest = Ingest::start().unwrap();
        let unheard = broadcast(&ingest.url("key"), publisher, &hanging);
        ingest.wait("media", 60 * SECOND, has_media).unwrap();
        ingest.pause();
        stops("server reads no more", unheard, Signal::TERM);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (_web, hanging) = hanging();
    for _ in 0..5 {
        let ingest = Ingest::start().unwrap();
        let mut broadcast = broadcast(&ingest.url("key"), "native", &hanging);
        ingest.wait("media", 60 * SECOND, has_media).unwrap();
        // The goodbye waits a second for this server.
        ingest.pause();
        let processes = broadcast.processes();
        broadcast.signal(Signal::TERM).unwrap();
        broadcast.wait_log(&["stopping"], 10 * SECOND).unwrap();
        let _ = broadcast.signal(Signal::TERM);
        let status = broadcast.wait(10 * SECOND).unwrap();
        all_gone(&processes);
        if !status.success() {
            assert_eq!(status.signal(), Some(15), "{status}");
            return;
        }
    }
    panic!("the second signal came too late five times, or was ignored");
}
