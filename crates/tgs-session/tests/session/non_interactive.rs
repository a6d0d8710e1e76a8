//! `--non-interactive`: the standby session approves.

use std::{
    fs,
    os::unix::fs::{MetadataExt, lchown, symlink},
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process};
use tgs_telegram::session::{limits::SignInLimit, lock::SessionLock, string::SessionString};
use tgs_testdc::{Fault, SessionInfo, When, World};

use crate::harness::{Home, with_value};

const RENEW: [&str; 2] = ["--non-interactive", "--write-env"];

/// A dead session and a standby of the account in `.env`.
fn home(account: i64, more: &str) -> (Home, SessionInfo, SessionInfo) {
    let home = Home::new();
    let (primary, standby) = (home.session(account), home.session(account));
    home.dc.revoke(primary.key_id);
    let (old, kept) = (primary.telethon_string(), standby.telethon_string());
    home.write_env(&format!("SESSION_STRING={old}\nSTANDBY_SESSION_STRING={kept}\n{more}"));
    (home, primary, standby)
}

fn left(home: &Home, account: i64) -> usize {
    SignInLimit::open(&home.state_dir(), account as u64).unwrap().left(SystemTime::now())
}

#[test]
fn a_dead_session_is_replaced_with_nobody_present() {
    let (home, primary, _) = home(World::ALICE, "TWO_FA_PASSWORD='correct horse'");
    let before = home.env();
    let said = home.run(&RENEW).ok();
    assert_eq!(said.out, "");
    assert!(said.last().contains("is new: signed in as Alice"), "{}", said.err);
    let new = home.value("SESSION_STRING");
    assert_eq!(home.env(), with_value(&before, "SESSION_STRING", &primary.telethon_string(), &new));
    assert_eq!(home.open(&new).unwrap().1.id, World::ALICE);
    assert_eq!(fs::read_to_string(home.path().join(".env.bak")).unwrap(), before);
    assert_eq!(left(&home, World::ALICE), 4);
}

#[test]
fn without_write_env_the_string_goes_to_stdout() {
    let (home, ..) = home(World::BOB, "");
    let before = home.env();
    let said = home.run(&["--non-interactive"]).ok();
    assert_eq!(home.open(said.out.trim_end()).unwrap().1.id, World::BOB);
    assert_eq!(said.out.lines().count(), 1);
    assert_eq!(home.env(), before);
}

#[test]
fn an_environment_that_hides_the_file_is_reported() {
    let (home, primary, _) = home(World::BOB, "");
    let old = primary.telethon_string();
    let words = "SESSION_STRING is set in the environment too, which wins over ./.env";
    let said = home.run_with(&RENEW, &[("SESSION_STRING", &old)]).ok();
    assert!(said.err.contains(words), "{}", said.err);
    let args = [RENEW[0], RENEW[1], "--env-file", ".env"];
    let said = home.run_with(&args, &[("SESSION_STRING", &old)]).ok();
    assert!(!said.err.contains(words) && said.last().contains("it stays"), "{}", said.err);
}

#[test]
fn a_session_that_is_good_stays() {
    let (home, ..) = home(World::BOB, "");
    let good = home.session(World::BOB).telethon_string();
    home.write_env(&format!(
        "SESSION_STRING={good}\nSTANDBY_SESSION_STRING={}",
        home.value("STANDBY_SESSION_STRING")
    ));
    let said = home.run(&RENEW).ok();
    assert!(said.last().contains("is good, of Bob (@tgs_bob, 5000000002): it stays."), "{}", said.err);
    assert_eq!((home.value("SESSION_STRING"), left(&home, World::BOB)), (good, 5));
}

#[test]
fn what_tgs_stream_says_of_its_session_is_believed() {
    let (home, primary, _) = home(World::BOB, "");
    let session = SessionString::decode(&primary.telethon_string()).unwrap();
    let _held = SessionLock::take(&session.key, None).unwrap();
    let name = session.fingerprint();
    home.status_page(&format!(
        r#"{{"on_air":{{"state":"starting"}},"telegram":{{"session":"{name}","session_valid":true}}}}"#
    ));
    let said = home.run(&RENEW).ok();
    assert!(said.last().contains("is good and in use by "), "{}", said.err);
    assert_eq!(home.dc.requests().len(), 0);
    home.status_page(&format!(
        r#"{{"on_air":{{"state":"starting"}},"telegram":{{"session":"{name}","session_valid":false}}}}"#
    ));
    assert!(home.run(&RENEW).ok().last().contains("is new: signed in as Bob"));
}

#[test]
fn without_a_standby_it_fails_at_once_and_says_how_to_make_one() {
    let home = Home::new();
    let said = home.run(&RENEW).fails(1, "STANDBY_SESSION_STRING is not set");
    assert!(said.last().contains("tgs-session --standby --write-env"));
    assert_eq!(home.dc.requests().len(), 0);
}

