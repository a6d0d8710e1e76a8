//! Telegram at its own addresses, and broadcasts into it.

use std::time::Duration;

use tgs_core::{
    cancel::Cancel,
    proxy::{ProxyList, parse_proxies},
    secret::Secret,
};
use tgs_e2e::{
    broadcast::Broadcast,
    clips::noisy,
    ingest::Record,
    proxies::{DCS, INGEST},
    telegram::Scene,
};
use tgs_telegram::{App, TelegramClient, TelegramError, session::string::SessionString};
use tgs_testdc::{TestDc, World};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// A password that is found wherever it is printed.
pub(crate) const PASSWORD: &str = "s3cr3t-pr0xy";

/// The key of the MTProxy, and one that it does not know.
pub(crate) const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
pub(crate) const OTHER_KEY: &str = "f00e2d3c4b5a69788796a5b4c3d2e1f0";

/// `www.example.org`
pub(crate) const DOMAIN: &str = "7777772e6578616d706c652e6f7267";

/// Telegram at its own addresses.
pub(crate) fn telegram() -> TestDc {
    TestDc::start_at(World::example(), DCS.map(|address| address.parse().unwrap())).unwrap()
}

pub(crate) fn app(dc: &TestDc, proxies: &str) -> App {
    let proxies = ProxyList::new(parse_proxies(proxies).unwrap());
    App { api_id: dc.api_id(), api_hash: Secret::new(dc.api_hash()), device: "test", proxies }
}

pub(crate) fn session(dc: &TestDc) -> SessionString {
    SessionString::decode(&dc.new_session(World::ALICE, 2).telethon_string()).unwrap()
}

/// Connects through `proxies`; returns the one that has worked.
pub(crate) fn connect(dc: &TestDc, proxies: &str) -> Result<String, TelegramError> {
    let (client, me) = TelegramClient::connect(app(dc, proxies), &session(dc), &Cancel::new())?;
    assert_eq!(me.id, World::ALICE);
    Ok(client.proxy().unwrap())
}

/// A scene in a blocked network: the proxies alone reach Telegram and the ingest.
pub(crate) fn blocked_scene(dc: TestDc) -> Scene {
    let scene = Scene::of(dc).unwrap();
    scene.dc.set_ingest(&format!("rtmp://{INGEST}:{}/live", scene.ingest.port()));
    scene
}

/// A broadcast of the scene.
pub(crate) fn start(scene: &Scene) -> Broadcast {
    let film = noisy("film", 4000).path().unwrap();
    scene.launch().unwrap().play([film]).start().unwrap()
}

/// Waits until media flows at the ingest over the newest of `count` connections.
pub(crate) fn live(scene: &Scene, count: usize) {
    let media = |records: &[Record]| {
        records.len() >= count && records.last().is_some_and(|record| record.media().count() > 100)
    };
    scene.ingest.wait("media", LIMIT, media).unwrap();
}

/// Waits until `/status` names this proxy for Telegram, and the session is valid.
pub(crate) fn until_proxy(broadcast: &Broadcast, proxy: &str) {
    let telegram = || broadcast.status().ok()?.telegram.filter(|telegram| telegram.session_valid);
    let named = || telegram()?.proxy.filter(|shown| shown == proxy);
    broadcast.until(&format!("a session through {proxy}"), LIMIT, named).unwrap();
}
