//! Showing, listing, converting and ending a session.

use tgs_telegram::session::{
    lock::SessionLock,
    string::{Format, SessionString},
};
use tgs_testdc::{Fault, When, World};

use crate::harness::{Home, with_value};

/// A home with Alice's session in it.
fn home() -> (Home, tgs_testdc::SessionInfo) {
    let home = Home::new();
    let session = home.session(World::ALICE);
    home.write_env(&format!("SESSION_STRING={}", session.telethon_string()));
    (home, session)
}

#[test]
fn show_tells_everything_but_the_key() {
    let (home, session) = home();
    let _other = home.session(World::ALICE);
    let said = home.run(&["--show"]).ok();
    let fingerprint = SessionString::decode(&session.telethon_string()).unwrap().fingerprint();
    for words in [
        "Form:     Telethon\n",
        &format!("DC:       2 ({})\n", home.dc.addr(2)),
        &format!("Key:      fingerprint {fingerprint}\n"),
        "Account:  Alice (@tgs_alice, 5000000001)\n",
        "Made:     20",
        "Other sessions of the account:\n  ",
    ] {
        assert!(said.out.contains(words), "no {words:?} in {}", said.out);
    }
    home.no_secret_in(&said.out);
    let said = home.run(&["--show", "--json"]).ok();
    let shown: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(shown["account"]["id"], World::ALICE);
    assert_eq!((&shown["fingerprint"], shown["others"].as_array().unwrap().len()), (&fingerprint.into(), 1));
    home.no_secret_in(&said.out);
}

#[test]
fn show_of_a_dead_session_says_so_and_fails() {
    let (home, session) = home();
    home.dc.revoke(session.key_id);
    let said = home.run(&["--show"]).fails(1, "AUTH_KEY_UNREGISTERED");
    assert!(said.out.contains("Form:     Telethon") && said.out.contains("Problem:  "), "{}", said.out);
    let env = home.path().join(".env");
    let run = format!("tgs-session --write-env --env-file {}", env.display());
    assert!(said.last().contains("run: ") && said.last().ends_with(&run), "{}", said.err);
}

#[test]
fn dialogs_are_listed_with_their_numbers_and_rights() {
    let (home, _) = home();
    let said = home.run(&["--list-dialogs"]).ok();
    for line in [
        "CHAT_ID         kind       broadcast title",
        "-1002000000001  channel    yes       Demo channel (@tgs_demo)",
        "-1002000000002  supergroup no        Supergroup without calls",
        "-4000001        group      yes       Basic group",
    ] {
        assert!(said.out.lines().any(|it| it == line), "no {line:?} in {}", said.out);
    }
    assert_eq!(said.out.lines().count(), 4);
    let said = home.run(&["--list-dialogs", "--json"]).ok();
    let dialogs: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let channel = dialogs.as_array().unwrap().iter().find(|it| it["id"] == -1_002_000_000_001_i64).unwrap();
    assert_eq!((&channel["title"], &channel["may_broadcast"]), (&"Demo channel".into(), &true.into()));
}

#[test]
fn a_list_of_dialogs_without_an_end_is_given_up() {
    let (home, _) = home();
    home.dc.fault(Fault::Endless, When::method("messages.getDialogs"));
    let said = home.run(&["--list-dialogs"]).fails(1, "did not end within 200 pages");
    assert!(home.dc.count("messages.getDialogs") <= 200, "{}", said.err);
}

