//! Metrics, health and status of a real broadcast, and that none of them, nor the log or `ps`,
//! shows a secret.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    collections::HashMap,
    fs,
    io::Write,
    net::TcpListener,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tgs_control::{OnAir, PublisherState};
use tgs_e2e::{
    broadcast::{Broadcast, Launch, Process},
    clips::{Clip, PLAIN, clip},
    flvcheck::Report,
    ingest::{Ingest, Setup},
};
use tgs_rtmp::flv::{FlvReader, Kind};

const LIMIT: Duration = Duration::from_mins(1);

fn short() -> Clip {
    clip("second", (320, 180), "30", 44_100, 1000)
}

/// The first of `count` neighbouring ports, which are taken for as long as the listeners live.
fn taken_ports(count: u16) -> (u16, Vec<TcpListener>) {
    // Below the range that outgoing connections are given ports from; tests are processes of
    // neighbouring ids.
    let turn = (std::process::id() * 131 % 700) as u16;
    (0..700)
        .map(|n| 20_000 + (turn + n) % 700 * 16)
        .find_map(|first| {
            let ports = first..first + count;
            let taken: Result<Vec<_>, _> = ports.map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
            Some((first, taken.ok()?))
        })
        .unwrap()
}

/// Fails where promtool finds anything wrong with these metrics.
fn promtool(metrics: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{metrics}");
}

/// The metrics of this text, names with their labels, as they are written.
fn written(metrics: &str) -> HashMap<&str, &str> {
    metrics.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap()).collect()
}

/// The values of [`written`].
fn parsed(metrics: &str) -> HashMap<&str, f64> {
    written(metrics).into_iter().map(|(name, value)| (name, value.parse().unwrap())).collect()
}

#[test]
fn a_taken_port_is_reported_and_the_next_free_one_is_used() {
    let (port, taken) = taken_ports(2);
    let launch = Launch::to("out.flv").unwrap().play([PLAIN.path().unwrap()]).arg("--realtime");
    let mut broadcast = launch.set("PROMETHEUS_PORT", port.to_string()).start().unwrap();
    broadcast.wait_item("", 1, LIMIT).unwrap();
    let log = broadcast.log();
    let one = |level: &str, parts: &[&str]| {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(level)).collect();
        assert!(lines.len() == 1 && parts.iter().all(|part| lines[0].contains(part)), "{parts:?} in {log}");
    };
    let (wanted, used) = (port.to_string(), (port + 2).to_string());
    one(" ERROR ", &[&wanted, "taken", "PROMETHEUS_PORT"]);
    one(" WARN  metrics", &[&used, &wanted]);
    let file = broadcast.dir().join("state/metrics.port");
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("127.0.0.1:{used}\n"));
    assert_eq!(broadcast.get("/healthz").unwrap(), (200, "ok\n".to_owned()));
    broadcast.stop().unwrap();
    assert!(!file.exists());
    drop(taken);
}

#[test]
fn without_a_port_the_metrics_go_to_a_file_and_the_broadcast_on() {
    let (port, _taken) = taken_ports(11);
    let launch = Launch::to("out.flv").unwrap().play([short().path().unwrap()]).arg("--once");
    let broadcast = launch.set("PROMETHEUS_PORT", port.to_string()).finish(LIMIT).unwrap();
    let log = broadcast.log();
    let file = broadcast.dir().join("state/metrics.prom");
    for part in [
        format!(" ERROR port {port} "),
        format!(" ERROR no free port from {port} to {}", port + 10),
        format!(" WARN  metrics are written to {} every 15s", file.display()),
    ] {
        assert_eq!(log.matches(&part).count(), 1, "“{part}” in {log}");
    }
    let text = fs::read_to_string(&file).unwrap();
    promtool(&text);
    // As it was in the end.
    assert_eq!(written(&text)["streams_played_total"], "1");
    assert!(!broadcast.dir().join("state/metrics.port").exists());
    Report::of_file(&broadcast.dir().join("out.flv")).unwrap().check(30.0, 44_100.0).unwrap();
}

