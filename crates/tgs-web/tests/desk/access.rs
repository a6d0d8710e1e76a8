//! Who may do what.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::symlink,
};

use serde_json::{Value, json};

use crate::desk::{Desk, PASSWORD, user};

/// Requests that need a signed-in user.
const PRIVATE: [&str; 15] = [
    "/api/me",
    "/api/channels",
    "/api/live",
    "/api/library?words=film",
    "/api/channels/main/queue",
    "/api/channels/main/playlist",
    "/api/channels/main/as-run",
    "/api/channels/main/as-run.csv",
    "/api/channels/main/log",
    "/api/channels/main/events",
    "/api/channels/main/history",
    "/api/channels/main/timetable",
    "/api/channels/main/monitor.flv",
    "/api/channels/main/preview.flv",
    "/api/channels/main/thumbnail.jpg",
];

#[test]
fn nothing_is_shown_without_a_session() {
    let desk = Desk::start();
    let token = desk.sign_in("anna");
    let (name, value) = token.split_once('=').unwrap();
    let guess = format!("{name}={}", "0".repeat(value.len()));
    let shorter = &token[..token.len() - 1];
    for path in PRIVATE {
        for cookie in ["", &guess, shorter, &format!("{name}="), &format!("x{token}")] {
            let answer = desk.get(path, cookie);
            assert_eq!((answer.status, &*answer.code()), (401, "not_signed_in"), "{path} with {cookie}");
        }
    }
    assert_eq!(desk.command(&guess, "next", &json!({})).status, 401);
    assert_eq!(desk.post("/api/demo-sign-in", "", &json!({ "token": "" })).status, 404);
    assert_eq!(desk.played.commands(), []);
}

#[test]
fn the_cookie_is_out_of_reach_and_ends_with_the_session() {
    let desk = Desk::start();
    let answer = desk.try_sign_in("anna", PASSWORD);
    let set = answer.header("set-cookie").unwrap();
    for part in ["tgs-desk=", "Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=604800"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure") && !set.contains("Domain"), "{set}");
    let me = desk.get("/api/me", &answer.cookie()).json();
    assert_eq!((&me["name"], &me["role"]), (&json!("anna"), &json!("operator")));
    assert_eq!(desk.post("/api/sign-out", &answer.cookie(), &json!({})).status, 204);
    assert_eq!(desk.get("/api/me", &answer.cookie()).status, 401);

    // A new password, and the removal of a user, sign out at once.
    let (anna, ben) = (desk.sign_in("anna"), desk.sign_in("ben"));
    let env_file = desk.dir.path().join("web.env");
    assert!(user(&env_file, &["add", "anna"], "another password").status.success());
    assert!(user(&env_file, &["remove", "ben"], "").status.success());
    for cookie in [anna, ben] {
        assert_eq!(desk.get("/api/me", &cookie).status, 401);
    }
    let log = desk.end();
    assert!(log.contains("anna signed in from 127.0.0.1") && !log.contains(PASSWORD), "{log}");
}

#[test]
fn an_unused_session_ends() {
    let desk = Desk::with("WEB_SESSION_IDLE=3s", &[]);
    let used = |cookie: &String| desk.get("/api/me", cookie).status == 200;
    // A busy machine may need 3 s for this, too.
    let cookie = std::iter::repeat_with(|| desk.sign_in("anna")).take(5).find(used).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(3100));
    assert_eq!(desk.get("/api/me", &cookie).status, 401);
}

