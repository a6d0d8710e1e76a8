//! The exec shim, in a real program that begins with it.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::parent_id,
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

const TOOL: &str = env!("CARGO_BIN_EXE_tgs-core-test-tool");

fn parent(args: &[&str]) -> Command {
    let mut command = Command::new(TOOL);
    command.arg("run").args(args);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the output is text")
}

fn run(args: &[&str]) -> Output {
    parent(args).output().expect("the parent starts")
}

#[test]
fn the_child_dies_with_a_killed_parent() {
    let mut parent =
        parent(&["sh", "-c", "echo started; exec sleep 1000"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    parent.kill().unwrap();
    parent.wait().unwrap();
    // The pipe ends when the last process that holds it, the child, is gone.
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(lines.read_line(&mut line).unwrap()));
    assert_eq!(ended.recv_timeout(Duration::from_secs(20)), Ok(0), "the child outlived its parent");
}

#[test]
fn the_child_sees_the_allow_list_only() {
    let out = parent(&["env"])
        .env_clear()
        .envs([
            ("PATH", "/usr/bin:/bin"),
            ("LC_TIME", "C"),
            ("https_proxy", "http://proxy:3128"),
            ("SESSION_STRING", "secret"),
            ("API_HASH", "secret"),
            ("OUTPUT_URL", "rtmp://host/app/secret"),
            ("NOTIFY_SOCKET", "/run/systemd/notify"),
            ("LD_PRELOAD", ""),
        ])
        .output()
        .unwrap();
    let mut lines: Vec<String> = text(&out.stdout).lines().map(String::from).collect();
    lines.sort();
    assert_eq!(lines, ["LC_TIME=C", "PATH=/usr/bin:/bin", "https_proxy=http://proxy:3128"]);
}

#[test]
fn the_shim_is_not_seen_by_the_child() {
    // Its arguments are passed on as they are, its stdin is empty, it leads a group of its own.
    let script = r#"printf '[%s]' "$0" "$@"; cat; ps -o pgid= -p $$ | grep -qw $$ && echo leader"#;
    let out = run(&["sh", "-c", script, "--flag", "", "a b", "__exec", "ü\n"]);
    assert_eq!(text(&out.stdout), "[--flag][][a b][__exec][ü\n]leader\n", "{}", text(&out.stderr));
    assert_eq!(text(&out.stderr), "exited with 0\n");
}

#[test]
fn failures_to_start() {
    let cases =
        [("no-such-program-here", "not found in PATH\n"), ("/etc/passwd", "not an executable file\n")];
    for (program, words) in cases {
        let out = run(&[program]);
        assert_eq!((text(&out.stderr).as_str(), out.status.code()), (words, Some(1)));
    }
}

#[test]
fn a_file_that_cannot_be_executed_is_reported_by_the_shim() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broken");
    std::fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let out = run(&[file.to_str().unwrap()]);
    let words = format!(
        "failed to start {}: No such file or directory (os error 2)\nexited with 126\n",
        file.display()
    );
    assert_eq!(text(&out.stderr), words);
}

#[test]
fn a_shim_whose_parent_is_gone_starts_nothing() {
    let stranger = parent_id().to_string();
    let out = Command::new(TOOL).args(["__exec", &stranger, "echo", "started"]).output().unwrap();
    assert_eq!((text(&out.stdout).as_str(), out.status.code()), ("", Some(125)));
}

#[test]
fn a_killed_child_is_reported_as_such() {
    let out = run(&["sh", "-c", "kill -9 $$"]);
    assert_eq!(text(&out.stderr), "killed by SIGKILL\n");
}