#[test]
fn a_sixth_sign_in_of_a_day_is_refused() {
    let (home, ..) = home(World::BOB, "");
    let limit = SignInLimit::open(&home.state_dir(), World::BOB as u64).unwrap();
    for _ in 0..4 {
        limit.try_take(SystemTime::now()).unwrap();
    }
    home.run(&["--non-interactive"]).ok();
    let before = home.env();
    let said = home.run(&RENEW).fails(1, "5 sign-ins of this account within 24 hours");
    assert!(
        said.last().contains("the next may be after 20") && said.last().ends_with(" UTC"),
        "{}",
        said.err
    );
    assert_eq!((home.dc.count("auth.acceptLoginToken"), home.env()), (1, before));
}

#[test]
fn the_sign_ins_of_all_instances_count_together() {
    let (home, ..) = home(World::BOB, "");
    // Another instance has its own STATE_DIR; the cache is shared.
    let shared = SignInLimit::open(&home.path().join(".cache/tgs"), World::BOB as u64).unwrap();
    for _ in 0..4 {
        shared.try_take(SystemTime::now()).unwrap();
    }
    home.run(&["--non-interactive"]).ok();
    home.run(&["--non-interactive"]).fails(1, "5 sign-ins of this account within 24 hours");
    assert_eq!(home.dc.count("auth.acceptLoginToken"), 1);
    assert_eq!(left(&home, World::BOB), 4);
}

#[test]
fn a_missing_or_wrong_password_is_reported() {
    let (home, ..) = home(World::ALICE, "TWO_FA_PASSWORD=");
    home.run(&RENEW).fails(1, "TWO_FA_PASSWORD is not set; put the right one into /");
    assert_eq!((home.dc.count("auth.acceptLoginToken"), left(&home, World::ALICE)), (0, 5));
    let before = home.env().replace("TWO_FA_PASSWORD=", "TWO_FA_PASSWORD='wrong horse'");
    fs::write(home.path().join(".env"), &before).unwrap();
    home.run(&RENEW).fails(1, "TWO_FA_PASSWORD is not the account's password; put the right one into /");
    assert_eq!((left(&home, World::ALICE), home.env()), (4, before));
    assert_eq!(home.dc.count("auth.logOut"), 1);
}

#[test]
fn a_dead_standby_is_reported_with_its_own_remedy() {
    let (home, _, standby) = home(World::BOB, "");
    home.dc.revoke(standby.key_id);
    let said = home.run(&RENEW).fails(1, "use the standby session: ");
    let run = format!("tgs-session --standby --write-env --env-file {}/.env", home.path().display());
    assert!(said.last().contains("make a new one: ") && said.last().ends_with(&run), "{}", said.err);
}

#[test]
fn a_standby_in_use_is_waited_for_and_then_named() {
    let (home, _, standby) = home(World::BOB, "");
    let key = SessionString::decode(&standby.telethon_string()).unwrap().key;
    let _held = SessionLock::take(&key, None).unwrap();
    let said = home.run(&RENEW).fails(1, "the standby session is in use by session-");
    assert!(said.last().contains(&format!("(pid {})", std::process::id())), "{}", said.err);
}

#[test]
fn flood_says_until_when() {
    let (home, ..) = home(World::BOB, "");
    home.dc.fault(Fault::named("FLOOD_WAIT_900"), When::method("auth.acceptLoginToken"));
    home.run(&RENEW)
        .fails(1, "FLOOD_WAIT (wait 900 s): too many requests; Telegram asks to wait; try again after 20");
}

#[test]
fn an_unknown_key_is_never_replaced_by_one_that_nobody_authorised() {
    let (home, primary, standby) = home(World::BOB, "");
    let before = home.env();
    // Telegram forgets every key, the new ones too.
    home.dc.forget_key(primary.key_id);
    home.dc.forget_key(standby.key_id);
    home.run(&RENEW).fails(1, "transport error 404");
    home.run(&["--show"]).fails(1, "transport error 404");
    assert_eq!(home.env(), before);
    // The primary alone: that is a dead session.
    let standby = home.session(World::BOB).telethon_string();
    home.write_env(&format!(
        "SESSION_STRING={}\nSTANDBY_SESSION_STRING={standby}",
        primary.telethon_string()
    ));
    home.run(&RENEW).ok();
    assert_eq!(home.open(&home.value("SESSION_STRING")).unwrap().1.id, World::BOB);
}

#[test]
fn a_new_session_that_proves_bad_does_not_reach_env() {
    let (home, _, standby) = home(World::BOB, "");
    home.write_env(&format!("STANDBY_SESSION_STRING={}", standby.telethon_string()));
    let before = home.env();
    // The standby's own question comes first; those of the new session follow.
    home.dc.fault(Fault::Delay(Duration::ZERO), When::method("users.getUsers").times(1));
    home.dc.fault(Fault::Transport(-404), When::method("users.getUsers"));
    home.run(&RENEW).fails(1, "transport error 404");
    assert_eq!((home.env(), left(&home, World::BOB)), (before, 4));
}

