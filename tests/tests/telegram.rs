//! tgs-stream in a Telegram chat: it goes live, waits for what must be waited for, and survives its
//! session's death. Against a real MTProto server on loopback, with real ffmpeg.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{path::PathBuf, time::Duration};

use tgs_control::TelegramState;
use tgs_core::{cancel::Cancel, secret::Secret, settings::ChatId};
use tgs_e2e::{
    broadcast::{Broadcast, Launch},
    clips::noisy,
    flvcheck::Report,
    telegram::Scene,
};
use tgs_telegram::{App, ErrorClass, TelegramClient, session::string::SessionString};
use tgs_testdc::{At, CallKind, Fault, When, World};

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);

const DEGRADED: &str = "Degraded mode; SESSION_STRING invalid; run: ";

fn film() -> PathBuf {
    noisy("film", 4000).path().unwrap()
}

fn start(scene: &Scene) -> Broadcast {
    scene.launch().unwrap().play([film()]).start().unwrap()
}

/// Waits until media flows at the ingest over the newest of `count` connections.
fn live(scene: &Scene, count: usize) {
    scene
        .ingest
        .wait("media", LIMIT, |records| {
            records.len() >= count && records.last().is_some_and(|r| r.media().count() > 100)
        })
        .unwrap();
}

fn health(broadcast: &Broadcast, code: u16, reason: &str) {
    let fits = || broadcast.get("/healthz").ok().filter(|(c, text)| *c == code && text.starts_with(reason));
    broadcast.until(&format!("/healthz {code} {reason}"), LIMIT, fits).unwrap();
}

/// Looks for secrets in all that can be seen, then ends it in order.
fn end(scene: &Scene, broadcast: &mut Broadcast) {
    scene.no_secret_in(broadcast).unwrap();
    broadcast.stop().unwrap();
    scene.no_secret_in(broadcast).unwrap();
}

fn calls(scene: &Scene) -> Vec<(CallKind, bool)> {
    scene.dc.calls(World::CHANNEL).iter().map(|call| (call.kind, call.live)).collect()
}

/// A gauge or counter, as a whole number.
fn metric(broadcast: &Broadcast, name: &str) -> i64 {
    broadcast.metric(name).unwrap() as i64
}

fn count(broadcast: &Broadcast, words: &str) -> usize {
    broadcast.lines().iter().filter(|line| line.text.contains(words)).count()
}

#[test]
fn it_goes_live_reuses_the_call_and_never_ends_it() {
    let mut scene = Scene::new().unwrap();
    scene.set("CALL_TITLE", "Round the clock").unwrap();
    let mut first = start(&scene);
    live(&scene, 1);
    first.wait_log(&["channel “Demo channel”", "live stream started"], LIMIT).unwrap();
    health(&first, 200, "ok");
    assert_eq!(metric(&first, "tgs_session_valid"), 1);
    assert_eq!(metric(&first, "tgs_degraded"), 0);
    let telegram = first.status().unwrap().telegram.unwrap();
    assert_eq!(telegram.state, TelegramState::Live);
    assert_eq!(telegram.chat, Some(format!("Demo channel (-100{})", World::CHANNEL)));
    let call = scene.dc.calls(World::CHANNEL).remove(0);
    assert_eq!(
        (call.kind, call.live, call.title.as_deref()),
        (CallKind::Rtmp, true, Some("Round the clock"))
    );
    end(&scene, &mut first);
    assert_eq!(calls(&scene), [(CallKind::Rtmp, true)], "the call is discarded on exit");
    let mut second = start(&scene);
    live(&scene, 2);
    second.wait_log(&["joining its live stream"], LIMIT).unwrap();
    assert_eq!(scene.dc.count("phone.createGroupCall"), 1);
    end(&scene, &mut second);
}

/// As tgs-stream does for a `Command` from any holder of its `Control`.
#[test]
fn the_title_of_a_call_is_changed_as_often_as_one_likes() {
    let scene = Scene::new().unwrap();
    let session = SessionString::decode(&scene.read("SESSION_STRING").unwrap()).unwrap();
    let app =
        App { api_id: scene.dc.api_id(), api_hash: Secret::new(scene.dc.api_hash()), device: "tgs-stream" };
    let (mut line, _) = TelegramClient::connect(app, &session, &Cancel::new()).unwrap();
    let chat = line.chat(&ChatId::Number(scene.read("CHAT_ID").unwrap().parse().unwrap())).unwrap();
    let call = line.create_group_call(&chat, None).unwrap();
    for title in ["Night", "Night", "Day", ""] {
        line.set_title(&call, title).unwrap();
        let shown = scene.dc.calls(World::CHANNEL).remove(0).title.unwrap_or_default();
        assert_eq!(shown, title);
    }
    scene.dc.end_call(World::CHANNEL);
    assert_eq!(line.set_title(&call, "Late").unwrap_err().class, ErrorClass::Call);
}

