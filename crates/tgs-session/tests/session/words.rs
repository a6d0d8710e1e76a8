//! What the tool says without Telegram: its help, and what is wrong with its command line and settings.

use std::{fs, process::Command};

use tgs_testdc::World;

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
    for name in ["TGS_TEST_DCS", "TGS_TEST_LIMIT"] {
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
fn settings_that_cannot_be_used() {
    let home = Home::new();
    let path = home.path().join(".env");
    let session = home.session(World::BOB).telethon_string();
    let cases = [
        (
            format!("API_ID=1\nSESSION_STRING={session}\n"),
            "--list-dialogs",
            78,
            "API_HASH is not set; copy API_ID and",
        ),
        (format!("SESSION_STRING={session}\n"), "--show", 78, "API_ID and API_HASH are not set"),
        ("API_ID=x\n".into(), "--show", 78, ".env line 1: API_ID must be the number"),
        ("SESSION_STRING=\"x\n".into(), "--show", 78, ".env line 1: SESSION_STRING opens a quote"),
        (String::new(), "--show", 1, "SESSION_STRING is not set; run: tgs-session --write-env"),
        (
            "SESSION_STRING=1xyz\n".into(),
            "--show",
            1,
            "SESSION_STRING has a length that no kind of session string has",
        ),
        (String::new(), "--non-interactive", 1, "STANDBY_SESSION_STRING is not set"),
    ];
    for (text, arg, code, words) in cases {
        fs::write(&path, &text).unwrap();
        home.run(&[arg]).fails(code, words);
    }
    home.run(&["--show", "--env-file", "none"]).fails(78, "none cannot be read");
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