#[test]
fn a_session_that_tgs_stream_uses_is_asked_for_and_not_connected_to() {
    let (home, session) = home();
    let session = SessionString::decode(&session.telethon_string()).unwrap();
    let _held = SessionLock::take(&session.key, None).unwrap();
    let pid = format!("(pid {})", std::process::id());
    let said = home.run(&["--list-dialogs"]).fails(75, "the session is in use by ");
    assert!(said.last().contains(&pid), "{}", said.err);
    let status = format!(
        r#"{{"on_air":{{"state":"starting"}},"telegram":{{"state":"live","session":"{}","account":"Alice (5000000001)","chat":"Demo (-100)"}}}}"#,
        session.fingerprint()
    );
    home.status_page(&status);
    let said = home.run(&["--show"]).ok();
    for words in [&*pid, "Account:  Alice (5000000001)\n", "Chat:     Demo (-100)\n", "State:    live\n"] {
        assert!(said.out.contains(words), "no {words:?} in {}", said.out);
    }
    home.status_page(&status);
    let said = home.run(&["--convert", "pyrogram"]).ok();
    assert_eq!(SessionString::decode(said.out.trim_end()).unwrap().user_id, Some(5_000_000_001));
    home.run(&["--log-out"]).fails(75, "stop that first");
    assert_eq!(home.dc.requests().len(), 0);
}

#[test]
fn converted_both_ways_it_is_the_same_session() {
    let (home, session) = home();
    let pyrogram = home.run(&["--convert", "pyrogram"]).ok().out;
    let read = SessionString::decode(pyrogram.trim_end()).unwrap();
    assert_eq!((read.format, read.user_id), (Format::Pyrogram, Some(World::ALICE as u64)));
    assert_eq!((read.api_id, *read.key.expose()), (Some(home.dc.api_id()), session.auth_key));
    let telethon = home.run(&["--convert", "telethon"]).ok().out;
    assert_eq!(telethon.trim_end(), session.telethon_string());
}

#[test]
fn logging_out_ends_the_session_and_clears_the_line() {
    let (home, session) = home();
    let before = home.env();
    let said = home.run(&["--log-out"]).ok();
    assert!(
        said.err.contains("The session of Alice (@tgs_alice, 5000000001) is ended (SESSION_STRING)."),
        "{}",
        said.err
    );
    assert_eq!(home.env(), with_value(&before, "SESSION_STRING", &session.telethon_string(), "''"));
    assert_eq!(home.dc.sessions(World::ALICE), []);
    home.run(&["--log-out"]).fails(1, "SESSION_STRING is not set, and STANDBY_SESSION_STRING is not set");
}

#[test]
fn logging_out_a_dead_session_clears_it_and_a_network_failure_does_not() {
    let (home, session) = home();
    let before = home.env();
    home.dc.fault(Fault::Drop, When::method("auth.logOut"));
    home.run(&["--log-out"]).fails(1, "connection lost");
    assert_eq!(home.env(), before);
    home.dc.revoke(session.key_id);
    let said = home.run(&["--log-out"]).ok();
    assert!(
        said.err.contains("The session was dead already (SESSION_STRING): the session was ended"),
        "{}",
        said.err
    );
    assert_eq!(home.value("SESSION_STRING"), "");
}

/// A home with Alice's session and her standby session.
fn home_of_two() -> (Home, tgs_testdc::SessionInfo, tgs_testdc::SessionInfo) {
    let home = Home::new();
    let (primary, standby) = (home.session(World::ALICE), home.session(World::ALICE));
    home.write_env(&format!(
        "SESSION_STRING={}\nSTANDBY_SESSION_STRING={}\nCHAT_ID=-100{}",
        primary.telethon_string(),
        standby.telethon_string(),
        World::CHANNEL
    ));
    (home, primary, standby)
}

fn both(home: &Home) -> [String; 2] {
    ["SESSION_STRING", "STANDBY_SESSION_STRING"].map(|name| home.value(name))
}

#[test]
fn logging_out_ends_the_standby_session_too() {
    let (home, ..) = home_of_two();
    let said = home.run(&["--log-out"]).ok();
    for name in ["SESSION_STRING", "STANDBY_SESSION_STRING"] {
        assert!(said.err.contains(&format!("is ended ({name}).")), "{}", said.err);
    }
    assert_eq!(home.dc.sessions(World::ALICE), []);
    assert_eq!(both(&home), ["", ""]);

    // One alone, on request.
    let (home, primary, _) = home_of_two();
    home.run(&["--log-out", "--standby"]).ok();
    assert_eq!(home.dc.sessions(World::ALICE).len(), 1);
    assert_eq!(both(&home), [primary.telethon_string(), String::new()]);

    // One session in both places is ended once.
    let (home, session, standby) = home_of_two();
    home.dc.revoke(standby.key_id);
    let string = session.telethon_string();
    home.write_env(&format!("SESSION_STRING={string}\nSTANDBY_SESSION_STRING={string}"));
    home.run(&["--log-out"]).ok();
    assert_eq!((home.dc.count("auth.logOut"), both(&home)), (1, [String::new(), String::new()]));
}

