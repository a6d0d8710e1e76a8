//! A session in two processes.

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader, ErrorKind},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

const TOOL: &str = env!("CARGO_BIN_EXE_tgs-telegram-test-lock");

/// nobody, of the group nogroup.
const OTHER: u32 = 65534;

/// A process that holds the session of a number, and the first line it printed.
fn hold(number: u64, state_dir: &str) -> (Child, String) {
    started(Command::new(TOOL).args([&number.to_string(), state_dir]))
}

fn started(command: &mut Command) -> (Child, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = loop {
        match command.spawn() {
            // A child of another test was forked while the program was copied, and has yet to close
            // it.
            Err(e) if e.kind() == ErrorKind::ExecutableFileBusy => thread::yield_now(),
            spawned => break spawned.expect("the tool starts"),
        }
    };
    let mut line = String::new();
    let out = child.stdout.take().expect("a pipe");
    BufReader::new(out).read_line(&mut line).expect("text");
    (child, line)
}

/// What the tool says of a session that it cannot have.
fn refused((child, line): (Child, String)) -> String {
    assert_eq!(line, "");
    String::from_utf8(child.wait_with_output().expect("its end").stderr).expect("text")
}

#[test]
fn the_holder_is_named_and_a_killed_one_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    // In the machine's own directory: a number that no other test has.
    let number = fastrand::u64(..);
    let (mut first, line) = hold(number, dir);
    assert_eq!(line, "held\n");
    let words = refused(hold(number, dir));
    let who = format!("the session is in use by tgs-telegram-test-lock (pid {})", first.id());
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

#[test]
fn root_and_a_service_share_the_lock() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: there is no second user");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let tool = dir.path().join("tool");
    fs::copy(TOOL, &tool).unwrap();
    let hold = |number: u64, user: u32, tool: &Path| {
        started(Command::new(tool).arg(number.to_string()).uid(user).gid(user))
    };
    for (first, second) in [(0, OTHER), (OTHER, 0)] {
        let number = fastrand::u64(..);
        let (mut holder, line) = hold(number, first, &tool);
        assert_eq!(line, "held\n");
        let words = refused(hold(number, second, &tool));
        assert!(words.contains(&format!("in use by tool (pid {})", holder.id())), "{words}");
        // What a killed process leaves, the other user can lock, and need not be able to take away
        // or write.
        holder.kill().unwrap();
        holder.wait().unwrap();
        let (holder, line) = hold(number, second, &tool);
        assert_eq!(line, "held\n");
        let words = refused(hold(number, first, &tool));
        let named =
            if second == 0 { format!("tool (pid {})", holder.id()) } else { "another process".into() };
        assert!(words.contains(&format!("in use by {named},")), "{words}");
        assert!(holder.wait_with_output().unwrap().status.success());
        let (holder, line) = hold(number, first, &tool);
        assert_eq!(line, "held\n");
        assert!(holder.wait_with_output().unwrap().status.success());
    }
}
