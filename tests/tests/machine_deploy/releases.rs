//! What a release must be, and what becomes of the ones before and of their units.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use crate::host::{DIES, DIES_LATER, GOOD, Host, MAIN, ROOT, SETTINGS, TAKES_ALL, script};

#[test]
fn a_first_deploy_waits_for_its_settings() {
    let host = Host::new();
    host.release("first", GOOD);
    let said = host.must_deploy("first", &[]);
    assert!(said.contains("there are no settings") && said.contains("tgs-session"), "{said}");
    assert_eq!(host.machine.unit(MAIN).unwrap()["ActiveState"], "inactive");
    assert_eq!(host.sh(&format!("systemctl is-enabled {MAIN}")), "enabled");

    host.write("env", SETTINGS);
    let said = host.must_deploy("first", &["--env", "/root/env"]);
    assert!(said.contains("installed") && said.contains("runs: tg_video_streamer.service"), "{said}");
    host.run_of(MAIN);
    let modes = host.sh(&format!(
        "stat -c '%n %a %U:%G' {ROOT} {ROOT}/releases {ROOT}/current/ {ROOT}/current/bin/* {ROOT}/shared {ROOT}/shared/.env; \
         readlink {ROOT}/current/.env {ROOT}/current/venv /etc/systemd/system/{MAIN}"
    ));
    assert_eq!(
        modes.replace(ROOT, ""),
        " 755 root:root\n/releases 755 root:root\n/current/ 755 root:root\n\
         /current/bin/tgs-check-active 755 root:root\n/current/bin/tgs-stream 755 root:root\n\
         /shared 750 tgstream:tgstream\n/shared/.env 600 tgstream:tgstream\n\
         ../../shared/.env\n../../shared/ytdlp/current\n/current/systemd/tg_video_streamer.service"
    );
    // From the next boot on, also when this release has long gone.
    assert_eq!(
        host.sh(&format!(
            "readlink /etc/systemd/system/multi-user.target.wants/{MAIN}; systemctl is-enabled {MAIN}"
        )),
        format!("/etc/systemd/system/{MAIN}\nenabled")
    );

    // The settings stay, and so do the operator's own decisions.
    host.write("env", "API_HASH=other\n");
    host.sh(&format!("systemctl disable --quiet {MAIN}"));
    let before = host.run_of(MAIN);
    let said = host.must_deploy("first", &["--env", "/root/env", "--id", "second"]);
    assert!(said.contains("kept /opt/tg_video_streamer/shared/.env"), "{said}");
    assert_ne!(host.run_of(MAIN), before);
    assert_eq!(host.current(), "second");
    // The bot reads it.
    let note = host.machine.read(&format!("{ROOT}/last-deploy")).unwrap();
    assert!(note.starts_with("done releases/") && note.ends_with("-second\n"), "{note}");
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env")).unwrap(), SETTINGS);
    // Linked into place again, but not to start at boot.
    assert_eq!(host.machine.run(&["systemctl", "is-enabled", MAIN]).unwrap().stdout, b"linked\n");
    host.must_deploy("first", &["--replace-env", "/root/env", "--id", "third"]);
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env")).unwrap(), "API_HASH=other\n");
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env.bak")).unwrap(), SETTINGS);
    host.is_tidy();
}

