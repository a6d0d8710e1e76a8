//! Every alert and every panel, by what the unit emits on a real systemd while the fault is really
//! there: a real Prometheus scrapes it and evaluates the rules as they are shipped, with minutes
//! made seconds.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::process::Signal;
use tempfile::TempDir;
use tgs_e2e::{
    bin_path::workspace,
    broadcast::until,
    clips::noisy,
    etcd::Etcd,
    ingest::Ingest,
    machine::{ENV_FILE, Machine, UNIT},
    prometheus::{Alert, Prometheus, panels},
    throttle::Throttle,
};
use tgs_testdc::{SessionInfo, TestDc, World};

const LIMIT: Duration = Duration::from_secs(40);
const LIST: &str = "/srv/list.txt";
const FAST: usize = 20_000_000;

/// The alerts of each test; together all that are shipped.
const OF_THE_UNIT: [&str; 12] = [
    "TgsYtDlpStale",
    "TgsViewersSeeNothing",
    "TgsOutputDown",
    "TgsRecordingStopped",
    "TgsNoStandby",
    "TgsHaWithoutEtcd",
    "TgsReconnecting",
    "TgsMediaSlow",
    "TgsNoMedia",
    "TgsRestarting",
    "TgsDown",
    "TgsNotScraped",
];
const OF_ITEMS_AND_SESSIONS: [&str; 8] = [
    "TgsItemsFail",
    "TgsFiller",
    "TgsOnlyFiller",
    "TgsStandbyInvalid",
    "TgsSessionInvalid",
    "TgsDegraded",
    "TgsWaiting",
    "TgsEncoderSlow",
];

/// The shipped rules with each minute made a second.
fn compressed(dir: &Path) -> PathBuf {
    let rules = fs::read_to_string(workspace().join("deploy/prometheus/alerts.yml")).unwrap();
    let mut short = String::new();
    for line in rules.lines() {
        let code = line.trim_start();
        if code.starts_with("for: ") || code.starts_with("expr: ") || code.contains("_seconds ") {
            let mut line = line.to_owned();
            for minutes in [1, 2, 5, 10, 15] {
                line = line.replace(&format!("[{minutes}m]"), &format!("[{minutes}s]"));
                line = line.replace(&format!("for: {minutes}m"), &format!("for: {minutes}s"));
            }
            line = line.replace("[1h]", "[60s]").replace("for: 1h", "for: 5s");
            short += &line.replace("_seconds > 60", "_seconds > 1");
        } else {
            short += line;
        }
        short += "\n";
    }
    for minutes in ["m]", "h]", "> 60"] {
        assert!(!short.contains(minutes), "a duration is left as it was: {minutes} in {short}");
    }
    let file = dir.join("alerts.yml");
    fs::write(&file, short).unwrap();
    file
}

/// What a broadcast that is well may show in a panel; all others have any number.
fn bounds(panel: &str) -> (f64, f64) {
    match panel {
        "On air" | "Session" | "Standby session" | "Version" | "State" => (1.0, 1.0),
        "Degraded" | "Reconnects" => (0.0, 0.0),
        "Running since" | "Since the last media" => (0.0, 600.0),
        "Media a second" => (0.0, 3.0),
        "Read-ahead" => (0.0, 40.0),
        "Memory" => (1e6, 5e8),
        "Since the last good update" => (15.9 * 86_400.0, 16.1 * 86_400.0),
        _ => (0.0, f64::MAX),
    }
}

/// The film as it can be played while it is loaded.
fn with_its_index_first(dir: &Path) -> PathBuf {
    let file = dir.join("slow.mp4");
    let mut remux = Command::new("ffmpeg");
    remux.args(["-v", "error", "-i"]).arg(film()).args(["-c", "copy", "-movflags", "+faststart"]).arg(&file);
    assert!(remux.status().unwrap().success());
    file
}

/// A server that sends the file slower than it plays.
fn trickle(file: &Path, seconds: f64) -> String {
    let bytes = fs::read(file).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/slow.mp4", listener.local_addr().unwrap());
    let chunk = (bytes.len() as f64 / seconds / 20.0) as usize + 1;
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let bytes = bytes.clone();
            thread::spawn(move || {
                let head = BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok);
                head.take_while(|line| !line.is_empty()).for_each(drop);
                let _ = write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
                // The head of the file at once: what is slow is playing it.
                let (index, rest) = bytes.split_at(bytes.len() / 20);
                let mut sent = client.write_all(index);
                for part in rest.chunks(chunk) {
                    thread::sleep(Duration::from_millis(50));
                    sent = sent.and_then(|()| client.write_all(part));
                }
                let _ = sent;
            });
        }
    });
    url
}

