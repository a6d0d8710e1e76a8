//! The unit of the broadcast on a real systemd: what is in force, and that it comes back from
//! whatever happens to it.
//!
//! `units.rs` checks the text of the unit files.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use tgs_control::{OnAir, PublisherState, http_get};
use tgs_e2e::{
    clips::{PLAIN, clip},
    ingest::Ingest,
    machine::{ENV_FILE, Machine, UNIT},
    web::{Page, Web},
};

const LIMIT: Duration = Duration::from_secs(30);
const STATE: &str = "/var/lib/tg_video_streamer";
const MEDIA: &str = "/home/editor/media";

/// A box whose unit broadcasts one long clip from a home directory to an ingest.
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

    /// Waits until the unit is active with another process than `old`.
    fn wait_new_process(&self, old: &str) -> String {
        let mut new = String::new();
        self.wait("a new process", LIMIT, || {
            let unit = self.machine.unit(UNIT).unwrap();
            new.clone_from(&unit["MainPID"]);
            unit["ActiveState"] == "active" && new != old && new != "0"
        });
        new
    }

    /// How far into which item the viewer is, once an item is on air.
    fn on_air(&self) -> Option<(String, f64)> {
        let status = self.machine.status(STATE).ok()?;
        let OnAir::Item(item) = status.engine.on_air else { return None };
        (status.engine.publisher == PublisherState::Connected).then_some((item.id, item.offset_seconds))
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
    station.wait("STATUS= names the item", LIMIT, || station.property("StatusText") == "playing long");

    // The playlist is read again by the same process.
    let process = station.property("MainPID");
    station.machine.write(&format!("{MEDIA}/list.txt"), "long.mp4\n# edited\n", 0o644).unwrap();
    station.systemctl("reload");
    station.wait("the edit", LIMIT, || station.journal().contains("list.txt was edited: 1 entries"));
    assert_eq!(station.property("MainPID"), process);

    let (item, at) = station.wait_on_air(6.0);
    let killed = Instant::now();
    station.systemctl("kill --kill-who=main --signal=SIGKILL");
    let latest = at + killed.elapsed().as_secs_f64();
    station.wait("the end", LIMIT, || station.property("ActiveState") != "active");
    station.wait("the new start", LIMIT, || station.property("ActiveState") == "active");
    // By systemd's clock.
    let seconds = |name: &str| station.property(name).parse::<f64>().unwrap() / 1e6;
    let away = seconds("ExecMainStartTimestampMonotonic") - seconds("ActiveExitTimestampMonotonic");
    assert!((9.5..15.0).contains(&away), "started again after {away} s");
    assert_eq!(station.property("NRestarts"), "1");
    let (mut began, mut looked) = (None, Instant::now());
    station.wait("the item is on air again", LIMIT, || {
        let look = Instant::now();
        began = station.on_air();
        if began.is_none() {
            looked = look;
        }
        began.is_some()
    });
    // It may be on air since the last look that did not see it.
    let seen_late = looked.elapsed().as_secs_f64();
    let (again, went_on) = began.unwrap();
    assert_eq!(again, item);
    println!(
        "started again after {away:.1} s; killed {at:.1} s into the item, on air again at {went_on:.1} s"
    );
    assert!(
        (at - 2.0..latest + 2.0 + seen_late).contains(&went_on),
        "killed at {at} s to {latest} s, went on at {went_on} s, seen {seen_late} s late"
    );
    assert_eq!(station.ingest.records().len(), 2);
}

