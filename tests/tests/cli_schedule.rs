//! The commands of the timetable: `tgs-stream --check --on` and `tgs-ctl schedule`.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tgs_e2e::{bin_path, broadcast::Launch, clips::clip, ingest::Ingest};

const TIMETABLE: &str = "timezone = \"UTC\"
[[slot]]
name = \"News\"
days = \"2026-03-02\"
at = \"20:00\"
play = \"news.mp4\"
for = \"30m\"
fill_mode = \"slate\"
";

/// The exit code of a tool, and what it prints to stdout and stderr.
fn run(tool: &str, dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(bin_path::build(tool).unwrap());
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", dir);
    let output = command.env("STATE_DIR", dir.join("state")).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_plan_of_a_day_has_the_lengths_of_what_plays() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    clip("five", (320, 180), "30", 44_100, 5_000).copy_to(&dir.join("news.mp4")).unwrap();
    fs::write(dir.join("timetable.toml"), TIMETABLE).unwrap();
    let check = || run("tgs-stream", dir, &["--check", "--on", "2026-03-02"]);

    let (code, _, error) = check();
    assert_eq!(code, Some(78), "{error}");
    assert!(error.contains("SCHEDULE in the .env file names no timetable"), "{error}");

    fs::write(dir.join(".env"), "SCHEDULE=timetable.toml\n").unwrap();
    let (code, plan, error) = check();
    assert_eq!(code, Some(0), "{plan}{error}");
    let expected = "2026-03-02, UTC\n\
                    START              LENGTH  MODE   WHAT\n\
                    00:00:00+00:00   20:00:00         (list)\n\
                    20:00:00+00:00    0:00:05  hard   News\n\
                    20:00:05+00:00    0:29:55         News: filler\n\
                    20:30:00+00:00    3:30:00         (list)\n";
    assert_eq!(plan, expected);

    fs::remove_file(dir.join("news.mp4")).unwrap();
    let (code, plan, error) = check();
    assert_eq!(code, Some(1), "{plan}{error}");
    assert!(plan.contains("! news: there is no such file"), "{plan}");

    fs::write(dir.join("timetable.toml"), TIMETABLE.replace("30m", "30")).unwrap();
    let (code, plan, error) = check();
    assert!(code == Some(1) && plan.is_empty(), "{code:?} {plan}");
    assert!(error.contains("line 7, slot \"News\": for"), "{error}");
    let (_, _, error) = run("tgs-stream", dir, &["--check", "--on", "2026-02-30"]);
    assert!(error.contains("2026-02-30"), "{error}");
}

#[test]
fn an_operator_sees_and_replaces_the_timetable() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    clip("twenty", (320, 180), "30", 44_100, 20_000).copy_to(&dir.join("a.mp4")).unwrap();
    fs::write(dir.join("timetable.toml"), TIMETABLE).unwrap();
    let ingest = Ingest::start().unwrap();
    let launch = Launch::to(ingest.url("key")).unwrap().keeping(dir).arg(dir.join("a.mp4"));
    let mut broadcast = launch.set("SCHEDULE", dir.join("timetable.toml")).start().unwrap();
    broadcast.wait_item("", 1, Duration::from_mins(1)).unwrap();
    let ctl = |args: &[&str]| run("tgs-ctl", dir, &[&["schedule"], args].concat());

    let (code, plan, error) = ctl(&["--from", "2026-03-02"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(plan.starts_with("2026-03-02, UTC\n") && plan.contains("20:00:00+00:00"), "{plan}");
    assert!(plan.contains("! news: there is no such file") && !plan.contains('\u{1b}'), "{plan}");
    let (_, plan, _) = ctl(&["--from", "2026-03-02", "--days", "2", "--json"]);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!((&plan["rows"][1]["name"], &plan["rows"][1]["kind"]), (&"News".into(), &"fill".into()));
    for (args, why) in [
        (&["--days", "32"][..], "`days` is 1 to 31"),
        (&["--from", "2026-02-30"], "2026-02-30"),
        (&["--from", "tomorrow"], "tomorrow"),
    ] {
        let (code, _, error) = ctl(args);
        assert!(code == Some(1) && error.contains(why), "{args:?}: {code:?} {error}");
    }

    assert_eq!(ctl(&["get"]).1, TIMETABLE);
    fs::write(dir.join("new.toml"), TIMETABLE.replace("20:00", "25:00")).unwrap();
    let (code, _, error) = ctl(&["set", "new.toml"]);
    assert!(code == Some(1) && error.contains("line 5, slot \"News\": at"), "{code:?} {error}");
    assert_eq!(ctl(&["get"]).1, TIMETABLE);
    fs::write(dir.join("new.toml"), TIMETABLE.replace("20:00", "21:00")).unwrap();
    let (code, out, error) = ctl(&["set", "new.toml"]);
    assert!(code == Some(0) && out.is_empty(), "{code:?} {out} {error}");
    assert!(ctl(&["--from", "2026-03-02"]).1.contains("21:00:00+00:00"));
    assert_eq!(fs::read_to_string(dir.join("timetable.toml")).unwrap(), TIMETABLE.replace("20:00", "21:00"));
    broadcast.stop().unwrap();
}