fn firing(prometheus: &Prometheus) -> Vec<String> {
    let alerts = prometheus.alerts().unwrap().into_iter();
    alerts.filter(|alert| alert.state == "firing").map(|alert| alert.name).collect()
}

/// The unit, what it needs, and who watches it.
struct Scene {
    machine: Machine,
    dc: TestDc,
    ingest: Ingest,
    line: Throttle,
    prometheus: Prometheus,
    rules: PathBuf,
    etcd: Etcd,
    dir: TempDir,
    fired: BTreeSet<String>,
}

impl Scene {
    /// All but the broadcast, which has neither settings nor a list yet.
    fn start() -> Self {
        // First the network, then what listens in it.
        let machine = host();
        let (dc, ingest) = (TestDc::start(World::example()).unwrap(), Ingest::start().unwrap());
        let line = Throttle::start(ingest.port(), FAST).unwrap();
        dc.set_ingest(&format!("rtmp://127.0.0.1:{}/live", line.port()));
        let dir = tempfile::tempdir().unwrap();
        let rules = compressed(dir.path());
        let prometheus = Prometheus::watching(Some("127.0.0.1:9090"), &rules, "250ms").unwrap();
        let etcd = Etcd::start().unwrap();
        Self { machine, dc, ingest, line, prometheus, rules, etcd, dir, fired: BTreeSet::new() }
    }

    fn session(&self) -> SessionInfo {
        self.dc.new_session(World::ALICE, 2)
    }

    /// Writes settings for these sessions, and has the unit go on with them.
    fn settings(&self, session: &SessionInfo, standby: &SessionInfo) {
        self.settings_with(session, standby, &[]);
    }

    /// The same for the only host of a hot standby.
    fn settings_of_a_host(&self, session: &SessionInfo, standby: &SessionInfo) {
        let etcd = self.etcd.url();
        let more = [
            ("HA_ENDPOINTS", etcd.as_str()),
            ("HA_KEY", "/tgs/alerts"),
            ("HA_TTL", "3s"),
            ("HA_WITHOUT_ETCD", "stay"),
        ];
        self.settings_with(session, standby, &more);
    }

    fn settings_with(&self, session: &SessionInfo, standby: &SessionInfo, more: &[(&str, &str)]) {
        let settings = [
            ("API_ID", self.dc.api_id().to_string()),
            ("API_HASH", self.dc.api_hash()),
            ("SESSION_STRING", session.telethon_string()),
            ("STANDBY_SESSION_STRING", standby.telethon_string()),
            ("CHAT_ID", format!("-100{}", World::CHANNEL)),
            ("PLAYLIST", LIST.to_owned()),
            ("VIDEO_QUALITY", "480p".to_owned()),
            ("READ_AHEAD", "3s".to_owned()),
            ("CACHE_MAX_GB", "0".to_owned()),
            ("SESSION_REGEN", "off".to_owned()),
            ("VIEWER_CHECK", "1".to_owned()),
            // Nothing listens there.
            ("ALSO_OUTPUT_URLS", "dead=rtmp://127.0.0.1:9/live/key".to_owned()),
            // No disk is mounted there.
            ("RECORD_DIR", "/mnt/missing/records".to_owned()),
        ];
        let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
        let settings: Vec<_> = settings.chain(more.iter().copied()).collect();
        self.machine.settings(ENV_FILE, &settings).unwrap();
    }

    fn restart(&self) {
        self.machine.sh(&format!("systemctl restart {UNIT}")).unwrap();
    }

    fn list(&self, lines: &str) {
        self.machine.write(LIST, lines, 0o644).unwrap();
    }

    fn says(&self, words: &str) {
        let status = || self.machine.unit(UNIT).is_ok_and(|unit| unit["StatusText"].contains(words));
        let waited = self.machine.wait_for(words, LIMIT, status);
        waited.unwrap_or_else(|error| panic!("{error}\n{}", self.machine.journal(UNIT).unwrap()));
    }

    /// Every panel shows what it must of a broadcast that is well.
    fn panels(&self) {
        for (title, queries) in panels().unwrap() {
            for query in queries {
                let query =
                    query.replace("$__rate_interval", "5s").replace("$job", "tgs").replace("$instance", ".*");
                let (low, high) = bounds(&title);
                let fits = |values: &[f64]| {
                    !values.is_empty() && values.iter().all(|value| (low..=high).contains(value))
                };
                let shown = until(&title, LIMIT, || fits(&self.prometheus.values(&query)).then_some(()));
                shown
                    .unwrap_or_else(|error| panic!("{error}: {:?}: {query}", self.prometheus.values(&query)));
            }
        }
    }

