//! Telethon takes the strings that the tool makes. It comes from PyPI, into the environment that
//! the tests of `tgs-testdc` make and use too.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use tgs_e2e::bin_path::workspace;
use tgs_testdc::{TestDc, World};

use crate::{by_qr::scan, harness::Home};

const VERSION: &str = "telethon==1.45.0";

/// The environment's Python, with Telethon in it.
fn python() -> PathBuf {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tools");
    let (venv, stamp) = (tools.join("telethon"), tools.join("telethon/installed"));
    fs::create_dir_all(&tools).unwrap();
    // Tests run in processes of their own: one makes the environment, the others wait.
    let lock = File::create(tools.join("telethon.lock")).unwrap();
    lock.lock().unwrap();
    let python = venv.join("bin/python");
    if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == VERSION) {
        let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv).status().unwrap();
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", VERSION];
        assert!(made.success() && Command::new(&python).args(pip).status().unwrap().success());
        fs::write(stamp, VERSION).unwrap();
    }
    python
}

/// Telethon goes on with Alice's session: who it is, its dialogs, and the calls that start a live
/// stream.
fn goes_on(dc: &TestDc, string: &str) {
    let script = workspace().join("crates/tgs-testdc/tests/telethon/given_session.py");
    let (api_id, api_hash) = (dc.api_id().to_string(), dc.api_hash());
    let output = Command::new(python()).arg(script).args([string, &api_id, &api_hash]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(dc.calls(World::CHANNEL).len(), 1);
}

#[test]
fn a_session_by_code_and_password() {
    let home = Home::new();
    let mut run = home.at_terminal(&["--phone", "+15550100001", "--write-env"]);
    run.expect("Code").enter("22222").expect("not shown: ").enter("correct horse");
    run.end().ok();
    goes_on(&home.dc, &home.value("SESSION_STRING"));
}

#[test]
fn a_session_by_qr_code_that_moved_to_another_dc() {
    let mut world = World::example();
    // Where no sign-in begins.
    world.accounts[0].dc_id = 1;
    let home = Home::of(world);
    let mut run = home.at_terminal(&["--qr", "--write-env"]);
    scan(&home, &mut run, World::ALICE);
    run.expect("not shown: ").enter("correct horse");
    run.end().ok();
    assert_eq!(home.dc.sessions(World::ALICE).last().unwrap().dc_id, 1);
    goes_on(&home.dc, &home.value("SESSION_STRING"));
}
