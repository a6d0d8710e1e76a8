//! The hot standby with one etcd and two hosts on one machine: one publishes, the other continues
//! where it was. Faults of the network and of etcd are the cluster test's.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{path::Path, time::Duration};

use rustix::process::Signal;
use tempfile::TempDir;
use tgs_control::{
    BroadcastStatus, ControlClient, HostRole, OnAir,
    method::{Call, NoParams},
};
use tgs_e2e::{
    broadcast::{Broadcast, Launch},
    clips::noisy,
    etcd::Etcd,
    ingest::{Ingest, Record},
    stunnel::{Authority, Validity},
};

const LIMIT: Duration = Duration::from_secs(40);

/// Two hosts of one broadcast.
struct Pair {
    etcd: Etcd,
    ingest: Ingest,
    dirs: [TempDir; 2],
}

impl Pair {
    fn new() -> Self {
        let dir = || tempfile::tempdir().unwrap();
        Self { etcd: Etcd::start().unwrap(), ingest: Ingest::start().unwrap(), dirs: [dir(), dir()] }
    }

    /// Starts one host; the first has the higher priority.
    fn start(&self, host: usize) -> Broadcast {
        let film = noisy("hot-standby", 60_000).path().unwrap();
        Launch::to(self.ingest.url("key"))
            .unwrap()
            .keeping(self.dirs[host].path())
            .play([film])
            .set("HA_ENDPOINTS", self.etcd.url())
            .set("HA_KEY", "/tgs/test")
            .set("HA_TTL", "5s")
            .set("HA_HOST", ["left", "right"][host])
            .set("HA_PRIORITY", ["2", "1"][host])
            .start()
            .unwrap()
    }

    /// Starts both, and waits until the first publishes and the second is ready.
    fn start_both(&self) -> [Broadcast; 2] {
        let left = self.start(0);
        left.wait_item("", 1, LIMIT).unwrap();
        until_more(&self.ingest, 3000);
        let right = self.start(1);
        left.until("a standby that is ready", LIMIT, || {
            let hosts = left.status().ok()?.hosts?;
            hosts.hosts.iter().find(|host| host.host == "right" && host.ready).cloned()
        })
        .unwrap();
        [left, right]
    }
}

fn control(broadcast: &Broadcast, dir: &Path) -> ControlClient {
    let socket = dir.join("state/control.sock");
    broadcast.until("the socket", LIMIT, || ControlClient::connect(&socket, "test").ok()).unwrap()
}

/// Waits until connection number `count` has brought so many ms of media.
fn until_media(ingest: &Ingest, count: usize, millis: u32) {
    let newest = |record: &Record| record.media().last().map_or(0, |media| media.received.timestamp);
    let enough = |records: &[Record]| records.len() >= count && newest(&records[count - 1]) >= millis;
    ingest.wait("media", LIMIT, enough).unwrap();
}

/// Waits until the newest connection has brought so many ms of media more.
fn until_more(ingest: &Ingest, millis: u32) {
    let records = ingest.records();
    let newest =
        records.last().and_then(|record| record.media().last()).map_or(0, |it| it.received.timestamp);
    until_media(ingest, records.len(), newest + millis);
}

/// The place in the item on air, in seconds.
fn offset(broadcast: &Broadcast) -> f64 {
    match broadcast.status().unwrap().engine.on_air {
        OnAir::Item(item) => item.offset_seconds,
        other => panic!("{other:?}"),
    }
}

/// Where the log says that a broadcast continues, in whole seconds.
fn resumed_at(broadcast: &Broadcast) -> f64 {
    let line = broadcast.wait_log(&["resuming", " at "], LIMIT).unwrap().text;
    let (_, at) = line.rsplit_once(" at ").unwrap();
    at.trim_end_matches(" s").parse().unwrap()
}

