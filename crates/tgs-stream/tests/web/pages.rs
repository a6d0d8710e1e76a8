//! What a scraper, an operator and a program get.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use prometheus::{
    IntGauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tgs_control::Health;
use tgs_stream::http::{HttpConfig, HttpServer, Pages};

use crate::harness::{PATIENCE, config, exchange, get, pages, start};

#[test]
fn pages_are_served() {
    let state = tempfile::tempdir().unwrap();
    let web = start(&config(&state, "127.0.0.1", 0));
    let addr = web.addr().unwrap();
    let (status, metrics) = get(addr, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let build = format!("\ntgs_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
    assert!(metrics.contains(&build), "{metrics}");
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
        assert!(metrics.contains(&format!("\n{name} ")), "{metrics}");
    }
    assert_eq!(get(addr, "/healthz"), ("HTTP/1.1 200 OK".into(), "ok\n".into()));
    assert_eq!(get(addr, "/status?pretty=1"), ("HTTP/1.1 200 OK".into(), "{\"on_air\":true}\n".into()));
    assert_eq!(get(addr, "/").0, "HTTP/1.1 404 Not Found");
}

/// Metrics whose collection panics while the flag is set.
struct Broken(IntGauge, Arc<AtomicBool>);

impl Collector for Broken {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        assert!(!self.1.load(Ordering::SeqCst), "as asked: http://h/?key=hidden");
        self.0.collect()
    }
}

#[test]
fn a_panic_fails_only_its_page_or_metrics_file() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("tgs.prom");
    let broken = Arc::new(AtomicBool::new(false));
    let collector = Broken(IntGauge::new("broken", "A test's.").unwrap(), broken.clone());
    prometheus::register(Box::new(collector)).unwrap();
    let health = broken.clone();
    let pages = Pages {
        health: Box::new(move || {
            assert!(!health.load(Ordering::SeqCst), "as asked");
            Health::Healthy
        }),
        ..pages(Health::Healthy)
    };
    let every = Duration::from_millis(20);
    let config =
        HttpConfig { metrics_file: Some(file.clone()), file_every: every, ..config(&state, "127.0.0.1", 0) };
    let web = HttpServer::start(&config, pages);
    let addr = web.addr().unwrap();
    let written_anew = || {
        fs::remove_file(&file).unwrap();
        let end = Instant::now() + PATIENCE;
        while !file.exists() {
            assert!(Instant::now() < end, "the metrics are not written any more");
            thread::yield_now();
        }
    };
    let end = Instant::now() + PATIENCE;
    while !file.exists() {
        assert!(Instant::now() < end, "the metrics are not written");
        thread::yield_now();
    }
    broken.store(true, Ordering::SeqCst);
    for path in ["/healthz", "/metrics", "/healthz"] {
        let (status, body) = get(addr, path);
        assert_eq!(status, "HTTP/1.1 500 Internal Server Error", "{path}");
        assert!(
            body.starts_with("internal error of tgs-stream: as asked") && !body.contains("hidden"),
            "{body}"
        );
    }
    assert_eq!(get(addr, "/status").0, "HTTP/1.1 200 OK");
    broken.store(false, Ordering::SeqCst);
    assert_eq!(get(addr, "/healthz").1, "ok\n");
    // Its thread restarts.
    written_anew();
}

#[test]
fn bad_health_is_503_with_the_reason() {
    let state = tempfile::tempdir().unwrap();
    let web = HttpServer::start(
        &config(&state, "127.0.0.1", 0),
        pages(Health::Unhealthy("no media for 12 s: the encoder stands still".into())),
    );
    let (status, body) = get(web.addr().unwrap(), "/healthz");
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(body, "no media for 12 s: the encoder stands still\n");
}

#[test]
fn requests_are_answered_as_http_requires() {
    let state = tempfile::tempdir().unwrap();
    let web = start(&config(&state, "127.0.0.1", 0));
    let post = |path: &str, length: usize| {
        let head = format!("POST {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        head + &"x".repeat(length)
    };
    for (request, status, part) in [
        ("GET /healthz HTTP/1.0\r\n\r\n", "200", "\r\n\r\nok\n"),
        ("GET /metrics HTTP/1.0\r\n\r\n", "200", "Content-Type: text/plain; version=0.0.4\r\n"),
        ("GET /status HTTP/1.1\r\nConnection: close\r\n\r\n", "200", "Content-Type: application/json\r\n"),
        ("HEAD /healthz HTTP/1.0\r\n\r\n", "200", "Content-Length: 3\r\n"),
        (&post("/metrics", 0), "405", "Allow: GET, HEAD\r\n"),
        (&post("/metrics", 10), "405", "Allow: GET, HEAD\r\n"),
        (&post("/metrics", 3000), "405", "Allow: GET, HEAD\r\n"),
        (&post("/else", 3000), "404", "/healthz"),
        ("GET /healthz\r\n\r\n", "400", ""),
        ("\r\n\r\n", "400", ""),
    ] {
        let answer = exchange(web.addr().unwrap(), request).unwrap();
        let shown = request.lines().next();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{shown:?}: {answer}");
        assert!(answer.contains(part), "{shown:?}: {answer}");
        let bare = request.starts_with("HEAD") || status == "400";
        assert_eq!(answer.ends_with("\r\n\r\n"), bare, "{shown:?}: {answer}");
    }
}

#[test]
fn connections_are_persistent() {
    let state = tempfile::tempdir().unwrap();
    let web = start(&config(&state, "127.0.0.1", 0));
    let request = "GET /healthz HTTP/1.1\r\n\r\n".repeat(3) + "GET /status HTTP/1.0\r\n\r\n";
    let answer = exchange(web.addr().unwrap(), &request).unwrap();
    assert_eq!(answer.matches("\r\n\r\nok\n").count(), 3, "{answer}");
    assert!(answer.ends_with("{\"on_air\":true}\n"), "{answer}");
}

#[test]
fn promtool_accepts_the_metrics() {
    LazyLock::force(&tgs_playout::status::METRICS);
    let state = tempfile::tempdir().unwrap();
    let web = start(&config(&state, "127.0.0.1", 0));
    let (_, metrics) = get(web.addr().unwrap(), "/metrics");
    assert!(metrics.contains("\ntgs_item_failures_total{reason=\"missing\"} 0\n"), "{metrics}");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is in the package prometheus");
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{metrics}");
}
