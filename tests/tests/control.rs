//! A running broadcast is steered over its control socket by those who may, and no client harms it.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use tgs_control::{
    AsRunKind, AsRunListing, BroadcastStatus, ControlClient, EntryState, OnAir, PlaylistPage, QueueListing,
    method::{
        AsRunParams, Call, EventKind, GotoParams, LogLines, LogTailParams, NoParams, PlaylistListParams,
        QueueAddParams, QueueEntryParams, QueueMoveParams, Queued, SeekParams, StopParams, SubscribeParams,
        TitleParams,
    },
};
use tgs_e2e::{
    broadcast::{Broadcast, Launch},
    clips::clip,
    flvcheck::Report,
    ingest::Ingest,
};

const SECOND: Duration = Duration::from_secs(1);

/// A list of three clips, 20 s each.
fn list(dir: &Path) -> PathBuf {
    for name in ["a", "b", "c"] {
        clip("twenty", (320, 180), "30", 44_100, 20_000).copy_to(&dir.join(format!("{name}.mp4"))).unwrap();
    }
    fs::write(dir.join("list.txt"), "a.mp4\nb.mp4\nc.mp4\n").unwrap();
    dir.join("list.txt")
}

fn launch(dir: &Path, ingest: &Ingest) -> Launch {
    Launch::to(ingest.url("key")).unwrap().arg("--playlist").arg(list(dir)).keeping(dir)
}

fn client(broadcast: &Broadcast, dir: &Path) -> ControlClient {
    broadcast.wait_log(&["control socket: "], 30 * SECOND).unwrap();
    ControlClient::connect(&dir.join("state/control.sock"), "test").unwrap()
}

fn status(client: &mut ControlClient) -> BroadcastStatus {
    client.get(&Call::Status(NoParams {})).unwrap()
}

/// Waits until the status is as `such` says.
fn until(broadcast: &Broadcast, client: &mut ControlClient, such: impl Fn(&BroadcastStatus) -> bool) {
    let mut last = String::new();
    let waited = broadcast.until("the status", 30 * SECOND, || {
        let now = status(client);
        last = format!("{now:?}");
        such(&now).then_some(())
    });
    assert!(waited.is_ok(), "{last}\n{}", broadcast.log());
}

fn plays(title: &str) -> impl Fn(&BroadcastStatus) -> bool {
    move |now| matches!(&now.status.engine.on_air, OnAir::Item(item) if item.title == title)
}

#[test]
fn an_operator_steers_the_broadcast_without_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let ingest = Ingest::start().unwrap();
    let mut broadcast = launch(dir.path(), &ingest).start().unwrap();
    let mut client = client(&broadcast, dir.path());
    until(&broadcast, &mut client, plays("a"));

    client.call(&Call::Next(NoParams {})).unwrap();
    until(&broadcast, &mut client, plays("b"));
    client.call(&Call::Seek(SeekParams { to: Some(12.0), by: None })).unwrap();
    until(
        &broadcast,
        &mut client,
        |now| matches!(&now.status.engine.on_air, OnAir::Item(item) if item.offset_seconds >= 12.0),
    );
    client.call(&Call::TitleSet(TitleParams { text: "Night".into() })).unwrap();
    client.call(&Call::Pause(NoParams {})).unwrap();
    until(&broadcast, &mut client, |now| {
        matches!(now.status.engine.on_air, OnAir::Filler { .. }) && now.pause_ends.is_some()
    });
    assert_eq!(status(&mut client).status.engine.title.as_deref(), Some("Night"));
    client.call(&Call::Resume(NoParams {})).unwrap();
    until(&broadcast, &mut client, plays("b"));
    client.call(&Call::Previous(NoParams {})).unwrap();
    until(&broadcast, &mut client, plays("a"));

    let log: LogLines = client.get(&Call::LogTail(LogTailParams { lines: 100 })).unwrap();
    assert!(log.lines.iter().any(|line| line.contains("previous") && line.contains("(stated: test)")));
    broadcast.stop().unwrap();
    assert_eq!(broadcast.warnings_but_filler(), [""; 0]);
    assert!(!dir.path().join("state/control.sock").exists());
    ingest.wait_ended(5 * SECOND).unwrap();
    let tags: Vec<_> = ingest.record().unwrap().tags().collect();
    Report::of_tags(&tags).check(30.0, 44_100.0).unwrap();
}