#[test]
fn silence_hangs_nothing() {
    let (home, ..) = home(World::BOB, "");
    let before = home.env();
    let steps = ["req_pq_multi", "users.getUsers", "auth.exportLoginToken", "auth.acceptLoginToken"];
    for step in steps {
        home.dc.clear_faults();
        home.dc.fault(Fault::Silence, When::method(step));
        let began = Instant::now();
        home.run_with(&RENEW, &[("TGS_TEST_LIMIT", "1500")]).fails(1, "timeout: Telegram does not answer");
        assert!(began.elapsed() < Duration::from_secs(15), "{step}: {:?}", began.elapsed());
    }
    assert_eq!(home.env(), before);
}

#[test]
fn garbage_and_broken_connections_are_failures_and_no_crash() {
    let (home, ..) = home(World::BOB, "");
    let before = home.env();
    for fault in [Fault::Garbage, Fault::Drop, Fault::Transport(-429), Fault::named("INTERNAL_ISSUE")] {
        for step in ["users.getUsers", "auth.exportLoginToken", "auth.acceptLoginToken"] {
            home.dc.clear_faults();
            home.dc.fault(fault.clone(), When::method(step));
            let said = home.run_with(&RENEW, &[("TGS_TEST_LIMIT", "3000")]);
            assert_eq!(said.code, Some(1), "{fault:?} at {step}: {}", said.err);
            assert!(said.last().starts_with("tgs-session: failed to "), "{fault:?} at {step}: {}", said.err);
            fs::remove_dir_all(home.state_dir()).ok();
        }
    }
    assert_eq!(home.env(), before);
    home.dc.clear_faults();
    home.dc.fault(Fault::BadSalt, When::method("users.getUsers").times(1));
    home.run(&RENEW).ok();
}

#[test]
fn a_signal_ends_it_within_three_seconds_whatever_it_waits_for() {
    let (home, ..) = home(World::BOB, "");
    let before = home.env();
    for (step, times) in [("users.getUsers", 1), ("req_pq_multi", 1), ("auth.acceptLoginToken", 1)] {
        home.dc.clear_faults();
        home.dc.fault(Fault::Silence, When::method(step));
        let seen = home.dc.count(step);
        let child = home.command(&RENEW).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        assert!(home.dc.wait_for(step, seen + times, Duration::from_secs(30)), "{step}");
        let began = Instant::now();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(began.elapsed() < Duration::from_secs(3), "{step}: {:?}", began.elapsed());
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && err.contains("it was stopped"), "{step}: {err}");
        home.no_secret_in(&err);
    }
    assert_eq!(home.env(), before);
}

#[test]
fn of_two_at_once_the_second_names_the_first() {
    let (home, ..) = home(World::BOB, "");
    let mut first = home.at_terminal(&["--qr", "--write-env"]);
    first.expect("camera here.");
    let began = Instant::now();
    let said = home.run(&RENEW).fails(1, ".env is being changed by tgs-session");
    assert!(said.last().contains(&format!("(pid {})", first.pid())), "{}", said.err);
    assert!((10..15).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    first.signal(Signal::INT);
    first.end().fails(1, "stopped");
}

#[test]
fn run_by_root_it_works_as_the_owner_of_the_settings_and_is_led_nowhere() {
    const SERVICE: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: there is no other user");
        return;
    }
    let (home, ..) = home(World::BOB, "");
    let cache = home.path().join(".cache").display().to_string();
    let run = |args: &[&str]| home.run_with(args, &[("CACHE_DIR", &cache)]);
    // What the service's user has planted: each leads into a directory of root's.
    let roots = tempfile::tempdir().unwrap();
    fs::create_dir(home.state_dir()).unwrap();
    let sign_ins = format!("sign-ins-{}", World::BOB);
    for name in ["flood-wait", "metrics.port"] {
        symlink(roots.path().join(name), home.state_dir().join(name)).unwrap();
    }
    symlink(roots.path(), home.path().join(".cache")).unwrap();
    let all = [".env", "state", ".cache", "state/flood-wait", "state/metrics.port"];
    for path in [home.path().to_owned()].into_iter().chain(all.map(|name| home.path().join(name))) {
        lchown(path, Some(SERVICE), Some(SERVICE)).unwrap();
    }
    run(&RENEW).fails(1, "cannot keep the count of sign-ins");
    fs::remove_file(home.path().join(".cache")).unwrap();
    home.dc.fault(Fault::named("FLOOD_WAIT_900"), When::method("auth.acceptLoginToken"));
    run(&RENEW).fails(1, "failed to ");
    home.dc.clear_faults();
    for args in [&["--show"][..], &["--show", "--standby"], &["--list-dialogs", "--standby"], &["--end-call"]]
    {
        run(args);
    }
    assert_eq!(
        fs::read_dir(roots.path()).unwrap().count(),
        0,
        "root wrote where a link of the service's leads"
    );
    // And what it may do it does as that user.
    for name in ["state/flood-wait", "state"].map(|name| home.path().join(name)) {
        fs::remove_file(&name).or_else(|_| fs::remove_dir_all(&name)).unwrap();
    }
    run(&RENEW).ok();
    run(&["--log-out"]).ok();
    for name in [".env", ".env.bak", "state", &format!("state/{sign_ins}")] {
        assert_eq!(fs::metadata(home.path().join(name)).unwrap().uid(), SERVICE, "{name}");
    }
}
