//! `tgs-ctl` steers a running `tgs-stream`, shows it, and words what goes wrong.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;
use tgs_e2e::{
    bin_path,
    broadcast::{Broadcast, Launch},
    clips,
    flvcheck::Report,
    ingest::Ingest,
};

const SECOND: Duration = Duration::from_secs(1);

/// Two clips of 60 s, each of two colours side by side, and a list of them.
fn list(dir: &Path) {
    for (name, left, right) in [("a", "red", "lime"), ("b", "blue", "yellow")] {
        let half = |colour, label| format!("color={colour}:s=160x180:r=30:d=60[{label}]");
        let picture = format!("{};{};[l][r]hstack", half(left, "l"), half(right, "r"));
        let sound = "sine=sample_rate=44100:duration=60";
        let args = ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", sound, "-preset", "ultrafast"];
        clips::ffmpeg(&args.map(str::to_owned), &dir.join(format!("{name}.mp4"))).unwrap();
    }
    fs::write(dir.join("list.txt"), "a.mp4\nb.mp4\n").unwrap();
}

/// The command `tgs-ctl` of an operator in the directory of the broadcast.
fn ctl(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(bin_path::build("tgs-ctl").unwrap());
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("USER", "alice");
    command.env("HOME", dir).env("STATE_DIR", dir.join("state"));
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    ctl(dir, args).output().unwrap()
}