#[test]
fn a_stopped_broadcast_stays_stopped_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let ingest = Ingest::start().unwrap();
    let mut broadcast = launch(dir.path(), &ingest).start().unwrap();
    let mut first = client(&broadcast, dir.path());
    until(&broadcast, &mut first, plays("a"));
    first.call(&Call::Stop(StopParams { after_current: false })).unwrap();
    ingest.wait_ended(10 * SECOND).unwrap();
    assert!(ingest.record().unwrap().commands().iter().any(|(name, _)| name == "deleteStream"));
    until(&broadcast, &mut first, |now| {
        now.stopped && now.unhealthy.is_none() && now.status.engine.on_air == OnAir::Stopped
    });
    assert_eq!(broadcast.get("/healthz").unwrap(), (200, "stopped\n".to_owned()));
    broadcast.stop().unwrap();

    let mut broadcast = launch(dir.path(), &ingest).start().unwrap();
    let mut second = client(&broadcast, dir.path());
    broadcast.wait_log(&["the broadcast is stopped since an operator stopped it"], 10 * SECOND).unwrap();
    assert!(status(&mut second).stopped);
    assert_eq!(ingest.records().len(), 1);
    second.call(&Call::Start(NoParams {})).unwrap();
    until(&broadcast, &mut second, plays("a"));
    assert_eq!(broadcast.get("/healthz").unwrap().0, 200);
    broadcast.stop().unwrap();
    ingest.wait_ended(5 * SECOND).unwrap();
    assert_eq!(ingest.records().len(), 2);
}

#[test]
fn only_members_of_the_group_get_in() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = dir.path().join("c.sock");
    let ingest = Ingest::start().unwrap();
    let mut broadcast = launch(dir.path(), &ingest).set("CONTROL_SOCKET", &socket).start().unwrap();
    broadcast.wait_log(&["control socket: "], 30 * SECOND).unwrap();
    let group = fs::metadata(&socket).map(|found| std::os::unix::fs::MetadataExt::gid(&found)).unwrap();
    // Perl is part of every Debian, and readable by every user.
    let connect = "my $s = IO::Socket::UNIX->new(shift) or die $!; print $s->getline";
    let as_user = |group: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "12345", "--regid", group, "--clear-groups"]);
        command.args(["/usr/bin/perl", "-MIO::Socket::UNIX", "-e", connect]).arg(&socket).output().unwrap()
    };
    let stranger = as_user("12345");
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("Permission denied"), "{stranger:?}");
    let member = as_user(&group.to_string());
    assert!(String::from_utf8_lossy(&member.stdout).contains("tgs-stream"), "{member:?}");
    broadcast.stop().unwrap();
}

#[test]
fn the_queue_and_the_list_are_steered_and_the_queue_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let ingest = Ingest::start().unwrap();
    let mut broadcast = launch(dir.path(), &ingest).start().unwrap();
    let mut first = client(&broadcast, dir.path());
    until(&broadcast, &mut first, plays("a"));
    let list: PlaylistPage = first.get(&Call::PlaylistList(PlaylistListParams::default())).unwrap();
    let shown: Vec<_> = list.entries.iter().map(|entry| (&*entry.title, entry.state)).collect();
    assert_eq!(shown, [("a", EntryState::Current), ("b", EntryState::Next), ("c", EntryState::Later)]);

    let mut add = |source: &str, position: Option<usize>| {
        let added: Queued = first
            .get(&Call::QueueAdd(QueueAddParams { source: source.into(), position, below: None }))
            .unwrap();
        added.id
    };
    let (b, c) = (add("b.mp4", None), add("c.mp4", Some(0)));
    let titles = |client: &mut ControlClient| {
        let listing: QueueListing = client.get(&Call::QueueList(NoParams {})).unwrap();
        listing.entries.into_iter().map(|entry| entry.title).collect::<Vec<_>>()
    };
    assert_eq!(titles(&mut first), ["c", "b"]);
    first.call(&Call::QueueMove(QueueMoveParams { id: b, position: 0 })).unwrap();
    assert_eq!(titles(&mut first), ["b", "c"]);
    let refused = first.call(&Call::QueueRemove(QueueEntryParams { id: c + 7 })).unwrap_err().to_string();
    assert!(refused.contains("has no entry"), "{refused}");
    assert_eq!(status(&mut first).queue_length, 2);
    // Long enough for the position to be saved.
    until(
        &broadcast,
        &mut first,
        |now| matches!(&now.status.engine.on_air, OnAir::Item(item) if item.offset_seconds >= 3.0),
    );
    broadcast.signal(rustix::process::Signal::KILL).unwrap();
    broadcast.wait(10 * SECOND).unwrap();

    let mut broadcast = launch(dir.path(), &ingest).start().unwrap();
    let mut second = client(&broadcast, dir.path());
    assert_eq!(titles(&mut second), ["b", "c"]);
    until(&broadcast, &mut second, plays("a"));
    second.call(&Call::Next(NoParams {})).unwrap();
    until(&broadcast, &mut second, plays("b"));
    second.call(&Call::QueueClear(NoParams {})).unwrap();
    let third = GotoParams { index: Some(2), id: None };
    second.call(&Call::Goto(third)).unwrap();
    until(&broadcast, &mut second, plays("c"));
    until(&broadcast, &mut second, |now| now.queue_length == 0);
    let beyond = GotoParams { index: Some(3), id: None };
    let refused = second.call(&Call::Goto(beyond)).unwrap_err().to_string();
    assert!(refused.contains("it has 3, counted from 0"), "{refused}");
    broadcast.stop().unwrap();
}