#[test]
fn a_chat_is_found_by_its_name_too() {
    let mut scene = Scene::new().unwrap();
    scene.set("CHAT_ID", "@tgs_demo").unwrap();
    let mut broadcast = start(&scene);
    live(&scene, 1);
    end(&scene, &mut broadcast);
}

#[test]
fn a_call_of_people_is_waited_for_and_never_ended() {
    let scene = Scene::new().unwrap();
    scene.dc.start_webrtc(World::CHANNEL);
    let mut broadcast = start(&scene);
    broadcast.wait_log(&[" WARN ", "people hold a video chat", "end it in Telegram"], LIMIT).unwrap();
    health(&broadcast, 503, "waiting_people");
    assert_eq!(calls(&scene), [(CallKind::WebRtc, true)]);
    scene.dc.end_call(World::CHANNEL);
    live(&scene, 1);
    assert_eq!(count(&broadcast, "people hold a video chat"), 1, "logged at each check");
    end(&scene, &mut broadcast);
}

#[test]
fn a_call_that_is_ended_on_air_is_created_again_without_a_break() {
    let scene = Scene::new().unwrap();
    let mut broadcast = start(&scene);
    live(&scene, 1);
    scene.dc.end_call(World::CHANNEL);
    broadcast.until("a second call", LIMIT, || (calls(&scene).len() == 2).then_some(())).unwrap();
    broadcast.wait_log(&[" WARN ", "the live stream was ended in Telegram"], LIMIT).unwrap();
    health(&broadcast, 200, "ok");
    end(&scene, &mut broadcast);
    assert_eq!(scene.ingest.records().len(), 1, "the publisher was connected anew");
}

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
fn off_signs_nobody_in() {
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
fn rights_and_chats_are_waited_for_with_their_own_words() {
    let cases = [
        (format!("-100{}", World::SUPERGROUP), "waiting_rights", "manage video chats"),
        (format!("-100{}", World::PRIVATE), "waiting_chat", "tgs-session --list-dialogs"),
        ("@nobody_has_this".to_owned(), "waiting_chat", "USERNAME_NOT_OCCUPIED"),
    ];
    for (chat, reason, words) in cases {
        let mut scene = Scene::new().unwrap();
        scene.set("CHAT_ID", &chat).unwrap();
        let mut broadcast = start(&scene);
        broadcast.wait_log(&[" WARN ", words], LIMIT).unwrap();
        health(&broadcast, 503, reason);
        // An operator who mends it needs no restart.
        scene.set("CHAT_ID", "@tgs_demo").unwrap();
        live(&scene, 1);
        end(&scene, &mut broadcast);
    }
}

#[test]
fn a_flood_is_waited_out_over_restarts() {
    let scene = Scene::new().unwrap();
    let fault = scene.dc.fault(Fault::named("FLOOD_WAIT_900"), When::method("messages.getDialogs"));
    let mut broadcast = start(&scene);
    broadcast.wait_log(&[" WARN ", "FLOOD_WAIT"], LIMIT).unwrap();
    health(&broadcast, 503, "waiting_flood");
    end(&scene, &mut broadcast);
    scene.dc.clear_fault(fault);
    let asked = scene.dc.requests().len();
    let mut again = start(&scene);
    again.wait_log(&[" WARN ", "Telegram accepts no request until"], LIMIT).unwrap();
    health(&again, 503, "waiting_flood");
    assert_eq!(scene.dc.requests().len(), asked, "it asked during the wait");
    end(&scene, &mut again);
}

#[test]
fn trouble_of_the_network_is_never_a_dead_session() {
    for fault in [Fault::Drop, Fault::Garbage, Fault::Transport(-429), Fault::named("INTERDC_2_CALL_ERROR")] {
        let scene = Scene::new().unwrap();
        let old = scene.read("SESSION_STRING").unwrap();
        let fault = scene.dc.fault(fault, When::always().times(2));
        let mut broadcast = start(&scene);
        live(&scene, 1);
        assert_eq!(count(&broadcast, DEGRADED), 0, "{fault}");
        assert_eq!(scene.read("SESSION_STRING").unwrap(), old);
        end(&scene, &mut broadcast);
    }
}

#[test]
fn a_key_that_telegram_does_not_know_is_told_twice_and_never_replaced() {
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
fn a_server_that_never_answers_hangs_nothing() {
    for when in [
        When::at(At::Accept),
        When::at(At::Init),
        When::method("users.getUsers"),
        When::method("phone.getGroupCallStreamRtmpUrl"),
    ] {
        let scene = Scene::new().unwrap();
        scene.dc.fault(Fault::Silence, when.clone());
        let mut broadcast = start(&scene);
        if when.at == At::Accept {
            // The time-out is reported; the other calls are cancelled.
            broadcast.wait_log(&[" WARN ", "Telegram does not answer"], LIMIT).unwrap();
            health(&broadcast, 503, "waiting_network");
        } else {
            broadcast.until("the call", LIMIT, || (!scene.dc.requests().is_empty()).then_some(())).unwrap();
        }
        assert!(broadcast.stop().unwrap() < 3 * SECOND);
    }
}

#[test]
fn settings_that_are_missing_are_a_configuration_error() {
    for (missing, words) in [("API_ID", "API_ID not set"), ("CHAT_ID", "CHAT_ID not set")] {
        let mut scene = Scene::new().unwrap();
        scene.set(missing, "").unwrap();
        let mut broadcast = start(&scene);
        assert_eq!(broadcast.wait(LIMIT).unwrap().code(), Some(78));
        assert!(broadcast.log().contains(words), "{}", broadcast.log());
    }
    let mut nothing = Launch::new().unwrap().play([film()]).start().unwrap();
    assert_eq!(nothing.wait(LIMIT).unwrap().code(), Some(78));
    assert!(nothing.log().contains("docs/guide/quickstart.md"), "{}", nothing.log());
}

#[test]
fn wrong_credentials_of_the_application_are_told() {
    let mut scene = Scene::new().unwrap();
    let api_id = scene.read("API_ID").unwrap();
    scene.set("API_ID", "999").unwrap();
    let mut broadcast = start(&scene);
    broadcast.wait_log(&[" WARN ", "API_ID_INVALID", "https://my.telegram.org"], LIMIT).unwrap();
    health(&broadcast, 503, "waiting_app");
    scene.set("API_ID", &api_id).unwrap();
    live(&scene, 1);
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
fn trouble_on_air_is_not_taken_for_a_dead_session() {
    let scene = Scene::new().unwrap();
    let mut broadcast = start(&scene);
    live(&scene, 1);
    let asked = || scene.dc.count("phone.getGroupCall");
    for fault in [
        Fault::Transport(-404),
        Fault::Drop,
        Fault::Garbage,
        Fault::named("RPC_CALL_FAIL"),
        Fault::WrongSession,
    ] {
        scene.dc.fault(fault.clone(), When::always().times(1));
        let before = asked();
        broadcast
            .until(&format!("a good look after {fault:?}"), LIMIT, || (asked() > before + 1).then_some(()))
            .unwrap();
    }
    // The last one makes the client library panic.
    broadcast.wait_log(&[" WARN ", "the client library panicked on an answer"], LIMIT).unwrap();
    assert_eq!(metric(&broadcast, "tgs_session_valid"), 1);
    assert_eq!(count(&broadcast, " ERROR "), 0, "{}", broadcast.log());
    end(&scene, &mut broadcast);
    assert_eq!(scene.ingest.records().len(), 1);
}

#[test]
fn silence_on_air_hangs_nothing() {
    let scene = Scene::new().unwrap();
    let mut broadcast = start(&scene);
    live(&scene, 1);
    scene.dc.fault(Fault::Silence, When::always());
    broadcast.wait_log(&[" WARN ", "Telegram does not answer"], LIMIT).unwrap();
    health(&broadcast, 200, "ok");
    assert!(broadcast.stop().unwrap() < 3 * SECOND);
}

#[test]
fn an_ingest_that_is_away_costs_telegram_few_questions() {
    let mut scene = Scene::new().unwrap();
    let mut broadcast = start(&scene);
    live(&scene, 1);
    scene.ingest.refuse();
    scene.ingest.reset();
    broadcast.wait_log(&[" WARN ", "connection to rtmp://", "lost"], LIMIT).unwrap();
    let before = scene.dc.count("phone.getGroupCallStreamRtmpUrl");
    let asked = || scene.dc.count("phone.getGroupCallStreamRtmpUrl") >= before + 3;
    broadcast.until("three looks", LIMIT, || asked().then_some(())).unwrap();
    assert_eq!(scene.dc.count("phone.createGroupCall"), 1);
    // One page of dialogs at the start, perhaps sent twice for a new salt.
    assert!(scene.dc.count("messages.getDialogs") <= 2, "the chat is looked up again and again");
    scene.ingest.listen().unwrap();
    live(&scene, 2);
    end(&scene, &mut broadcast);
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
    scene.dc.fault(Fault::named("SESSION_REVOKED"), When::method("channels.getFullChannel").times(1));
    let mut broadcast = start(&scene);
    broadcast.wait_log(&["SESSION_REVOKED"], LIMIT).unwrap();
    scene.revoke().unwrap();
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
