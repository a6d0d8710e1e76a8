//! Clients that are slow, many, wrong, or never read.

use std::{
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use tgs_control::Health;
use tgs_stream::http::{HttpServer, Pages};

use crate::harness::{config, exchange, get, start, wait_until};

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
    let began = Instant::now();
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
    // Less than a client may take for its request, 10 s.
    waiting.recv_timeout(Duration::from_secs(8)).unwrap();
    wait_until(|| TcpListener::bind(addr).is_ok());
}
