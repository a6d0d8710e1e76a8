//! `cargo xtask demo`, word for word as the README has it, and that nothing of it stays behind.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tgs_e2e::bin_path::{build, workspace};

/// A running demo and what it prints.
struct Demo {
    child: Child,
    out: BufReader<ChildStdout>,
    seen: String,
}

impl Demo {
    fn start() -> Self {
        let xtask = build("xtask").expect("xtask builds");
        // Should the test fail, the demo ends by itself.
        let mut child = Command::new(xtask)
            .args(["demo", "--seconds", "180"])
            .current_dir(workspace())
            .stdout(Stdio::piped())
            .spawn()
            .expect("xtask starts");
        let out = BufReader::new(child.stdout.take().expect("its stdout"));
        Self { child, out, seen: String::new() }
    }

    /// Reads until a line that holds `part`, and gives that line.
    fn read_until(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.out.read_line(&mut line).expect("text");
            assert!(read > 0, "no “{part}” in what the demo said:\n{}", self.seen);
            self.seen += &line;
            if line.contains(part) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(self.child.id(), signal);
    }
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).expect("a pid"), signal).expect("it is there");
}

/// What stands in `line` between `before` and the next of space, comma and end.
fn word<'a>(line: &'a str, before: &str) -> &'a str {
    let (_, rest) = line.split_once(before).unwrap_or_else(|| panic!("no “{before}” in {line}"));
    rest.split([' ', ',', '\n']).next().unwrap_or_default()
}

/// Waits until no process has `part` in its command line.
fn wait_gone(part: &str) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let left: Vec<_> = fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .filter(|entry| {
                let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&command).contains(part)
            })
            .map(|entry| entry.file_name())
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "still there, with {part} in the command line: {left:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_plays_survives_its_ingest_and_leaves_nothing() {
    let mut demo = Demo::start();
    let link = demo.read_until("Desk:");
    assert!(link.contains(" http://127.0.0.1:") && link.contains("/#demo="), "{link}");
    let url = word(&demo.read_until("ffplay "), "ffplay ").to_owned();
    let ingest: u32 = word(&demo.read_until("nginx-rtmp, pid "), "pid ").parse().expect("a pid");
    let metrics = demo.read_until("── metrics: http://127.0.0.1:");
    assert!(metrics.contains("/metrics"), "{metrics}");
    demo.read_until("on air: 1 widescreen");
    demo.read_until("▶ ");
    // It went the whole way: signed in, asked for the ingest, and publishes there.
    assert!(
        demo.seen.contains("signed in as Alice") && demo.seen.contains("live stream started"),
        "{}",
        demo.seen
    );
    kill(ingest, Signal::KILL);
    demo.read_until("the ingest is back");
    demo.read_until("connected to rtmp://");
    demo.signal(Signal::INT);
    demo.read_until("tgs-stream ended: exited with 0");
    assert!(demo.child.wait().expect("it ends").success());
    wait_gone(&url);

    let mut demo = Demo::start();
    let url = word(&demo.read_until("ffplay "), "ffplay ").to_owned();
    let ingest: u32 = word(&demo.read_until("nginx-rtmp, pid "), "pid ").parse().expect("a pid");
    demo.read_until("on air: 1 widescreen");
    demo.signal(Signal::KILL);
    demo.child.wait().expect("it ends");
    wait_gone(&url);
    wait_gone("target/demo/");
    // Dead but not yet reaped it has no command line.
    let command = || fs::read(format!("/proc/{ingest}/cmdline")).unwrap_or_default();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !command().is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    let left = command();
    assert!(left.is_empty(), "the ingest is left behind: {}", String::from_utf8_lossy(&left));
}
