//! Sessions that die, are missing, in use or replaced.

use tgs_e2e::{
    flvcheck::Report,
    ingest::{Ingest, Record},
    telegram::Scene,
};
use tgs_testdc::{At, Fault, When, World};

use crate::harness::{DEGRADED, LIMIT, SECOND, count, end, film, health, live, metric, start};

#[test]
fn a_dead_session_is_named_and_a_good_one_in_the_file_is_taken_without_a_restart() {
    for name in ["AUTH_KEY_UNREGISTERED", "SESSION_REVOKED", "AUTH_KEY_DUPLICATED"] {
        let mut scene = Scene::new().unwrap();
        scene.dc.fault(Fault::named(name), When::always());
        let mut broadcast = start(&scene);
        broadcast.wait_log(&[" WARN ", DEGRADED], LIMIT).unwrap();
        let lines: Vec<String> = broadcast.warnings();
        let at = lines.iter().position(|line| line.contains(DEGRADED)).unwrap();
        assert!(lines[at - 1].contains(" ERROR ") && lines[at - 1].contains(name), "{lines:?}");
        health(&broadcast, 503, "degraded");
        assert_eq!(metric(&broadcast, "tgs_degraded"), 1);
        assert_eq!(metric(&broadcast, "tgs_session_valid"), 0);
        assert!(metric(&broadcast, "tgs_telegram_errors_total{class=\"session\"}") >= 1);
        // One log line a cycle.
        broadcast.wait_log(&["no session after cycle 2"], LIMIT).unwrap();
        scene.no_secret_in(&broadcast).unwrap();
        scene.dc.clear_faults();
        let good = scene.new_session().unwrap().telethon_string();
        scene.set("SESSION_STRING", &good).unwrap();
        live(&scene, 1);
        assert_eq!(metric(&broadcast, "tgs_degraded"), 0);
        end(&scene, &mut broadcast);
    }
}

#[test]
fn a_missing_and_a_malformed_string_are_degraded_mode_too() {
    for (value, words) in [("", "SESSION_STRING is not set"), ("1nonsense", "read SESSION_STRING: ")] {
        let mut scene = Scene::new().unwrap();
        scene.set("SESSION_STRING", value).unwrap();
        let mut broadcast = start(&scene);
        broadcast.wait_log(&[" ERROR ", words], LIMIT).unwrap();
        broadcast.wait_log(&[" WARN ", DEGRADED], LIMIT).unwrap();
        // What it says to run works as it stands there, from any directory.
        let lines = broadcast.warnings();
        let run = lines.iter().find_map(|line| line.split_once(DEGRADED)).unwrap().1;
        assert!(run.contains("tgs-session --write-env --env-file "), "{run}");
        let pasted = std::process::Command::new("sh").args(["-c", run]).current_dir("/").output().unwrap();
        let said = String::from_utf8_lossy(&pasted.stderr);
        assert!(said.contains("failed to ask how to sign in: there is no terminal"), "{run}: {said}");
        assert!(!broadcast.log().contains("nonsense"), "the string is shown");
        end(&scene, &mut broadcast);
    }
}

#[test]
fn with_a_standby_it_signs_itself_in_again_with_nobody_present() {
    let scene = Scene::new().unwrap().with_standby().unwrap();
    let old = scene.read("SESSION_STRING").unwrap();
    scene.revoke().unwrap();
    let mut broadcast = start(&scene);
    live(&scene, 1);
    assert_ne!(scene.read("SESSION_STRING").unwrap(), old);
    assert_eq!(metric(&broadcast, "tgs_session_regen_attempts_total{result=\"success\"}"), 1);
    assert_eq!(count(&broadcast, DEGRADED), 1);
    end(&scene, &mut broadcast);
}

#[test]
fn a_session_that_dies_on_air_is_replaced_behind_the_picture() {
    let scene = Scene::new().unwrap().with_standby().unwrap();
    let mut broadcast = start(&scene);
    live(&scene, 1);
    scene.revoke().unwrap();
    broadcast.wait_log(&[" ERROR ", "AUTH_KEY_UNREGISTERED"], LIMIT).unwrap();
    broadcast.wait_log(&["signed in again with the standby session"], LIMIT).unwrap();
    broadcast.wait_log_nth(&["signed in as Alice"], 2, LIMIT).unwrap();
    broadcast.wait_metric("tgs_session_valid", 1.0, LIMIT).unwrap();
    assert_eq!(count(&broadcast, DEGRADED), 0, "it was on air all the time");
    let before = scene.ingest.record().unwrap().media().count();
    scene.ingest.wait("more media", LIMIT, |records| records[0].media().count() > before + 200).unwrap();
    end(&scene, &mut broadcast);
    // One connection, no gap.
    let record = scene.ingest.record().unwrap();
    Report::of_tags(&record.tags().collect::<Vec<_>>()).check(30.0, 44_100.0).unwrap();
}