#[test]
fn it_is_started_again_however_often_and_however_it_fails() {
    let station = Station::new();
    station.drop_in("[Service]\nRestartSec=100ms\nWatchdogSec=10\n");
    station.systemctl("start");
    station.wait_on_air(0.0);

    // It hangs: the watchdog ends it.
    let mut process = station.property("MainPID");
    station.systemctl("kill --kill-who=main --signal=SIGSTOP");
    // A stopped process starts no more children; the new process starts its own at once.
    let children = station.machine.sh("pgrep --exact ffmpeg").unwrap().replace('\n', " ");
    process = station.wait_new_process(&process);
    assert!(station.journal().contains("Watchdog timeout (limit 10s)!"), "{}", station.journal());
    let left = station.machine.sh(&format!("ps -o pid,comm --no-headers -p '{children}' || true")).unwrap();
    assert_eq!(left, "", "children of the process that hung");
    station.wait_on_air(0.0);

    // It crashes, over and over, before it is on air and after.
    for _ in 0..20 {
        station.systemctl("kill --kill-who=main --signal=SIGABRT");
        process = station.wait_new_process(&process);
    }
    assert_eq!(station.property("NRestarts"), "21");
    station.wait_on_air(0.0);

    // Invalid settings: systemd restarts the unit until they are corrected.
    station.set(&[("VIDEO_QUALITY", "none"), ("LOOP", "perhaps")]);
    station.systemctl("kill --kill-who=main --signal=SIGKILL");
    station.wait("failing starts", LIMIT, || station.property("NRestarts").parse::<u32>().unwrap() > 24);
    assert!(station.journal().contains("code=exited, status=78/CONFIG"), "{}", station.journal());
    station.set(&[]);
    station.wait_on_air(0.0);
    station.systemctl("stop");
    assert_eq!(station.property("Result"), "success");
    assert_eq!(station.property("ActiveState"), "inactive");
}

#[test]
fn an_outage_and_a_dead_session_are_waited_out_not_restarted() {
    let mut station = Station::new();
    station.drop_in("[Service]\nWatchdogSec=10\n");
    station.systemctl("start");
    station.wait_on_air(0.0);
    let process = station.property("MainPID");
    let fed = |station: &Station| station.property("WatchdogTimestampMonotonic").parse::<u64>().unwrap();

    station.ingest.refuse();
    station.ingest.reset();
    station.wait("STATUS= names the outage", LIMIT, || {
        station.property("StatusText").starts_with("reconnecting (")
    });
    let since = fed(&station);
    station
        .wait("more than the watchdog's time, and it is fed", LIMIT, || fed(&station) > since + 12_000_000);
    assert!(
        station.property("StatusText").starts_with("reconnecting ("),
        "{}",
        station.property("StatusText")
    );
    assert_eq!((station.property("MainPID"), station.property("NRestarts")), (process, "0".into()));
    station.ingest.listen().unwrap();
    station.wait("STATUS= names the item again", LIMIT, || station.property("StatusText") == "playing long");

    // Without a session there is nothing to broadcast with, but the tool is up and says so.
    let list = format!("{MEDIA}/list.txt");
    let env = [
        ("PLAYLIST", list.as_str()),
        ("API_ID", "1234567"),
        ("API_HASH", "0123456789abcdef0123456789abcdef"),
        ("CHAT_ID", "-1001234567890"),
    ];
    station.machine.settings(ENV_FILE, &env).unwrap();
    station.systemctl("restart");
    assert_eq!(station.property("SubState"), "running");
    station.wait("STATUS= names what is missing", LIMIT, || {
        station.property("StatusText").starts_with("degraded: ")
    });
    let since = fed(&station);
    station.wait("it is fed in this state too", LIMIT, || fed(&station) > since + 12_000_000);
    assert_eq!(station.property("NRestarts"), "0");
}

/// In the place of yt-dlp and ffmpeg: tells the test what it could do, then becomes the real one.
const NOSY: &str = r#"#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/PORT
try() { if eval "$2" >/dev/null 2>&1; then echo "$1: yes"; else echo "$1: no"; fi >&3; }
echo "NAME" >&3
try 'read .env' 'cat /opt/tg_video_streamer/shared/.env'
try 'read .env of the release' 'cat /opt/tg_video_streamer/current/.env'
try 'read the environment of the tool' 'cat /proc/$PPID/environ'
try 'see a secret in the own environment' 'env | grep -e API_ -e SESSION -e OUTPUT_URL -e NOTIFY_SOCKET'
try 'write to the state' 'echo x >/var/lib/tg_video_streamer/x'
try 'write to the cache' 'echo x >/var/cache/tg_video_streamer/x'
try 'write beside .env' 'echo x >/opt/tg_video_streamer/shared/x'
try 'write to yt-dlp' 'echo x >>/opt/tg_video_streamer/current/venv/bin/yt-dlp'
try 'write to /tmp' 'echo x >/tmp/x'
try 'write to the lock of a session' 'echo x >/run/lock/x'
try 'speak to systemd' 'systemd-notify --status=x'
try 'read media' 'cat /home/editor/media/long.mp4'
try 'write to the scratch' 'echo x >"$TMPDIR/x"'
try 'run deno' '[ "$(deno eval "console.log(6 * 7)")" = 42 ]'
echo "end" >&3
exec 3>&-
exec REAL "$@"
"#;

