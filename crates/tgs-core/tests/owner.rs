//! Root that goes on as the owner of files: as whom, with what, and how it is steered. As root
//! only.

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader, Read, Write},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const TOOL: &str = env!("CARGO_BIN_EXE_tgs-core-test-tool");
/// nobody, of the group nogroup.
const OTHER: u32 = 65534;

/// A directory of another user's, and the tool where only root can go; `None` where the test is not
/// root.
fn scene() -> Option<(TempDir, PathBuf, PathBuf)> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: there is no second user");
        return None;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (theirs, tool) = (dir.path().join("theirs"), dir.path().join("tool"));
    fs::create_dir(&theirs).expect("the test's own files");
    chown(&theirs, Some(OTHER), Some(OTHER)).expect("the test's own files");
    fs::copy(TOOL, &tool).expect("the test's own files");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).expect("the test's own files");
    Some((dir, theirs, tool))
}

/// The tool, once it has said who it is.
fn started(tool: &Path, theirs: &Path) -> (Child, BufReader<ChildStdout>, String) {
    let mut command = Command::new(tool);
    command.arg("as-owner").arg(theirs).env_clear();
    command.envs([
        ("PATH", "/usr/bin:/bin"),
        ("HOME", "/root"),
        ("XDG_STATE_HOME", "/root/x"),
        ("SECRET", "1"),
    ]);
    command.envs([("CHAT_ID", "@abc"), ("NO_COLOR", "1")]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the tool");
    let mut out = BufReader::new(child.stdout.take().expect("its stdout"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    (child, out, line)
}

#[test]
fn root_goes_on_as_the_owner_with_the_settings_of_its_environment_alone() {
    let Some((_dir, theirs, tool)) = scene() else { return };
    let (mut child, mut out, line) = started(&tool, &theirs);
    let mut words: Vec<_> = line.split_whitespace().collect();
    words[4..].sort_unstable();
    assert_eq!(
        words.join(" "),
        "65534:65534:[65534] own session: true CHAT_ID=@abc HOME=/nonexistent NO_COLOR=1",
        "{line}"
    );
    // What is typed reaches it.
    let mut stdin = child.stdin.take().expect("its stdin");
    stdin.write_all(b"x").expect("a reader");
    drop(stdin);
    out.read_line(&mut String::new()).expect("its end");
    assert_eq!(child.wait().expect("the child").code(), Some(0));
}

#[test]
fn signals_reach_it_and_its_end_is_the_end() {
    let Some((_dir, theirs, tool)) = scene() else { return };
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let (mut child, _out, _) = started(&tool, &theirs);
        // Waiting would close it, and that is an end too.
        let _stdin = child.stdin.take();
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        let status = child.wait().expect("the child");
        assert!(
            status.code() == Some(code) || status.signal() == Some(signal.as_raw()),
            "{signal:?}: {status:?}"
        );
    }
    // Killed, root's process takes it along: its stdout is closed.
    let (mut child, mut out, _) = started(&tool, &theirs);
    let stdin = child.stdin.take();
    child.kill().expect("it runs");
    child.wait().expect("the child");
    out.read_to_end(&mut Vec::new()).expect("its end");
    drop(stdin);
}
