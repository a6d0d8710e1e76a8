//! Children of a real shell: their output, their end, and their descendants after it.

use std::{
    io::{self, BufRead, Read},
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{child::on_lasting_thread, *};
use crate::cancel::Cancel;

fn sh(script: &str) -> Command {
    let mut command = command("sh");
    command.args(["-c", script]);
    command
}

fn run(script: &str) -> Result<Output, RunError> {
    output(sh(script), Duration::from_secs(20), 1000, &Cancel::new())
}

#[test]
fn output_gives_both_streams_and_the_status() {
    let got = run("echo out; echo err >&2; exit 3").unwrap();
    assert_eq!((&*got.stdout, &*got.stderr), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(describe(got.status), "exited with 3");
}

#[test]
fn a_child_that_closes_its_output_is_waited_for() {
    let got = run("echo out; exec >&- 2>&-; sleep 0.2; exit 4").unwrap();
    assert_eq!((&*got.stdout, got.status.code()), (&b"out\n"[..], Some(4)));
}

#[test]
fn output_kills_the_group_after_the_time_out() {
    let began = Instant::now();
    // The grandchild holds the pipe: were only the shell killed, reading would go on.
    let failed =
        output(sh("sleep 1000 & wait"), Duration::from_millis(100), 1000, &Cancel::new()).unwrap_err();
    assert_eq!(failed.to_string(), "sh did not finish within 0.1 s");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_ended_child_is_not_held_up_by_its_grandchildren() {
    // A process outside the group, too. To wait for either would take longer than `run` may.
    let got = run("setsid sleep 60 & sleep 1000 & echo out").unwrap();
    assert_eq!(got.stdout, b"out\n");
}

#[test]
fn output_is_bounded() {
    let failed = run("while :; do echo 0123456789; done").unwrap_err();
    assert_eq!(failed.to_string(), "sh printed more than 1000 bytes");
    let got = run("seq 5000 >&2").unwrap();
    assert_eq!(got.stderr.len(), 1000);
    assert!(got.stderr.ends_with(b"4999\n5000\n"));
}

#[test]
fn output_stops_when_cancelled() {
    let cancel = Cancel::new();
    let other = cancel.clone();
    let ran = thread::spawn(move || output(sh("sleep 1000"), Duration::from_mins(15), 1000, &other));
    cancel.cancel();
    assert!(matches!(ran.join().unwrap(), Err(RunError::Cancelled { .. })));
}

#[test]
fn a_program_that_cannot_run_is_reported_by_the_start() {
    let cases = [
        ("no-such-program-here", io::ErrorKind::NotFound),
        ("/no/such/program", io::ErrorKind::NotFound),
        ("/etc/passwd", io::ErrorKind::PermissionDenied),
        ("/", io::ErrorKind::PermissionDenied),
        ("", io::ErrorKind::NotFound),
    ];
    for (name, kind) in cases {
        assert_eq!(spawn(command(name)).unwrap_err().kind(), kind, "{name:?}");
    }
}

#[test]
fn killing_the_group_takes_grandchildren() {
    let mut command = sh("sleep 1000 & echo started; wait");
    command.stdout(Stdio::piped());
    let child = spawn(command).unwrap();
    let mut lines = io::BufReader::new(child.take_stdout().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!((line.as_str(), child.try_wait().unwrap()), ("started\n", None));
    child.kill_group();
    // The end of the pipe: nobody holds it open any more.
    assert_eq!(lines.read_line(&mut line).unwrap(), 0);
    assert_eq!(describe(child.wait().unwrap()), "killed by SIGKILL");
    assert_eq!(describe(child.try_wait().unwrap().unwrap()), "killed by SIGKILL");
    child.kill_group();
}

#[test]
fn processes_of_an_ended_childs_group_are_killed() {
    let mut command = sh("sleep 1000 & echo started");
    command.stdout(Stdio::piped());
    let child = spawn(command).unwrap();
    assert_eq!(describe(child.wait().unwrap()), "exited with 0");
    let mut text = String::new();
    child.take_stdout().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "started\n");
}

#[test]
fn dropping_a_child_kills_its_group() {
    let mut command = sh("sleep 1000 & sleep 1000");
    command.stdout(Stdio::piped());
    let child = spawn(command).unwrap();
    let mut pipe = child.take_stdout().unwrap();
    drop(child);
    assert_eq!(pipe.read(&mut [0]).unwrap(), 0);
}

#[test]
fn one_thread_kills_what_another_waits_for() {
    let child = spawn(sh("sleep 1000")).unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| child.wait().unwrap());
        child.kill_group();
        assert_eq!(waiter.join().unwrap().signal(), Some(9));
    });
}

#[test]
fn exit_statuses_are_described() {
    let cases = [
        (0, "exited with 0"),
        (0x0100, "exited with 1"),
        (9, "killed by SIGKILL"),
        (0x8b, "killed by SIGSEGV"),
        (40, "killed by signal 40"),
    ];
    for (raw, words) in cases {
        assert_eq!(describe(ExitStatus::from_raw(raw)), words);
    }
}

#[test]
fn a_panic_while_one_child_is_started_is_that_ones_failure() {
    let mut sleep = command("sleep");
    sleep.arg("60");
    let child = spawn(sleep).unwrap();
    let failed = on_lasting_thread(Box::new(|| panic!("cannot start it"))).unwrap_err();
    assert_eq!(failed.to_string(), "cannot start it");
    assert_eq!(child.try_wait().unwrap(), None, "the thread that started it lives");
    assert!(spawn(command("true")).unwrap().wait().unwrap().success());
}

#[test]
fn the_processor_time_of_a_child_is_reported() {
    let busy = spawn(sh("while :; do :; done")).unwrap();
    let end = Instant::now() + Duration::from_mins(1);
    while busy.cpu_time().unwrap() < Duration::from_millis(50) {
        assert!(Instant::now() < end, "{:?}", busy.cpu_time());
        thread::yield_now();
    }
    let idle = spawn(sh("sleep 60")).unwrap();
    assert!(idle.cpu_time().unwrap() < Duration::from_millis(50), "{:?}", idle.cpu_time());
}