#[test]
fn the_standby_continues_where_a_killed_host_was() {
    let pair = Pair::new();
    let [left, right] = pair.start_both();
    let (code, page) = right.get("/healthz").unwrap();
    assert_eq!((code, page.trim()), (200, "standby"));
    let hosts = right.status().unwrap().hosts.unwrap();
    assert_eq!((hosts.role, hosts.active.as_deref()), (HostRole::Standby, Some("left")));
    assert!(left.metric("tgs_ha_active").unwrap() > 0.0);

    // A command to a standby is refused, and names the host on air.
    let mut client = control(&right, pair.dirs[1].path());
    let error = client.call(&Call::Next(NoParams {})).unwrap_err().to_string();
    assert!(error.contains("this host is the standby of left"), "{error}");
    let status: BroadcastStatus = client.get(&Call::Status(NoParams {})).unwrap();
    assert!(status.status.is_standby());
    let mut client = control(&left, pair.dirs[0].path());
    client.call(&Call::TitleSet(tgs_control::method::TitleParams { text: "Night".into() })).unwrap();
    // The record has it.
    until_more(&pair.ingest, 6000);

    let was = offset(&left);
    left.signal(Signal::KILL).unwrap();
    until_media(&pair.ingest, 2, 1000);
    let records = pair.ingest.records();
    println!("{:.2} s without media", records[0].silence_before(&records[1]).unwrap().as_secs_f64());
    let resumed = resumed_at(&right);
    // From the beginning, it would be more than 8 s off.
    assert!((was - resumed).abs() <= 5.0, "was at {was}, continues at {resumed}");
    right.wait_metric("tgs_ha_takeovers_total", 1.0, LIMIT).unwrap();
    assert_eq!(right.status().unwrap().engine.title.as_deref(), Some("Night"));

    // The host that was killed comes back as the standby, although its priority is higher.
    let left = pair.start(0);
    left.until("the standby of right", LIMIT, || {
        left.status().ok()?.hosts.filter(|hosts| hosts.active.as_deref() == Some("right"))
    })
    .unwrap();
    assert_eq!(pair.ingest.records().len(), 2);
}

#[test]
fn a_stopped_host_is_fenced_and_a_host_without_etcd_stops() {
    let pair = Pair::new();
    let [left, right] = pair.start_both();
    left.signal(Signal::STOP).unwrap();
    until_media(&pair.ingest, 2, 1000);
    let taken = pair.ingest.records()[1].began;
    left.signal(Signal::CONT).unwrap();
    left.until("the standby of right", LIMIT, || {
        left.status().ok()?.hosts.filter(|hosts| hosts.active.as_deref() == Some("right"))
    })
    .unwrap();
    let late = pair.ingest.records()[0].media().filter(|media| media.arrived > taken).count();
    assert!(late <= 2, "{late} messages after the take-over");

    // Without etcd the host on air stops before its lease can have run out; then it is there again.
    pair.etcd.signal(Signal::STOP).unwrap();
    pair.ingest.wait_ended(LIMIT).unwrap();
    let count = pair.ingest.records().len();
    right.wait_log(&["etcd does not answer"], LIMIT).unwrap();
    pair.etcd.signal(Signal::CONT).unwrap();
    until_media(&pair.ingest, count + 1, 1000);
}

#[test]
fn a_host_that_ends_hands_over() {
    let pair = Pair::new();
    let [mut left, right] = pair.start_both();
    let was = offset(&left);
    left.signal(Signal::TERM).unwrap();
    // systemd kills after ten, and the host gives up waiting after 8.5.
    assert!(left.wait(Duration::from_secs(20)).unwrap().success(), "{}", left.log());
    until_media(&pair.ingest, 2, 1000);
    let records = pair.ingest.records();
    let silence = records[0].silence_before(&records[1]).unwrap();
    println!("{:.2} s without media at a stop", silence.as_secs_f64());
    let resumed = resumed_at(&right);
    // It leaves at a keyframe some seconds after the signal.
    assert!((was..was + 9.0).contains(&resumed), "was at {was}, continues at {resumed}");
    // Not by its lease: a busy successor is late all the same.
    assert!(left.log().contains("the host right publishes now"), "{}", left.log());
}

#[test]
fn a_hand_over_to_a_host_that_dies_does_not_stop_the_broadcast() {
    let pair = Pair::new();
    let [left, right] = pair.start_both();
    // What right continues from is not what it is to go on from later.
    left.signal(Signal::KILL).unwrap();
    until_media(&pair.ingest, 2, 6000);
    drop(left);
    let left = pair.start(0);
    right.wait_metric("tgs_ha_standbys", 1.0, LIMIT).unwrap();
    left.signal(Signal::KILL).unwrap();
    control(&right, pair.dirs[1].path()).call(&Call::Handover(NoParams {})).unwrap();
    right.wait_log(&["the air is not handed over: no standby is ready"], LIMIT).unwrap();
    until_more(&pair.ingest, 2000);
    assert_eq!(pair.ingest.records().len(), 2, "{}", right.log());
}

