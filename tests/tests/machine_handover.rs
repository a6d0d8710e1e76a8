//! Upgrades without a gap on a real systemd: the unit stays active with another main process, and
//! the watchdog watches that one.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::time::Duration;

use tgs_control::method::Upgraded;
use tgs_e2e::{
    clips::clip,
    ingest::{Ingest, Record},
    machine::{ENV_FILE, Machine, UNIT},
};

const LIMIT: Duration = Duration::from_mins(1);
const MEDIA: &str = "/home/editor/media";
const CTL: &str = "/opt/tg_video_streamer/current/bin/tgs-ctl --channel main";

fn property(machine: &Machine, name: &str) -> String {
    machine.unit(UNIT).unwrap().remove(name).unwrap_or_default()
}

fn wait(machine: &Machine, what: &str, condition: impl FnMut() -> bool) {
    let done = machine.wait_for(what, LIMIT, condition);
    done.unwrap_or_else(|e| panic!("{e:#}\n{}", machine.journal(UNIT).unwrap()));
}

fn until_media(machine: &Machine, ingest: &Ingest, count: usize) {
    let enough = |records: &[Record]| {
        records.len() >= count && records.last().is_some_and(|record| record.media().count() > 100)
    };
    let done = ingest.wait("media", LIMIT, enough);
    done.unwrap_or_else(|e| panic!("{e:#}\n{}", machine.journal(UNIT).unwrap()));
}

#[test]
fn the_unit_stays_active_with_another_main_process_which_the_watchdog_watches() {
    let machine = Machine::boot().unwrap();
    machine.join_network().unwrap();
    machine.install_tree(&["tgs-stream", "tgs-ctl"]).unwrap();
    let long = clip("long", (320, 180), "30", 44_100, 120_000).path().unwrap();
    machine.put_media(&long, &format!("{MEDIA}/long.mp4")).unwrap();
    let ingest = Ingest::start().unwrap();
    let (url, list) = (ingest.url("key"), format!("{MEDIA}/list.txt"));
    machine.write(&list, "long.mp4\n", 0o644).unwrap();
    let settings = [
        ("PLAYLIST", list.as_str()),
        ("OUTPUT_URL", url.as_str()),
        ("VIDEO_QUALITY", "360p"),
        ("LOUDNESS", "off"),
    ];
    machine.settings(ENV_FILE, &settings).unwrap();
    machine.drop_in(&format!("{UNIT}.service"), "test", "[Service]\nWatchdogSec=10\n").unwrap();
    machine.sh(&format!("systemctl daemon-reload && systemctl start {UNIT}")).unwrap();
    let mut main = property(&machine, "MainPID");
    wait(&machine, "the film", || machine.journal(UNIT).unwrap().contains("on air: long"));
    for connections in 1..=2 {
        until_media(&machine, &ingest, connections);
        let said =
            machine.sh(&format!("{CTL} upgrade --json || {CTL} upgrade --json || {CTL} upgrade --json"));
        let said = said.unwrap_or_else(|e| panic!("{e:#}\n{}", machine.journal(UNIT).unwrap()));
        let done: Upgraded = serde_json::from_str(&said).unwrap();
        println!("upgrade {connections}: {done:?}");
        wait(&machine, "the new main process", || property(&machine, "MainPID") == done.pid.to_string());
        assert_ne!(done.pid.to_string(), std::mem::replace(&mut main, done.pid.to_string()));
        assert_eq!((&*property(&machine, "ActiveState"), &*property(&machine, "NRestarts")), ("active", "0"));
        wait(&machine, "the control socket", || machine.sh(&format!("{CTL} status")).is_ok());
        assert_eq!(property(&machine, "RuntimeDirectory"), "tg_video_streamer");
    }
    until_media(&machine, &ingest, 3);
    // Its pings count, and where they are missing the unit is started again.
    let pinged = property(&machine, "WatchdogTimestampMonotonic");
    wait(&machine, "a ping", || property(&machine, "WatchdogTimestampMonotonic") != pinged);
    machine.sh(&format!("kill -STOP {main}")).unwrap();
    wait(&machine, "a restart by the watchdog", || {
        property(&machine, "NRestarts") == "1" && property(&machine, "ActiveState") == "active"
    });
    until_media(&machine, &ingest, 4);
}
