//! Tests of what messages and buttons lead to.

use std::path::PathBuf;

use tgs_control::{BroadcastStatus, method::NoParams};

use super::*;
use crate::picture::NoPicture;

const ADMIN: i64 = 1;
const VIEWER: i64 = 2;
const STRANGER: i64 = 3;

fn conversation() -> Conversation {
    Conversation::new(BotAccess { admins: [ADMIN].into(), viewers: [VIEWER].into() }, true)
}

fn channels(names: &[&str]) -> Vec<Channel> {
    let socket = PathBuf::from("/run/x");
    names.iter().map(|name| Channel { name: (*name).to_owned(), socket: socket.clone() }).collect()
}

fn write(conversation: &mut Conversation, user_id: i64, text: &str, names: &[&str]) -> Vec<BotAction> {
    let sent = SystemTime::now();
    let lang_code = Some("en".to_owned());
    let text = text.to_owned();
    let message =
        PrivateMessage { user_id, message_id: 9, text, file: None, sent, is_late: false, lang_code };
    let mut actions = conversation.on_message(&message, &channels(names), Instant::now(), sent);
    actions.retain(|action| !matches!(action, BotAction::Announce { .. }));
    actions
}

fn press(conversation: &mut Conversation, user_id: i64, data: &str, names: &[&str]) -> Vec<BotAction> {
    let data = data.as_bytes().to_vec();
    let press = ButtonPress { press_id: 7, user_id, message_id: 4, data, lang_code: None };
    conversation.on_press(&press, &channels(names), Instant::now())
}

fn said(actions: &[BotAction]) -> &str {
    match actions {
        [BotAction::Send { text, .. }] => text.text(),
        [BotAction::AnswerPress { text, .. }] => text,
        other => panic!("{other:?}"),
    }
}