#[test]
fn events_the_as_run_log_and_a_monitor_show_what_is_on_air() {
    let dir = tempfile::tempdir().unwrap();
    let ingest = Ingest::start().unwrap();
    let mut broadcast = launch(dir.path(), &ingest).start().unwrap();
    let mut operator = client(&broadcast, dir.path());
    until(&broadcast, &mut operator, plays("a"));
    let mut watcher = client(&broadcast, dir.path());
    watcher
        .call(&Call::Subscribe(SubscribeParams { events: vec![EventKind::Item, EventKind::State] }))
        .unwrap();
    operator.call(&Call::Next(NoParams {})).unwrap();
    let mut events = Vec::new();
    while events.len() < 2 {
        let (method, event) = watcher.notification().unwrap();
        assert_eq!(method, "event");
        // The status may show an item before its event is sent.
        if events.is_empty() && event["event"] == "item_began" && event["item"]["title"] == "a" {
            continue;
        }
        events.push(event);
    }
    assert_eq!((&events[0]["event"], &events[0]["item"]["title"]), (&json!("item_ended"), &json!("a")));
    assert_eq!(events[0]["how"]["by"]["client"], json!("test"), "{events:?}");
    assert_eq!((&events[1]["event"], &events[1]["item"]["title"]), (&json!("item_began"), &json!("b")));

    // Its entry is written beside the event.
    let ended = || {
        let log: AsRunListing = operator.get(&Call::AsRunList(AsRunParams::default())).unwrap();
        log.entries.into_iter().find(|entry| entry.title.as_deref() == Some("a") && entry.ended.is_some())
    };
    let skipped = broadcast.until("the end of a in the as-run log", 30 * SECOND, ended).unwrap();
    assert_eq!(skipped.ended.as_deref(), Some("skipped"), "{skipped:?}");
    assert!(skipped.by.as_deref().is_some_and(|by| by.ends_with("(stated: test)")), "{skipped:?}");

    // Three seconds of the monitor play, from a keyframe on, while the broadcast goes on.
    let mut monitor = client(&broadcast, dir.path());
    monitor.call(&Call::Monitor(NoParams {})).unwrap();
    let (mut flv, mut stream) = monitor.into_stream();
    stream.set_read_timeout(Some(10 * SECOND)).unwrap();
    while flv.len() < 200_000 {
        let mut some = [0; 16 << 10];
        let count = stream.read(&mut some).unwrap();
        assert!(count > 0, "the monitor ended");
        flv.extend_from_slice(&some[..count]);
    }
    drop(stream);
    let file = dir.path().join("monitor.flv");
    fs::write(&file, flv).unwrap();
    let report = Report::of_file(&file).unwrap();
    report.check(30.0, 44_100.0).unwrap();
    until(&broadcast, &mut operator, |now| matches!(now.status.engine.on_air, OnAir::Item(_)));
    broadcast.stop().unwrap();
    ingest.wait_ended(5 * SECOND).unwrap();
    let tags: Vec<_> = ingest.record().unwrap().tags().collect();
    Report::of_tags(&tags).check(30.0, 44_100.0).unwrap();
}

/// Whether `actual` has all that `expected` has, of the same types.
fn fits(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            expected.iter().all(|(name, value)| actual.get(name).is_some_and(|actual| fits(value, actual)))
        }
        (Value::Array(expected), Value::Array(actual)) => match (expected.first(), actual.first()) {
            (Some(expected), Some(actual)) => fits(expected, actual),
            (expected, _) => expected.is_none(),
        },
        _ => std::mem::discriminant(expected) == std::mem::discriminant(actual),
    }
}

