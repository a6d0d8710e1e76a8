//! The network: none of it with `--offline`, one time-out where it is dead, the server that takes
//! the picture.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use tgs_e2e::stunnel::{Authority, Stunnel, Validity};
use tgs_telegram::session::string::SessionString;
use tgs_testdc::World;

use crate::harness::{Home, silent};

#[test]
fn offline_asks_nobody() {
    let mut home = Home::new();
    home.set("STANDBY_SESSION_STRING", &home.session(World::ALICE).telethon_string());
    let said = home.run(&["--offline"]);
    for check in ["session", "chat", "rights", "call", "clock", "ingest", "standby"] {
        said.has("WARN", check, "not checked: --offline");
    }
    assert_eq!((home.dc.connections(), home.dc.requests().len()), (0, 0));
    home.set("OUTPUT_URL", "rtmp://192.0.2.1/live/thekey42");
    home.run(&["--offline"]).has("WARN", "ingest", "--offline");
}

#[test]
fn a_dead_network_costs_one_time_out() {
    let mut home = Home::new();
    // Both sessions lead to a server that takes connections and says nothing.
    for (name, account) in [("SESSION_STRING", World::ALICE), ("STANDBY_SESSION_STRING", World::ALICE)] {
        let session = SessionString::decode(&home.session(account).telethon_string()).unwrap();
        home.set(name, session.to_telethon(silent()).expose());
    }
    let began = Instant::now();
    let said = home.run(&[]);
    let took = began.elapsed();
    // One call's limit is 15 s.
    assert!(took < Duration::from_secs(24), "{took:?}");
    said.has("FAIL", "session", "Telegram does not answer")
        .has("FAIL", "session", "-> if this lasts, check that this machine reaches Telegram")
        .has("FAIL", "standby", "Telegram does not answer")
        .has("WARN", "chat", "not checked")
        .has("", "ffmpeg-args", "360p");
    assert_eq!(said.code, Some(1));
}

#[test]
fn the_server_that_telegram_names() {
    let home = Home::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    home.dc.set_ingest(&format!("rtmp://127.0.0.1:{port}/s"));
    home.run(&[]).has("PASS", "ingest", &format!("127.0.0.1:{port} answers"));
    drop(server);
    let said = home.run(&[]);
    said.has("FAIL", "ingest", "refuses connections").has("FAIL", "ingest", "firewall");
    home.dc.set_ingest("rtmp://no-such-host.invalid/s");
    home.run(&[]).has("FAIL", "ingest", "cannot look up no-such-host.invalid").has("FAIL", "ingest", "DNS");
    // Nothing was said of RTMP, and no call was made.
    assert!(home.dc.calls(World::CHANNEL).is_empty());
}

#[test]
fn a_server_with_tls() {
    let mut home = Home::new();
    let authority = Authority::new().unwrap();
    let certificate = authority.certificate("server", "DNS:localhost", Validity::Now).unwrap();
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Stunnel::start(&certificate, backend.local_addr().unwrap().port()).unwrap();
    home.set("OUTPUT_URL", &server.url("localhost", "thekey42"));
    home.set("ALSO_OUTPUT_URLS", &format!("vk={}", server.url("localhost", "otherkey42")));
    let said = home.run(&[]);
    said.has("FAIL", "ingest", "its issuer is not known here").has("FAIL", "ingest", "ca-certificates");
    said.has("FAIL", "output", "vk: localhost:").has("PASS", "session", "not needed");
    let output = home.command(&[]).env("SSL_CERT_FILE", authority.file()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.matches("answers, with a TLS certificate that can be trusted").count(), 2, "{said}");
    assert!(said.contains("PASS output: vk: localhost:") && !said.contains("otherkey42"), "{said}");
    home.no_secret_in(&said);
}

#[test]
fn an_output_behind_a_proxy() {
    let mut home = Home::new();
    home.set("OUTPUT_URL", "out.flv");
    home.set("ALSO_OUTPUT_URLS", "vk=rtmp://example.invalid/app/thekey42");
    home.set("ALSO_OUTPUT_PROXIES", "vk=socks5://joe:thepw4242@127.0.0.1:1");
    let said = home.run(&[]);
    said.has("FAIL", "output", "the proxy socks5://127.0.0.1:1: 127.0.0.1:1 refuses connections");
    said.has("FAIL", "output", "-> check the proxies of vk in ALSO_OUTPUT_PROXIES");
    assert!(!said.out.contains("thepw4242"), "{}", said.out);
}

#[test]
fn an_output_that_is_none() {
    let mut home = Home::new();
    home.set("OUTPUT_URL", "http://example.org/thekey42");
    home.run(&["--offline"]).has("FAIL", "ingest", "OUTPUT_URL cannot be used");
    home.set("ALSO_OUTPUT_URLS", "vk=rtmp://example.org:0/app/thekey42");
    home.run(&["--offline"]).has("FAIL", "output", "vk: cannot be used: the port");
    home.set("ALSO_OUTPUT_URLS", "");
    home.set("OUTPUT_URL", "out.flv");
    home.run(&[]).has("PASS", "ingest", "a file");
    assert_eq!(home.dc.requests().len(), 0);
}
