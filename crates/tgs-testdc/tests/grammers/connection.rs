//! The connection of `tgs-telegram`, which drives grammers' pool: its stop flag, its retries, and
//! what a panic costs.

use std::{
    thread,
    time::{Duration, Instant},
};

use tgs_core::{cancel::Cancel, proxy::ProxyList, secret::Secret, settings::ChatId};
use tgs_telegram::{
    App, ErrorClass, SelfUser, TelegramClient, TelegramError, session::string::SessionString,
};
use tgs_testdc::{At, Fault, SessionInfo, TestDc, When, World};

use crate::client::{example, many_chats};

fn open(
    dc: &TestDc,
    session: &SessionInfo,
    cancel: &Cancel,
) -> Result<(TelegramClient, SelfUser), TelegramError> {
    let app = App {
        api_id: dc.api_id(),
        api_hash: Secret::new(dc.api_hash()),
        device: "test",
        proxies: ProxyList::default(),
    };
    let session = SessionString::decode(&session.telethon_string()).expect("is one");
    TelegramClient::connect(app, &session, cancel)
}

#[test]
fn a_stop_ends_a_silent_call_at_any_step() {
    // How long the call goes on after the stop.
    let stopped_after = |when: &When| {
        let (dc, session) = example();
        dc.fault(Fault::Silence, when.clone());
        let cancel = Cancel::new();
        thread::scope(|scope| {
            let stopping = scope.spawn(|| {
                thread::sleep(Duration::from_millis(300));
                cancel.cancel();
                Instant::now()
            });
            assert_eq!(open(&dc, &session, &cancel).unwrap_err().class, ErrorClass::Stopped, "{when:?}");
            stopping.join().unwrap().elapsed()
        })
    };
    for when in [When::at(At::Accept), When::at(At::Init), When::method("users.getUsers")] {
        // 100 ms, and as much again to end the connection. A busy machine wakes a thread late.
        let mut took = Vec::new();
        let in_time = (0..5).any(|_| {
            took.push(stopped_after(&when));
            took.last() < Some(&Duration::from_millis(200))
        });
        assert!(in_time, "{when:?}: {took:?}");
    }
}

#[test]
fn a_panic_of_the_library_costs_one_call() {
    let (dc, session) = example();
    let (mut connection, me) = open(&dc, &session, &Cancel::new()).unwrap();
    dc.fault(Fault::WrongSession, When::method("users.getUsers").times(1));
    let error = connection.self_user().unwrap_err();
    assert_eq!((error.class, &error.name[..]), (ErrorClass::Network, "client panic"));
    assert_eq!(connection.self_user().unwrap(), me);
}

#[test]
fn a_lost_connection_is_opened_again_but_a_call_is_created_once() {
    let (dc, session) = example();
    let (mut connection, me) = open(&dc, &session, &Cancel::new()).unwrap();
    let chat = connection.chat(&ChatId::Number(-1_000_000_000_000 - World::CHANNEL)).unwrap();
    dc.fault(Fault::Drop, When::method("users.getUsers").times(1));
    assert_eq!((connection.self_user().unwrap(), dc.count("users.getUsers")), (me, 3));
    dc.fault(Fault::Drop, When::method("phone.createGroupCall").times(1));
    let error = connection.create_group_call(&chat, None).unwrap_err();
    assert_eq!((error.class, &error.name[..]), (ErrorClass::Network, "connection lost"));
    assert_eq!(dc.count("phone.createGroupCall"), 1);
    // A restarting DC sends 404: one of them does not mean that the session is dead.
    dc.fault(Fault::Transport(-404), When::method("phone.createGroupCall").times(1));
    let error = connection.create_group_call(&chat, None).unwrap_err();
    assert_eq!((error.class, &error.name[..]), (ErrorClass::Network, "connection lost"));
    assert_eq!(dc.count("phone.createGroupCall"), 2);
    connection.create_group_call(&chat, None).unwrap();
}

#[test]
fn a_list_of_dialogs_survives_a_lost_connection() {
    let (dc, session) = example();
    let (mut connection, _) = open(&dc, &session, &Cancel::new()).unwrap();
    let all = connection.chats().unwrap();
    dc.fault(Fault::Drop, When::method("messages.getDialogs").times(1));
    assert_eq!(connection.chats().unwrap(), all);
    assert!(all.len() > 2 && dc.count("messages.getDialogs") == 3, "{all:?}");
}

/// Telegram may send 99 of 375 dialogs.
#[test]
fn a_short_page_of_dialogs_is_not_the_last() {
    let (dc, session) = many_chats();
    let (mut connection, _) = open(&dc, &session, &Cancel::new()).unwrap();
    let all = connection.chats().unwrap();
    let ids: std::collections::HashSet<_> = all.iter().map(|chat| chat.id).collect();
    assert_eq!((all.len(), ids.len()), (253, 253));
    // The first page is short, then each.
    for times in [1, 4] {
        dc.fault(Fault::ShortPage, When::method("messages.getDialogs").times(times));
        assert_eq!(connection.chats().unwrap(), all);
    }
    let last = all.last().unwrap();
    dc.fault(Fault::ShortPage, When::method("messages.getDialogs").times(1));
    assert_eq!(connection.chat(&ChatId::Number(last.id)).unwrap(), *last);
}

#[test]
fn a_dialog_without_an_access_hash_is_skipped() {
    let (dc, session) = many_chats();
    let (mut connection, _) = open(&dc, &session, &Cancel::new()).unwrap();
    let all = connection.chats().unwrap();
    // Each page ends with such dialogs, so that its offset is that of an earlier one.
    dc.fault(Fault::OddDialogs, When::method("messages.getDialogs"));
    assert_eq!(connection.chats().unwrap(), all);
    let last = all.last().unwrap();
    assert_eq!(connection.chat(&ChatId::Number(last.id)).unwrap(), *last);
}
