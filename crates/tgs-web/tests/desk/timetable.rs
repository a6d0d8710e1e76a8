//! Changes of the timetable: who may make them, what they may name, and what they keep.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use crate::{
    broadcast::TIMETABLE,
    desk::{Answer, Desk},
};

const PATH: &str = "/api/channels/main/timetable";

fn etag(desk: &Desk, cookie: &str) -> Value {
    desk.get(PATH, cookie).json()["etag"].clone()
}

/// A new slot that plays `play`.
fn add(etag: &Value, play: &str) -> Value {
    json!({ "action": "add", "etag": etag,
        "slot": { "name": "Film", "days": "sat", "at": "22:00", "play": play, "start": "soft", "for": "2h" } })
}

fn film(desk: &Desk) -> String {
    let film = fs::canonicalize(desk.dir.path().join("library/film.mp4")).unwrap();
    film.to_str().unwrap().to_owned()
}

/// Status and code of a refusal.
fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

#[test]
fn operators_add_move_and_remove_slots_and_the_rest_of_the_file_stays() {
    let desk = Desk::start();
    let cookie = desk.sign_in("anna");
    let shown = desk.get(&format!("{PATH}?from=2026-03-02&days=90"), &cookie).json();
    assert_eq!(shown["plan"]["timezone"], "UTC");
    assert_eq!(shown["slots"][0]["at"], "20:00:00");
    assert_eq!(shown["slots"][0]["days"], "mon-fri");
    assert!(!shown.to_string().contains("secret"), "{shown}");
    let sent = desk.played.commands();
    assert_eq!(sent[1].0, "schedule.plan");
    assert_eq!(sent[1].1["days"], 7, "a plan of weeks takes long");

    let film = film(&desk);
    let answer = desk.post(PATH, &cookie, &add(&shown["etag"], &film));
    assert_eq!(answer.status, 200, "{answer:?}");
    let slot = format!(
        "\n[[slot]]\nname = \"Film\"\ndays = \"sat\"\nat = \"22:00\"\nplay = \"{film}\"\nstart = \"soft\"\nfor = \"2h\"\n"
    );
    assert_eq!(desk.played.timetable(), format!("{TIMETABLE}{slot}"));

    let etag = &answer.json()["etag"];
    let change = json!({ "action": "move", "etag": etag, "slot": 0, "name": "News", "at": "21:30" });
    let answer = desk.post(PATH, &cookie, &change);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(desk.played.timetable().contains("at = \"21:30\"  # sharp\n"), "{}", desk.played.timetable());

    let change = json!({ "action": "remove", "etag": answer.json()["etag"], "slot": 1, "name": "Film" });
    assert_eq!(desk.post(PATH, &cookie, &change).status, 200);
    assert_eq!(desk.played.timetable(), TIMETABLE.replace("20:00", "21:30"));
    assert!(desk.played.names().contains(&"anna (tgs-web)".to_owned()));
    let log = desk.end();
    assert!(log.contains("timetable: add slot \"Film\" at \"22:00\" from anna"), "{log}");
}

#[test]
fn viewers_and_other_sites_change_nothing() {
    let desk = Desk::start();
    let (anna, ben) = (desk.sign_in("anna"), desk.sign_in("ben"));
    let etag = etag(&desk, &ben);
    let change = add(&etag, &film(&desk));
    assert_eq!(refused(&desk.post(PATH, &ben, &change)), (403, "viewer".into()));
    assert_eq!(refused(&desk.post(PATH, "", &change)), (401, "not_signed_in".into()));
    for origin in ["", "Origin: http://evil.example\n", "Origin: null\n"] {
        let head = format!("POST {PATH} HTTP/1.1\nCookie: {anna}\nContent-Type: application/json\n{origin}");
        assert_eq!(refused(&desk.send(&head, &change.to_string())), (403, "cross_origin".into()), "{origin}");
    }
    assert_eq!(desk.played.timetable(), TIMETABLE);
}

#[test]
fn a_change_of_an_older_version_is_refused() {
    let desk = Desk::start();
    let cookie = desk.sign_in("anna");
    let etag = etag(&desk, &cookie);
    let changed = (409, "changed".to_owned());
    assert_eq!(refused(&desk.post(PATH, &cookie, &add(&json!("0"), &film(&desk)))), changed);
    for (slot, name) in [(0, "Film"), (0, "news")] {
        let change = json!({ "action": "remove", "etag": etag, "slot": slot, "name": name });
        assert_eq!(refused(&desk.post(PATH, &cookie, &change)), changed, "another slot than the one seen");
    }
    assert_eq!(desk.played.timetable(), TIMETABLE);
    // Between the desk's reading and its writing.
    desk.played.change_timetable_first();
    assert_eq!(refused(&desk.post(PATH, &cookie, &add(&etag, &film(&desk)))), changed);
    assert_eq!(desk.played.timetable(), format!("# theirs\n{TIMETABLE}"));
}

#[test]
fn a_slot_plays_files_of_the_library_and_public_addresses_alone() {
    let desk = Desk::start();
    let cookie = desk.sign_in("anna");
    let etag = etag(&desk, &cookie);
    let library = desk.dir.path().join("library");
    fs::write(desk.dir.path().join("secret.mp4"), "").unwrap();
    symlink(desk.dir.path().join("secret.mp4"), library.join("link.mp4")).unwrap();
    fs::write(library.join("list.m3u"), "/etc/passwd").unwrap();
    let at = |path: &str| library.join(path).to_str().unwrap().to_owned();
    for play in [
        at("../secret.mp4"),
        at("link.mp4"),
        at("list.m3u"),
        at(""),
        at("film.mp4\"\nfill = \"/etc/passwd"),
        "/etc/passwd".into(),
        "film.mp4".into(),
        "file:///etc/passwd".into(),
        "http://127.0.0.1:9090/status".into(),
        "concat:/etc/passwd".into(),
        String::new(),
    ] {
        let answer = desk.post(PATH, &cookie, &add(&etag, &play));
        assert_eq!(refused(&answer), (422, "source".into()), "{play}");
    }
    for key in ["fill", "fill_mode", "pick", "until", "x"] {
        let mut change = add(&etag, &film(&desk));
        change["slot"][key] = json!("/etc/passwd");
        assert_eq!(desk.post(PATH, &cookie, &change).status, 400, "{key}");
    }
    for (key, value) in [
        ("at", "25:00"),
        ("days", "someday"),
        ("for", "soon"),
        ("start", "now"),
        ("name", ""),
        ("name", "a\"\nfill = \"/etc/passwd"),
    ] {
        let mut change = add(&etag, &film(&desk));
        change["slot"][key] = json!(value);
        let answer = desk.post(PATH, &cookie, &change);
        assert_eq!(refused(&answer), (422, "timetable".into()), "{key} = {value:?}: {answer:?}");
    }
    assert_eq!(desk.played.timetable(), TIMETABLE);
    let answer = desk.post(PATH, &cookie, &add(&etag, "http://1.1.1.1/a.mp4"));
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn a_slot_that_is_not_there_is_named() {
    let desk = Desk::start();
    let cookie = desk.sign_in("anna");
    for (slot, name, words) in [(7, "News", "there is no slot 7"), (usize::MAX, "", "there is no slot")] {
        let change = json!({ "action": "remove", "etag": etag(&desk, &cookie), "slot": slot, "name": name });
        let answer = desk.post(PATH, &cookie, &change);
        assert_eq!(refused(&answer), (422, "timetable".into()));
        assert!(answer.body.contains(words), "{answer:?}");
    }
}
