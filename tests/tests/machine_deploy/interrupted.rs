//! Deploys over ssh that are refused, interrupted or killed, and two at once.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::Duration,
};

use tgs_e2e::machine::ADDRESS;

use crate::host::{DIES, GOOD, Host, MAIN, OTHER, ROOT, SETTINGS, said};

#[test]
fn over_ssh_with_the_right_key_only_and_to_the_right_host_only() {
    let host = Host::new();
    host.release("first", GOOD);
    host.write("env", SETTINGS);
    let env = host.at("env");
    let options = ["--env", env.to_str().unwrap()];

    let stranger = host.at("stranger");
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&stranger).status();
    assert!(made.unwrap().success());
    let public = fs::read_to_string(stranger.with_extension("pub")).unwrap();
    let other = format!("{ADDRESS} {public}");
    let key = host.machine.key();
    let cases = [
        (&*stranger, host.known_hosts(), "Permission denied"),
        (&*key, other, "Host key verification failed"),
        (&*key, "elsewhere ssh-ed25519 AAAA".to_owned(), "Host key verification failed"),
    ];
    for (key, known_hosts, words) in cases {
        let (code, said) = said(&host.over_ssh("first", key, &known_hosts, &options).output().unwrap());
        assert_eq!(code, 255, "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(host.sh("find /opt -mindepth 1; ls -d /var/tmp/tgs-* 2>/dev/null || :"), "");

    let (code, said) = said(&host.over_ssh("first", &key, &host.known_hosts(), &options).output().unwrap());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("runs: tg_video_streamer.service"), "{said}");
    host.run_of(MAIN);
    host.is_tidy();
    // The answer of the work is the answer of the step.
    host.release("dies", "exit 78");
    let (code, said) = self::said(&host.over_ssh("dies", &key, &host.known_hosts(), &[]).output().unwrap());
    assert_eq!(code, 1, "{said}");
    assert_eq!(host.current(), "first");
    assert!(host.sh("journalctl -q -o cat -t tgs-deploy").contains("going back to"));
}

#[test]
fn a_cable_pulled_half_way_leaves_no_half_deploy() {
    let host = Host::with_a_release();
    let key = host.machine.key();
    host.release("second", GOOD);
    let before = host.run_of(MAIN);
    // A line that is quick at first and then nearly stands still.
    let slow = host.at("slow");
    fs::create_dir(&slow).unwrap();
    let tar =
        "#!/bin/sh\n/usr/bin/tar \"$@\" | (head -c 100000; while sleep 0.2; do printf x || exit; done)\n";
    fs::write(slow.join("tar"), tar).unwrap();
    fs::set_permissions(slow.join("tar"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut step = host
        .over_ssh("second", &key, &host.known_hosts(), &[])
        .env("PATH", format!("{}:/usr/bin:/bin", slow.display()))
        .spawn()
        .unwrap();
    let arrived = || !host.sh("find /var/tmp/tgs-deploy.* -type f -size +10k 2>/dev/null || :").is_empty();
    host.machine.wait_for("a part of the upload", Duration::from_mins(1), arrived).unwrap();
    host.machine.cut_cable().unwrap();
    assert_eq!(step.wait().unwrap().code(), Some(255));
    assert_eq!((host.current(), host.run_of(MAIN)), ("first".into(), before));
    assert!(host.sh("ls /opt/tg_video_streamer/releases").ends_with("-first"));
}

#[test]
fn a_cable_pulled_while_the_release_is_proven_changes_nothing() {
    let host = Host::with_a_release();
    host.release("second", GOOD);
    let mut step = host.over_ssh("second", &host.machine.key(), &host.known_hosts(), &[]).spawn().unwrap();
    host.machine.wait_for("the swap", Duration::from_mins(1), || host.current() == "second").unwrap();
    host.machine.cut_cable().unwrap();
    let done =
        || host.sh("journalctl -q -o cat -t tgs-deploy").contains("second runs: tg_video_streamer.service");
    host.machine.wait_for("the end of the deploy", Duration::from_secs(30), done).unwrap();
    assert_eq!(step.wait().unwrap().code(), Some(255));
    host.run_of(MAIN);
}

#[test]
fn two_deploys_do_not_run_at_once() {
    let host = Host::with_a_release();
    host.release("dies", DIES);
    host.release("second", GOOD);
    let mut first = host.command("dies", &[]).stdout(Stdio::piped()).spawn().unwrap();
    host.machine.wait_for("the swap", Duration::from_mins(1), || host.current() == "dies").unwrap();
    let (code, said) = host.deploy("second", &[]);
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("another deploy is under way"), "{said}");
    assert_eq!(first.wait().unwrap().code(), Some(1));
    assert_eq!(host.current(), "first");

    // tgs-session --write-env is at the settings: the deploy waits for it.
    // The kernel lists who waits while the process that locked is there.
    let lock = format!("echo locked; read -r || :; cp {ROOT}/shared/.env /root/before");
    let mut holder = host
        .machine
        .command("flock")
        .args([&format!("{ROOT}/shared/.env.lock"), "bash", "-c", &lock])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut line)
        .unwrap();
    host.write("env", OTHER);
    let mut deploy =
        host.command("second", &["--replace-env", "/root/env"]).stdout(Stdio::null()).spawn().unwrap();
    let waits = || host.sh("cat /proc/locks").contains("-> FLOCK");
    host.machine.wait_for("the deploy at the lock", Duration::from_mins(1), waits).unwrap();
    assert_eq!((host.env(), host.current()), (SETTINGS.into(), "first".into()));
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert!(deploy.wait().unwrap().success());
    assert_eq!(host.machine.read("/root/before").unwrap(), SETTINGS);
    assert_eq!(host.env(), OTHER);
    host.is_tidy();
}

