//! Session, chat, rights, call, clock and standby.

use tgs_telegram::session::{lock::SessionLock, string::SessionString};
use tgs_testdc::{Fault, When, World};

use crate::harness::Home;

#[test]
fn a_valid_installation_passes_all_checks() {
    let mut home = Home::new();
    let standby = home.session(World::ALICE).telethon_string();
    home.set("STANDBY_SESSION_STRING", &standby);
    let said = home.run(&[]);
    said.has("PASS", "session", "alive: Alice (@tgs_alice, 5000000001)")
        .has("PASS", "session-age", "0 days ago; the account has 1 other sessions")
        .has("PASS", "session-form", "Telethon's form, DC 2, key fingerprint ")
        .has("PASS", "chat", "found: Demo channel (-1002000000001), a channel")
        .has("PASS", "rights", "")
        .has("PASS", "call", "no live stream is on")
        .has("PASS", "clock", "agrees")
        .has("PASS", "standby", "alive: Alice");
    assert_eq!(home.dc.calls(World::CHANNEL).len(), 0, "it has started a call");
    assert_eq!(home.dc.count("auth.logOut"), 0);
}

#[test]
fn a_dead_session_names_its_end_and_the_way_out() {
    let mut home = Home::new();
    let (own, standby) = (home.session(World::ALICE), home.session(World::ALICE));
    home.set("SESSION_STRING", &own.telethon_string());
    home.set("STANDBY_SESSION_STRING", &standby.telethon_string());
    home.dc.revoke(own.key_id);
    home.dc.revoke(standby.key_id);
    let sign_in = format!("-> run: {}", home.remedy("tgs-session", "--write-env"));
    let standby = format!("-> run: {}", home.remedy("tgs-session", "--standby --write-env"));
    let said = home.run(&[]);
    said.has("FAIL", "session", "AUTH_KEY_UNREGISTERED")
        .has("FAIL", "session", &sign_in)
        .has("FAIL", "standby", &standby)
        .has("WARN", "chat", "not checked")
        .has("WARN", "ingest", "not checked");
    assert_eq!(said.code, Some(1));
}

#[test]
fn a_chat_that_is_not_there() {
    let mut home = Home::new();
    let list = home.remedy("tgs-session", "--list-dialogs");
    for chat in ["-1009999999999", "@nobody_has_this", "-1002000000004"] {
        home.set("CHAT_ID", chat);
        let said = home.run(&[]);
        said.has("PASS", "session", "alive").has("FAIL", "chat", &list);
        said.has("WARN", "rights", "not checked");
    }
}

#[test]
fn a_chat_without_the_right() {
    let mut home = Home::new();
    home.set("CHAT_ID", &format!("-100{}", World::SUPERGROUP));
    let said = home.run(&[]);
    said.has("PASS", "chat", "Supergroup without calls")
        .has("FAIL", "rights", "CHAT_ADMIN_REQUIRED")
        .has("FAIL", "rights", "-> make the account an administrator")
        .has("PASS", "call", "");
}

#[test]
fn a_video_chat_is_reported() {
    let home = Home::new();
    home.dc.start_webrtc(World::CHANNEL);
    let said = home.run(&[]);
    said.has("FAIL", "call", "people hold a video chat").has("FAIL", "call", "-> end it in Telegram");
    assert_eq!(home.dc.calls(World::CHANNEL).len(), 1);
}

#[test]
fn telegrams_own_words_are_understood() {
    for (name, level, words) in [
        ("FLOOD_WAIT_7", "WARN", "-> wait 7 s"),
        ("USER_DEACTIVATED_BAN", "FAIL", "banned"),
        ("API_ID_INVALID", "FAIL", "-> copy API_ID and API_HASH"),
        ("AUTH_KEY_DUPLICATED", "FAIL", "used in two places"),
        ("INTERNAL_SOMETHING", "FAIL", "INTERNAL_SOMETHING"),
    ] {
        let home = Home::new();
        home.dc.fault(Fault::named(name), When::method("users.getUsers"));
        home.run(&[]).has(level, "session", words).has("WARN", "chat", "not checked");
    }
    // An answer on which the client library panics.
    let home = Home::new();
    home.dc.fault(Fault::WrongSession, When::method("users.getUsers"));
    let said = home.run(&[]);
    said.has("FAIL", "session", "client panic");
    assert!(!said.err.contains("panicked"), "{}", said.err);
}

#[test]
fn a_wait_that_telegram_asked_tgs_stream_for_is_kept() {
    let home = Home::new();
    let state = home.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let session = SessionString::decode(&home.value("SESSION_STRING")).unwrap();
    let waits = tgs_telegram::session::flood_wait::FloodWaits::new(&state);
    waits.set(&session.fingerprint(), std::time::Duration::from_mins(10), std::time::SystemTime::now());
    home.run(&[]).has("WARN", "session", "Telegram asks to wait");
    assert_eq!(home.dc.requests().len(), 0);
}

#[test]
fn a_clock_that_is_wrong() {
    let home = Home::of(World { clock_ahead: -300, ..World::example() });
    let said = home.run(&[]);
    said.has("FAIL", "clock", "s ahead of Telegram's").has("FAIL", "clock", "timedatectl set-ntp true");
}

#[test]
fn a_standby_session_that_cannot_stand_in() {
    let mut home = Home::new();
    home.set("STANDBY_SESSION_STRING", &home.session(World::BOB).telethon_string());
    home.run(&[]).has("PASS", "standby", "Bob").has("FAIL", "standby-account", "Bob");
    home.set("STANDBY_SESSION_STRING", &home.value("SESSION_STRING"));
    home.run(&["--offline"]).has("FAIL", "standby-form", "the same session");
}

#[test]
fn a_session_that_tgs_stream_uses_is_not_connected_to() {
    let home = Home::new();
    let session = SessionString::decode(&home.value("SESSION_STRING")).unwrap();
    let _held = SessionLock::take(&session.key, None).unwrap();
    let holder = format!("(pid {})", std::process::id());
    let said = home.run(&[]);
    said.has("WARN", "session", &holder).has("WARN", "clock", "not checked");
    let status = |telegram: &str| {
        let fingerprint = session.fingerprint();
        format!(
            r#"{{"on_air":{{"state":"item","title":"A film"}},"publisher":{{"state":"connected"}},"telegram":{{"session":"{fingerprint}",{telegram}}}}}"#
        )
    };
    home.pages(
        &status(r#""state":"live","session_valid":true,"account":"Alice (5)","chat":"Demo (-100)""#),
        200,
        "ok",
    );
    let said = home.run(&[]);
    said.has("PASS", "session", "account Alice (5)")
        .has("PASS", "session", &holder)
        .has("PASS", "chat", "Demo (-100)")
        .has("PASS", "rights", "")
        .has("PASS", "call", "live")
        .has("PASS", "ingest", "connected")
        .has("PASS", "broadcast", "on air: A film")
        .has("PASS", "port", "answers at");
    home.pages(
        &status(r#""state":"degraded","session_valid":false,"why":"SESSION_REVOKED""#),
        503,
        "degraded: SESSION_REVOKED",
    );
    let sign_in = format!("-> run: {}", home.remedy("tgs-session", "--write-env"));
    let said = home.run(&[]);
    said.has("FAIL", "session", "SESSION_REVOKED").has("FAIL", "session", &sign_in).has(
        "FAIL",
        "broadcast",
        "degraded: SESSION_REVOKED",
    );
    assert_eq!(home.dc.requests().len(), 0);
}
