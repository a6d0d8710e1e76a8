//! The ways through one proxy and through several, without a broadcast.

use std::{
    net::{SocketAddr, TcpListener},
    process::Command,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tgs_core::{
    cancel::Cancel,
    proxy::{ProxyList, parse_proxies},
};
use tgs_e2e::{
    bin_path,
    ingest::{Ingest, METADATA},
    proxies::{BlockedNetwork, DCS, INGEST, NetworkSide, PROXIES, ProxyServer, USER, kurigram},
    telegram::Scene,
};
use tgs_playout::upstream::UpstreamDialler;
use tgs_rtmp::{
    client::{OpenError, RtmpConnection},
    url::RtmpUrl,
};
use tgs_telegram::{ErrorClass, TelegramClient, check_route, session::string::SessionString};
use tgs_testdc::{SessionInfo, TestDc, World};

use crate::harness::{DOMAIN, KEY, LIMIT, OTHER_KEY, PASSWORD, SECOND, app, connect, session, telegram};

/// Publishes through `proxies`.
fn publish(proxies: &ProxyList, url: &RtmpUrl, limit: Duration) -> Result<RtmpConnection, OpenError> {
    let dialler = UpstreamDialler::new(proxies.clone(), tgs_core::permit::Permit::always());
    RtmpConnection::open_by(&dialler, url, &METADATA, || false, limit)
}

/// Counts the connections that wait at a listener which answers none.
fn connections(listener: &TcpListener) -> usize {
    listener.set_nonblocking(true).unwrap();
    std::iter::from_fn(|| listener.accept().ok()).count()
}

/// Why the one proxy of `text` does not lead to Telegram; no secret is in it.
fn refused(text: &str, limit: Duration) -> String {
    let proxies = parse_proxies(text).unwrap();
    let session = SessionString::decode(&world_session()).unwrap();
    let problem = check_route(Some(&proxies[0]), Some(&session), &Cancel::new(), limit).unwrap_err();
    let words = problem.to_string();
    for secret in proxies[0].secrets() {
        assert!(!words.contains(secret) && !format!("{problem:?}").contains(secret), "{words}");
    }
    words
}

/// A session at DC 2 with a key that no DC knows: enough to find the DC.
fn world_session() -> String {
    let mut auth_key = [1; 256];
    auth_key[0] = 2;
    let addr = DCS[1].parse().unwrap();
    SessionInfo { user_id: 1, dc_id: 2, addr, auth_key, key_id: 0 }.telethon_string()
}

/// A session string of Pyrogram 2, as Kurigram reads it.
fn pyrogram(session: &SessionInfo, api_id: i32) -> String {
    let mut raw = vec![session.dc_id as u8];
    raw.extend(api_id.to_be_bytes());
    raw.push(0);
    raw.extend(session.auth_key);
    raw.extend(session.user_id.to_be_bytes());
    raw.push(0);
    URL_SAFE_NO_PAD.encode(raw)
}

#[test]
fn mtproxy_in_each_disguise_as_a_foreign_client_does() {
    let network = BlockedNetwork::new().unwrap();
    let dc = telegram();
    let proxy = ProxyServer::mtprotoproxy(&network, KEY, None).unwrap();
    network.enter(NetworkSide::Outer).unwrap();
    let own = session(&dc);
    assert!(check_route(None, Some(&own), &Cancel::new(), SECOND).is_err(), "the network is not blocked");
    let secrets = [KEY.to_owned(), format!("dd{KEY}"), format!("ee{KEY}{DOMAIN}")];
    for secret in &secrets {
        // Kurigram's hello has more than the 517 bytes that mtprotoproxy accepts.
        if !secret.starts_with("ee") {
            let foreign = pyrogram(&dc.new_session(World::ALICE, 2), dc.api_id());
            let user = kurigram(&proxy.address(), secret, &foreign, (dc.api_id(), &dc.api_hash())).unwrap();
            assert_eq!(user, World::ALICE.to_string(), "{secret}");
        }
        let link = format!("'https://t.me/proxy?server={PROXIES}&port={}&secret={secret}'", proxy.port);
        assert_eq!(connect(&dc, &link).unwrap(), format!("mtproxy://{}", proxy.address()));
    }
    // A long answer passes, and so does a dead session as what it is.
    let proxies = format!("mtproxy://{}?secret=ee{KEY}{DOMAIN}", proxy.address());
    let info = dc.new_session(World::ALICE, 2);
    let own = SessionString::decode(&info.telethon_string()).unwrap();
    let (mut client, _) = TelegramClient::connect(app(&dc, &proxies), &own, &Cancel::new()).unwrap();
    assert!(client.clock_offset().unwrap().abs() < 5);
    assert!(dc.revoke(info.key_id));
    assert_eq!(client.self_user().unwrap_err().class, ErrorClass::Session);
    // Wrong secrets. mtprotoproxy stays silent.
    for secret in [OTHER_KEY.to_owned(), format!("dd{OTHER_KEY}"), format!("ee{OTHER_KEY}{DOMAIN}")] {
        let words = refused(&format!("mtproxy://{}?secret={secret}", proxy.address()), 2 * SECOND);
        assert!(words.contains("the secret is wrong"), "{words}");
    }
}

#[test]
fn socks_and_http_lead_to_telegram_and_to_the_ingest() {
    let network = BlockedNetwork::new().unwrap();
    let dc = telegram();
    let ingest = Ingest::start().unwrap();
    let url = RtmpUrl::parse(&format!("rtmp://{INGEST}:{}/live/key", ingest.port())).unwrap();
    let dante = ProxyServer::dante(&network, PASSWORD).unwrap();
    let open = ProxyServer::microsocks(&network, None, None).unwrap();
    let http = ProxyServer::tinyproxy(&network, PASSWORD).unwrap();
    let listener = TcpListener::bind((PROXIES, 0)).unwrap();
    let silent = format!("socks5://{}", listener.local_addr().unwrap());
    network.enter(NetworkSide::Outer).unwrap();
    for (count, text) in [
        format!("socks5://{USER}:{PASSWORD}@{}", dante.address()),
        format!("socks5://{}", open.address()),
        format!("http://{USER}:{PASSWORD}@{}", http.address()),
    ]
    .into_iter()
    .enumerate()
    {
        let shown = text.replace(&format!("{USER}:{PASSWORD}@"), "");
        assert_eq!(connect(&dc, &text).unwrap(), shown);
        let proxies = ProxyList::new(parse_proxies(&text).unwrap());
        let publisher = publish(&proxies, &url, LIMIT).unwrap();
        publisher.goodbye();
        ingest.wait("a publisher", LIMIT, |records| records.len() > count).unwrap();
    }
    // One that is silent and one that is dead are passed over, and the next stream begins with the
    // one that has worked.
    let list = format!("{silent} socks5://{PROXIES}:9 socks5://{}", open.address());
    let proxies = ProxyList::new(parse_proxies(&list).unwrap());
    for tries in [1, 0] {
        publish(&proxies, &url, 15 * SECOND).unwrap().goodbye();
        assert_eq!((proxies.current().unwrap().port, connections(&listener)), (open.port, tries));
    }
    let silent = ProxyList::new(parse_proxies(&silent).unwrap());
    let error = publish(&silent, &url, 3 * SECOND).unwrap_err();
    assert!(error.to_string().contains("it accepts the connection and does not answer"), "{error}");
    for (text, words) in [
        (format!("socks5://{USER}:wr0ng-pass@{}", dante.address()), "refuses the user name or the password"),
        (format!("socks5://{}", dante.address()), "asks for a user name and password"),
        (format!("http://{USER}:wr0ng-pass@{}", http.address()), "refuses the user name or the password"),
        (format!("http://{}", http.address()), "asks for a user name"),
    ] {
        let proxies = ProxyList::new(parse_proxies(&text).unwrap());
        let error = publish(&proxies, &url, LIMIT).unwrap_err();
        let both = [refused(&text, 10 * SECOND), error.to_string()];
        assert!(both.iter().all(|error| error.contains(words)), "{text}: {both:?}");
        assert!(both[1].contains(PROXIES) && !both[1].contains("wr0ng"), "{both:?}");
    }
}

#[test]
fn the_one_that_works_is_kept_and_tgs_diag_names_it() {
    let network = BlockedNetwork::new().unwrap();
    let dc = telegram();
    let listener = TcpListener::bind((PROXIES, 0)).unwrap();
    let silent = format!("socks5://{}", listener.local_addr().unwrap());
    let proxy = ProxyServer::mtprotoproxy(&network, KEY, None).unwrap();
    network.enter(NetworkSide::Outer).unwrap();
    let works = format!("mtproxy://{}", proxy.address());
    let dead = format!("socks5://{PROXIES}:9");
    let list = format!("{silent} {dead} {works}?secret=dd{KEY}");
    let app = app(&dc, &list);
    for tries in [1, 0] {
        // The second client begins with the one that has worked.
        let (client, _) = TelegramClient::connect(app.clone(), &session(&dc), &Cancel::new()).unwrap();
        assert_eq!(client.proxy().unwrap(), works);
        assert_eq!(connections(&listener), tries);
    }
    // With none that works, the network fails and the session lives.
    let error = connect(&dc, &dead).unwrap_err();
    assert_eq!(error.class, ErrorClass::Network);
    assert!(error.to_string().contains(&format!("{dead}: it accepts no connection")), "{error}");
    let mut scene = Scene::of(dc).unwrap();
    scene.set("TELEGRAM_PROXY", &list).unwrap();
    let mut command = Command::new(bin_path::build("tgs-diag").unwrap());
    let output = command.arg("--env-file").arg(scene.env_file()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let line =
        |words: &str| shown.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{shown}"));
    assert!(line("leads to Telegram: it answers").contains(&works), "{shown}");
    line(&format!("{silent} does not lead to Telegram: it accepts the connection and does not answer"));
    line(&format!("{dead} does not lead to Telegram"));
    line("Telegram cannot be reached without a proxy");
    line("alive: Alice");
    assert!(!shown.contains(KEY), "{shown}");
    let mut command = Command::new(bin_path::build("tgs-session").unwrap());
    let output = command.args(["--show", "--env-file"]).arg(scene.env_file()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && shown.contains("Account:  Alice"), "{shown}");
}

#[test]
fn ipv6_is_used_where_ipv4_does_not_answer() {
    let network = BlockedNetwork::new().unwrap();
    network.enter(NetworkSide::Outer).unwrap();
    // The outer network has no route to the address in the session.
    let addresses = ["2001:b28:f23d:f001::a", "2001:67c:4e8:f002::a"];
    for address in addresses {
        network.add_address(NetworkSide::Outer, address).unwrap();
    }
    let dc =
        TestDc::start_at(World::example(), addresses.map(|ip| SocketAddr::new(ip.parse().unwrap(), 443)));
    let dc = dc.unwrap();
    let info = SessionInfo { addr: DCS[1].parse().unwrap(), ..dc.new_session(World::ALICE, 2) };
    let own = SessionString::decode(&info.telethon_string()).unwrap();
    let (client, me) = TelegramClient::connect(app(&dc, ""), &own, &Cancel::new()).unwrap();
    assert_eq!((me.id, client.proxy()), (World::ALICE, None));
    // The session keeps its own address.
    assert_eq!(client.session().unwrap().address, own.address);
}