#[test]
fn killed_at_any_moment_it_leaves_a_release_that_runs() {
    let host = Host::with_a_release();
    host.release("second", GOOD);
    host.write("other", OTHER);
    host.sh("head -c 100000 /root/first.tar.gz >/root/cut.tar.gz");
    let marks = [
        ("tar --extract *", false, false),
        ("mv * /opt/tg_video_streamer/.deploying", false, false),
        ("mv * /opt/tg_video_streamer/releases/*", false, false),
        ("timeout * remote_deploy.sh replace *", false, true),
        ("ln -s releases/* */current.new.*", false, true),
        ("mv * /opt/tg_video_streamer/current", true, true),
        ("systemctl daemon-reload", true, true),
        // The release was proven, but the deploy was killed before it reported that.
        ("logger * tg_video_streamer.service *", true, true),
    ];
    for (round, (mark, swapped, replaced)) in marks.into_iter().enumerate() {
        let (before, id) = (host.current(), format!("k{round}"));
        host.deploy_killed_at(mark, "second", &id);
        assert_eq!(host.current(), if swapped { id } else { before }, "{mark}");
        assert_eq!(host.env(), if replaced { OTHER } else { SETTINGS }, "{mark}");
        host.sh(&format!("cd {ROOT}/current/ && ./bin/tgs-check-active --version && test -s .env"));
        host.run_of(MAIN);
        // The next run takes the settings back before it does anything, even where it comes no
        // further.
        let (code, said) = host.deploy("cut", &[]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("is no whole archive"), "{mark}: {said}");
        assert_eq!(host.env(), SETTINGS, "{mark}: {said}");
    }
    // Once it is proven, its settings are the settings.
    host.deploy_killed_at("rm -f /opt/tg_video_streamer/.deploying", "second", "proven");
    assert_eq!((host.current(), host.env()), ("proven".into(), OTHER.into()));
    host.must_deploy("second", &["--id", "last"]);
    assert_eq!((host.current(), host.env()), ("last".into(), OTHER.into()));
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env.bak")).unwrap(), SETTINGS);
    host.run_of(MAIN);
    host.is_tidy();
}

#[test]
fn a_killed_rollback_is_completed_by_the_next_deploy() {
    let host = Host::with_a_release();
    host.release("fails", "exit 78");
    host.write("other", OTHER);
    let marks = [
        ("ln -s releases/*-first */current.new.*", "fails", OTHER),
        ("timeout * remote_deploy.sh restore *", "first", SETTINGS),
    ];
    for (mark, current, env) in marks {
        host.deploy_killed_at(mark, "fails", "fails");
        assert_eq!((&*host.current(), &*host.env()), (current, env), "{mark}");
        // A release that was never proven is not what one goes back to, and neither are its
        // settings.
        let (code, said) = host.deploy("fails", &["--id", "again"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("was cut off before it"), "{mark}: {said}");
        assert_eq!((&*host.current(), &*host.env()), ("first", SETTINGS), "{mark}: {said}");
        host.run_of(MAIN);
    }
    host.is_tidy();
}
