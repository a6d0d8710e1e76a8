//! What arrives on stderr, by what stderr is.

use std::{
    fs::File,
    os::unix::{fs::MetadataExt, net::UnixStream},
    process::{Command, Stdio},
};

fn tool(filter: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tgs-core-test-tool"));
    command.args(["log", filter]).env_remove("JOURNAL_STREAM").env("TERM", "xterm");
    command
}

#[test]
fn a_pipe_gets_time_and_level() {
    let out = tool("info").output().unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    let (time, rest) = text.split_at("2026-02-28T23:59:59.123Z".len());
    assert!(time.starts_with("20") && time.ends_with('Z'), "{text}");
    assert_eq!(rest, " WARN  on air\n");
}

#[test]
fn the_filter_decides() {
    let cases = [("error", 0), ("debug", 2), ("off,tgs_core_test_tool=debug", 2)];
    for (filter, lines) in cases {
        let out = tool(filter).output().unwrap();
        assert_eq!(String::from_utf8(out.stderr).unwrap().lines().count(), lines, "{filter}");
    }
}

#[test]
fn the_journal_gets_a_priority() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let file = File::create(&path).unwrap();
    let meta = file.metadata().unwrap();
    let own = format!("{}:{}", meta.dev(), meta.ino());
    tool("info").env("JOURNAL_STREAM", &own).stderr(file).status().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "<4>on air\n");
    // The journal is what the unit has; this stderr has been redirected.
    let out = tool("info").env("JOURNAL_STREAM", &own).output().unwrap();
    assert!(out.stderr.starts_with(b"20"));
}

#[test]
fn a_closed_stderr_ends_nothing() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    let fd: std::os::fd::OwnedFd = theirs.into();
    assert!(tool("info").stderr(Stdio::from(fd)).status().unwrap().success());
}
