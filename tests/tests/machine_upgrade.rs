//! An installation of an earlier commit upgrades to this one: settings, position, cache and standby
//! session stay in use. Two of them, which knew no hot standby, become a pair.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tgs_control::{OnAir, Status};
use tgs_e2e::{
    clips::clip,
    etcd::Etcd,
    ingest::{Ingest, Setup},
    machine::{CI_ADDRESSES, ENV_FILE, Machine, UNIT},
    nginx::Nginx,
    tools,
};
use tgs_testdc::{TestDc, World};

const LIMIT: Duration = Duration::from_mins(1);
const STATE: &str = "/var/lib/tg_video_streamer";
const SHORT: &str = "/srv/short.mp4";
const LONG: &str = "/srv/long.mp4";

fn status(machine: &Machine) -> Status {
    // In a thread of its own, which joins the box's network.
    let ask = || {
        machine.join_network().unwrap();
        machine.status(STATE).unwrap_or_default()
    };
    thread::scope(|scope| scope.spawn(ask).join().unwrap())
}

/// Installs the earlier package; its version is lowered, because both commits may have the same.
fn install_earlier(machine: &Machine) {
    machine.put(&tools::earlier_package().unwrap(), "/root/earlier.deb", 0o644, "root:root").unwrap();
    machine.put(&tools::package().unwrap(), "/root/tgs.deb", 0o644, "root:root").unwrap();
    machine
        .sh("cd /root && dpkg-deb --raw-extract earlier.deb old && sed -i 's/^Version: .*/Version: 0.0.1-1/' old/DEBIAN/control &&
             dpkg-deb --build -Znone old old.deb && DEBIAN_FRONTEND=noninteractive apt-get install --yes /root/old.deb")
        .unwrap();
}

/// Upgrades to the package of this build.
fn upgrade(machine: &Machine) {
    machine.sh("DEBIAN_FRONTEND=noninteractive apt-get install --yes /root/tgs.deb").unwrap();
}

/// Waits until `path` is on air, `seconds` into it at least; how far it is.
fn wait_on_air(machine: &Machine, path: &str, seconds: f64) -> f64 {
    let mut at = 0.0;
    let done = machine.wait_for(&format!("{path} on air"), LIMIT, || {
        let OnAir::Item(item) = status(machine).engine.on_air else { return false };
        at = item.offset_seconds;
        item.id == path && at >= seconds
    });
    done.unwrap_or_else(|error| {
        panic!("{error:#}\n{}\n{:?}", machine.journal(UNIT).unwrap(), status(machine))
    });
    at
}

#[test]
fn an_earlier_installation_goes_on_at_its_position() {
    let machine = Machine::boot().unwrap();
    machine.join_network().unwrap();
    let (dc, ingest) = (TestDc::start(World::example()).unwrap(), Nginx::start().unwrap());
    dc.set_ingest(ingest.url("").trim_end_matches('/'));
    for (name, path, length) in [("upgrade-short", SHORT, 3000), ("upgrade-long", LONG, 120_000)] {
        let media = clip(name, (320, 180), "30", 44_100, length).path().unwrap();
        machine.put_media(&media, path).unwrap();
    }
    machine.write("/srv/list.txt", &format!("{SHORT}\n{LONG}\n"), 0o644).unwrap();

    install_earlier(&machine);
    let chat = format!("-100{}", World::CHANNEL);
    machine
        .settings(
            ENV_FILE,
            &[
                ("API_ID", &dc.api_id().to_string()),
                ("API_HASH", &dc.api_hash()),
                ("SESSION_STRING", &dc.new_session(World::ALICE, 2).telethon_string()),
                ("STANDBY_SESSION_STRING", &dc.new_session(World::ALICE, 2).telethon_string()),
                ("CHAT_ID", &chat),
                ("PLAYLIST", "/srv/list.txt"),
                ("COPY_MATCHING", "no"),
                ("READ_AHEAD", "3s"),
            ],
        )
        .unwrap();
    machine.sh("systemctl start tg_video_streamer").unwrap();
    let settings = machine.sh(&format!("sha256sum {ENV_FILE}; stat -c '%U %a' {ENV_FILE}")).unwrap();
    let before = wait_on_air(&machine, LONG, 8.0);
    let seen = Instant::now();
    let cached = |machine: &Machine| -> Value {
        let json = machine.sh("tgs-stream --cache-status --json").unwrap();
        serde_json::from_str::<Value>(&json).unwrap()["items"].clone()
    };
    let title =
        |items: &Value| items.as_array().is_some_and(|all| all.iter().any(|it| it["title"] == "short"));
    assert!(title(&cached(&machine)), "the earlier release has cached nothing");
    let process = machine.unit(UNIT).unwrap()["MainPID"].clone();

    upgrade(&machine);
    let after = wait_on_air(&machine, LONG, 0.1);
    assert_ne!(machine.unit(UNIT).unwrap()["MainPID"], process, "the earlier program still runs");
    // The earlier process plays on until the new one replaces it; then at most 2 s come again.
    let latest = before + seen.elapsed().as_secs_f64();
    assert!(
        (before - 2.0..latest).contains(&after),
        "seen at {before} s, went on at {after} s of {latest} s"
    );
    assert_eq!(machine.sh(&format!("sha256sum {ENV_FILE}; stat -c '%U %a' {ENV_FILE}")).unwrap(), settings);
    assert!(title(&cached(&machine)), "the earlier release's cache is gone");
    machine
        .wait_for("the standby session is checked", LIMIT, || {
            status(&machine).telegram.is_some_and(|telegram| telegram.standby_valid == Some(true))
        })
        .unwrap();
    // One call, joined by both: an upgrade creates no second one.
    assert_eq!(dc.count("phone.createGroupCall"), 1);
    assert_eq!(machine.sh("systemctl --failed --no-legend").unwrap(), "");
}

#[test]
fn two_earlier_installations_become_a_pair() {
    const NAMES: [&str; 2] = ["left", "right"];
    let hosts = [Machine::boot().unwrap(), Machine::boot().unwrap()];
    hosts[0].reach(&hosts[1]).unwrap();
    hosts[0].join_ci_network().unwrap();
    let etcd = Etcd::start_at(Ipv4Addr::UNSPECIFIED).unwrap();
    let ingest = Ingest::start_at(Ipv4Addr::UNSPECIFIED, Setup::default()).unwrap();
    let long = clip("upgrade-long", (320, 180), "30", 44_100, 120_000).path().unwrap();
    let settings = |turn: usize, pair: bool| {
        let url = format!("rtmp://{}:{}/live/key", CI_ADDRESSES[turn], ingest.port());
        let endpoint = format!("http://{}:{}", CI_ADDRESSES[turn], etcd.port());
        let mut settings = vec![("PLAYLIST", "/srv/list.txt"), ("OUTPUT_URL", &url)];
        if pair {
            settings.extend([
                ("HA_ENDPOINTS", &*endpoint),
                ("HA_KEY", "/tgs/pair"),
                ("HA_HOST", NAMES[turn]),
                // No lease is to run out.
                ("HA_TTL", "30s"),
            ]);
        }
        hosts[turn].settings(ENV_FILE, &settings).unwrap();
    };
    let says = |turn: usize, words: &str| {
        let status = || hosts[turn].sh("tgs-ctl status").unwrap_or_default();
        let found = hosts[turn].wait_for(words, LIMIT, || status().contains(words));
        found.unwrap_or_else(|error| {
            panic!("{}: {error}\n{}\n{}", NAMES[turn], status(), hosts[turn].journal(UNIT).unwrap())
        });
    };
    for (turn, host) in hosts.iter().enumerate() {
        host.put_media(&long, LONG).unwrap();
        host.write("/srv/list.txt", &format!("{LONG}\n"), 0o644).unwrap();
        install_earlier(host);
        settings(turn, false);
    }
    hosts[0].sh("systemctl start tg_video_streamer").unwrap();
    let before = wait_on_air(&hosts[0], LONG, 5.0);
    let seen = Instant::now();

    // The host on air first: without a standby to hand over to, it begins where it was.
    settings(0, true);
    upgrade(&hosts[0]);
    says(0, "(this one): active");
    // An upgrade starts the spare host's unit.
    settings(1, true);
    upgrade(&hosts[1]);
    says(1, "(this one): standby, ready");
    says(0, "right: standby, ready");
    // At once, also where nothing of the list is on air again yet.
    hosts[0].sh("tgs-ctl handover").unwrap();
    says(1, "(this one): active");
    says(0, "(this one): standby");
    let after = wait_on_air(&hosts[1], LONG, 0.1);
    let latest = before + seen.elapsed().as_secs_f64();
    assert!(
        (before - 2.0..latest).contains(&after),
        "seen at {before} s, went on at {after} s of {latest} s"
    );

    let records = ingest.records();
    assert_eq!(records.len(), 3, "the earlier release, this one, and the other host");
    for pair in records.windows(2) {
        println!("{:.2} s without media", pair[0].silence_before(&pair[1]).unwrap().as_secs_f64());
    }
}