#[test]
fn viewers_watch_and_operators_act_under_their_names() {
    let desk = Desk::start();
    let (anna, ben) = (desk.sign_in("anna"), desk.sign_in("ben"));
    for method in ["next", "pause", "stop", "queue.clear", "title.set", "live.take", "live.drop", "status"] {
        let answer = desk.command(&ben, method, &json!({}));
        assert_eq!((answer.status, &*answer.code()), (403, "viewer"), "{method}");
    }
    assert_eq!(desk.get("/api/channels/main/preview.flv", &ben).status, 403);
    assert_eq!(desk.played.commands(), []);
    assert_eq!(desk.get("/api/channels/main/queue", &ben).json()["entries"][0]["id"], 7);

    assert_eq!(desk.command(&anna, "seek", &json!({ "by": -10.0 })).status, 200);
    let refused = desk.command(&anna, "previous", &json!({}));
    assert_eq!((refused.status, &*refused.code()), (409, "refused"));
    assert_eq!(refused.json()["message"], "there is no item before this one");
    for (method, params, status) in [
        ("subscribe", json!({}), 400),
        ("monitor", json!({}), 400),
        ("hello", json!({ "client": "root" }), 400),
        ("no.such", json!({}), 400),
        ("seek", json!({ "to": "x" }), 400),
        ("next", json!({ "x": 1 }), 400),
        ("next", json!([1]), 400),
        ("schedule.set", json!({ "text": "", "etag": "" }), 400),
    ] {
        assert_eq!(desk.command(&anna, method, &params).status, status, "{method}");
    }
    let sent: Vec<_> = desk.played.commands().into_iter().map(|(method, _)| method).collect();
    assert_eq!(sent, ["queue.list", "seek", "previous"]);
    assert!(desk.played.names().contains(&"anna (tgs-web)".to_owned()), "{:?}", desk.played.names());
    assert_eq!(desk.post("/api/channels/none/call", &anna, &json!({ "method": "next" })).status, 404);
}

#[test]
fn another_site_can_send_nothing() {
    let desk = Desk::start();
    let cookie = desk.sign_in("anna");
    let own = desk.origin();
    let body = json!({ "method": "next" }).to_string();
    let send = |headers: &str| {
        let head = format!(
            "POST /api/channels/main/call HTTP/1.1\nCookie: {cookie}\nContent-Type: application/json\n{headers}"
        );
        desk.send(&head, &body).status
    };
    for headers in [
        "",
        "Origin: null",
        "Origin: http://evil.example",
        "Origin: https://127.0.0.1",
        &format!("Origin: {own}.evil.example"),
        &format!("Origin: {own}\nSec-Fetch-Site: cross-site"),
        &format!("Origin: http://evil.example\nX-Forwarded-Host: evil.example\nReferer: {own}/"),
    ] {
        assert_eq!(send(headers), 403, "{headers}");
    }
    assert_eq!(desk.played.commands(), []);
    assert_eq!(send(&format!("Origin: {own}\nSec-Fetch-Site: same-origin")), 200);
    // A form of another site cannot send JSON.
    let head = format!(
        "POST /api/channels/main/call HTTP/1.1\nCookie: {cookie}\nOrigin: {own}\nContent-Type: text/plain\n"
    );
    assert_eq!(desk.send(&head, &body).status, 400);
    assert_eq!(desk.played.commands().len(), 1);
}

#[test]
fn tries_to_sign_in_are_few_and_all_failures_look_alike() {
    let desk = Desk::start();
    let tries = [("anna", "wrong"), ("nobody", PASSWORD), ("ben", ""), ("", ""), ("anna", &"x".repeat(5000))];
    let answers: Vec<_> = tries.iter().map(|(name, password)| desk.try_sign_in(name, password)).collect();
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (401, &answers[0].body));
        assert_eq!(answer.header("set-cookie"), None);
    }
    assert_eq!(desk.post("/api/sign-in", "", &json!({ "name": 1 })).status, 400);
    for _ in 5..10 {
        assert_eq!(desk.try_sign_in("anna", "wrong").status, 401);
    }
    let limited = desk.try_sign_in("anna", PASSWORD);
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("60")));
    // A client cannot state another address.
    let head = format!(
        "POST /api/sign-in HTTP/1.1\nOrigin: {}\nContent-Type: application/json\nX-Forwarded-For: 192.0.2.1\n",
        desk.origin()
    );
    assert_eq!(desk.send(&head, &json!({ "name": "anna", "password": PASSWORD }).to_string()).status, 429);
    let log = desk.end();
    assert!(log.contains("wrong password for anna from 127.0.0.1"), "{log}");
    assert!(log.contains("wrong password for an unknown user") && !log.contains("nobody"), "{log}");
}