    /// Waits until none of the alerts fires.
    fn quiet(&self, names: &[&str]) {
        let none = || !firing(&self.prometheus).iter().any(|name| names.contains(&&**name));
        let waited = self.machine.wait_for(&format!("{names:?} to be silent"), LIMIT, none);
        waited.unwrap_or_else(|error| panic!("{error}\n{}", self.machine.journal(UNIT).unwrap()));
    }

    /// Waits until all of the alerts fire.
    fn fire(&mut self, names: &[&str]) {
        let began = std::time::Instant::now();
        let all = || {
            let firing = firing(&self.prometheus);
            names.iter().all(|name| firing.iter().any(|one| one == name))
        };
        let waited = self.machine.wait_for(&format!("{names:?} to fire"), LIMIT * 2, all);
        waited.unwrap_or_else(|error| {
            let firing = firing(&self.prometheus);
            panic!("{error}; {firing:?} fire\n{}", self.machine.journal(UNIT).unwrap())
        });
        println!("{names:?} after {:?}", began.elapsed());
        self.fired.extend(names.iter().map(|name| (*name).to_owned()));
    }

    /// A broadcast that is well: every panel shows it, and no alert fires.
    fn plays_well(&self) {
        self.says("playing film");
        until("the standby session to be tried", LIMIT, || {
            self.prometheus.values("tgs_standby_valid").contains(&1.0).then_some(())
        })
        .unwrap();
        self.panels();
        let off_air =
            ["TgsDown", "TgsDegraded", "TgsWaiting", "TgsNoMedia", "TgsSessionInvalid", "TgsStandbyInvalid"];
        self.quiet(&off_air);
        self.quiet(&["TgsFiller", "TgsOnlyFiller", "TgsItemsFail", "TgsRestarting", "TgsReconnecting"]);
    }

    /// The line is cut again and again, is slower than the picture, and is gone.
    fn line_fails(&mut self) {
        // A missed scrape has no value.
        let count = || self.prometheus.values("tgs_publisher_reconnects_total").first().copied();
        for _ in 0..20 {
            if firing(&self.prometheus).iter().any(|name| name == "TgsReconnecting") {
                break;
            }
            let before = until("a scrape", LIMIT, count).unwrap();
            self.ingest.reset();
            let more = || count().is_some_and(|now| now > before);
            self.machine.wait_for("a new connection", LIMIT, more).unwrap();
        }
        self.fire(&["TgsReconnecting"]);
        self.says("playing film");
        self.line.set(60_000);
        // The connection there is has more room in it than a slow line gives.
        self.ingest.reset();
        self.fire(&["TgsMediaSlow"]);
        self.quiet(&["TgsNoMedia"]);
        self.ingest.refuse();
        self.ingest.reset();
        self.fire(&["TgsNoMedia"]);
    }

    /// The broadcast dies and is started again.
    fn dies_until_it_is_said(&self) {
        let restarts = || self.machine.unit(UNIT).unwrap()["NRestarts"].clone();
        let seen = || self.prometheus.values("tgs_start_time_seconds").first().copied();
        for _ in 0..12 {
            if firing(&self.prometheus).iter().any(|name| name == "TgsRestarting") {
                break;
            }
            let (before, shown) = (restarts(), until("a scrape", LIMIT, seen).unwrap());
            self.machine.sh(&format!("systemctl kill --signal=KILL --kill-who=main {UNIT}")).unwrap();
            self.machine.wait_for("another start", LIMIT, || restarts() != before).unwrap();
            let scraped = || seen().is_some_and(|now| (now - shown).abs() > 0.0);
            self.machine.wait_for("its scrape", LIMIT, scraped).unwrap();
        }
    }

    /// All of these have fired, and each leads to its place on this very machine. None is left out
    /// by both tests.
    fn have_fired(&self, names: &[&str]) {
        assert_eq!(self.fired, names.iter().map(|name| (*name).to_owned()).collect());
        let tried = [&OF_THE_UNIT[..], &OF_ITEMS_AND_SESSIONS].concat();
        for Alert { name, annotations, .. } in self.prometheus.alerts().unwrap() {
            assert!(tried.contains(&&*name), "no test has {name} fire");
            let runbook = annotations["runbook_url"].as_str().unwrap().strip_prefix("file://").unwrap();
            let guide = self.machine.read(runbook.split('#').next().unwrap()).unwrap();
            assert!(guide.contains(&format!("\n### {name}\n")), "{runbook}");
        }
    }
}

fn film() -> PathBuf {
    noisy("film", 20_000).path().unwrap()
}

