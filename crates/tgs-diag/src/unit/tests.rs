//! Verdicts on output of `systemctl show`.

use super::*;
use crate::finding::{Level, lines};

/// Output of systemd 252.
const RUNNING: &str = "\
Restart=always
NRestarts=3
MainPID=812
StatusText=On air: A film
Result=success
ExecMainCode=0
ExecMainStatus=0
ExecStart={ path=/opt/x/bin/tgs-stream ; argv[]=/opt/x/bin/tgs-stream --env-file /opt/x/.env ; ignore_errors=no ; start_time=[n/a] ; status=0/0 }
Environment=PATH=/opt/x/venv/bin:/usr/bin \"CALL_TITLE=Round the clock\"
EnvironmentFiles=/opt/y/.env (ignore_errors=no)
WorkingDirectory=/opt/x/shared
User=tgstream
PrivateTmp=yes
ProtectSystem=full
NoNewPrivileges=yes
StateDirectory=tg_video_streamer@news
CacheDirectory=tg_video_streamer other
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
ActiveEnterTimestamp=Sun 2026-11-22 10:00:00 UTC
StartLimitIntervalUSec=0
NeedDaemonReload=no
";

fn unit(changes: &[(&str, &str)]) -> UnitProperties {
    let mut unit = UnitProperties::read(RUNNING);
    unit.0.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    unit
}

#[test]
fn settings_of_the_unit_for_its_process() {
    let unit = unit(&[]);
    assert_eq!(unit.env_file(), Some("/opt/x/.env".into()));
    assert_eq!(unit.directory(), Some("/opt/x/shared".into()));
    let vars = unit.variables();
    for (name, value) in [
        ("PATH", "/opt/x/venv/bin:/usr/bin"),
        ("CALL_TITLE", "Round the clock"),
        ("STATE_DIRECTORY", "/var/lib/tg_video_streamer@news"),
        ("CACHE_DIRECTORY", "/var/cache/tg_video_streamer"),
    ] {
        assert_eq!(vars.get(name).map(String::as_str), Some(value));
    }
    let listed = UnitProperties::read(
        "ExecStart={ path=/x ; argv[]=/x }\nEnvironmentFiles=/opt/y/.env (ignore_errors=no)\n",
    );
    assert_eq!(listed.env_file(), Some("/opt/y/.env".into()));
    assert_eq!(UnitProperties::read("WorkingDirectory=!/root\n").directory(), Some("/root".into()));
    assert_eq!(UnitProperties::read("LoadState=not-found\n").env_file(), None);
}

#[test]
fn states() {
    let states: [&[(&str, &str)]; 9] = [
        &[],
        &[("ActiveState", "inactive"), ("SubState", "dead")],
        &[
            ("ActiveState", "failed"),
            ("SubState", "failed"),
            ("Result", "exit-code"),
            ("ExecMainStatus", "78"),
        ],
        &[
            ("ActiveState", "activating"),
            ("SubState", "auto-restart"),
            ("ExecMainStatus", "78"),
            ("NRestarts", "21"),
        ],
        &[("ActiveState", "activating"), ("SubState", "start")],
        &[("LoadState", "masked")],
        &[("LoadState", "not-found")],
        &[("LoadState", "bad-setting"), ("LoadError", "line 3")],
        &[("UnitFileState", "disabled"), ("NeedDaemonReload", "yes")],
    ];
    let shown: String = states
        .iter()
        .flat_map(|changes| [true, false].map(|named| lines(&state("tgs", &unit(changes), named), false)))
        .fold((String::new(), String::new()), |(all, last), text| {
            // Only one verdict depends on `--unit`; equal texts appear once.
            if text == last { (all, last) } else { (all + &text + "\n", text) }
        })
        .0;
    insta::assert_snapshot!(shown);
}

#[test]
fn hardening_that_is_not_in_force() {
    let whole = hardening("tgs", &unit(&[]), Some(true));
    assert!(whole.len() == 1 && whole[0].level == Level::Pass, "{whole:?}");
    for change in [
        ("NoNewPrivileges", "no"),
        ("ProtectSystem", "yes"),
        ("PrivateTmp", "no"),
        ("Restart", "on-failure"),
        ("User", ""),
        ("User", "root"),
        ("StartLimitIntervalUSec", "10s"),
    ] {
        let found = hardening("tgs", &unit(&[change]), Some(true));
        assert!(found.len() == 1 && found[0].level == Level::Fail, "{change:?}: {found:?}");
    }
    assert_eq!(hardening("tgs", &unit(&[]), Some(false))[0].level, Level::Fail);
    assert_eq!(hardening("tgs", &unit(&[("LoadState", "not-found")]), None)[0].level, Level::Warn);
}

#[test]
fn the_state_of_the_process_is_read_from_proc() {
    let proc = tempfile::tempdir().unwrap();
    let of = proc.path().join("812");
    fs::create_dir(&of).unwrap();
    assert_eq!(no_new_privs(&unit(&[]), proc.path()), None);
    fs::write(of.join("status"), "Name:\tx\nNoNewPrivs:\t1\n").unwrap();
    assert_eq!(no_new_privs(&unit(&[]), proc.path()), Some(true));
    fs::write(of.join("status"), "NoNewPrivs:\t0\n").unwrap();
    assert_eq!(no_new_privs(&unit(&[]), proc.path()), Some(false));
    assert_eq!(no_new_privs(&unit(&[("MainPID", "0")]), proc.path()), None);
    std::os::unix::fs::symlink("/x/tgs-stream", of.join("exe")).unwrap();
    assert!(!unit(&[]).runs_replaced(proc.path()));
    fs::remove_file(of.join("exe")).unwrap();
    std::os::unix::fs::symlink("/x/tgs-stream (deleted)", of.join("exe")).unwrap();
    assert!(unit(&[]).runs_replaced(proc.path()));
}

#[test]
fn timers() {
    let on = UnitProperties::read(
        "LoadState=loaded\nActiveState=active\nNextElapseUSecRealtime=Sun 2026-11-29 02:03:11 UTC\nLastTriggerUSec=n/a\n",
    );
    let found = timer(&on, &UnitProperties::read("Result=success\n"));
    assert_eq!(
        lines(&found, false),
        "PASS timer: yt-dlp is updated next on Sun 2026-11-29 02:03:11 UTC; last: never\n"
    );
    assert_eq!(timer(&on, &UnitProperties::read("Result=exit-code\n"))[1].level, Level::Warn);
    assert_eq!(
        timer(&UnitProperties::read("LoadState=loaded\nActiveState=inactive\n"), &on)[0].level,
        Level::Fail
    );
    assert_eq!(timer(&UnitProperties::read("LoadState=not-found\n"), &on)[0].level, Level::Warn);
}