/// Runs a command that succeeds, and returns what it prints.
fn ok(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that fails with `code`, and returns its message.
fn fails(dir: &Path, args: &[&str], code: i32) -> String {
    let output = run(dir, args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn start(dir: &Path, ingest: &Ingest) -> Broadcast {
    list(dir);
    let launch = Launch::to(ingest.url("key")).unwrap().arg("--playlist").arg(dir.join("list.txt"));
    let broadcast = launch.keeping(dir).start().unwrap();
    broadcast.wait_item("a", 1, 30 * SECOND).unwrap();
    broadcast
}

/// Waits until `status --json` is as `such` says.
fn until(broadcast: &Broadcast, dir: &Path, what: &str, such: impl Fn(&Value) -> bool) {
    let status = || serde_json::from_str::<Value>(&ok(dir, &["status", "--json"])).ok();
    broadcast.until(what, 30 * SECOND, || status().filter(|status| such(status))).unwrap();
}

fn title(status: &Value) -> &str {
    status["on_air"]["title"].as_str().unwrap_or_default()
}

#[test]
fn an_operator_steers_a_broadcast_from_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ingest = Ingest::start().unwrap();
    let mut broadcast = start(dir, &ingest);

    let shown = ok(dir, &["status"]);
    for words in ["On air        a\n", " of 0:01:00  ", "Ingest        connected", "tgs-stream 0.1.0"] {
        assert!(shown.contains(words), "{shown}");
    }
    assert_eq!(ok(dir, &["next"]), "");
    until(&broadcast, dir, "b after next", |status| title(status) == "b");
    ok(dir, &["previous"]);
    until(&broadcast, dir, "a after previous", |status| title(status) == "a");
    ok(dir, &["seek", "0:40"]);
    until(&broadcast, dir, "the place", |status| status["on_air"]["offset_seconds"].as_f64() >= Some(40.0));

    ok(dir, &["pause"]);
    until(&broadcast, dir, "the pause", |status| status["on_air"]["state"] == "filler");
    assert!(ok(dir, &["status"]).contains("State         paused until "));
    assert!(fails(dir, &["title", "Night\u{1b}[2J"], 1).contains("no control characters"));
    ok(dir, &["title", "Night"]);
    ok(dir, &["resume"]);
    until(&broadcast, dir, "a after the pause", |status| title(status) == "a");
    assert!(ok(dir, &["status"]).contains("Title         Night\n"));
    let log = ok(dir, &["log", "-n", "200"]);
    assert!(log.contains("(stated: tgs-ctl of alice)"), "{log}");

    // A live display into a pipe: a line a second, until its reader leaves.
    let mut watch = ctl(dir, &["status", "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains("live  a  0:00:") && !line.contains('\u{1b}'), "{line}");
    }
    drop(lines);
    assert_eq!(watch.wait().unwrap().code(), Some(0));
    broadcast.stop().unwrap();
    ingest.wait_ended(5 * SECOND).unwrap();
    let tags: Vec<_> = ingest.record().unwrap().tags().collect();
    Report::of_tags(&tags).check(30.0, 44_100.0).unwrap();
}

#[test]
fn a_broadcast_is_stopped_and_started_and_what_fails_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (args, code, words) in [
        (&["next"][..], 69, "none runs on this machine; start it: "),
        (&["channels"], 69, "systemctl start tg_video_streamer"),
        (&["--channel", "no-such", "next"], 69, "systemctl start tg_video_streamer@no-such"),
        (&["--channel", "a/b", "next"], 2, "no unit can have this name"),
        (&["--socket", "none.sock", "next"], 69, "start it with tgs-stream"),
        (&["--socket", "a", "next", "--channel", "b"], 2, "cannot be used together"),
        (&["seek", "soon"], 2, "write it like 1:02:03"),
    ] {
        let said = fails(dir, args, code);
        assert!(said.contains(words), "{args:?}: {said}");
    }
    let ingest = Ingest::start().unwrap();
    let mut broadcast = start(dir, &ingest);
    let mut watch = ctl(dir, &["watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let (sender, events) = mpsc::channel();
    let reader = BufReader::new(watch.stdout.take().unwrap());
    thread::spawn(move || reader.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    // Events come from the subscription on.
    let subscribed = || {
        ok(dir, &["pause"]);
        ok(dir, &["resume"]);
        // Items and fillers have events, too.
        events.try_iter().find(|line| line.contains("  paused until 2") || line.contains("  resumed"))
    };
    broadcast.until("an event of the pause", 30 * SECOND, subscribed).unwrap();
    let said = fails(dir, &["seek", "99999999"], 1);
    assert!(said.starts_with("tgs-ctl: failed to seek: "), "{said}");
    ok(dir, &["stop"]);
    ingest.wait_ended(10 * SECOND).unwrap();
    assert!(ok(dir, &["channels"]).contains("  stopped  "));
    ok(dir, &["start"]);
    until(&broadcast, dir, "a after the start", |status| title(status) == "a");
    // A reader that has left is no error.
    let mut early = ctl(dir, &["status"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(early.stdout.take());
    assert_eq!(early.wait().unwrap().code(), Some(0));
    broadcast.stop().unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(69));
    let events: Vec<_> = events.iter().collect();
    assert!(events.iter().any(|line| line.ends_with("  stopped by an operator")), "{events:?}");
    // The socket went with the process.
    assert!(fails(dir, &["next"], 69).contains("none runs"));
}

/// The colour in the middle of the left and the right half of a picture.
fn colours(picture: &Path) -> [[u8; 3]; 2] {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(picture);
    let output =
        ffmpeg.args(["-vf", "format=rgb24,scale=2:1:flags=area", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]);
    let pixels = output.output().unwrap().stdout;
    assert_eq!(pixels.len(), 6, "{}", picture.display());
    [0, 3].map(|at| [pixels[at], pixels[at + 1], pixels[at + 2]])
}

fn is_near(seen: [u8; 3], colour: [u8; 3]) -> bool {
    seen.iter().zip(colour).all(|(seen, wanted)| seen.abs_diff(wanted) < 60)
}

#[test]
fn the_queue_the_picture_and_the_as_run_log() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ingest = Ingest::start().unwrap();
    let mut broadcast = start(dir, &ingest);

    ok(dir, &["monitor", "--snapshot", "a.jpg"]);
    let [left, right] = colours(&dir.join("a.jpg"));
    assert!(is_near(left, [255, 0, 0]) && is_near(right, [0, 255, 0]), "{left:?} {right:?}");

    let id = ok(dir, &["queue", "add", "b.mp4"]);
    let second = ok(dir, &["queue", "add", "a.mp4", "--position", "0"]);
    let listed = ok(dir, &["queue", "list"]);
    let rows: Vec<Vec<_>> = listed.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["0", second.trim(), "a"], ["1", id.trim(), "b"]], "{listed}");
    ok(dir, &["queue", "move", id.trim(), "0"]);
    ok(dir, &["queue", "remove", second.trim()]);
    let said = fails(dir, &["queue", "remove", second.trim()], 1);
    assert!(said.contains("failed to remove the queue entry: "), "{said}");
    ok(dir, &["next"]);
    until(&broadcast, dir, "the queued item", |status| title(status) == "b");
    ok(dir, &["monitor", "--snapshot", "b.jpg"]);
    let [left, right] = colours(&dir.join("b.jpg"));
    assert!(is_near(left, [0, 0, 255]) && is_near(right, [255, 255, 0]), "{left:?} {right:?}");

    // A thread of its own writes it.
    let written = broadcast.until("both items in the as-run log", 30 * SECOND, || {
        let table = ok(dir, &["asrun", "--since", "1h", "--csv"]);
        let mut rows = table.split("\r\n");
        assert!(rows.next().unwrap().starts_with("start,end,seconds,"), "{table}");
        let aired: Vec<_> = rows.filter(|row| row.contains(",item,")).collect();
        (aired.len() >= 2 && aired[0].contains(",a,skipped,") && aired[1].contains(",b,")).then_some(())
    });
    written.unwrap();
    let [first, ..] = &*ok(dir, &["playlist", "list"]).lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    else {
        panic!("the playlist is empty")
    };
    assert!(first.ends_with("  a"), "{first}");
    broadcast.stop().unwrap();
}