/// A host with the units, a film, and a yt-dlp that was updated last 16 days ago. The calling
/// thread is in its network.
fn host() -> Machine {
    let machine = Machine::boot().unwrap();
    machine.join_network().unwrap();
    machine.install_tree(&["tgs-stream"]).unwrap();
    machine.put_media(&film(), "/srv/film.mp4").unwrap();
    // Updated last 16 days ago.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    machine
        .sh(&format!(
            "cd /opt/tg_video_streamer/shared/ytdlp; mkdir -p versions/2026.10.26/bin; \
             echo 2026.10.26 >versions/2026.10.26/tgs-version; echo {} >last-success; \
             printf '#!/bin/sh\\nexit 1\\n' >versions/2026.10.26/bin/yt-dlp; chmod 755 versions/2026.10.26/bin/yt-dlp; \
             ln -s versions/2026.10.26 current; chown -hR tgstream: .",
            now - 16 * 86_400
        ))
        .unwrap();
    // Telegram's minutes become seconds too, and RestartSec= is short.
    let exec = "/opt/tg_video_streamer/current/bin/tgs-stream --env-file /opt/tg_video_streamer/current/.env --time-scale 60";
    let lines = format!("[Service]\nRestartSec=100ms\nExecStart=\nExecStart={exec}\n");
    machine.drop_in("tg_video_streamer.service", "time-scale", &lines).unwrap();
    machine
}

#[test]
fn the_alerts_of_the_unit_fire_and_every_panel_shows_what_is_well() {
    let mut scene = Scene::start();
    let (session, standby) = (scene.session(), scene.session());
    scene.list("film.mp4\n");
    scene.settings_of_a_host(&session, &standby);
    scene.machine.sh(&format!("systemctl start {UNIT}")).unwrap();

    scene.plays_well();
    // The test DC has no second of it for viewers.
    scene.fire(&["TgsYtDlpStale", "TgsViewersSeeNothing", "TgsOutputDown", "TgsRecordingStopped"]);
    scene.fire(&["TgsNoStandby"]);
    scene.etcd.signal(Signal::STOP).unwrap();
    scene.fire(&["TgsHaWithoutEtcd"]);
    scene.etcd.signal(Signal::CONT).unwrap();
    scene.quiet(&["TgsHaWithoutEtcd"]);

    // The lease of a host leaves a slow line on loopback, whose receive window stays shut for
    // seconds, no time.
    scene.settings(&session, &standby);
    scene.restart();
    scene.says("playing film");
    scene.line_fails();
    scene.dies_until_it_is_said();
    scene.fire(&["TgsRestarting"]);
    scene.machine.sh(&format!("systemctl stop {UNIT}")).unwrap();
    scene.fire(&["TgsDown"]);
    let alone = Prometheus::watching(None, &scene.rules, "250ms").unwrap();
    let not_scraped = || firing(&alone).contains(&"TgsNotScraped".to_owned()).then_some(());
    until("TgsNotScraped", LIMIT, not_scraped).unwrap();
    scene.fired.insert("TgsNotScraped".to_owned());
    scene.have_fired(&OF_THE_UNIT);
}

#[test]
fn the_alerts_of_items_and_sessions_fire_while_their_fault_is_there() {
    let mut scene = Scene::start();
    let (first, standby, second, dead) = (scene.session(), scene.session(), scene.session(), scene.session());
    scene.dc.revoke(dead.key_id);
    // Nothing that plays, and a standby session that is dead.
    let missing: Vec<_> = (0..12).map(|n| format!("missing-{n}.mp4\n")).collect();
    scene.list(&missing.concat());
    scene.settings(&first, &dead);
    scene.machine.sh(&format!("systemctl start {UNIT}")).unwrap();
    scene.fire(&["TgsItemsFail", "TgsFiller", "TgsOnlyFiller", "TgsStandbyInvalid"]);

    // The session dies on air, and with the next start there is nothing to go on air with.
    assert!(scene.dc.revoke(first.key_id));
    scene.fire(&["TgsSessionInvalid"]);
    scene.restart();
    scene.fire(&["TgsDegraded"]);

    // People talk where the broadcast is to go.
    scene.dc.end_call(World::CHANNEL);
    scene.dc.start_webrtc(World::CHANNEL);
    scene.list(&format!("{}\n", trickle(&with_its_index_first(scene.dir.path()), 40.0)));
    scene.settings(&second, &standby);
    scene.fire(&["TgsWaiting"]);
    scene.dc.end_call(World::CHANNEL);

    // A source that gives half of what it plays.
    scene.fire(&["TgsEncoderSlow"]);
    let edits = || scene.machine.journal(UNIT).unwrap().matches("was edited").count();
    let before = edits();
    scene.list("film.mp4\n");
    scene.machine.wait_for("the edit to be seen", LIMIT, || edits() > before).unwrap();
    scene.machine.sh(&format!("systemctl kill --signal=USR1 --kill-who=main {UNIT}")).unwrap();
    scene.says("playing film");
    scene.have_fired(&OF_ITEMS_AND_SESSIONS);
}