#[test]
fn of_two_sessions_the_one_that_cannot_be_ended_is_kept() {
    let (home, primary, standby) = home_of_two();
    home.dc.revoke(primary.key_id);
    home.dc.fault(Fault::Drop, When::method("auth.logOut"));
    let said = home.run(&["--log-out"]).fails(1, "end the session in STANDBY_SESSION_STRING, which stays");
    assert!(said.err.contains("dead already (SESSION_STRING)"), "{}", said.err);
    assert_eq!(both(&home), [String::new(), standby.telethon_string()]);
    home.dc.clear_faults();
    home.run(&["--log-out"]).ok();
    assert_eq!((home.dc.sessions(World::ALICE).len(), both(&home)), (0, [String::new(), String::new()]));

    // One that somebody uses: nothing is ended.
    let (home, _, standby) = home_of_two();
    let before = home.env();
    let key = SessionString::decode(&standby.telethon_string()).unwrap().key;
    let _held = SessionLock::take(&key, None).unwrap();
    home.run(&["--log-out"]).fails(75, "end the session in STANDBY_SESSION_STRING: it is in use by ");
    assert_eq!((home.dc.count("auth.logOut"), home.env()), (0, before));

    // One that cannot be read is not forgotten, and the other is ended all the same.
    let (home, primary, _) = home_of_two();
    home.write_env(&format!(
        "SESSION_STRING={}\nSTANDBY_SESSION_STRING=1AAcut-off",
        primary.telethon_string()
    ));
    home.run(&["--log-out"]).fails(1, "read the session: STANDBY_SESSION_STRING has a length");
    assert_eq!(both(&home), ["", "1AAcut-off"]);
}

#[test]
fn a_call_is_ended_on_command_and_only_a_live_stream_of_ours() {
    let (home, primary, _) = home_of_two();
    let live = |home: &Home| home.dc.calls(World::CHANNEL).iter().filter(|call| call.live).count();
    home.run(&["--end-call"]).ok();
    assert_eq!(home.dc.count("phone.discardGroupCall"), 0, "there was none");
    home.dc.start_rtmp(World::CHANNEL);
    // Nothing else ends it.
    home.run(&["--show"]).ok();
    assert_eq!(live(&home), 1);
    let held =
        SessionLock::take(&SessionString::decode(&primary.telethon_string()).unwrap().key, None).unwrap();
    home.run(&["--end-call"]).fails(75, "the session is in use by ");
    drop(held);
    let said = home.run(&["--end-call"]).ok();
    assert!(said.err.contains("The live stream in Demo channel is ended."), "{}", said.err);
    assert_eq!(live(&home), 0);
    let said = home.run(&["--end-call", "--standby"]).ok();
    assert!(said.err.contains("There is no live stream in Demo channel."), "{}", said.err);
    // People's own.
    home.dc.start_webrtc(World::CHANNEL);
    home.run(&["--end-call"]).fails(1, "people hold a video chat of their own in Demo channel");
    assert_eq!(live(&home), 1);
    // Logging out does not.
    home.dc.end_call(World::CHANNEL);
    home.dc.start_rtmp(World::CHANNEL);
    home.run(&["--log-out"]).ok();
    assert_eq!(live(&home), 1);
    home.write_env(&format!("SESSION_STRING={}", home.session(World::ALICE).telethon_string()));
    home.run(&["--end-call"]).fails(78, "CHAT_ID is not set; set it in ");
}