#[test]
fn on_session_loss_stop_ends_the_picture_and_a_new_session_brings_it_back() {
    let mut scene = Scene::new().unwrap().with_standby().unwrap();
    scene.set("ON_SESSION_LOSS", "stop").unwrap();
    let mut broadcast = start(&scene);
    live(&scene, 1);
    scene.revoke().unwrap();
    broadcast.wait_log(&[DEGRADED], LIMIT).unwrap();
    live(&scene, 2);
    let first = &scene.ingest.records()[0];
    assert!(first.ended.is_some(), "the first connection goes on");
    end(&scene, &mut broadcast);
}

#[test]
fn once_makes_one_attempt_and_exits() {
    let mut scene = Scene::new().unwrap().with_standby().unwrap();
    scene.set("SESSION_REGEN", "once").unwrap();
    scene.revoke().unwrap();
    let mut broadcast = start(&scene);
    assert_eq!(broadcast.wait(LIMIT).unwrap().code(), Some(0), "{}", broadcast.log());
    // The supervisor starts it anew, and it is good.
    let mut again = start(&scene);
    live(&scene, 1);
    end(&scene, &mut again);
    // Without a standby the attempt fails.
    let mut alone = Scene::new().unwrap();
    alone.set("SESSION_REGEN", "once").unwrap();
    alone.revoke().unwrap();
    let mut broadcast = start(&alone);
    assert_eq!(broadcast.wait(LIMIT).unwrap().code(), Some(1), "{}", broadcast.log());
    broadcast.wait_log(&["failed to sign in again", "standby"], SECOND).unwrap();
}

#[test]
fn session_regen_off_does_not_sign_in() {
    let mut scene = Scene::new().unwrap().with_standby().unwrap();
    scene.set("SESSION_REGEN", "off").unwrap();
    scene.revoke().unwrap();
    let mut broadcast = start(&scene);
    broadcast.wait_log(&["no session after cycle 2"], LIMIT).unwrap();
    assert_eq!(scene.dc.count("auth.acceptLoginToken"), 0);
    end(&scene, &mut broadcast);
}

#[test]
fn an_account_that_is_gone_is_left_alone() {
    let scene = Scene::new().unwrap().with_standby().unwrap();
    scene.dc.fault(Fault::named("USER_DEACTIVATED_BAN"), When::always());
    let mut broadcast = start(&scene);
    broadcast.wait_log(&[" ERROR ", "USER_DEACTIVATED_BAN", "banned"], LIMIT).unwrap();
    broadcast.wait_log(&["no session after cycle 3"], LIMIT).unwrap();
    assert_eq!(scene.dc.count("auth.exportLoginToken"), 0);
    end(&scene, &mut broadcast);
}

#[test]
fn a_key_that_telegram_does_not_know_is_reported_twice_and_never_replaced() {
    let scene = Scene::new().unwrap();
    let old = scene.read("SESSION_STRING").unwrap();
    // Once is a DC that is being restarted.
    let once = scene.dc.fault(Fault::Transport(-404), When::at(At::Init).times(1));
    let mut broadcast = start(&scene);
    live(&scene, 1);
    end(&scene, &mut broadcast);
    scene.dc.clear_fault(once);
    scene.dc.fault(Fault::Transport(-404), When::always());
    let mut broadcast = start(&scene);
    broadcast.wait_log(&[" ERROR ", "transport error 404"], LIMIT).unwrap();
    broadcast.wait_log(&[DEGRADED], LIMIT).unwrap();
    assert_eq!(scene.read("SESSION_STRING").unwrap(), old);
    end(&scene, &mut broadcast);
}

#[test]
fn one_session_is_for_one_process() {
    let scene = Scene::new().unwrap();
    let mut first = start(&scene);
    live(&scene, 1);
    let own = tempfile::tempdir().unwrap();
    let mut second = scene.launch().unwrap().keeping(own.path()).play([film()]).start().unwrap();
    second
        .wait_log(
            &[" WARN ", "Telegram ends a session that two programs use", &first.pid().to_string()],
            LIMIT,
        )
        .unwrap();
    health(&second, 503, "waiting_in_use");
    second.stop().unwrap();
    end(&scene, &mut first);
}

