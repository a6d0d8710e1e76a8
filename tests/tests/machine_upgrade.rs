//! An installation of an earlier commit upgrades to this one: settings, position, cache and standby
//! session stay in use.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::time::{Duration, Instant};

use serde_json::Value;
use tgs_control::{OnAir, Status};
use tgs_e2e::{
    clips::clip,
    machine::{ENV_FILE, Machine, UNIT},
    nginx::Nginx,
    tools,
};
use tgs_testdc::{TestDc, World};

const LIMIT: Duration = Duration::from_mins(1);
const STATE: &str = "/var/lib/tg_video_streamer";
const SHORT: &str = "/srv/short.mp4";
const LONG: &str = "/srv/long.mp4";

fn status(machine: &Machine) -> Status {
    machine.status(STATE).unwrap_or_default()
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

    // The earlier package; its version is lowered, because both commits may have the same.
    machine.put(&tools::earlier_package().unwrap(), "/root/earlier.deb", 0o644, "root:root").unwrap();
    machine.put(&tools::package().unwrap(), "/root/tgs.deb", 0o644, "root:root").unwrap();
    machine
        .sh("cd /root && dpkg-deb --raw-extract earlier.deb old && sed -i 's/^Version: .*/Version: 0.0.1-1/' old/DEBIAN/control &&
             dpkg-deb --build -Znone old old.deb && DEBIAN_FRONTEND=noninteractive apt-get install --yes /root/old.deb")
        .unwrap();
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

    machine.sh("DEBIAN_FRONTEND=noninteractive apt-get install --yes /root/tgs.deb").unwrap();
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
