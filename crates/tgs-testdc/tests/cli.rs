//! The program itself: what it prints, and that its control socket steers it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

/// Kills the program with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tgs-testdc"))
}

fn ctl(control: &str, words: &[&str]) -> Output {
    program().args(["ctl", "--control", control]).args(words).output().expect("the program runs")
}

#[test]
fn prints_an_env_file_and_is_steered() {
    let mut command = program();
    command.args(["--ingest", "rtmp://127.0.0.1:1/live"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().expect("the program runs"));
    let stderr = BufReader::new(running.0.stderr.take().expect("piped"));
    let mut said = stderr.lines().map(|line| line.expect("text"));
    let steering = said.find(|line| line.contains("ctl --control")).expect("an example of steering");
    let control = steering.split_whitespace().nth(3).expect("an address");
    let stdout = BufReader::new(running.0.stdout.take().expect("piped"));
    let env: Vec<_> = stdout.lines().map(|line| line.expect("text")).take(7).collect();
    assert!(env[2].starts_with("SESSION_STRING=1") && env[4] == "CHAT_ID=-1002000000001", "{env:?}");

    let status = String::from_utf8(ctl(control, &["status"]).stdout).unwrap();
    assert_eq!(status.matches("  session ").count(), 2, "{status}");
    let fault = ctl(control, &["fault", "silence", "--method", "users.getUsers", "--times", "1"]);
    assert!(fault.status.success() && fault.stdout == b"fault 1\n", "{fault:?}");
    let wrong = ctl(control, &["nonsense"]);
    assert!(!wrong.status.success() && wrong.stderr.starts_with(b"tgs-testdc: there is no such command"));
}

#[test]
fn listens_on_loopback_only() {
    let refused = program().args(["--control", "0.0.0.0:0"]).output().expect("the program runs");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not a loopback address"));
}