#[test]
fn a_planned_hand_over_leaves_no_picture_out() {
    let pair = Pair::new();
    let [left, right] = pair.start_both();
    let hosts = [&left, &right];
    // A busy standby may not be ready in time; then the host hands over at once.
    let (mut at_its_point, mut turn) = ([false; 2], 0);
    while at_its_point != [true; 2] {
        assert!(turn < 8, "no standby gets ready in time: {}", left.log());
        let from = turn % 2;
        let late = || hosts[from].log().matches("got ready in time").count();
        let before = late();
        let mut client = control(hosts[from], pair.dirs[from].path());
        client.call(&Call::Handover(NoParams {})).unwrap();
        until_media(&pair.ingest, turn + 2, 3000);
        let records = pair.ingest.records();
        let silence = records[turn].silence_before(&records[turn + 1]).unwrap();
        println!("{:.2} s without media at a planned hand-over", silence.as_secs_f64());
        let other = ["left", "right"][1 - from];
        hosts[from]
            .until("a standby that is ready", LIMIT, || {
                let hosts = hosts[from].status().ok()?.hosts?;
                let own = hosts.hosts.iter().find(|host| host.host == hosts.host)?;
                (own.ready && hosts.active.as_deref() == Some(other)).then_some(())
            })
            .unwrap();
        at_its_point[from] |= late() == before;
        turn += 1;
    }
    assert_eq!(pair.ingest.records().len(), turn + 1);
}

#[test]
fn etcd_asks_for_a_certificate_and_a_password() {
    const PASSWORD: &str = "of-etcd-alone";
    let authority = Authority::new().unwrap();
    let server = authority.certificate("etcd", "IP:127.0.0.1", Validity::Now).unwrap();
    let client = authority.certificate("client", "DNS:client", Validity::Now).unwrap();
    let etcd = Etcd::start_with_tls(&authority, &server).unwrap();
    let option = |name: &str, file: &Path| format!("--{name}={}", file.display());
    let tls =
        [option("cacert", &authority.file()), option("cert", client.chain()), option("key", client.key())];
    for args in [
        "user add root:of-root",
        "user grant-role root root",
        "role add tgs",
        "role grant-permission tgs --prefix=true readwrite /tgs/",
        "user add tgs:of-etcd-alone",
        "user grant-role tgs tgs",
        "auth enable",
    ] {
        let args: Vec<_> = tls.iter().map(String::as_str).chain(args.split(' ')).collect();
        etcd.ctl(&args).unwrap();
    }
    let (ingest, dir) = (Ingest::start().unwrap(), tempfile::tempdir().unwrap());
    let launch = |password: &str| {
        Launch::to(ingest.url("key"))
            .unwrap()
            .keeping(dir.path())
            .play([noisy("hot-standby", 60_000).path().unwrap()])
            .set("HA_ENDPOINTS", etcd.url())
            .set("HA_KEY", "/tgs/test")
            .set("HA_HOST", "left")
            .set("HA_CA", authority.file())
            .set("HA_CERT", client.chain())
            .set("HA_CERT_KEY", client.key())
            .set("HA_USER", "tgs")
            .set("HA_PASSWORD", password)
            .start()
            .unwrap()
    };
    let refused = launch("another");
    let trouble = refused.until("the trouble", LIMIT, || {
        refused.status().ok()?.hosts?.etcd.filter(|trouble| trouble.contains("authentication failed"))
    });
    println!("{}", trouble.unwrap_or_else(|error| panic!("{error}: {:?}", refused.status().unwrap().hosts)));
    drop(refused);
    let broadcast = launch(PASSWORD);
    until_media(&ingest, 1, 1000);
    let shown =
        broadcast.get("/status").unwrap().1 + &broadcast.get("/metrics").unwrap().1 + &broadcast.log();
    assert!(!shown.contains(PASSWORD), "{shown}");
}
