//! The unit of the broadcast on a real systemd: what is in force, and that it comes back from whatever happens to it.
//!
//! What stands in the unit files is looked at in `units.rs`.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::time::{Duration, Instant};

use tgs_e2e::{
    clips::clip,
    ingest::Ingest,
    machine::{ENV_FILE, Machine, UNIT},
};

const LIMIT: Duration = Duration::from_secs(30);
const STATE: &str = "/var/lib/tg_video_streamer";
const MEDIA: &str = "/home/editor/media";

/// A box whose unit broadcasts one long clip from somebody's home to an ingest.
struct Station {
    machine: Machine,
    ingest: Ingest,
}

impl Station {
    /// Everything in place, nothing started.
    fn new() -> Self {
        let machine = Machine::boot().unwrap();
        machine.join_network().unwrap();
        machine.install_tree(&["tgs-stream"]).unwrap();
        let long = clip("long", (320, 180), "30", 44_100, 120_000).path().unwrap();
        machine.put_media(&long, &format!("{MEDIA}/long.mp4")).unwrap();
        let station = Self { machine, ingest: Ingest::start().unwrap() };
        station.machine.write(&format!("{MEDIA}/list.txt"), "long.mp4\n", 0o644).unwrap();
        station.set(&[]);
        station
    }

    /// Settings beside those that every station has.
    fn set(&self, more: &[(&str, &str)]) {
        let url = self.ingest.url("key");
        let list = format!("{MEDIA}/list.txt");
        let all = [
            ("PLAYLIST", list.as_str()),
            ("OUTPUT_URL", url.as_str()),
            ("VIDEO_QUALITY", "480p"),
            ("READ_AHEAD", "3s"),
        ];
        self.machine.settings(ENV_FILE, &[&all[..], more].concat()).unwrap();
    }

    fn drop_in(&self, lines: &str) {
        self.machine.drop_in(&format!("{UNIT}.service"), "test", lines).unwrap();
    }

    fn systemctl(&self, verb: &str) {
        let done = self.machine.sh(&format!("systemctl {verb} {UNIT}"));
        done.unwrap_or_else(|e| panic!("{e:#}\n{}", self.journal()));
    }

    fn property(&self, name: &str) -> String {
        let mut all = self.machine.unit(UNIT).unwrap();
        all.remove(name).unwrap_or_else(|| panic!("systemctl show has no {name}: {all:?}"))
    }

    fn journal(&self) -> String {
        self.machine.journal(UNIT).unwrap()
    }

    fn wait(&self, what: &str, limit: Duration, condition: impl FnMut() -> bool) {
        let done = self.machine.wait_for(what, limit, condition);
        done.unwrap_or_else(|e| {
            let state = self.machine.sh(&format!("systemctl status {UNIT} || true")).unwrap();
            panic!("{e:#}\n{state}\n{}\n{:?}", self.journal(), self.machine.status(STATE))
        });
    }

    /// How far into which item the viewer is, once an item is on air.
    fn on_air(&self) -> Option<(String, f64)> {
        let status = self.machine.status(STATE).ok()?;
        let on_air = &status["on_air"];
        (on_air["state"] == "item" && status["publisher"]["state"] == "connected")
            .then(|| Some((on_air["id"].as_str()?.to_owned(), on_air["offset_seconds"].as_f64()?)))?
    }

    /// Waits until an item is on air, `seconds` into it at least.
    fn wait_on_air(&self, seconds: f64) -> (String, f64) {
        let mut found = None;
        self.wait(&format!("an item {seconds} s on air"), LIMIT, || {
            found = self.on_air().filter(|(_, at)| *at >= seconds);
            found.is_some()
        });
        found.unwrap()
    }
}

#[test]
fn killed_it_is_back_after_ten_seconds_at_the_same_place() {
    let station = Station::new();
    station.systemctl("start");
    for (name, value) in [
        ("ActiveState", "active"),
        ("SubState", "running"),
        ("Type", "notify"),
        ("User", "tgstream"),
        ("Restart", "always"),
        ("RestartUSec", "10s"),
        ("StartLimitIntervalUSec", "0"),
        ("TimeoutStopUSec", "10s"),
        ("WatchdogUSec", "30s"),
        ("ProtectSystem", "full"),
        ("NoNewPrivileges", "yes"),
        ("PrivateTmp", "yes"),
        ("ProtectHome", "read-only"),
        ("LimitCORE", "0"),
    ] {
        assert_eq!(station.property(name), value, "{name}");
    }
    let (item, at) = station.wait_on_air(4.0);
    station.wait("STATUS= names the item", LIMIT, || station.property("StatusText") == "playing long");

    let killed = Instant::now();
    station.systemctl("kill --kill-who=main --signal=SIGKILL");
    station.wait("the end", LIMIT, || station.property("ActiveState") != "active");
    station.wait("the new start", LIMIT, || station.property("ActiveState") == "active");
    let away = killed.elapsed().as_secs_f64();
    assert!((9.5..13.0).contains(&away), "active again after {away} s");
    assert_eq!(station.property("NRestarts"), "1");
    let mut began = None;
    station.wait("the item is on air again", LIMIT, || {
        began = station.on_air();
        began.is_some()
    });
    let (again, went_on) = began.unwrap();
    assert_eq!(again, item);
    assert!((went_on - at).abs() < 2.0, "killed at {at} s, went on at {went_on} s");
    assert_eq!(station.ingest.records().len(), 2);
}