const FOUND: [&str; 14] = [
    "read .env: no",
    "read .env of the release: no",
    "read the environment of the tool: no",
    "see a secret in the own environment: no",
    "write to the state: no",
    "write to the cache: no",
    "write beside .env: no",
    "write to yt-dlp: no",
    "write to /tmp: no",
    "write to the lock of a session: no",
    "speak to systemd: no",
    "read media: yes",
    "write to the scratch: yes",
    "run deno: yes",
];

/// What the next visitor has to tell.
fn visit(listener: &TcpListener) -> Vec<String> {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    BufReader::new(stream).lines().map(Result::unwrap).take_while(|line| line != "end").collect()
}

#[test]
fn ffmpeg_and_yt_dlp_run_in_the_sandbox_and_cannot_leave_it() {
    let station = Station::new();
    station.machine.install_yt_dlp().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let yt_dlp = "/opt/tg_video_streamer/current/venv/bin/yt-dlp";
    for (name, real) in [("yt-dlp", yt_dlp), ("ffmpeg", "/usr/bin/ffmpeg")] {
        let script = NOSY.replace("PORT", &port).replace("NAME", name).replace("REAL", real);
        station.machine.write(&format!("/usr/local/lib/nosy/{name}"), &script, 0o755).unwrap();
    }
    station.machine.sh("ln -s /usr/bin/ffprobe /usr/local/lib/nosy/").unwrap();
    let page = "<html><title>A page</title><video src='/v.mp4'></video></html>";
    let film = fs::read(PLAIN.path().unwrap()).unwrap();
    let web = Web::serve([("/page", Page::Whole(page.into())), ("/v.mp4", Page::Whole(film))]).unwrap();
    station.machine.write(&format!("{MEDIA}/list.txt"), &format!("{}\n", web.url("/page")), 0o644).unwrap();
    station.set(&[
        ("FFMPEG_PATH", "/usr/local/lib/nosy/ffmpeg"),
        ("YTDLP_PATH", "/usr/local/lib/nosy/yt-dlp"),
        ("API_HASH", "0123456789abcdef0123456789abcdef"),
    ]);
    let visits = thread::spawn(move || {
        let (mut yt_dlp, mut ffmpeg) = (None, None);
        while yt_dlp.is_none() || ffmpeg.is_none() {
            let mut told = visit(&listener);
            let visitor = if told.remove(0) == "yt-dlp" { &mut yt_dlp } else { &mut ffmpeg };
            *visitor = Some(told);
        }
        // The later ones are heard, too, or they would wait.
        thread::spawn(move || while visit(&listener).len() < usize::MAX {});
        (yt_dlp.unwrap(), ffmpeg.unwrap())
    });
    station.systemctl("start");
    let (item, _) = station.wait_on_air(0.0);
    assert!(item.contains("/page"), "{item}");
    let (yt_dlp, ffmpeg) = visits.join().unwrap();
    assert_eq!(yt_dlp, FOUND, "{}", station.journal());
    assert_eq!(ffmpeg, FOUND);
}

/// What an instance counts.
fn metric_at(port: &str, metric: &str) -> f64 {
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let page = http_get::get(address, "/metrics", LIMIT).unwrap().body;
    let line = page.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {metric} in {page}")).parse().unwrap()
}

