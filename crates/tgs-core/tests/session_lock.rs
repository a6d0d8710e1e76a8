//! A session in two processes.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

const TOOL: &str = env!("CARGO_BIN_EXE_tgs-core-test-tool");

/// A process that holds the session of a number, and the first line it printed.
fn hold(number: u64, state_dir: &str) -> (Child, String) {
    let mut command = Command::new(TOOL);
    command.args(["session-hold", &number.to_string(), state_dir]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    let mut line = String::new();
    let out = child.stdout.take().expect("a pipe");
    BufReader::new(out).read_line(&mut line).expect("text");
    (child, line)
}

#[test]
fn the_holder_is_named_and_a_killed_one_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    // In the machine's own directory: a number that no other test has.
    let number = fastrand::u64(..);
    let (mut first, line) = hold(number, dir);
    assert_eq!(line, "held\n");
    let (second, _) = hold(number, dir);
    let words = String::from_utf8(second.wait_with_output().unwrap().stderr).unwrap();
    let who = format!("the session is in use by tgs-core-test-tool (pid {})", first.id());
    assert!(words.starts_with(&who), "{words}");
    let (other, line) = hold(number ^ 1, dir);
    assert_eq!(line, "held\n");
    assert!(other.wait_with_output().unwrap().status.success());
    first.kill().unwrap();
    first.wait().unwrap();
    let (third, line) = hold(number, dir);
    assert_eq!(line, "held\n");
    assert!(third.wait_with_output().unwrap().status.success());
}