#[test]
fn sources_lie_in_the_library_or_on_public_servers() {
    let desk = Desk::start();
    let cookie = desk.sign_in("anna");
    let library = desk.dir.path().join("library");
    fs::write(desk.dir.path().join("secret.mp4"), "").unwrap();
    symlink(desk.dir.path().join("secret.mp4"), library.join("link.mp4")).unwrap();
    symlink(desk.dir.path(), library.join("away")).unwrap();
    fs::write(library.join("list.m3u"), "/etc/passwd").unwrap();
    let at = |path: &str| library.join(path).to_str().unwrap().to_owned();
    for source in [
        at("../secret.mp4"),
        at("%2e%2e/secret.mp4"),
        at("..%2fsecret.mp4"),
        at("link.mp4"),
        at("away/secret.mp4"),
        at("list.m3u"),
        at(""),
        at("film.mp4\n/etc/passwd"),
        at("film.mp4\0"),
        "film.mp4".into(),
        "/etc/passwd".into(),
        "/proc/self/environ".into(),
        "file:///etc/passwd".into(),
        "http://127.0.0.1:9090/status".into(),
        "http://[::ffff:127.0.0.1]/".into(),
        "http://169.254.169.254/latest/meta-data/".into(),
        "http://1.1.1.1@127.0.0.1/".into(),
        "rtmp://1.1.1.1/app".into(),
        "concat:/etc/passwd".into(),
        "@/etc/passwd".into(),
        String::new(),
    ] {
        let answer = desk.command(&cookie, "queue.add", &json!({ "source": source }));
        assert_eq!((answer.status, &*answer.code()), (422, "source"), "{source}: {answer:?}");
    }
    assert_eq!(desk.played.commands(), []);
    let film = at("film.mp4");
    let found = desk.get("/api/library?words=FILM", &cookie).json();
    assert_eq!(found, json!({ "paths": [fs::canonicalize(&film).unwrap()], "more": false }));
    for source in [film.clone(), at("../library/film.mp4"), "http://1.1.1.1/a.mp4".into()] {
        assert_eq!(desk.command(&cookie, "queue.add", &json!({ "source": source })).status, 200, "{source}");
    }
    // The broadcast judges them again when it opens them.
    let film = json!({ "source": fs::canonicalize(&film).unwrap(), "below": [&library] });
    let url = json!({ "source": "http://1.1.1.1/a.mp4", "below": [] });
    let sent: Vec<_> = desk.played.commands().into_iter().map(|(_, params)| params).collect();
    assert_eq!(sent, [film.clone(), film, url]);
}

#[test]
fn a_user_of_the_desk_cannot_lift_the_restriction_of_a_source() {
    let desk = Desk::start();
    let cookie = desk.sign_in("anna");
    let library = desk.dir.path().join("library");
    let source = fs::canonicalize(library.join("film.mp4")).unwrap();
    for below in [json!(["/"]), Value::Null] {
        let params = json!({ "source": source, "below": below });
        assert_eq!(desk.command(&cookie, "queue.add", &params).status, 200);
    }
    for (_, params) in desk.played.commands() {
        assert_eq!(params["below"], json!([library]));
    }
}

#[test]
fn an_older_broadcast_gets_what_it_knows() {
    let desk = Desk::start();
    desk.played.speak(1);
    let cookie = desk.sign_in("anna");
    let answer = desk.command(&cookie, "queue.add", &json!({ "source": "http://1.1.1.1/a.mp4" }));
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent: Vec<_> = desk.played.commands().into_iter().map(|(_, params)| params).collect();
    assert_eq!(sent, [json!({ "source": "http://1.1.1.1/a.mp4" })]);
    assert!(desk.end().contains("restart the broadcast"));
}

