//! What the tool says without Telegram: its help, and what is wrong with its command line and
//! settings.

use std::{fmt::Write, fs, process::Command};

use tgs_testdc::{TestDc, World};

use crate::harness::Home;

/// The tool as it is packaged.
const PACKAGED: &str = env!("CARGO_BIN_EXE_tgs-session");

#[test]
fn help() {
    let output = Command::new(PACKAGED).arg("--help").output().unwrap();
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

#[test]
#[cfg_attr(feature = "test-dc", ignore = "the feature is on")]
fn a_packaged_tool_is_led_to_no_other_dc() {
    let program = fs::read(PACKAGED).unwrap();
    let modulus = TestDc::start(World::example()).unwrap().rsa_public().0;
    for name in ["TGS_TEST_DCS", "TGS_TEST_LIMIT", &modulus[..60]] {
        assert!(!program.windows(name.len()).any(|bytes| bytes == name.as_bytes()), "{name} is read");
    }
}

#[test]
fn without_a_terminal_nobody_can_be_asked() {
    let home = Home::new();
    for args in [&["--write-env"][..], &["--qr"], &["--phone", "+15550100001"], &[]] {
        home.run(args)
            .fails(1, "there is no terminal; run it in one (with ssh: ssh -t), or with a standby session");
    }
    assert_eq!(home.dc.requests().len(), 0);
}

#[test]
fn usage() {
    let home = Home::new();
    for args in [&["--qr", "--non-interactive"][..], &["--json"], &["--convert", "x"], &["--what"]] {
        assert_eq!(home.run(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn what_is_wrong_with_the_settings() {
    let home = Home::new();
    let session = home.session(World::BOB).telethon_string();
    let with = |line: &str| format!("{line}\nSESSION_STRING={session}");
    let app = format!("API_ID=1\nAPI_HASH={}", home.dc.api_hash());
    let cases = [
        ("the application is half there", "--list-dialogs", with("API_ID=1")),
        ("the application is not there", "--show", with("")),
        ("two lines are wrong", "--show", with("API_ID=x\nVIDEO_QUALITY=4k")),
        ("a quote is open", "--show", "SESSION_STRING=\"x".into()),
        ("no session", "--show", app.clone()),
        ("no standby session", "--show --standby", app.clone()),
        ("no session to convert", "--convert telethon", String::new()),
        ("no session string", "--show", "SESSION_STRING=1xyz".into()),
        ("no standby to approve", "--non-interactive", app.clone()),
        (
            "a standby that is no session string",
            "--non-interactive",
            format!("{app}\nSTANDBY_SESSION_STRING=none-of-them"),
        ),
        ("no such file", "--show --env-file none", String::new()),
        ("no terminal", "--write-env", app.clone()),
    ];
    let mut told = String::new();
    for (case, line, text) in cases {
        fs::write(home.path().join(".env"), text).unwrap();
        let said = home.run(&line.split(' ').collect::<Vec<_>>());
        // Where the test's own files lie.
        let tools = format!("{}/", tgs_e2e::bin_path::profile_dir().unwrap().display());
        let last = said.last().replace(&tools, "").replace(home.path().to_str().unwrap(), "HOME");
        let _ = writeln!(told, "{case}: tgs-session {line}\nexit {}: {last}\n", said.code.unwrap_or(-1));
    }
    insta::assert_snapshot!(told);
    assert_eq!(home.dc.requests().len(), 0);
}

#[test]
fn a_session_that_cannot_be_kept_is_not_made() {
    let home = Home::new();
    fs::remove_file(home.path().join(".env")).unwrap();
    fs::create_dir(home.path().join(".env")).unwrap();
    let said = home.run_with(&["--non-interactive", "--write-env"], &[("STANDBY_SESSION_STRING", "x")]);
    assert!(said.code != Some(0), "{}", said.err);
    assert_eq!(home.dc.requests().len(), 0);
}