#[test]
fn instances_run_side_by_side() {
    let station = Station::new();
    let urls: Vec<_> = ["key", "north", "south"].map(|key| station.ingest.url(key)).into();
    station.systemctl("start");
    let short = clip("short", (320, 180), "30", 44_100, 3000).path().unwrap();
    station.machine.put_media(&short, &format!("{MEDIA}/short.mp4")).unwrap();
    let list = format!("{MEDIA}/short.txt");
    station.machine.write(&list, "short.mp4\n", 0o644).unwrap();
    for (name, port, url) in [("north", "9191", &urls[1]), ("south", "9192", &urls[2])] {
        let env = [
            ("PLAYLIST", list.as_str()),
            ("OUTPUT_URL", url),
            ("VIDEO_QUALITY", "480p"),
            ("READ_AHEAD", "3s"),
            ("PROMETHEUS_PORT", port),
        ];
        station.machine.settings(&format!("/opt/tg_video_streamer/instances/{name}.env"), &env).unwrap();
        let unit = format!("{UNIT}@{name}");
        station.machine.sh(&format!("systemctl start {unit}")).unwrap();
        station.wait("an instance on air", LIMIT, || {
            station.machine.unit(&unit).unwrap()["StatusText"] == "playing short"
        });
        let address = station.machine.read(&format!("{STATE}@{name}/metrics.port")).unwrap();
        assert_eq!(address.trim(), format!("127.0.0.1:{port}"));
        // The first encodes it; the other finds it in the cache that they share.
        let count = |metric: &str| metric_at(port, metric);
        station.wait("an item from the cache", LIMIT, || count("tgs_cache_hits_total") > 0.0);
        assert_eq!(count("tgs_cache_misses_total") > 0.0, name == "north", "{name}");
        assert!(count("tgs_cache_size_bytes") > 0.0, "{name}");
    }
    station.wait_on_air(0.0);
    let kept = "find /var/cache/tg_video_streamer/items -name 'item-*' -printf '%u %m\\n'";
    assert_eq!(station.machine.sh(kept).unwrap(), "tgstream 600");
    assert_eq!(station.ingest.records().len(), 3);
    // One goes, the others stay.
    station.machine.sh(&format!("systemctl stop {UNIT}@north")).unwrap();
    let left =
        station.machine.sh("systemctl list-units --plain --no-legend --state=running 'tg_video_streamer*'");
    let left: Vec<_> = left.unwrap().lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(left, ["tg_video_streamer.service", "tg_video_streamer@south.service"]);
    // A port is given, not guessed: next to one that is taken it goes without, and says so; given
    // none, it does not start.
    let north = format!("{UNIT}@north");
    let restarted_with = |edit: &str| {
        let file = "/opt/tg_video_streamer/instances/north.env";
        let script = format!("sed -i {edit} {file}; systemctl restart --no-block {north}");
        station.machine.sh(&script).unwrap();
    };
    restarted_with("s/9191/9192/");
    station.wait("the taken port is said", LIMIT, || {
        station.machine.journal(&north).unwrap().contains("no free port from 9192 to 9192")
    });
    station.wait("on air without pages", LIMIT, || {
        station.machine.unit(&north).unwrap()["StatusText"] == "playing short"
    });
    restarted_with("/PROMETHEUS_PORT/d");
    station.wait("the missing port is said", LIMIT, || {
        station.machine.journal(&north).unwrap().contains("PROMETHEUS_PORT is not set")
    });
}

#[test]
fn an_update_that_was_slept_through_is_caught_up_with() {
    let machine = Machine::boot().unwrap();
    machine.install_tree(&["tgs-stream"]).unwrap();
    machine.settings(ENV_FILE, &[]).unwrap();
    // Two weeks ago it ran last; what it runs is not the matter here.
    machine
        .drop_in("yt-dlp-update.service", "test", "[Service]\nExecStart=\nExecStart=/bin/echo an update\n")
        .unwrap();
    machine.drop_in("yt-dlp-update.timer", "test", "[Timer]\nRandomizedDelaySec=0\n").unwrap();
    machine
        .sh("mkdir -p /var/lib/systemd/timers; touch -d '2 weeks ago' /var/lib/systemd/timers/stamp-yt-dlp-update.timer")
        .unwrap();
    let log = "/var/log/yt-dlp-update.log";
    assert_eq!(machine.sh(&format!("cat {log}; stat -c '%a %U' {log}")).unwrap(), "640 tgstream");
    machine.sh("systemctl enable --now yt-dlp-update.timer").unwrap();
    machine
        .wait_for("the update", LIMIT, || machine.read(log).unwrap() == "an update\n")
        .unwrap_or_else(|e| panic!("{e}: {}", machine.journal("yt-dlp-update.*").unwrap()));
    // systemd computes the next time once the service has ended.
    let next = || machine.sh("TZ=UTC systemctl show yt-dlp-update.timer -P NextElapseUSecRealtime").unwrap();
    machine.wait_for("the next time", LIMIT, || !next().is_empty()).unwrap();
    assert!(next().starts_with("Sun ") && next().contains("02:00:00 UTC"), "{}", next());
    assert_eq!(machine.unit("yt-dlp-update.service").unwrap()["Result"], "success");
}