#[test]
fn what_went_on_air_is_counted_exactly() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("text.mp4"), "no video\n").unwrap();
    short().copy_to(&dir.path().join("a.mp4")).unwrap();
    PLAIN.copy_to(&dir.path().join("b.mp4")).unwrap();
    let file = dir.path().join("tgs.prom");
    let launch = Launch::to("out.flv").unwrap().within(dir.path()).arg("--once").set("METRICS_FILE", &file);
    let launch = launch.play(["a.mp4", "gone.mp4", "b.mp4", "a.mp4", "text.mp4", "gone.mp4", "a.mp4"]);
    let broadcast = launch.finish(LIMIT).unwrap();
    assert_eq!(broadcast.on_air(), ["a", "b", "a", "a"]);
    let text = fs::read_to_string(&file).unwrap();
    let exactly = written(&text);
    for (name, value) in &exactly {
        let expected = match *name {
            "streams_played_total" => "4",
            "tgs_item_failures_total{reason=\"missing\"}" => "2",
            "tgs_item_failures_total{reason=\"unplayable\"}" => "1",
            // It is over.
            "tgs_on_air" | "tgs_filler_seconds_total" | "tgs_publisher_reconnects_total" => "0",
            name if name.starts_with("tgs_item_failures_total") => "0",
            _ => continue,
        };
        assert_eq!(*value, expected, "{name}");
    }
    assert_eq!(exactly["streams_played_total"], "4");
    let metrics = parsed(&text);
    let out = dir.path().join("out.flv");
    let pictures = Report::of_file(&out).unwrap().video.frames as f64;
    let seconds = metrics["tgs_output_media_seconds_total"];
    assert!((seconds - pictures / 30.0).abs() < 0.07, "{seconds} s, {pictures} pictures");
    assert!((seconds - 6.0).abs() < 0.15, "{seconds} s");
    let mut tags = FlvReader::new(fs::File::open(&out).unwrap());
    let mut bytes = 0;
    while let Some(tag) = tags.next_tag().unwrap() {
        bytes += if tag.kind == Kind::Script { 0 } else { tag.body.len() };
    }
    assert_eq!(exactly["tgs_output_bytes_total"], bytes.to_string());
}

