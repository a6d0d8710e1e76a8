//! The command line, `.env`, its owner and mode, and its lines.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::harness::Home;

#[test]
fn the_command_line() {
    let home = Home::new();
    assert_eq!(home.run(&["--nonsense"]).code, Some(2));
    let said = home.run(&["--help"]);
    assert!(said.code == Some(0) && said.out.contains("--offline"), "{}", said.out);
}

#[test]
fn a_file_that_others_can_read() {
    let home = Home::new();
    home.run(&["--offline"]).has("PASS", "env-mode", "mode 0600").has("PASS", "env-owner", "who runs this");
    fs::set_permissions(home.env_file(), fs::Permissions::from_mode(0o640)).unwrap();
    let file = fs::canonicalize(home.env_file()).unwrap();
    let remedy = format!("-> chmod 600 {}", file.display());
    home.run(&["--offline"]).has("FAIL", "env-mode", "mode 0640").has("FAIL", "env-mode", &remedy);
}

#[test]
fn no_file_at_all() {
    let home = Home::new();
    home.run(&["--offline", "--env-file", "gone"]).has("FAIL", "env-file", "gone cannot be read");
    fs::remove_file(home.env_file()).unwrap();
    let said = home.run(&["--offline"]);
    said.has("FAIL", "env-file", "there is no .env here").has("FAIL", "api", "are not set");
}

#[test]
fn every_problem_is_reported_and_the_rest_is_checked() {
    let home = Home::new();
    let text = format!(
        "export API_ID=12\nAPI_HASH=short\nSESSION_STRING=1abc\nCHAT_ID='not a chat'\nVIDEO_QUALITY=4k\nLOPP=1\n\
         LOOP=maybe\nSHUFFLE=1 # yes\nFFMEPG=1\nSTATE_DIR={}\nFFMPEG_ARGS='-preset \"fast'\n",
        home.path().join("state").display()
    );
    home.write_env(&text);
    let said = home.run(&["--offline"]);
    said.has("FAIL", "api", "line 2: API_HASH must be")
        .has("FAIL", "session-form", "has a length that no kind of session string has")
        .has("FAIL", "chat-id", "line 4: CHAT_ID must be")
        .has("FAIL", "ffmpeg-args", "a quote is opened and never closed")
        .has("PASS", "disk-state", "state")
        .has("WARN", "session", "no SESSION_STRING that can be read");
    assert_eq!(said.of("settings").len(), 2, "{}", said.out);
    // Two that systemd reads otherwise, one that is misspelt, one that is like no setting.
    let lines = said.of("env-lines");
    let names = ["line 1: API_ID", "line 8: SHUFFLE", "line 6: LOPP", "line 9: FFMEPG"];
    assert!(
        lines.len() == 4
            && std::iter::zip(&lines, names)
                .all(|(line, name)| line.starts_with(&format!("WARN env-lines: .env {name} "))),
        "{}",
        said.out
    );
    assert_eq!(said.code, Some(1));
}

#[test]
fn the_json_is_an_array_of_findings() {
    let home = Home::new();
    let found = home.json(&["--offline"]);
    let checks: Vec<&str> = found.iter().map(|it| it["check"].as_str().unwrap()).collect();
    // The areas come in their order, whichever ends first.
    let at = |check: &str| {
        checks.iter().position(|it| *it == check).unwrap_or_else(|| panic!("no {check}: {checks:?}"))
    };
    let order = [
        "env-file",
        "settings",
        "session-form",
        "session",
        "ffmpeg",
        "playlist",
        "broadcast",
        "disk-state",
        "unit",
        "timer",
    ];
    assert!(order.map(at).is_sorted(), "{checks:?}");
    for finding in &found {
        let level = finding["level"].as_str().unwrap();
        assert!(["PASS", "WARN", "FAIL"].contains(&level), "{finding}");
        assert!(!finding["text"].as_str().unwrap().is_empty(), "{finding}");
        assert!(level != "FAIL" || finding["remedy"].is_string(), "{finding}");
        assert_eq!(finding.as_object().unwrap().len(), 4);
    }
}

#[test]
fn a_terminal_sees_colour_and_progress() {
    let home = Home::new();
    let tool = env!("CARGO_BIN_EXE_tgs-diag");
    let at_terminal = |env: &[(&str, &str)]| {
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &format!("{tool} --offline"), "/dev/null"]).current_dir(home.path());
        script.env("HOME", home.path()).env("TERM", "xterm").env_remove("NO_COLOR").envs(env.iter().copied());
        let output = script.stdin(std::process::Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = at_terminal(&[]);
    assert!(shown.contains("\x1b[32mPASS\x1b[0m env-file") && shown.contains("\r\x1b[K"), "{shown}");
    assert!(shown.contains(" of 15, waiting for "), "{shown}");
    let shown = at_terminal(&[("NO_COLOR", "1")]);
    assert!(!shown.contains("\x1b[3") && shown.contains("PASS env-file"), "{shown}");
    let shown = at_terminal(&[("TERM", "dumb")]);
    assert!(!shown.contains('\x1b'), "{shown}");
    let said = home.run(&["--offline"]);
    assert!(!said.out.contains('\x1b') && !said.err.contains("waiting"), "{}{}", said.out, said.err);
}