#[test]
fn only_files_of_the_page_are_served_with_the_headers_of_security() {
    let desk = Desk::start();
    for path in [
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/vendor/../../Cargo.toml",
        "/vendor/%2e%2e/%2e%2e/Cargo.toml",
        "/..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/lang/",
        "/lang/xx.json",
        "/.env",
        "/app.js/",
        "/index.html%00",
        "/\\..\\..\\etc\\passwd",
    ] {
        let answer = desk.send(&format!("GET {path} HTTP/1.1\n"), "");
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
    }
    for (path, kind) in [
        ("/", "text/html"),
        ("/app.js", "text/javascript"),
        ("/lang/ru.json", "application/json"),
        ("/api/me", "application/json"),
    ] {
        let answer = desk.send(&format!("GET {path} HTTP/1.1\n"), "");
        assert!(answer.header("content-type").unwrap().starts_with(kind), "{path}: {answer:?}");
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part) && !policy.contains("unsafe"), "{policy}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        let cached = answer.header("cache-control");
        assert_eq!(cached, Some(if path.starts_with("/api") { "no-store" } else { "no-cache" }));
    }
    let first = desk.send("GET /app.js HTTP/1.1\n", "");
    let tag = first.header("etag").unwrap();
    assert_eq!(desk.send(&format!("GET /app.js HTTP/1.1\nIf-None-Match: {tag}\n"), "").status, 304);
    let packed = desk.send("GET /vendor/mpegts.js HTTP/1.1\nAccept-Encoding: gzip\n", "");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.header("content-length").unwrap().parse::<u32>().unwrap() < 70_000);
}

#[test]
fn large_and_slow_requests_are_cut_off() {
    let desk = Desk::start();
    let cookie = desk.sign_in("anna");
    let answer = desk.command(&cookie, "title.set", &json!({ "text": "x".repeat(20_000) }));
    assert_eq!(answer.status, 400, "{answer:?}");
    let mut long = desk.connect();
    // The desk stops reading: the rest of the head, or the answer, may be lost.
    let _ =
        long.write_all(format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)).as_bytes());
    let mut answer = Vec::new();
    let _ = long.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains(" 200 "));
    // A head that never ends: hyper closes the connection after ten seconds.
    let mut slow = desk.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
    let mut end = Vec::new();
    slow.read_to_end(&mut end).unwrap();
    // Others are served meanwhile, with many connections open.
    let open: Vec<_> = (0..100).map(|_| desk.connect()).collect();
    assert_eq!(desk.get("/api/me", &cookie).status, 200);
    drop(open);
    assert_eq!(desk.played.commands(), []);
}

#[test]
fn one_address_leaves_half_of_the_connections_to_others() {
    for (settings, behind_proxy) in [("", false), ("WEB_BEHIND_PROXY=1", true)] {
        let desk = Desk::with(settings, &[]);
        let open: Vec<_> = (0..128).map(|_| desk.connect()).collect();
        let served = |mut stream: TcpStream| {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.read_exact(&mut [0; 12]).is_ok()
        };
        assert_eq!(served(desk.connect()), behind_proxy, "a proxy has the connections of all browsers");
        drop(open);
        assert!((0..1000).any(|_| served(desk.connect())), "closed connections still count");
    }
}

#[test]
fn the_link_of_the_demo_signs_in_once() {
    let desk = Desk::with("", &["--demo-link"]);
    let (page, token) = desk.link.split_once("#demo=").unwrap();
    assert_eq!((page, token.len()), (&*format!("{}/", desk.origin()), 64));
    let wrong = desk.post("/api/demo-sign-in", "", &json!({ "token": "0".repeat(64) }));
    assert_eq!((wrong.status, &*wrong.code()), (401, "link_used"));
    let answer = desk.post("/api/demo-sign-in", "", &json!({ "token": token }));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(desk.get("/api/me", &answer.cookie()).json()["role"], "operator");
    assert_eq!(desk.post("/api/demo-sign-in", "", &json!({ "token": token })).status, 401);
    // The user of the link has no password.
    assert_eq!(desk.try_sign_in("demo", "").status, 401);
    let token = token.to_owned();
    assert!(!desk.end().contains(&token));
}
