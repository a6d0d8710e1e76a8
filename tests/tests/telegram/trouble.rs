//! Rights, limits, settings and networks that fail.

use tgs_e2e::{broadcast::Launch, telegram::Scene};
use tgs_testdc::{At, Fault, When, World};

use crate::harness::{DEGRADED, LIMIT, SECOND, count, end, film, health, live, metric, start};

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
fn wrong_credentials_of_the_application_are_reported() {
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
