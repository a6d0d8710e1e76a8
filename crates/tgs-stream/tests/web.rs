//! The status server over real sockets: scrapers, operators and hostile clients.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, LazyLock, Mutex, Once,
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
use tempfile::TempDir;
use tgs_control::Health;
use tgs_stream::http::{FILE_EVERY, HttpConfig, HttpServer, Pages};

/// How long a test waits for an immediate answer.
const PATIENCE: Duration = Duration::from_secs(8);

fn config(state: &TempDir, host: &str, port: u16) -> HttpConfig {
    HttpConfig {
        host: host.into(),
        port,
        fixed_port: false,
        metrics_file: None,
        state_dir: state.path().into(),
        file_every: FILE_EVERY,
    }
}

fn pages(health: Health) -> Pages {
    Pages { health: Box::new(move || health.clone()), status_json: Box::new(|| r#"{"on_air":true}"#.into()) }
}

fn start(config: &HttpConfig) -> HttpServer {
    HttpServer::start(config, pages(Health::Healthy))
}

/// Sends `request`; returns everything until the server closes.
fn exchange(addr: SocketAddr, request: &str) -> io::Result<String> {
    exchange_within(PATIENCE, addr, request)
}

fn exchange_within(patience: Duration, addr: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Status line and body of a GET.
fn get(addr: SocketAddr, path: &str) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = exchange(addr, &request).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length = format!("Content-Length: {}", body.len());
    assert!(head.lines().any(|line| line == length), "{head}");
    (head.lines().next().unwrap().into(), body.into())
}

/// `count` adjacent ports, taken while the listeners live.
fn taken_ports(count: u16) -> (u16, Vec<TcpListener>) {
    // Below the kernel's ephemeral ports, so that other tests do not use them.
    for first in (20_000..32_000).step_by(usize::from(count) + 1).skip(std::process::id() as usize % 500) {
        let taken: io::Result<Vec<_>> =
            (first..first + count).map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
        if let Ok(taken) = taken {
            return (first, taken);
        }
    }
    panic!("no {count} neighbouring ports are free");
}

/// The lines logged so far in this process that hold `part`.
fn logged(part: &str) -> Vec<String> {
    LINES.lock().unwrap().iter().filter(|line| line.contains(part)).cloned().collect()
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn record_log() {
    struct Recorder;
    impl log::Log for Recorder {
        fn enabled(&self, _: &log::Metadata) -> bool {
            true
        }
        fn log(&self, record: &log::Record) {
            LINES.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
        }
        fn flush(&self) {}
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Recorder).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

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

#[test]
fn hosts_are_names_and_ipv6_too() {
    let has_ipv6 = TcpListener::bind(("::1", 0)).is_ok();
    for host in ["localhost", "::1", "[::1]"] {
        if host.contains(':') && !has_ipv6 {
            continue;
        }
        let state = tempfile::tempdir().unwrap();
        let web = start(&config(&state, host, 0));
        let addr = web.addr().unwrap();
        assert_eq!(get(addr, "/healthz").1, "ok\n");
        let told = fs::read_to_string(state.path().join("metrics.port")).unwrap();
        assert_eq!(told, format!("{addr}\n"));
        assert_eq!(told.trim_end().parse(), Ok(addr), "other tools can use it as it is");
    }
}

#[test]
fn a_taken_port_is_skipped() {
    record_log();
    let state = tempfile::tempdir().unwrap();
    let (port, mut taken) = taken_ports(3);
    drop(taken.pop());
    let web = start(&config(&state, "127.0.0.1", port));
    let next = port + 2;
    assert_eq!(web.addr(), Some(SocketAddr::from(([127, 0, 0, 1], next))));
    assert_eq!(get(web.addr().unwrap(), "/healthz").1, "ok\n");
    let file = state.path().join("metrics.port");
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("127.0.0.1:{next}\n"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    let errors = logged(&format!("ERROR port {port} on 127.0.0.1 is taken"));
    assert!(errors.len() == 1 && errors[0].contains("PROMETHEUS_PORT"), "{errors:?}");
    let warnings = logged(&format!("http://127.0.0.1:{next}, port {next} instead of {port}"));
    assert!(warnings.len() == 1 && warnings[0].starts_with("WARN"), "{warnings:?}");
    drop(web);
    assert!(!file.exists());
}

#[test]
fn with_no_port_free_the_metrics_go_to_a_file() {
    record_log();
    let state = tempfile::tempdir().unwrap();
    let old = state.path().join("metrics.port");
    fs::write(&old, "127.0.0.1:1\n").unwrap();
    let (port, _taken) = taken_ports(11);
    let web = start(&config(&state, "127.0.0.1", port));
    assert_eq!(web.addr(), None);
    assert!(!old.exists(), "what a killed run has said is not true any more");
    let file = state.path().join("metrics.prom");
    wait_until(|| file.exists());
    let errors = logged(&format!("ERROR no free port from {port} to {}", port + 10));
    assert_eq!(errors.len(), 1);
    let place = file.display().to_string();
    assert!(logged(&place).iter().any(|line| line.starts_with("WARN metrics are written to")));
    drop(web);
    assert!(file.exists(), "the last figures stay");
}

#[test]
fn a_foreign_host_disables_only_the_server() {
    for host in ["192.0.2.1", "no such host", ""] {
        let state = tempfile::tempdir().unwrap();
        let web = start(&config(&state, host, 9090));
        assert_eq!(web.addr(), None, "{host}");
        wait_until(|| state.path().join("metrics.prom").exists());
    }
}

#[test]
fn the_file_is_rewritten_and_fits_the_textfile_collector() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("wanted.prom");
    let config = HttpConfig {
        metrics_file: Some(file.clone()),
        file_every: Duration::from_millis(5),
        ..config(&state, "127.0.0.1", 0)
    };
    let count = prometheus::register_int_counter!("tgs_test_writes_total", "Counts.").unwrap();
    let web = start(&config);
    assert_eq!(get(web.addr().unwrap(), "/healthz").1, "ok\n", "a file asked for is beside the port");
    for n in 1..=3 {
        count.inc();
        wait_until(|| read(&file).contains(&format!("\ntgs_test_writes_total {n}\n")));
    }
    let text = read(&file);
    assert!(text.contains("tgs_build_info{"), "{text}");
    assert!(!text.contains("process_"), "node_exporter has these of its own: {text}");
    assert!(text.ends_with('\n'));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    count.inc();
    drop(web);
    assert!(read(&file).contains("\ntgs_test_writes_total 4\n"), "written a last time");
}

#[test]
fn a_foreign_file_is_not_overwritten() {
    record_log();
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("settings");
    fs::write(&file, "# my settings\nAPI_ID=1\n").unwrap();
    let config = HttpConfig { metrics_file: Some(file.clone()), ..config(&state, "127.0.0.1", 0) };
    drop(start(&config));
    assert_eq!(fs::read_to_string(&file).unwrap(), "# my settings\nAPI_ID=1\n");
    let said = logged(&file.display().to_string());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("the file holds something other than metrics, not overwriting it; see METRICS_FILE"),
        "{said:?}"
    );
    // A file of an earlier run is overwritten.
    fs::write(&file, "# HELP old x\n").unwrap();
    drop(start(&config));
    assert!(fs::read_to_string(&file).unwrap().contains("tgs_build_info"));
}

#[test]
fn an_unwritable_file_is_logged_once() {
    record_log();
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("not there yet");
    let file = dir.join("metrics.prom");
    let config = HttpConfig {
        metrics_file: Some(file.clone()),
        file_every: Duration::from_millis(1),
        ..config(&state, "127.0.0.1", 0)
    };
    let web = start(&config);
    let place = file.display().to_string();
    wait_until(|| !logged(&place).is_empty());
    fs::create_dir(&dir).unwrap();
    wait_until(|| logged(&place).len() >= 2);
    drop(web);
    let lines = logged(&place);
    assert!(lines[0].starts_with("WARN failed to write the metrics"), "{lines:?}");
    assert!(lines[1].starts_with("INFO") && lines.len() == 2, "{lines:?}");
}

/// Client behaviour other than a request.
const STUCK: [&str; 11] = [
    "",
    "GET /metr",
    "POST /metrics HTTP/1.1\r\nContent-Length: 60\r\n\r\n",
    "POST /metrics HTTP/1.1\r\nContent-Length: 60000\r\n\r\n",
    "POST /metrics HTTP/1.1\r\nContent-Length: 99999999999999999\r\n\r\n",
    "GET /metrics HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n",
    "PUT /metrics HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 60\r\n\r\n",
    "PUT /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n60\r\n",
    "GET /metrics HTTP/2.0\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "GET /metrics HTTP/1.1\r\n\r\n",
];

/// Open descriptors of this process.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// 600 clients that send nothing, half a request, an endless or huge body, or never read: they use
/// few descriptors, and other clients are answered at once.
#[test]
fn stuck_clients_block_nobody_and_use_few_descriptors() {
    let state = tempfile::tempdir().unwrap();
    let web = start(&config(&state, "127.0.0.1", 0));
    let addr = web.addr().unwrap();
    let before = descriptors();
    let mut stuck = Vec::new();
    for start in STUCK.iter().cycle().take(600) {
        let mut stream = TcpStream::connect(addr).unwrap();
        // It may have been replaced by a newer one.
        let _ = stream.write_all(start.as_bytes());
        stuck.push(stream);
        // Their own ends are open here too.
        let theirs = descriptors() - before - stuck.len();
        assert!(theirs <= 50, "{theirs} descriptors after {} clients", stuck.len());
        if stuck.len() % 100 == 0 {
            for path in ["/healthz", "/status", "/metrics"] {
                assert_eq!(get(addr, path).0, "HTTP/1.1 200 OK");
            }
        }
    }
}

/// The time for a request is limited, however slowly it arrives.
#[test]
fn a_slow_request_is_closed_at_its_time_limit() {
    let state = tempfile::tempdir().unwrap();
    let web = start(&config(&state, "127.0.0.1", 0));
    let addr = web.addr().unwrap();
    let began = std::time::Instant::now();
    let drip = |text: &'static [u8]| {
        thread::spawn(move || {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let mut answer = Vec::new();
            for byte in text.iter().cycle() {
                let mut some = [0; 100];
                match stream.read(&mut some) {
                    Ok(0) => break,
                    Ok(count) => answer.extend(&some[..count]),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
                if stream.write_all(&[*byte]).is_err() {
                    break;
                }
            }
            String::from_utf8(answer).unwrap()
        })
    };
    let (line, headers) = (drip(b"x"), drip(b"a: b\r\n"));
    for client in [line, headers] {
        let answer = client.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn invalid_requests_are_refused() {
    let state = tempfile::tempdir().unwrap();
    let web = start(&config(&state, "127.0.0.1", 0));
    let long = "x".repeat(20_000);
    for (request, status) in [
        (format!("GET /{long} HTTP/1.1\r\n\r\n"), "431"),
        (format!("GET /metrics HTTP/1.1\r\nA: {long}\r\n\r\n"), "431"),
        (format!("GET /metrics HTTP/1.1\r\n{}", "A: b\r\n".repeat(20_000)), "431"),
        ("GET /metrics HTTP/2.0\r\n\r\n".to_owned(), "505"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "505"),
        ("\x16\x03\x01\r\n\r\n".to_owned(), "400"),
    ] {
        let answer = exchange(web.addr().unwrap(), &request).unwrap();
        let shown: String = request.chars().take(40).collect();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{shown:?}: {answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
}

/// A connection serves any number of requests, and closes on request.
#[test]
fn thousands_of_requests_in_a_row_are_answered() {
    let state = tempfile::tempdir().unwrap();
    let web = start(&config(&state, "127.0.0.1", 0));
    let request =
        "GET /healthz HTTP/1.1\r\n\r\n".repeat(1000) + "GET /status HTTP/1.1\r\nConnection: close\r\n\r\n";
    let answer = exchange(web.addr().unwrap(), &request).unwrap();
    assert_eq!(answer.matches("\r\n\r\nok\n").count(), 1000);
    assert!(answer.ends_with("{\"on_air\":true}\n") && answer.contains("Connection: close"), "{answer}");
}

#[test]
fn a_client_that_never_reads_blocks_nobody() {
    let state = tempfile::tempdir().unwrap();
    let more_than_any_buffer = "x".repeat(32 << 20);
    let pages = Pages {
        health: Box::new(|| Health::Healthy),
        status_json: Box::new(move || more_than_any_buffer.clone()),
    };
    let web = HttpServer::start(&config(&state, "127.0.0.1", 0), pages);
    let addr = web.addr().unwrap();
    let mut stuck = TcpStream::connect(addr).unwrap();
    stuck.write_all(b"GET /status HTTP/1.1\r\n\r\n").unwrap();
    stuck.peek(&mut [0]).unwrap();
    assert_eq!(get(addr, "/healthz").1, "ok\n");
}

#[test]
fn stopping_does_not_wait_for_clients() {
    let state = tempfile::tempdir().unwrap();
    let web = start(&config(&state, "127.0.0.1", 0));
    let addr = web.addr().unwrap();
    let _idle = TcpStream::connect(addr).unwrap();
    let (done, waiting) = std::sync::mpsc::channel();
    thread::spawn(move || {
        drop(web);
        done.send(()).unwrap();
    });
    waiting.recv_timeout(Duration::from_secs(2)).unwrap();
    wait_until(|| TcpListener::bind(addr).is_ok());
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_mins(1);
    while !done() {
        assert!(std::time::Instant::now() < end, "it did not happen");
        thread::yield_now();
    }
}
