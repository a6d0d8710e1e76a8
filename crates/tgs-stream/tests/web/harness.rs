//! Servers, requests and the log of these tests.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{Mutex, Once},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tgs_control::Health;
use tgs_stream::http::{FILE_EVERY, HttpConfig, HttpServer, Pages};

/// How long a test waits for an immediate answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

pub(crate) fn config(state: &TempDir, host: &str, port: u16) -> HttpConfig {
    HttpConfig {
        host: host.into(),
        port,
        fixed_port: false,
        metrics_file: None,
        state_dir: state.path().into(),
        file_every: FILE_EVERY,
    }
}

pub(crate) fn pages(health: Health) -> Pages {
    Pages { health: Box::new(move || health.clone()), status_json: Box::new(|| r#"{"on_air":true}"#.into()) }
}

pub(crate) fn start(config: &HttpConfig) -> HttpServer {
    HttpServer::start(config, pages(Health::Healthy))
}

/// Sends `request`; returns everything until the server closes.
pub(crate) fn exchange(addr: SocketAddr, request: &str) -> io::Result<String> {
    exchange_within(PATIENCE, addr, request)
}

pub(crate) fn exchange_within(patience: Duration, addr: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Status line and body of a GET.
pub(crate) fn get(addr: SocketAddr, path: &str) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = exchange(addr, &request).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length = format!("Content-Length: {}", body.len());
    assert!(head.lines().any(|line| line == length), "{head}");
    (head.lines().next().unwrap().into(), body.into())
}

/// The lines logged so far in this process that hold `part`.
pub(crate) fn logged(part: &str) -> Vec<String> {
    LINES.lock().unwrap().iter().filter(|line| line.contains(part)).cloned().collect()
}

pub(crate) static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(crate) fn record_log() {
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

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

pub(crate) fn wait_until(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !done() {
        assert!(Instant::now() < end, "it did not happen");
        thread::yield_now();
    }
}