/// Waits until the newest entry of the as-run log is an item. One of the filler, which is shown
/// before it on a busy machine, has no title.
fn until_item_is_logged(broadcast: &Broadcast, client: &mut ControlClient) {
    let newest = Call::AsRunList(AsRunParams { since: None, limit: 1 });
    let item = || {
        let log: AsRunListing = client.get(&newest).unwrap();
        log.entries.last().filter(|entry| entry.kind == AsRunKind::Item).map(|_| ())
    };
    broadcast.until("the item in the as-run log", 30 * SECOND, item).unwrap();
    // Who reads the log has given back its turn when the next request is answered.
    status(client);
}

#[test]
fn each_example_of_the_reference_is_answered_as_it_says() {
    let page = fs::read_to_string(tgs_e2e::bin_path::workspace().join("docs/reference/control.md")).unwrap();
    let methods = page.split_once("## Methods").unwrap().1;
    let requests = methods.lines().filter_map(|line| line.strip_prefix("--> "));
    let answers =
        methods.lines().filter_map(|line| line.strip_prefix("<-- ")).filter(|line| line.contains("result"));
    let examples: Vec<_> = requests.zip(answers).collect();
    assert_eq!(examples.len(), Call::METHODS.len());

    let dir = tempfile::tempdir().unwrap();
    let ingest = Ingest::start().unwrap();
    // The timetable of the examples, so that its version is theirs.
    let timetable = dir.path().join("timetable.toml");
    let shown = examples.iter().find(|(request, _)| request.contains("schedule.get")).unwrap().1;
    let shown: Value = serde_json::from_str(shown).unwrap();
    fs::write(&timetable, shown["result"]["text"].as_str().unwrap()).unwrap();
    let launch = launch(dir.path(), &ingest).set("SCHEDULE", timetable);
    // The output of the examples; nothing listens there.
    let launch = launch.set("ALSO_OUTPUT_URLS", "youtube=rtmp://127.0.0.1:9/live/key");
    let mut broadcast = launch.start().unwrap();
    let mut own = client(&broadcast, dir.path());
    let stream = UnixStream::connect(dir.path().join("state/control.sock")).unwrap();
    stream.set_read_timeout(Some(30 * SECOND)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let greeting: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let said = page.lines().find_map(|line| line.strip_prefix("<-- ")).unwrap();
    assert!(fits(&serde_json::from_str(said).unwrap(), &greeting), "{greeting}");
    for (request, answer) in examples {
        if request.contains("\"upgrade\"") {
            // It ends the process; see `upgrade.rs`.
            continue;
        }
        // What the command means is on air.
        let stopped = status(&mut own).stopped;
        if !stopped {
            until(&broadcast, &mut own, |now| {
                matches!(now.status.engine.on_air, OnAir::Item(_)) || now.status.engine.paused
            });
        }
        if request.contains("asrun.list") {
            until_item_is_logged(&broadcast, &mut own);
        }
        (&stream).write_all(format!("{request}\n").as_bytes()).unwrap();
        let expected: Value = serde_json::from_str(answer).unwrap();
        let actual = loop {
            let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            if line.get("id").is_some() {
                break line;
            }
        };
        if request.contains("\"live.") {
            // They need a publisher; see `live.rs`.
            assert!(actual["error"]["message"].as_str().unwrap().contains("LIVE_INPUT"), "{actual}");
            continue;
        }
        if request.contains("\"handover\"") {
            // It needs another host; see `hot_standby.rs`.
            assert!(actual["error"]["message"].as_str().unwrap().contains("HA_ENDPOINTS"), "{actual}");
            continue;
        }
        if request.contains("\"record.") {
            // They need recordings; see `recording.rs`.
            assert!(actual["error"]["message"].as_str().unwrap().contains("RECORD_DIR"), "{actual}");
            continue;
        }
        assert!(fits(&expected, &actual), "{request}\nis answered by\n{actual}\n{}", broadcast.log());
    }
    broadcast.stop().unwrap();
}

/// The resident memory of the broadcast, in KiB.
fn resident(broadcast: &Broadcast) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", broadcast.pid())).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A line that the control socket must refuse; eight kinds in turn.
fn nonsense(number: u32) -> String {
    match number % 8 {
        0 => format!("{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"no-{number}\"}}"),
        1 => "[".repeat(5000),
        2 => {
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"seek\",\"params\":{{\"to\":1e999}}}}")
        }
        3 => "\u{0}\u{1}\u{7f}".to_owned(),
        4 => format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"goto\",\"params\":{{\"index\":-{number}}}}}"
        ),
        5 if number % 80 == 5 => {
            format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{}\"}}", "x".repeat(60_000))
        }
        5 => "null".to_owned(),
        6 => format!("{{\"jsonrpc\":\"1.0\",\"id\":{number},\"method\":\"next\"}}"),
        _ => format!("{{\"jsonrpc\":\"2.0\",\"id\":{{}},\"method\":\"stop\",\"params\":[{number}]}}"),
    }
}