fn asked(actions: Vec<BotAction>) -> ChannelRequest {
    match <[BotAction; 1]>::try_from(actions) {
        Ok([BotAction::Ask(request)]) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn strangers_see_their_id_and_nothing_else() {
    let mut bot = conversation();
    assert_eq!(said(&write(&mut bot, STRANGER, "/start", &["main"])), "Your ID: 3");
    for text in ["/status", "/next", "/help", "hello", ""] {
        assert_eq!(write(&mut bot, STRANGER, text, &["main"]), []);
    }
    assert_eq!(said(&press(&mut bot, STRANGER, "next:main", &["main"])), "");
    assert!(bot.chats.is_empty());
    assert_eq!(said(&write(&mut bot, ADMIN, "/start", &["main"])), "Your ID: 1");
}

#[test]
fn viewers_look_and_admins_steer() {
    let mut bot = conversation();
    assert_eq!(asked(write(&mut bot, VIEWER, "/status", &["main"])).call, None);
    let request = asked(write(&mut bot, VIEWER, "/log", &["main"]));
    let lines = serde_json::json!({ "lines": ["2000-01-01T00:00:00.000Z INFO old", "new"] });
    let mut report = ChannelReport {
        request,
        outcome: Some(Ok(lines)),
        status: Ok(BroadcastStatus::default()),
        picture: None,
    };
    let actions = bot.on_report(&mut report, &channels(&["main"]), Instant::now(), SystemTime::now());
    assert!(matches!(&actions[..], [BotAction::Send { is_panel: false, .. }]), "{actions:?}");
    assert!(said(&actions).ends_with("\nnew\n") && !said(&actions).contains("old"), "{actions:?}");
    assert!(said(&write(&mut bot, VIEWER, "/next", &["main"])).contains("look"));
    assert!(said(&press(&mut bot, VIEWER, "next:main", &["main"])).contains("look"));
    assert_eq!(asked(press(&mut bot, VIEWER, "show:main", &["main"])).place, MessagePlace::Edited(4));
    let request = asked(write(&mut bot, ADMIN, "/next", &["main"]));
    assert_eq!(
        (request.call, request.place, request.user_id),
        (Some(Call::Next(NoParams {})), MessagePlace::New, ADMIN)
    );
    let request = asked(press(&mut bot, ADMIN, "pause:main", &["main"]));
    assert_eq!((request.call, request.press), (Some(Call::Pause(NoParams {})), Some(7)));
    assert!(said(&press(&mut bot, ADMIN, "pause:gone", &["main"])).contains("outdated"));
}

#[test]
fn one_of_several_channels_is_chosen_by_button() {
    let mut bot = conversation();
    let names = ["main", "news"];
    let [BotAction::Send { keyboard, .. }] = &write(&mut bot, ADMIN, "/next", &names)[..] else { panic!() };
    assert_eq!(keyboard.0[0][1].data, "show:news");
    asked(press(&mut bot, ADMIN, "show:news", &names));
    assert_eq!(asked(write(&mut bot, ADMIN, "/next", &names)).channel.name, "news");
    assert!(said(&write(&mut bot, ADMIN, "/status", &[])).contains("No channel"));
}

#[test]
fn an_old_command_is_not_executed_and_a_flood_is_bounded() {
    let mut bot = conversation();
    let now = SystemTime::now();
    let message = PrivateMessage {
        user_id: ADMIN,
        message_id: 9,
        text: "/next".to_owned(),
        file: None,
        sent: now - Duration::from_secs(61),
        is_late: true,
        lang_code: Some("ru".to_owned()),
    };
    let actions = bot.on_message(&message, &channels(&["main"]), Instant::now(), now);
    assert!(said(&actions[1..]).contains("слишком поздно"), "{actions:?}");
    let requests = (0..100).flat_map(|_| write(&mut bot, ADMIN, "/next", &["main"]));
    let requests = requests.filter(|action| matches!(action, BotAction::Ask(_))).count();
    assert_eq!(requests, MOST_PENDING);
}

#[test]
fn a_panel_is_edited_in_place_and_shown_again() {
    let mut bot = conversation();
    let now = Instant::now();
    let request = asked(press(&mut bot, ADMIN, "next:main", &["main"]));
    let mut report = ChannelReport {
        request,
        outcome: Some(Ok(serde_json::json!({}))),
        status: Ok(BroadcastStatus::default()),
        picture: None,
    };
    let actions = bot.on_report(&mut report, &channels(&["main"]), now, SystemTime::now());
    assert!(
        matches!(
            &actions[..],
            [BotAction::Edit { message_id: 4, .. }, BotAction::AnswerPress { press_id: 7, .. }]
        ),
        "{actions:?}"
    );
    assert_eq!(bot.tick(&channels(&["main"]), now), []);
    let due = bot.next_tick().unwrap();
    let again = asked(bot.tick(&channels(&["main"]), due));
    assert_eq!((again.call, again.place), (None, MessagePlace::Edited(4)));
    assert!(bot.next_tick().unwrap() > due);
}

#[test]
fn a_picture_stays_one_and_is_taken_seldom() {
    let mut bot = conversation();
    let now = Instant::now();
    let request = asked(write(&mut bot, VIEWER, "/now", &["main"]));
    assert!(request.with_picture && request.place == MessagePlace::New);
    let with = |request, picture| ChannelReport {
        request,
        outcome: None,
        status: Ok(BroadcastStatus::default()),
        picture: Some(picture),
    };
    let time = SystemTime::now();
    let actions = bot.on_report(&mut with(request.clone(), Ok(vec![7])), &channels(&["main"]), now, time);
    let [BotAction::Send { picture: Some(picture), keyboard, is_panel: true, .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((&**picture, &*keyboard.0[0][0].data), (&[7][..], "show+:main"));
    // Without ffmpeg it is a text that says so.
    let failed = Err(NoPicture::Busy);
    let actions = bot.on_report(&mut with(request, failed), &channels(&["main"]), now, time);
    let [BotAction::Send { picture: None, text, keyboard, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert!(text.text().contains("No picture: another") && keyboard.0[0][0].data == "show:main", "{text:?}");
    // A command does not wait for a picture; the later refreshes have one.
    let request = asked(press(&mut bot, ADMIN, "next+:main", &["main"]));
    assert!(!request.with_picture && request.below_picture);
    let mut report = ChannelReport {
        picture: None,
        outcome: Some(Ok(serde_json::json!({}))),
        ..with(request, Err(NoPicture::Busy))
    };
    let actions = bot.on_report(&mut report, &channels(&["main"]), now, time);
    assert!(matches!(&actions[0], BotAction::Edit { picture: None, .. }), "{actions:?}");
    let later = now + Duration::from_mins(1);
    let refreshed = [0, 1, 2].map(|_| asked(bot.tick(&channels(&["main"]), later)).with_picture);
    assert_eq!(refreshed, [false, true, true]);
    assert_eq!(bot.tick(&channels(&["main"]), later), []);
    assert!(asked(press(&mut bot, ADMIN, "picture:main", &["main"])).with_picture);
}

#[test]
fn only_administrators_send_files_and_one_waits_for_its_channel() {
    let mut bot = conversation();
    let mut send = |user_id, name: &str, names: &[&str]| {
        let file = Some(BotFile::example(Some(name), "x/y", 9));
        let sent = SystemTime::now();
        let (text, lang_code) = ("/next".to_owned(), None);
        let message = PrivateMessage { user_id, message_id: 9, text, file, sent, is_late: false, lang_code };
        let mut actions = bot.on_message(&message, &channels(names), Instant::now(), sent);
        actions.retain(|action| !matches!(action, BotAction::Announce { .. }));
        actions
    };
    assert_eq!(send(STRANGER, "a.mp4", &["main"]), []);
    assert!(said(&send(VIEWER, "a.mp4", &["main"])).contains("look"));
    assert!(said(&send(ADMIN, "a.exe", &["main"])).contains("no film"));
    let fetched = send(ADMIN, "a.mp4", &["main"]);
    assert!(matches!(&fetched[..], [BotAction::Fetch(it)] if it.channel.name == "main"), "{fetched:?}");
    let which = send(ADMIN, "a.mp4", &["main", "news"]);
    assert!(said(&which).contains("Which channel"), "{which:?}");
    let chosen = press(&mut bot, ADMIN, "show:news", &["main", "news"]);
    let [BotAction::Ask(_), BotAction::Fetch(request)] = &chosen[..] else { panic!("{chosen:?}") };
    assert_eq!(request.channel.name, "news");
    let cancelled = press(&mut bot, ADMIN, "cancel.7:", &["main"]);
    assert!(matches!(&cancelled[..], [BotAction::AnswerPress { .. }, BotAction::CancelFetch(7)]));
    assert!(said(&press(&mut bot, VIEWER, "cancel.7:", &["main"])).contains("look"));
}
