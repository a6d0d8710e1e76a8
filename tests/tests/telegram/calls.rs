//! The live stream in the chat: started, joined, titled, watched, never ended.

use tgs_control::TelegramState;
use tgs_core::{cancel::Cancel, proxy::ProxyList, secret::Secret, settings::ChatId};
use tgs_e2e::telegram::Scene;
use tgs_telegram::{App, ErrorClass, TelegramClient, session::string::SessionString};
use tgs_testdc::{CallKind, World};

use crate::harness::{LIMIT, calls, count, end, health, live, metric, start};

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

#[test]
fn the_viewers_of_the_live_stream_are_shown_without_further_requests() {
    let scene = Scene::new().unwrap();
    let mut broadcast = start(&scene);
    live(&scene, 1);
    let viewers = || broadcast.status().ok()?.telegram?.viewers;
    for count in [3, 12_345, 0] {
        scene.dc.set_viewers(World::CHANNEL, count as usize);
        broadcast.until("the viewers", LIMIT, || viewers().filter(|viewers| *viewers == count)).unwrap();
    }
    // Each check asks for the account and for the call.
    assert!(scene.dc.count("phone.getGroupCall") <= scene.dc.count("users.getUsers") + 1);
    // Without a session nobody can know.
    scene.revoke().unwrap();
    let unknown = || broadcast.status().ok()?.telegram?.viewers.is_none().then_some(());
    broadcast.until("no viewers", LIMIT, unknown).unwrap();
    end(&scene, &mut broadcast);
}

/// As tgs-stream does for a `Command` from any holder of its `Control`.
#[test]
fn the_title_of_a_call_is_changed_as_often_as_one_likes() {
    let scene = Scene::new().unwrap();
    let session = SessionString::decode(&scene.read("SESSION_STRING").unwrap()).unwrap();
    let app = App {
        api_id: scene.dc.api_id(),
        api_hash: Secret::new(scene.dc.api_hash()),
        device: "tgs-stream",
        proxies: ProxyList::default(),
    };
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
