//! Broadcasts, sign-ins and viewer checks through proxies that die and come back.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use tgs_core::{cancel::Cancel, proxy::parse_proxies};
use tgs_e2e::{
    bin_path,
    proxies::{BlockedNetwork, DCS, NetworkSide, ProxyServer, USER},
    telegram::Scene,
};
use tgs_telegram::{TelegramClient, session::string::SessionString};
use tgs_testdc::World;

use crate::harness::{DOMAIN, KEY, LIMIT, PASSWORD, app, blocked_scene, live, start, telegram, until_proxy};

/// Signs in with the number `phone` at a terminal, without any session; returns what was printed.
fn sign_in(scene: &Scene, phone: &str) -> String {
    let tool = scene.env_file().with_file_name("tgs-session");
    let file = scene.env_file().display().to_string();
    let line = format!("{} --phone {phone} --write-env --env-file {file}", tool.display());
    let mut command = Command::new("script");
    command.args(["-qefc", &line, "/dev/null"]).env("RUST_LOG", "trace");
    command.env("STATE_DIR", scene.env_file().with_file_name("state"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut printed, mut chunk, mut typed) = (String::new(), [0; 4096], false);
    while let Ok(count @ 1..) = output.read(&mut chunk) {
        printed += &String::from_utf8_lossy(&chunk[..count]);
        if !typed && printed.contains("Code (5 characters)") {
            input.write_all(b"22222\n").unwrap();
            typed = true;
        }
    }
    assert!(child.wait().unwrap().success(), "{printed}");
    printed
}

#[test]
fn sign_in_from_nothing_and_renewal_go_through_proxies() {
    const BOB: &str = "+15550100002";
    let network = BlockedNetwork::new().unwrap();
    let mut scene = blocked_scene(telegram()).with_standby().unwrap();
    let socks = ProxyServer::microsocks(&network, Some((USER, PASSWORD)), None).unwrap();
    let mtproxy = ProxyServer::mtprotoproxy(&network, KEY, None).unwrap();
    scene.hide(PASSWORD);
    scene.hide(KEY);
    network.enter(NetworkSide::Outer).unwrap();
    let socks = format!("socks5://{USER}:{PASSWORD}@{}", socks.address());
    let mtproxy = format!("mtproxy://{}?secret=ee{KEY}{DOMAIN}", mtproxy.address());
    for proxy in [&socks, &mtproxy] {
        scene.set("TELEGRAM_PROXY", proxy).unwrap();
        scene.set("SESSION_STRING", "").unwrap();
        // A new key at DC 2, which sends Bob to DC 1, where another is made.
        let printed = sign_in(&scene, BOB);
        assert!(!printed.contains(PASSWORD) && !printed.contains(KEY), "{printed}");
        let new = scene.read("SESSION_STRING").unwrap();
        let new = SessionString::decode(&new).unwrap();
        assert_eq!((new.dc, new.address.as_ref().map(|it| it.port)), (1, Some(443)), "{printed}");
        let (_, me) = TelegramClient::connect(app(&scene.dc, proxy), &new, &Cancel::new()).unwrap();
        assert_eq!(me.id, World::BOB);
    }
    // Unattended: the standby session approves, the stream takes the proxy that can carry it.
    for first in [&mtproxy, &socks] {
        scene.set("TELEGRAM_PROXY", &format!("{first} {socks}")).unwrap();
        let dead = scene.new_session().unwrap();
        scene.set("SESSION_STRING", &dead.telethon_string()).unwrap();
        assert!(scene.dc.revoke(dead.key_id));
        let connections = scene.ingest.records().len();
        let mut broadcast = start(&scene);
        broadcast.wait_log(&["signed in again with the standby session"], LIMIT).unwrap();
        live(&scene, connections + 1);
        let shown = parse_proxies(first).unwrap()[0].to_string();
        broadcast.wait_log(&["signed in as Alice", &format!("through the proxy {shown}")], LIMIT).unwrap();
        scene.no_secret_in(&broadcast).unwrap();
        broadcast.stop().unwrap();
    }
}

#[test]
fn another_living_proxy_takes_over_on_air_and_is_kept_over_a_restart() {
    let network = BlockedNetwork::new().unwrap();
    let mut scene = blocked_scene(telegram());
    let login = Some((USER, PASSWORD));
    let first = ProxyServer::microsocks(&network, login, None).unwrap();
    let second = ProxyServer::microsocks(&network, login, None).unwrap();
    let (port, shown) = (first.port, [&first, &second].map(|it| format!("socks5://{}", it.address())));
    let list = [&first, &second].map(|it| format!("socks5://{USER}:{PASSWORD}@{}", it.address()));
    scene.set("TELEGRAM_PROXY", &list.join(" ")).unwrap();
    scene.hide(PASSWORD);
    network.enter(NetworkSide::Outer).unwrap();
    let mut broadcast = start(&scene);
    live(&scene, 1);
    until_proxy(&broadcast, &shown[0]);
    drop(first);
    // The stream, and the checks of the session.
    live(&scene, 2);
    until_proxy(&broadcast, &shown[1]);
    let said = format!("the proxy {}: ", shown[0]);
    broadcast.wait_log(&["WARN", &said, "; trying the next one"], LIMIT).unwrap();
    assert!(!broadcast.log().contains("Degraded mode"), "{}", broadcast.log());
    // The first one is back, and nothing goes back to it.
    let first = ProxyServer::microsocks(&network, login, Some(port)).unwrap();
    let checks = scene.dc.count("users.getUsers");
    let more = || (scene.dc.count("users.getUsers") > checks + 4).then_some(());
    broadcast.until("more checks", LIMIT, more).unwrap();
    until_proxy(&broadcast, &shown[1]);
    assert_eq!(scene.ingest.records().len(), 2);
    scene.no_secret_in(&broadcast).unwrap();
    broadcast.stop().unwrap();

    let file = scene.env_file().with_file_name("state").join("proxies");
    let kept = fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = kept.lines().map(|line| line.split(' ').collect::<Vec<_>>()).collect();
    assert_eq!(lines.len(), 2, "{kept}");
    assert!(lines[0][0] == "ingest" && lines[1][0] == "telegram", "{kept}");
    assert!(lines.iter().all(|line| line.len() == 3 && line[2] == "1"), "{kept}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut broadcast = start(&scene);
    live(&scene, 3);
    broadcast.wait_log(&["signed in as Alice", &format!("through the proxy {}", shown[1])], LIMIT).unwrap();
    broadcast.wait_log(&["connected to rtmp://", &format!("through {}", shown[1])], LIMIT).unwrap();
    scene.no_secret_in(&broadcast).unwrap();
    broadcast.stop().unwrap();
    // tgs-session begins with the same one.
    let mut command = Command::new(bin_path::build("tgs-session").unwrap());
    command.args(["--show", "--env-file"]).arg(scene.env_file()).env("RUST_LOG", "debug");
    let output = command.env("STATE_DIR", file.parent().unwrap()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(printed.contains(&format!("connected to Telegram through {}", shown[1])), "{printed}");
    // Another list begins with its first proxy.
    scene.set("TELEGRAM_PROXY", &list[0]).unwrap();
    let mut broadcast = start(&scene);
    until_proxy(&broadcast, &shown[0]);
    broadcast.stop().unwrap();
    drop((first, second));
}

#[test]
fn what_viewers_get_is_asked_at_another_dc_through_the_proxies() {
    let network = BlockedNetwork::new().unwrap();
    let mut scene = blocked_scene(telegram()).with_standby().unwrap();
    let socks = ProxyServer::microsocks(&network, Some((USER, PASSWORD)), None).unwrap();
    let mtproxy = ProxyServer::mtprotoproxy(&network, KEY, None).unwrap();
    scene.hide(PASSWORD);
    scene.hide(KEY);
    network.enter(NetworkSide::Outer).unwrap();
    // Bob's DC is not the one that viewers get the stream from.
    scene.set("CHAT_ID", &format!("-100{}", World::ELSEWHERE)).unwrap();
    scene.set("SESSION_REGEN", "off").unwrap();
    scene.set("VIEWER_CHECK", "1").unwrap();
    let socks = format!("socks5://{USER}:{PASSWORD}@{}", socks.address());
    let mtproxy = format!("mtproxy://{}?secret=dd{KEY}", mtproxy.address());
    let shown = parse_proxies(&socks).unwrap()[0].to_string();
    let dc_2 = DCS[1].replace(":443", "");
    for (count, first) in [&mtproxy, &socks].into_iter().enumerate() {
        let session = scene.dc.new_session(World::BOB, 1).telethon_string();
        scene.set("SESSION_STRING", &session).unwrap();
        scene.set("TELEGRAM_PROXY", &format!("{first} {socks}")).unwrap();
        let imports = scene.dc.count("auth.importAuthorization");
        if count == 1 {
            network.remove_address(NetworkSide::Inner, &dc_2).unwrap();
        }
        let mut broadcast = start(&scene);
        live(&scene, count + 1);
        scene.dc.set_last_frame(World::ELSEWHERE, Some(5000));
        let telegram = || broadcast.status().ok()?.telegram.filter(|telegram| telegram.session_valid);
        let check = || telegram()?.viewer_check;
        if count == 1 {
            // The proxy that leads to the account's DC is named, and stays in use for it.
            let words = format!("{shown}: it does not reach the server behind it");
            let failed = || check()?.failure.filter(|failure| failure.contains(&words));
            broadcast.until("a failed check", LIMIT, failed).unwrap();
            assert_eq!(telegram().unwrap().proxy, Some(shown.clone()));
            network.add_address(NetworkSide::Inner, &dc_2).unwrap();
        }
        let arrives = || check().filter(|check| check.arrives && check.failure.is_none());
        broadcast.until("an answer of the other DC", LIMIT, arrives).unwrap();
        assert_eq!(scene.dc.count("auth.importAuthorization"), imports + 1);
        let mut command = Command::new(bin_path::build("tgs-diag").unwrap());
        command.arg("--env-file").arg(scene.env_file());
        let output = command.env("STATE_DIR", scene.env_file().with_file_name("state")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = said.lines().find(|line| line.contains(" viewers: ")).unwrap_or_else(|| panic!("{said}"));
        assert!(found.contains("the newest second that they can get is "), "{found}");
        assert!(found.contains(" s ago)") && !said.contains(KEY) && !said.contains(PASSWORD), "{said}");
        scene.no_secret_in(&broadcast).unwrap();
        broadcast.stop().unwrap();
    }
}

#[test]
fn a_proxy_dies_on_air_and_comes_back() {
    let network = BlockedNetwork::new().unwrap();
    let mut scene = blocked_scene(telegram());
    let login = Some((USER, PASSWORD));
    let proxy = ProxyServer::microsocks(&network, login, None).unwrap();
    let (address, port) = (proxy.address(), proxy.port);
    scene.set("TELEGRAM_PROXY", &format!("socks5://{USER}:{PASSWORD}@{address}")).unwrap();
    scene.hide(PASSWORD);
    network.enter(NetworkSide::Outer).unwrap();
    let mut broadcast = start(&scene);
    live(&scene, 1);
    until_proxy(&broadcast, &format!("socks5://{address}"));
    drop(proxy);
    let names = |words: &'static str| {
        let seen = || broadcast.log().contains(&format!("{address}{words}")).then_some(());
        broadcast.until(words, LIMIT, seen).unwrap();
    };
    // The ingest, and the check of the session.
    names(": 10.114.0.1");
    names(": it accepts no connection");
    let proxy = ProxyServer::microsocks(&network, login, Some(port)).unwrap();
    live(&scene, 2);
    let valid = || broadcast.status().ok()?.telegram.filter(|telegram| telegram.session_valid).map(|_| ());
    broadcast.until("a valid session", LIMIT, valid).unwrap();
    assert!(!broadcast.log().contains("Degraded mode"), "{}", broadcast.log());
    scene.no_secret_in(&broadcast).unwrap();
    broadcast.stop().unwrap();
    drop(proxy);
}
