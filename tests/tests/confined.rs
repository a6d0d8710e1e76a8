//! What strangers serve is read by ffmpeg and yt-dlp; neither they nor what they start can read
//! `.env`, look into the tool's environment, or write outside their scratch directory.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

use tgs_core::process::confine;
use tgs_e2e::bin_path::tgs_stream;

/// In the place of yt-dlp: tries everything it should not be able to do, and some of what it must
/// be able to.
const NOSY: &str = r#"#!/bin/sh
tried() { if eval "$2" 2>/dev/null; then echo "$1: yes"; else echo "$1: no"; fi >> "$TMPDIR/report"; }
tried 'read .env' 'cat HERE/.env >/dev/null'
tried 'read .env by a link' 'cat HERE/link >/dev/null'
tried 'read .env.bak' 'cat HERE/.env.bak >/dev/null'
tried 'read another .env' 'cat HERE/other.env >/dev/null'
tried 'read the tool'\''s environment' 'cat /proc/$PPID/environ >/dev/null'
tried 'read .env by the tool'\''s root' 'cat /proc/$PPID/rootHERE/.env >/dev/null'
tried 'write .env' 'echo x >> HERE/.env'
tried 'replace .env' 'mv "$TMPDIR/report" HERE/.env'
tried 'write beside .env' 'echo x > HERE/new'
tried 'write to the state' 'echo x > HERE/state/position.json'
tried 'write to /tmp' 'echo x > /tmp/tgs-nosy-$$ && rm /tmp/tgs-nosy-$$'
tried 'signal the tool' 'kill -0 $PPID'
tried 'read media' 'cat HERE/media/film >/dev/null'
tried 'read the playlist beside .env' 'cat HERE/list.txt >/dev/null'
tried 'list the directory of .env' 'ls HERE >/dev/null'
tried 'write to the scratch' 'mkdir -p "$XDG_CACHE_HOME/deno" && echo x > "$XDG_CACHE_HOME/deno/x"'
tried 'write to nowhere' 'echo x > /dev/null'
tried 'start programs' 'sh -c true'
exit 1
"#;

#[test]
fn children_read_no_secret_and_write_to_their_scratch_alone() {
    assert!(confine::is_supported(), "this kernel has no Landlock, so this cannot be shown here");
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("media")).unwrap();
    for (name, text) in [
        (".env", "API_HASH=0123456789abcdef0123456789abcdef\n"),
        (".env.bak", "x"),
        ("other.env", "x"),
        ("list.txt", "http://127.0.0.1:9/page\n"),
        ("media/film", "x"),
    ] {
        fs::write(at(name), text).unwrap();
    }
    std::os::unix::fs::symlink(".env", at("link")).unwrap();
    let shown = dir.path().to_str().unwrap();
    fs::write(at("yt-dlp"), NOSY.replace("HERE", shown)).unwrap();
    fs::set_permissions(at("yt-dlp"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(tgs_stream(), at("tgs-stream")).unwrap();
    for name in ["state", "cache", "free"] {
        fs::create_dir(at(name)).unwrap();
    }

    let mut tool = user(Command::new(at("tgs-stream")), dir.path());
    tool.args(["--once", "--output", "out.flv", "--env-file", ".env", "--playlist", "list.txt"]);
    for (name, value) in [("YTDLP_PATH", "yt-dlp"), ("STATE_DIR", "state"), ("CACHE_DIR", "cache")] {
        tool.env(name, at(value));
    }
    let said = tool.env("PROMETHEUS_PORT", "0").output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr);
    let report = fs::read_to_string(at("state/scratch/report")).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(report, REPORT, "{said}");

    // The test's own proof: without the shim the same script can do what it should not.
    let mut alone = user(Command::new("sh"), dir.path());
    alone.args(["-c", "./yt-dlp; true"]).env("TMPDIR", at("free")).env("XDG_CACHE_HOME", at("free"));
    assert!(alone.status().unwrap().success());
    let report = fs::read_to_string(at(".env")).unwrap();
    for free in
        ["read .env: yes", "read another .env: yes", "read the tool's environment: yes", "write .env: yes"]
    {
        assert!(report.contains(free), "{free} is missing: {report}");
    }
}

/// `command` in `dir`, with a search path for an environment. Root may read every process's
/// environment (CAP_PERFMON), whatever Landlock says: then as a user without rights, who gets the
/// directory.
fn user(mut command: Command, dir: &Path) -> Command {
    const NOBODY: u32 = 65534;
    command.current_dir(dir).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    if rustix::process::geteuid().is_root() {
        let status = Command::new("chown").arg("-R").arg(NOBODY.to_string()).arg(dir).status();
        assert!(status.is_ok_and(|status| status.success()));
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

const REPORT: &str = "\
read .env: no
read .env by a link: no
read .env.bak: no
read another .env: no
read the tool's environment: no
read .env by the tool's root: no
write .env: no
replace .env: no
write beside .env: no
write to the state: no
write to /tmp: no
signal the tool: no
read media: yes
read the playlist beside .env: yes
list the directory of .env: yes
write to the scratch: yes
write to nowhere: yes
start programs: yes
";