#[test]
fn hostile_clients_change_nothing_on_air() {
    let dir = tempfile::tempdir().unwrap();
    let ingest = Ingest::start().unwrap();
    let mut broadcast = launch(dir.path(), &ingest).start().unwrap();
    let mut operator = client(&broadcast, dir.path());
    until(&broadcast, &mut operator, plays("a"));
    let before = resident(&broadcast);
    let socket = dir.path().join("state/control.sock");
    let connect = || UnixStream::connect(&socket).unwrap();

    // 10,000 lines, each of its own kind of nonsense; every one is answered.
    let stream = connect();
    stream.set_read_timeout(Some(30 * SECOND)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let lines = std::thread::spawn(move || {
        for number in 0..10_000 {
            let line = nonsense(number);
            writer.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
    });
    let answers = BufReader::new(stream).lines().skip(1).take(10_000);
    let errors = answers.filter(|line| {
        let answer: Value = serde_json::from_str(line.as_ref().unwrap()).unwrap();
        answer["error"]["code"].is_i64()
    });
    assert_eq!(errors.count(), 10_000);
    lines.join().unwrap();

    // 200 at once: some half-open, some slow, some that never read.
    let mut crowd: Vec<_> = (0..200).map(|_| connect()).collect();
    for (number, client) in crowd.iter_mut().enumerate() {
        let _ = match number % 3 {
            0 => client.write_all(b"{\"jsonrpc\":"),
            1 => (0..50).try_for_each(|_| {
                client.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n")
            }),
            _ => Ok(()),
        };
    }
    // A message without an end is refused, and its connection closed.
    let mut endless = connect();
    let _ = endless.write_all(&vec![b'x'; 100_000]);
    endless.set_read_timeout(Some(30 * SECOND)).unwrap();
    let mut rest = Vec::new();
    let _ = endless.read_to_end(&mut rest);
    assert!(String::from_utf8_lossy(&rest).contains("at most 65536 bytes"), "{rest:?}");
    drop(crowd);

    // The operator was idle and may have given way; a new connection is served.
    let mut operator = broadcast
        .until("a connection", 20 * SECOND, || ControlClient::connect(&socket, "test").ok())
        .unwrap();
    operator.call(&Call::Next(NoParams {})).unwrap();
    until(&broadcast, &mut operator, plays("b"));
    let after = resident(&broadcast);
    assert!(after < before + (8 << 10), "{before} KiB before, {after} KiB after");
    broadcast.stop().unwrap();
    ingest.wait_ended(5 * SECOND).unwrap();
    assert_eq!(ingest.records().len(), 1);
    let tags: Vec<_> = ingest.record().unwrap().tags().collect();
    Report::of_tags(&tags).check(30.0, 44_100.0).unwrap();
}

#[test]
fn a_client_of_somebody_else_steers() {
    let dir = tempfile::tempdir().unwrap();
    let ingest = Ingest::start().unwrap();
    let mut broadcast = launch(dir.path(), &ingest).start().unwrap();
    let mut own = client(&broadcast, dir.path());
    until(&broadcast, &mut own, plays("a"));
    let run = |method: &str, params: Value| {
        let mut python = Command::new("python3");
        python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("control_client.py"));
        let ran = python.arg(dir.path().join("state/control.sock")).arg(method).arg(params.to_string());
        let ran = ran.output().unwrap();
        (ran.status.success(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
    };
    assert_eq!(run("next", json!({})), (true, "{}\n".to_owned()));
    until(&broadcast, &mut own, plays("b"));
    let (done, shown) = run("status", json!({}));
    assert!(done && shown.contains("\"title\": \"b\""), "{shown}");
    let (done, shown) = run("sek", json!({}));
    assert!(!done && shown.contains("-32601") && shown.contains("did you mean seek?"), "{shown}");
    broadcast.stop().unwrap();
}