/// Adds a desk and a bot to a release, which show `name` as their command line.
fn with_daemons(dir: &Path, name: &str) {
    for daemon in ["web", "bot"] {
        let program = dir.join(format!("bin/tgs-{daemon}"));
        fs::write(&program, format!("#!/bin/bash\nexec -a {name}-{daemon} sleep infinity\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let unit = format!(
            "[Service]\nType=exec\nExecStart={ROOT}/current/bin/tgs-{daemon}\nRestart=always\n\
             [Install]\nWantedBy=multi-user.target\n"
        );
        fs::write(dir.join(format!("systemd/tg_video_{daemon}.service")), unit).unwrap();
    }
}

#[test]
fn desk_and_bot_follow_a_release_and_stay_with_the_one_that_is_kept() {
    let host = Host::new();
    host.write("env", SETTINGS);
    let release = |name: &str, body: &str| {
        host.release_with(name, &format!("{TAKES_ALL}\n{body}"), |dir| with_daemons(dir, name));
    };
    // The main process of each, once it shows this release.
    let run = |name: &str| {
        ["web", "bot"].map(|daemon| {
            let unit = format!("tg_video_{daemon}.service");
            let pid = || host.machine.unit(&unit).unwrap()["MainPID"].clone();
            let shown = || {
                let command = host.machine.read(&format!("/proc/{}/cmdline", pid())).unwrap_or_default();
                command.starts_with(&format!("{name}-{daemon}"))
            };
            let limit = Duration::from_secs(20);
            host.machine.wait_for(&format!("{unit} of {name}"), limit, shown).unwrap();
            pid()
        })
    };
    release("first", GOOD);
    host.must_deploy("first", &["--env", "/root/env"]);
    host.sh("systemctl start tg_video_web tg_video_bot");
    run("first");
    release("second", GOOD);
    host.must_deploy("second", &[]);
    let second = run("second");
    release("dies", DIES);
    assert_eq!(host.deploy("dies", &[]).0, 1);
    assert_eq!(run("second"), second, "they were restarted for a release that is taken back");
    // A daemon that has crashed meanwhile comes back as that of the kept release.
    host.sh("systemctl restart tg_video_web tg_video_bot");
    run("second");
}

#[test]
fn a_release_that_does_not_stay_up_is_taken_back() {
    let host = Host::with_a_release();
    host.release("dies", DIES);
    host.write("env", "API_HASH=other\n");
    let (code, said) = host.deploy("dies", &["--replace-env", "/root/env"]);
    assert_eq!(code, 1, "{said}");
    for words in [
        "restarted it 3 times",
        "exited with 78, bad configuration",
        "it is over",
        "does not stay up; releases/",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(host.current(), "first");
    let note = host.machine.read(&format!("{ROOT}/last-deploy")).unwrap();
    assert!(note.starts_with("back releases/"), "{note}");
    host.run_of(MAIN);
    let runs = host.sh(&format!("systemctl cat {MAIN} >/dev/null; readlink -f {ROOT}/current"));
    assert_eq!(host.sh("ls /opt/tg_video_streamer/releases"), runs.rsplit('/').next().unwrap());
    // The settings that came with it are gone with it.
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env")).unwrap(), SETTINGS);
    host.is_tidy();
}

#[test]
fn a_release_that_dies_after_the_first_seconds_is_taken_back() {
    let host = Host::with_a_release();
    host.release("later", DIES_LATER);
    // A short proof does not see it, the longer one does. On a server that is a minute, without the
    // option.
    let (code, said) = host.deploy("later", &["--stable", "9", "--timeout", "8"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("does not stay up") && host.current() == "first", "{said}");
    host.run_of(MAIN);
    let script = fs::read_to_string(script()).unwrap();
    assert!(script.contains("timeout=60 stable=60"), "the deploy proves for another time");
    host.is_tidy();
}

#[test]
fn an_archive_that_is_no_release_changes_nothing() {
    let host = Host::with_a_release();
    let before = host.run_of(MAIN);
    let garbage = |dir: &Path| fs::write(dir.join("bin/tgs-check-active"), "\x7fELF not a program").unwrap();
    host.release_with("garbage", GOOD, garbage);
    host.release_with("incomplete", GOOD, |dir| fs::remove_dir_all(dir.join("sysusers.d")).unwrap());
    host.release_with("link", GOOD, |dir| {
        std::os::unix::fs::symlink("/etc/shadow", dir.join("bin/tgs")).unwrap();
    });
    host.sh("head -c 100000 /root/first.tar.gz >/root/cut.tar.gz");
    host.sh("cd /root && mkdir -p x/y && echo a >x/y/a && tar -czPf up.tar.gz x/y/../y/a && tar -czPf two.tar.gz x /etc/hostname");
    let cases = [
        ("garbage", "tgs-check-active of this release does not run"),
        ("incomplete", "it has no sysusers.d"),
        ("link", "holds links or devices"),
        ("cut", "is no whole archive"),
        ("up", "a path with .. in it"),
        ("two", "does not hold one folder"),
    ];
    for (name, words) in cases {
        let (code, said) = host.deploy(name, &[]);
        assert_eq!(code, 1, "{name}: {said}");
        assert!(said.contains(words), "{name}: {said}");
    }
    assert_eq!(host.deploy("missing", &[]).0, 2);
    assert_eq!(host.deploy("first", &["--id", "../x"]).0, 2);
    assert_eq!((host.current(), host.run_of(MAIN)), ("first".into(), before));
    host.is_tidy();
}

#[test]
fn every_instance_is_restarted_and_one_that_fails_takes_all_back() {
    let host = Host::new();
    let body =
        |fails: &str| format!("[[ $NAME != {fails} && $NAME != broken ]] || exit 1\nexec sleep infinity");
    host.release("named", &body("nobody"));
    host.release("fails", &body("b"));
    let units = [MAIN, "tg_video_streamer@a.service", "tg_video_streamer@b.service"];
    host.must_deploy("named", &[]);
    // As an operator leaves them who has not read how they should be.
    host.sh(&format!(
        "cd {ROOT}/instances; for i in a b broken; do echo NAME=$i >$i.env; done; echo NAME=main >{ROOT}/shared/.env"
    ));
    // Not for a moment.
    let never = "[Service]\nExecStartPre=/bin/false\n";
    host.machine.drop_in("tg_video_streamer@broken.service", "never", never).unwrap();
    host.sh(&format!(
        "systemctl start {}; systemctl start --no-block tg_video_streamer@broken",
        units.join(" ")
    ));
    let runs = || units.map(|unit| host.run_of(unit));

    let before = runs();
    let said = host.must_deploy("named", &["--id", "again"]);
    assert!(runs().iter().zip(&before).all(|(now, before)| now != before), "{said}");
    assert!(said.contains("tg_video_streamer@broken.service did not run before either"), "{said}");
    assert_eq!(
        host.sh(&format!("stat -c '%n %a %U:%G' {ROOT}/instances/*")).replace(ROOT, ""),
        "/instances/a.env 600 tgstream:tgstream\n/instances/b.env 600 tgstream:tgstream\n/instances/broken.env 600 tgstream:tgstream"
    );

    let (code, said) = host.deploy("fails", &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("tg_video_streamer@b.service does not stay up"), "{said}");
    assert_eq!(host.current(), "again");
    runs();

    // What else a release brings: how its log is rotated. An operator's own file stays.
    let rotate = "/etc/logrotate.d/yt-dlp-update";
    assert_eq!(
        host.sh(&format!("readlink {rotate}; logrotate --debug {rotate} 2>&1 | grep -c ^error || :")),
        format!("{ROOT}/current/logrotate.d/yt-dlp-update\n0")
    );
}

#[test]
fn old_releases_go_except_one_that_is_in_use() {
    let host = Host::with_a_release();
    // A process of the first release that is still running.
    host.sh(&format!("cp /bin/sleep {ROOT}/current/bin/lasting; systemd-run --quiet $(readlink -f {ROOT}/current)/bin/lasting infinity"));
    for name in ["b", "c", "d"] {
        host.must_deploy("first", &["--id", name, "--keep", "2"]);
    }
    let left = || host.sh(&format!("cd {ROOT}/releases && ls | cut -d- -f2 | xargs"));
    assert_eq!(left(), "first c d");
    host.sh("systemctl stop 'run-*.service'");
    host.must_deploy("first", &["--id", "e", "--keep", "1"]);
    // The one before is what one would go back to.
    assert_eq!(left(), "d e");
}

#[test]
fn a_deploy_starts_failed_units_and_leaves_stopped_ones() {
    let host = Host::with_a_release();
    host.sh(&format!("systemctl stop {MAIN}"));
    let said = host.must_deploy("first", &["--id", "second"]);
    assert!(said.contains("nothing was started: systemctl start tg_video_streamer"), "{said}");
    assert_eq!(host.machine.unit(MAIN).unwrap()["ActiveState"], "inactive");
    assert_eq!(host.current(), "second");

    let once = format!("/run/systemd/system/{MAIN}.d/once.conf");
    host.machine.write(&once, "[Service]\nRestart=no\n", 0o644).unwrap();
    host.sh(&format!(
        "systemctl daemon-reload; systemctl start {MAIN}; systemctl kill --signal=KILL {MAIN}; \
         until systemctl --quiet is-failed {MAIN}; do sleep 0.1; done"
    ));
    host.must_deploy("first", &["--id", "third"]);
    host.run_of(MAIN);
}

#[test]
fn a_masked_unit_fails_the_deploy() {
    let host = Host::new();
    host.release("first", GOOD);
    host.write("env", SETTINGS);
    // As dpkg leaves it when the package is removed.
    host.sh(&format!("DPKG_MAINTSCRIPT_PACKAGE=tgs deb-systemd-helper mask {MAIN}; systemctl daemon-reload"));
    assert_eq!(host.machine.unit(MAIN).unwrap()["LoadState"], "masked");
    host.must_deploy("first", &["--env", "/root/env"]);
    host.run_of(MAIN);
    // As an operator who wants nothing to run.
    host.sh(&format!("systemctl stop {MAIN}; rm /etc/systemd/system/{MAIN}; systemctl mask --quiet {MAIN}"));
    let (code, said) = host.deploy("first", &["--id", "second"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is masked") && said.contains("systemctl unmask tg_video_streamer"), "{said}");
    assert_eq!(host.current(), "first");
    assert_eq!(host.sh(&format!("readlink /etc/systemd/system/{MAIN}")), "/dev/null");
    host.is_tidy();
}
