//! What a browser follows: status, events, and the picture.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixListener,
    thread,
};

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
    let (anna, ben) = (desk.sign_in("anna"), desk.sign_in("ben"));
    let open = |cookie: &str| {
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
    let (status, mut picture) = open(&ben);
    assert!(status.contains("200"), "{status}");
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        picture.read_line(&mut line).unwrap();
    }
    let mut piece = vec![0; 100];
    picture.read_exact(&mut piece).unwrap();
    assert!(piece.windows(FLV.len()).any(|window| window == FLV), "{piece:?}");
    // One user leaves most pictures of a channel to others, also over several sign-ins.
    let more: Vec<_> = (0..3).map(|_| open(&ben)).collect();
    assert!(more.iter().all(|(status, _)| status.contains("200")));
    assert!(open(&ben).0.contains("503") && open(&desk.sign_in("ben")).0.contains("503"));
    assert!(open(&anna).0.contains("200"));
    drop(picture);
}

#[test]
fn one_user_leaves_most_event_streams_to_others() {
    let desk = Desk::start();
    let (anna, ben) = (desk.sign_in("anna"), desk.sign_in("ben"));
    let mut streams: Vec<_> = (0..8).map(|_| follow(&desk, &ben)).collect();
    for stream in &mut streams {
        assert!(stream.next().unwrap().contains("200"));
    }
    assert!(follow(&desk, &ben).next().unwrap().contains("503"));
    assert!(follow(&desk, &anna).next().unwrap().contains("200"));
}

#[test]
fn a_broadcast_that_hangs_delays_no_other() {
    let desk = Desk::with("", &["--socket", "DIR/hung.sock"]);
    // Connections are accepted by the kernel, and never answered.
    let _hung = UnixListener::bind(desk.dir.path().join("hung.sock")).unwrap();
    let cookie = desk.sign_in("anna");
    let channels = desk.get("/api/channels", &cookie).json();
    let mut names = channels.as_array().unwrap().iter().map(|channel| channel["name"].as_str().unwrap());
    let hung = names.find(|name| *name != "main").unwrap();
    let path = format!("/api/channels/{hung}/call");
    thread::scope(|scope| {
        let commands: Vec<_> = (0..24)
            .map(|_| scope.spawn(|| desk.post(&path, &cookie, &json!({ "method": "next" })).code()))
            .collect();
        assert!((0..20).all(|_| desk.command(&cookie, "next", &json!({})).status == 200));
        let codes: Vec<_> = commands.into_iter().map(|command| command.join().unwrap()).collect();
        assert_eq!(codes.iter().filter(|code| *code == "channel_busy").count(), 20, "{codes:?}");
    });
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
fn one_user_reads_few_large_parts_of_the_as_run_log_at_once() {
    let desk = Desk::start();
    let (anna, ben) = (desk.sign_in("anna"), desk.sign_in("ben"));
    let delay = desk.played.delay_listings();
    let read = |cookie: &str, limit: u32| {
        desk.get(&format!("/api/channels/main/as-run?limit={limit}"), cookie).status
    };
    thread::scope(|scope| {
        let large: Vec<_> = (0..2).map(|_| scope.spawn(|| read(&ben, 10_000))).collect();
        while desk.played.commands().len() < 2 {
            thread::yield_now();
        }
        assert_eq!(read(&ben, 10_000), 503);
        drop(delay);
        assert_eq!((read(&ben, 100), read(&anna, 10_000)), (200, 200));
        assert!(large.into_iter().all(|answer| answer.join().unwrap() == 200));
    });
    assert_eq!(read(&ben, 10_000), 200);
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
