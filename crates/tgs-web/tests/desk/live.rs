//! What a browser follows: status, events, and the picture.

use std::io::{BufRead, BufReader, Read, Write};

use serde_json::{Value, json};

use crate::{
    broadcast::FLV,
    desk::{Desk, user},
};

/// The lines of `/api/live` after its head.
fn follow(desk: &Desk, cookie: &str) -> impl Iterator<Item = String> + use<> {
    let mut stream = desk.connect();
    let request = format!("GET /api/live HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\n\r\n", desk.address);
    stream.write_all(request.as_bytes()).unwrap();
    BufReader::new(stream).lines().map_while(Result::ok)
}

/// The data of the next event of this kind.
fn next(lines: &mut impl Iterator<Item = String>, kind: &str) -> Value {
    let start = format!("event: {kind}");
    lines.find(|line| *line == start).unwrap_or_else(|| panic!("no {kind}"));
    let data = lines.next().unwrap();
    serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap()
}

#[test]
fn status_and_events_come_by_themselves_until_the_session_ends() {
    let desk = Desk::start();
    let cookie = desk.sign_in("ben");
    let mut lines = follow(&desk, &cookie);
    let running =
        std::iter::repeat_with(|| next(&mut lines, "status")).find(|channel| channel["running"] == true);
    let channel = running.unwrap();
    assert_eq!((&channel["name"], &channel["status"]["on_air"]["title"]), (&json!("main"), &json!("A film")));
    let event = json!({ "event": "item_began", "item": { "title": "B" } });
    desk.played.event(&event);
    assert_eq!(next(&mut lines, "event"), json!({ "channel": "main", "event": event }));
    assert_eq!(desk.get("/api/channels/main/events", &cookie).json(), json!([event]));
    // The user is removed: the open page is signed out within seconds.
    assert!(user(&desk.dir.path().join("web.env"), &["remove", "ben"], "").status.success());
    next(&mut lines, "signed_out");
}

#[test]
fn the_picture_is_what_the_broadcast_sends_for_few_at_once() {
    let desk = Desk::start();
    let cookie = desk.sign_in("ben");
    let open = || {
        let mut stream = desk.connect();
        let request = format!(
            "GET /api/channels/main/monitor.flv HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\n\r\n",
            desk.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        (status, reader)
    };
    let (status, mut picture) = open();
    assert!(status.contains("200"), "{status}");
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        picture.read_line(&mut line).unwrap();
    }
    let mut piece = vec![0; 100];
    picture.read_exact(&mut piece).unwrap();
    assert!(piece.windows(FLV.len()).any(|window| window == FLV), "{piece:?}");
    let more: Vec<_> = (0..16).map(|_| open()).collect();
    assert_eq!(more.iter().filter(|(status, _)| status.contains("200")).count(), 15);
    assert!(more.last().unwrap().0.contains("503"));
    drop(picture);
}

#[test]
fn a_channel_that_does_not_run_says_so() {
    let desk = Desk::start();
    std::fs::remove_file(&desk.played.socket).unwrap();
    let cookie = desk.sign_in("anna");
    let answer = desk.command(&cookie, "next", &json!({}));
    assert_eq!((answer.status, &*answer.code()), (503, "not_running"));
    assert_eq!(desk.get("/api/channels/main/monitor.flv", &cookie).status, 503);
    assert_eq!(desk.get("/api/channels/main/thumbnail.jpg", &cookie).status, 503);
}

#[test]
fn the_as_run_log_opens_in_a_spreadsheet() {
    let desk = Desk::start();
    let cookie = desk.sign_in("ben");
    assert_eq!(desk.get("/api/channels/main/as-run", &cookie).json()["entries"][0]["title"], "=1+1");
    let answer = desk.get("/api/channels/main/as-run.csv", &cookie);
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(answer.header("content-disposition").unwrap().contains("as-run.csv"));
    // No formula.
    assert!(answer.body.starts_with("start,end,") && answer.body.contains("'=1+1"), "{}", answer.body);
}
