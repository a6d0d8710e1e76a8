//! The settings of a deploy: checked, never readable by others, restored after a failure.

use std::{fs, process::Stdio, time::Duration};

use crate::host::{GOOD, Host, MAIN, OTHER, ROOT, SETTINGS};

#[test]
fn settings_that_a_start_would_refuse_stop_nothing() {
    let host = Host::with_a_release();
    host.sh(&format!("echo NAME=news >{ROOT}/instances/news.env; systemctl start tg_video_streamer@news"));
    let units = [MAIN, "tg_video_streamer@news.service"];
    let runs = || units.map(|unit| host.run_of(unit));
    let before = runs();
    // The release itself says so, of each broadcast that runs, as the user of the unit and with its
    // directories.
    let said_by =
        "id -un; pwd; echo \"FAIL LOOP must be 1 or 0 ($*) $STATE_DIRECTORY $CACHE_DIRECTORY\"; exit 78";
    host.release_with(
        "refuses",
        &format!("[[ $* != *--check-settings* ]] || {{ {said_by}; }}\n{GOOD}"),
        |_| {},
    );
    host.write("other", OTHER);
    let (code, said) = host.deploy("refuses", &["--replace-env", "/root/other"]);
    assert_eq!(code, 1, "{said}");
    for words in [
        "tgstream\n/opt/tg_video_streamer/shared\n",
        "FAIL LOOP must be 1 or 0 (--check-settings --env-file /opt/tg_video_streamer/shared/.env) \
         /var/lib/tg_video_streamer /var/cache/tg_video_streamer",
        "(--check-settings --fixed-port --env-file /opt/tg_video_streamer/instances/news.env) \
         /var/lib/tg_video_streamer@news /var/cache/tg_video_streamer",
        "nothing was stopped: mend the settings",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!((host.current(), host.env(), runs()), ("first".into(), SETTINGS.into(), before), "{said}");
    host.is_tidy();
    // What does not run has nothing to lose, and may be what the new settings mend.
    host.sh(&format!("systemctl stop {}", units.join(" ")));
    host.must_deploy("refuses", &[]);
}

#[test]
fn nobody_else_can_read_the_settings_for_an_instant() {
    let host = Host::with_a_release();
    // May enter the directory, and reads whatever it can open there, all the time.
    host.sh("useradd --system --gid tgstream snoop");
    let snoop = "cd /opt/tg_video_streamer/shared; echo ready; while :; do for f in .env*; do \
                 [[ $f == *.lock ]] || ! cat \"$f\" 2>/dev/null; done; done";
    let mut snoop = host
        .machine
        .command("setpriv")
        .args(["--reuid=snoop", "--regid=tgstream", "--clear-groups", "bash", "-c", snoop])
        .stdout(fs::File::create(host.at("seen")).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let seen = || fs::read_to_string(host.at("seen")).unwrap();
    host.machine.wait_for("the reader", Duration::from_secs(10), || seen() == "ready\n").unwrap();
    let env = format!("{ROOT}/shared/.env");
    host.write("env", SETTINGS);
    for (start, options) in [
        (format!("rm {env}"), vec!["--env", "/root/env"]),
        (format!("install -o root -g root -m 600 /root/env {env}.x; mv {env}.x {env}"), vec![]),
        ("true".into(), vec!["--replace-env", "/root/env"]),
    ] {
        host.sh(&start);
        host.must_deploy("first", &[&["--id", "next", "--keep", "2"], &options[..]].concat());
        assert_eq!(host.sh(&format!("stat -c '%a %U:%G' {env}")), "600 tgstream:tgstream");
        assert_eq!(host.machine.read(&env).unwrap(), SETTINGS);
    }
    // A world-readable file gets its mode corrected.
    snoop.kill().unwrap();
    snoop.wait().unwrap();
    assert_eq!(seen(), "ready\n");
    host.sh(&format!("chmod 666 {env}"));
    host.must_deploy("first", &["--id", "next"]);
    assert_eq!(host.sh(&format!("stat -c '%a %U:%G' {env}")), "600 tgstream:tgstream");
}

#[test]
fn links_planted_by_the_service_are_not_followed() {
    let host = Host::with_a_release();
    host.sh("echo precious >/root/precious; chmod 644 /root/precious; chmod 711 /root");
    let as_service = |script: &str| {
        host.sh(&format!(
            "cd {ROOT}/shared && setpriv --reuid=tgstream --regid=tgstream --clear-groups bash -c '{script}'"
        ))
    };
    let untouched = || {
        assert_eq!(
            host.sh("stat -c '%a %U:%G' /root/precious /etc/shadow; cat /root/precious"),
            "644 root:root\n640 root:shadow\nprecious"
        );
    };
    host.write("env", SETTINGS);
    // A directory in the file's place: reported, and nothing changes.
    let before = host.run_of(MAIN);
    for target in ["/root/precious", "/etc/shadow", "/dev/null", "nowhere"] {
        as_service(&format!("ln -sfT {target} .env"));
        for options in [["--env", "/root/env"], ["--replace-env", "/root/env"]] {
            let (code, said) = host.deploy("first", &options);
            assert_eq!(code, 1, "{target} {options:?}: {said}");
            assert!(said.contains("is a link, which is not followed"), "{said}");
        }
        untouched();
    }
    assert_eq!(host.run_of(MAIN), before);
    // Where nothing was to be written it is said, and holds up nobody: neither the broadcast nor
    // that of another channel.
    host.sh(&format!("ln -s /etc/shadow {ROOT}/instances/a.env"));
    as_service(&format!("echo {} >x; mv -T x .env", SETTINGS.trim()));
    let said = host.must_deploy("first", &[]);
    assert!(said.contains("WARNING: left /opt/tg_video_streamer/instances/a.env as it is"), "{said}");
    assert_ne!(host.run_of(MAIN), before);
    untouched();
    // Beside it: replaced like any leftover.
    as_service(
        "rm .env; for f in .env.bak .env.before-deploy .env.tgs-new .env.before-deploy.tgs-new; do ln -sf /root/precious $f; done; mkfifo .env.lock",
    );
    host.must_deploy("first", &["--id", "a", "--env", "/root/env"]);
    untouched();
    as_service("ln -sf /root/precious .env.bak; rm -f .env.lock; ln -s /etc/shadow .env.lock");
    let (code, said) = host.deploy("first", &["--id", "b", "--replace-env", "/root/env"]);
    assert_eq!(code, 1, "a lock that leads to root's files can be no lock: {said}");
    as_service("rm .env.lock");
    host.must_deploy("first", &["--id", "c", "--replace-env", "/root/env"]);
    untouched();
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env.bak")).unwrap(), SETTINGS);
    // Links that come and go while the deploy works.
    let race = "cd /opt/tg_video_streamer/shared; while :; do ln -sfT /root/precious .env; ln -sfT /root/precious .env.tgs-new; \
                echo A=b >new; mv -fT new .env; done";
    let mut race = host
        .machine
        .command("setpriv")
        .args(["--reuid=tgstream", "--regid=tgstream", "--clear-groups", "bash", "-c", race])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..5 {
        let _ = host.deploy("first", &["--id", "race", "--replace-env", "/root/env", "--timeout", "6"]);
    }
    race.kill().unwrap();
    race.wait().unwrap();
    untouched();
}

#[test]
fn settings_go_back_to_what_they_were() {
    let host = Host::new();
    host.release("first", GOOD);
    host.must_deploy("first", &[]);
    // There were no settings before; an unrelated older file is ignored.
    host.sh(&format!("echo OLD=1 >{ROOT}/shared/.env.bak; chown tgstream: {ROOT}/shared/.env.bak"));
    host.release("fails", "exit 78");
    host.write("other", OTHER);
    let (code, said) = host.deploy("fails", &["--replace-env", "/root/other"]);
    assert_eq!(code, 1, "{said}");
    let left = host.sh(&format!("cd {ROOT}/shared && ls -A; cat .env.bak"));
    assert_eq!(left, ".env.bak\nytdlp\nOLD=1", "{said}");
    host.is_tidy();

    // A release that fails has signed in anew before: that session lives, the one in the old
    // settings may not.
    host.write("env", SETTINGS);
    host.must_deploy("first", &["--env", "/root/env"]);
    host.release("signs-in", &format!("cd {ROOT}/shared; umask 077; echo NEW=1 >x; mv x .env; exit 78"));
    let (code, said) = host.deploy("signs-in", &["--replace-env", "/root/other"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("which was changed meanwhile"), "{said}");
    assert_eq!(host.env(), "NEW=1\n");
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env.bak")).unwrap(), SETTINGS);
    host.is_tidy();
}

#[test]
fn a_deploy_that_is_killed_leaves_no_settings_behind() {
    let host = Host::with_a_release();
    host.release("second", GOOD);
    host.write("other", OTHER);
    let env = host.at("other");
    // Long enough to be killed within it.
    let options = ["--replace-env", env.to_str().unwrap(), "--stable", "60"];
    let mut step =
        host.over_ssh("second", &host.machine.key(), &host.known_hosts(), &options).spawn().unwrap();
    host.machine.wait_for("the swap", Duration::from_mins(1), || host.current() == "second").unwrap();
    assert_ne!(host.sh("ls /var/tmp/tgs-deploy.*/env"), "");
    host.sh("systemctl kill --signal=KILL 'tgs-deploy-*.service'");
    assert!(!step.wait().unwrap().success());
    assert_eq!(host.sh("shopt -s nullglob; echo /var/tmp/tgs-deploy.*"), "");
    host.must_deploy("second", &["--id", "third"]);
    assert_eq!(host.env(), SETTINGS);
    host.is_tidy();
}