#[test]
fn the_pages_of_a_broadcast_that_flows() {
    let ingest = Ingest::start().unwrap();
    let clip = PLAIN.path().unwrap();
    let mut broadcast = Launch::to(ingest.url("key")).unwrap().play([&clip]).start().unwrap();
    broadcast.wait_item("", 1, LIMIT).unwrap();
    broadcast.wait_metric("tgs_output_media_seconds_total", 2.5, LIMIT).unwrap();
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let asked = now();
    let progress = broadcast.metric("tgs_last_progress_timestamp_seconds").unwrap();
    assert!((asked - 5.0..now() + 0.1).contains(&progress), "{progress}, asked at {asked}");
    let (code, text) = broadcast.get("/metrics").unwrap();
    assert_eq!(code, 200);
    promtool(&text);
    let metrics = parsed(&text);
    for (name, low, high) in [
        (concat!("tgs_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0, 1.0),
        ("tgs_on_air", 1.0, 1.0),
        ("tgs_output_bytes_total", 1000.0, 1e7),
        ("tgs_publisher_reconnects_total", 0.0, 0.0),
        ("tgs_publisher_queue_seconds", 0.0, 2.0),
        ("tgs_readahead_seconds", 0.0, 5.0),
        ("tgs_encoder_speed_ratio", 0.0, 1000.0),
        ("tgs_filler_seconds_total", 0.0, 60.0),
        ("tgs_item_failures_total{reason=\"stalled\"}", 0.0, 0.0),
        ("process_resident_memory_bytes", 1e6, 1e8),
        ("process_open_fds", 5.0, 100.0),
        ("process_cpu_seconds_total", 0.0, 60.0),
    ] {
        let value = metrics.get(name).unwrap_or_else(|| panic!("no {name} in {text}"));
        assert!((low..=high).contains(value), "{name} {value}");
    }
    assert_eq!(broadcast.get("/healthz").unwrap(), (200, "ok\n".to_owned()));
    // Between two rounds of the clip the filler may be on air.
    let item = || Some(broadcast.status().ok()?.engine).filter(|it| matches!(it.on_air, OnAir::Item(_)));
    let status = broadcast.until("the item", LIMIT, item).unwrap();
    let OnAir::Item(item) = &status.on_air else { panic!("{status:?}") };
    assert_eq!(item.id, clip.to_str().unwrap());
    assert!((0.0..3.1).contains(&item.offset_seconds), "{status:?}");
    assert_eq!(status.publisher, PublisherState::Connected);
    for (seconds, high) in [(status.readahead_seconds, 5.0), (status.queue_seconds, 2.0)] {
        assert!((0.0..high).contains(&seconds), "{status:?}");
    }
    assert!(status.last_failure.is_none(), "{status:?}");
    assert!(broadcast.get("/status").unwrap().1.contains("\"encoder_speed_ratio\":"));
    broadcast.stop().unwrap();
}

/// Waits for this answer of /healthz.
fn wait_health(broadcast: &Broadcast, code: u16, words: &str) {
    let answer = || broadcast.get("/healthz").ok().filter(|(c, text)| *c == code && text.contains(words));
    broadcast.until(&format!("/healthz {code} with “{words}”"), LIMIT, answer).unwrap();
}

#[test]
fn health_says_why_nothing_flows() {
    let mut ingest = Ingest::start().unwrap();
    ingest.refuse();
    let launch = Launch::to(ingest.url("key")).unwrap().play([PLAIN.path().unwrap()]);
    let mut broadcast = launch.start().unwrap();
    wait_health(&broadcast, 503, "refuse");
    assert!(broadcast.get("/metrics").unwrap().1.contains("\ntgs_on_air 0\n"));
    ingest.listen().unwrap();
    wait_health(&broadcast, 200, "ok");
    ingest.refuse();
    ingest.reset();
    let gone = Instant::now();
    wait_health(&broadcast, 503, "refuse");
    // A server that only falls silent is given up after 10 s.
    assert!(gone.elapsed() < Duration::from_secs(9), "{:?}", gone.elapsed());
    let publisher = broadcast.status().unwrap().engine.publisher;
    let refused = matches!(&publisher, PublisherState::Reconnecting { cause } if cause.contains("refuse"));
    assert!(refused, "{publisher:?}");
    ingest.listen().unwrap();
    wait_health(&broadcast, 200, "ok");
    assert!(broadcast.get("/metrics").unwrap().1.contains("\ntgs_publisher_reconnects_total 1\n"));
    broadcast.stop().unwrap();
}

/// What `ps` shows of the tool and its children, and what these have in their environment.
fn shown_by_ps(broadcast: &Broadcast) -> String {
    let read = |pid: u32, what| fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let below = broadcast.processes().into_iter().map(|process| process.pid);
    let mut all = read(broadcast.pid(), "cmdline");
    below.for_each(|pid| all.extend([read(pid, "cmdline"), read(pid, "environ")].concat()));
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn the_stream_key_is_shown_nowhere() {
    const KEY: &str = "s3cr3t-k3y?sig=t0k3n";
    // The server's answer repeats the key.
    let refusing = Setup { refuse_key: Some("NetStream.Publish.BadName"), ..Setup::default() };
    let ingest = Ingest::start_with(refusing).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let clip = PLAIN.path().unwrap();
    // No listener there; an entry's login appears neither in titles nor in logs.
    let list = write("list.txt", format!("{}\nhttp://user:p4ssw0rd@127.0.0.1:9/a.mp4\n", clip.display()));
    let env = write("env", format!("OUTPUT_URL={}\n", ingest.url(KEY)));
    let metrics_file = dir.path().join("tgs.prom");
    let launch = Launch::to("").unwrap().set("RUST_LOG", "trace").set("METRICS_FILE", &metrics_file);
    let launch = launch.arg("--env-file").arg(env).arg("--playlist").arg(list);
    let mut broadcast = launch.start().unwrap();
    let (mut pages, mut ps) = (String::new(), String::new());
    let mut look = |broadcast: &Broadcast| {
        for page in ["/metrics", "/status", "/healthz"] {
            pages += &broadcast.get(page).unwrap().1;
        }
        ps += &shown_by_ps(broadcast);
    };
    wait_health(&broadcast, 503, "BadName");
    look(&broadcast);
    ingest.set(Setup::default());
    broadcast.wait_process(LIMIT, Process::is_encoder).unwrap();
    broadcast.wait_item("", 1, LIMIT).unwrap();
    look(&broadcast);
    // The other entry has failed when this one is on air again.
    broadcast.wait_item("", 2, LIMIT).unwrap();
    look(&broadcast);
    ingest.reset();
    broadcast.wait_metric("tgs_publisher_reconnects_total", 1.0, LIMIT).unwrap();
    look(&broadcast);
    broadcast.stop().unwrap();
    let state = fs::read_dir(broadcast.dir().join("state")).unwrap();
    for path in state.map(|entry| entry.unwrap().path()).chain([metrics_file]) {
        pages += &String::from_utf8_lossy(&fs::read(path).unwrap_or_default());
    }
    pages += &broadcast.log();
    // The check covers the intended entries.
    for part in ["BadName", "lost: ", "skipped “a”", "\nstreams_played_total ", "\"followed_by\""] {
        assert!(pages.contains(part), "“{part}” is not in {pages}");
    }
    assert!(ps.contains("libx264") && ps.contains("--env-file"), "{ps}");
    for secret in ["s3cr3t-k3y", "t0k3n"] {
        assert!(!ps.contains(secret), "{ps}");
    }
    for secret in ["s3cr3t-k3y", "t0k3n", "p4ssw0rd"] {
        let lines: Vec<_> = pages.lines().filter(|line| line.contains(secret)).collect();
        assert_eq!(lines, [""; 0]);
    }
    for record in ingest.records() {
        assert!(format!("{:?}", record.commands()).contains(KEY), "{:?}", record.commands());
    }
}
