//! One HTTP GET with a limit on total time and size, because another program may own the port.
//!
//! No redirects, no TLS, no keep-alive: the pages are on this machine.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Maximum size of an answer in bytes; the rest is dropped.
const LONGEST: usize = 1 << 20;

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code: 200, 503, …
    pub code: u16,
    /// The body.
    pub body: String,
}

/// Gets `path` (with its leading `/`) from `address`. `limit` covers the whole exchange.
pub fn get(address: SocketAddr, path: &str, limit: Duration) -> io::Result<HttpAnswer> {
    let end = Instant::now() + limit;
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_write_timeout(Some(remaining(end)?))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut page = Vec::new();
    let mut chunk = [0; 4096];
    while page.len() < LONGEST {
        stream.set_read_timeout(Some(remaining(end)?))?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => page.extend(&chunk[..count]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // An expired SO_RCVTIMEO is reported as EAGAIN.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(too_slow()),
            Err(e) => return Err(e),
        }
    }
    answer(&String::from_utf8_lossy(&page))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

/// Resolves `server` (`HOST:PORT`). getaddrinfo cannot be interrupted: after `limit` its thread is
/// abandoned.
pub fn resolve(server: &str, limit: Duration) -> io::Result<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    let name = server.to_owned();
    let look = move || {
        // After `limit` the receiver no longer exists.
        let _ = sender.send(name.to_socket_addrs().map(|mut found| found.next()));
    };
    thread::Builder::new().name("resolve".into()).spawn(look)?;
    let found = receiver.recv_timeout(limit).map_err(|_| too_slow())??;
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has no address"))
}

/// The time until `end`, or an error after it.
fn remaining(end: Instant) -> io::Result<Duration> {
    let remaining = end.saturating_duration_since(Instant::now());
    if remaining.is_zero() { Err(too_slow()) } else { Ok(remaining) }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the answer did not come in time")
}

fn answer(page: &str) -> Option<HttpAnswer> {
    let (head, body) = page.split_once("\r\n\r\n")?;
    let code = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(HttpAnswer { code, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::TcpListener;

    /// Queries a server with this behaviour; returns the result and the duration.
    fn ask(behave: fn(TcpStream), limit: Duration) -> (io::Result<HttpAnswer>, Duration) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || behave(listener.accept().unwrap().0));
        let began = Instant::now();
        (get(address, "/healthz", limit), began.elapsed())
    }

    #[test]
    fn the_time_is_for_the_whole_answer() {
        let limit = Duration::from_millis(300);
        let drip = |mut stream: TcpStream| {
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        };
        let silent = |mut stream: TcpStream| drop(stream.read_to_end(&mut Vec::new()));
        for behave in [drip, silent] {
            let (answer, took) = ask(behave, limit);
            assert_eq!(answer.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!((limit..100 * limit).contains(&took), "{took:?}");
        }
    }

    #[test]
    fn an_answer_without_an_end_is_cut() {
        let endless = |mut stream: TcpStream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        };
        let (answer, _) = ask(endless, Duration::from_mins(1));
        let length = answer.unwrap().body.len();
        assert!((LONGEST - 4096..=LONGEST + 4096).contains(&length), "{length}");
    }

    #[test]
    fn names_are_looked_up() {
        let limit = Duration::from_secs(30);
        assert_eq!(resolve("127.0.0.1:7", limit).unwrap(), SocketAddr::from(([127, 0, 0, 1], 7)));
        assert!(resolve("no port", limit).is_err());
    }

    #[test]
    fn answers() {
        let read = |page| answer(page).map(|a| (a.code, a.body));
        assert_eq!(read("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}"), Some((200, "{}".into())));
        assert_eq!(read("HTTP/1.1 503 No\r\n\r\n"), Some((503, String::new())));
        assert_eq!(read("HTTP/1.0 200 OK\r\nA: b"), None);
        assert_eq!(read("SSH-2.0-OpenSSH_9.2\r\n\r\n"), None);
        assert_eq!(read(""), None);
    }
}
