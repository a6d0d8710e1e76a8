//! The operator's smoke test of a live host, on one: it passes where the unit comes back, and fails
//! where not.

use std::process::Command;

use tgs_e2e::{
    bin_path::workspace,
    machine::{ENV_FILE, Machine, UNIT},
};

const SCRIPT: &str = "/usr/local/bin/test_systemd_restart.sh";

#[test]
fn the_smoke_test_tells_whether_the_unit_comes_back() {
    let machine = Machine::boot().unwrap();
    machine.install_tree(&["tgs-stream", "tgs-check-active"]).unwrap();
    // Without settings a start says so at once, and `systemctl status` names the file.
    let started = machine.run(&["systemctl", "start", UNIT]).unwrap();
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(!started.status.success() && said.contains("Assertion failed on job"), "{said}");
    let shown = machine.sh(&format!("systemctl status --no-pager --full {UNIT} || true")).unwrap();
    let missing = "settings: /opt/tg_video_streamer/current/.env;";
    assert!(shown.contains("asserts failed") && shown.contains(missing), "{shown}");
    let check = "/opt/tg_video_streamer/current/bin/tgs-check-active";
    let said = machine.sh(&format!("{check} {UNIT} --restart --timeout 8 --stable 2 2>&1 || true")).unwrap();
    assert!(said.contains("/opt/tg_video_streamer/current/.env cannot be read: No such file"), "{said}");
    assert_eq!(machine.sh("systemctl --failed --no-legend").unwrap(), "");

    // Nothing can be played, and no server is there: what counts is the process.
    machine.settings(ENV_FILE, &[("OUTPUT_URL", "rtmp://127.0.0.1:9/live/key")]).unwrap();
    machine.write("/opt/tg_video_streamer/shared/playlist.txt", "nothing.mp4\n", 0o644).unwrap();
    machine
        .put(&workspace().join("tests/smoke/test_systemd_restart.sh"), SCRIPT, 0o755, "root:root")
        .unwrap();
    let smoke = |args: &[&str]| {
        let output = machine.run(&[&[SCRIPT], args].concat()).unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said.into_owned())
    };

    let (code, said) = smoke(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("FAIL: tg_video_streamer is not active before the test: inactive"), "{said}");

    machine.sh(&format!("systemctl start {UNIT}")).unwrap();
    let (code, said) = smoke(&["--unit", UNIT, "--timeout", "20"]);
    assert_eq!(code, Some(0), "{said}\n{}", machine.journal(UNIT).unwrap());
    assert!(said.contains("PASS: tg_video_streamer was active again after 1"), "{said}");

    machine.drop_in("tg_video_streamer.service", "test", "[Service]\nRestart=no\n").unwrap();
    let (code, said) = smoke(&["--timeout", "5"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is not active again after 5 s: failed (failed), result signal"), "{said}");

    // It comes back once and dies while the script waits.
    let dies = "[Service]\nType=simple\nWatchdogSec=0\nRestart=always\nRestartSec=1\nExecStart=\nExecStart=/bin/sleep infinity\n";
    machine.drop_in("tg_video_streamer.service", "test", dies).unwrap();
    let sleep = format!(
        "#!/bin/sh\n[ \"$1\" != 3 ] || systemctl kill --kill-who=main --signal=KILL {UNIT}\nexec /bin/sleep \"$@\"\n"
    );
    machine.write("/root/bin/sleep", &sleep, 0o755).unwrap();
    let script = format!("systemctl start {UNIT} && PATH=/root/bin:$PATH {SCRIPT}");
    let output = machine.run(&["sh", "-c", &script]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("came back and went again"), "{said}");
}

#[test]
fn the_smoke_test_refuses_what_it_does_not_know() {
    for args in [&["--what"][..], &["--timeout", "soon"], &["--unit"]] {
        let output = Command::new(workspace().join("tests/smoke/test_systemd_restart.sh"))
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