#[test]
fn on_air_once_and_off_leave_the_picture_alone() {
    for (regen, words) in [("once", "failed to sign in again"), ("off", "no session after cycle 2")] {
        let mut scene = Scene::new().unwrap();
        scene.set("SESSION_REGEN", regen).unwrap();
        let mut broadcast = start(&scene);
        live(&scene, 1);
        scene.revoke().unwrap();
        broadcast.wait_log(&[words], LIMIT).unwrap();
        health(&broadcast, 200, "ok");
        let good = scene.new_session().unwrap().telethon_string();
        scene.set("SESSION_STRING", &good).unwrap();
        broadcast.wait_log_nth(&["signed in as Alice"], 2, LIMIT).unwrap();
        end(&scene, &mut broadcast);
        assert_eq!(scene.ingest.records().len(), 1, "SESSION_REGEN={regen}");
    }
}

#[test]
fn a_session_that_dies_while_it_is_renewed_is_renewed_again() {
    let scene = Scene::new().unwrap().with_standby().unwrap();
    scene.revoke().unwrap();
    // The first new session is dead before it is used.
    scene.dc.fault(Fault::named("SESSION_REVOKED"), When::method("channels.getFullChannel"));
    let mut broadcast = start(&scene);
    broadcast.wait_log(&["SESSION_REVOKED"], LIMIT).unwrap();
    scene.revoke().unwrap();
    scene.dc.clear_faults();
    live(&scene, 1);
    assert_eq!(metric(&broadcast, "tgs_session_regen_attempts_total{result=\"success\"}"), 2);
    end(&scene, &mut broadcast);
}

#[test]
fn the_standby_is_used_and_reported() {
    let mut scene = Scene::new().unwrap().with_standby().unwrap();
    let mut broadcast = start(&scene);
    broadcast.wait_metric("tgs_standby_valid", 1.0, LIMIT).unwrap();
    assert_eq!(broadcast.status().unwrap().telegram.unwrap().standby_valid, Some(true));
    end(&scene, &mut broadcast);
    // Bob's, and then a dead one.
    let bobs = scene.dc.new_session(World::BOB, 1);
    let dead = scene.new_session().unwrap();
    scene.dc.revoke(dead.key_id);
    for (session, words) in [(bobs, "another account"), (dead, "AUTH_KEY_UNREGISTERED")] {
        scene.set("STANDBY_SESSION_STRING", &session.telethon_string()).unwrap();
        let mut broadcast = start(&scene);
        broadcast.wait_log(&[" WARN ", "STANDBY_SESSION_STRING cannot be used", words], LIMIT).unwrap();
        assert_eq!(metric(&broadcast, "tgs_standby_valid"), 0);
        end(&scene, &mut broadcast);
    }
}

#[test]
fn further_outputs_run_without_telegram_and_through_its_return() {
    let mut scene = Scene::new().unwrap();
    let also = Ingest::start().unwrap();
    scene.set("ALSO_OUTPUT_URLS", &format!("also={}", also.url("other-key"))).unwrap();
    scene.hide("other-key");
    scene.set("ON_SESSION_LOSS", "stop").unwrap();
    let newest = |record: &Record| record.media().last().map_or(0, |media| media.received.timestamp);
    let until_media = |millis: u32| {
        let enough = |records: &[Record]| records.first().is_some_and(|first| newest(first) >= millis);
        also.wait("media of the further output", LIMIT, enough).unwrap();
    };
    scene.revoke().unwrap();
    let mut broadcast = start(&scene);
    broadcast.wait_log(&[" WARN ", DEGRADED], LIMIT).unwrap();
    until_media(3000);
    health(&broadcast, 503, "degraded");
    assert!(scene.ingest.records().is_empty(), "an ingest without a session");

    // It joins the running programme.
    let good = scene.new_session().unwrap().telethon_string();
    scene.set("SESSION_STRING", &good).unwrap();
    live(&scene, 1);
    health(&broadcast, 200, "ok");

    // It leaves the running programme, and joins it again.
    scene.revoke().unwrap();
    broadcast.until("the end", LIMIT, || scene.ingest.records()[0].ended.is_some().then_some(())).unwrap();
    until_media(newest(&also.record().unwrap()) + 3000);
    let good = scene.new_session().unwrap().telethon_string();
    scene.set("SESSION_STRING", &good).unwrap();
    live(&scene, 2);
    end(&scene, &mut broadcast);
    also.wait_ended(5 * SECOND).unwrap();
    for record in scene.ingest.records().iter().chain([&also.record().unwrap()]) {
        let tags: Vec<_> = record.tags().collect();
        assert_eq!(tags[0].timestamp, 0);
        Report::of_tags(&tags).check(30.0, 44_100.0).unwrap();
    }
}
