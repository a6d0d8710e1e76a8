//! A page of another tool on this machine (`/status`, `/healthz`), over plain HTTP: one GET, bounded in time and size.
//!
//! No redirects, no TLS, no kept connections: for pages that are made from memory a few microseconds away. Whoever answers
//! there may be a stranger: the time is for the whole, and so is the size.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::OFlags;

/// The longest answer that is read, in bytes; what follows is left out.
const LONGEST: usize = 1 << 20;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code: 200, 503, …
    pub status: u16,
    /// What follows the head.
    pub body: String,
}

/// The page at `path` (which begins with `/`) of the server at `address`. All of it takes at most `limit`.
pub fn get(address: SocketAddr, path: &str, limit: Duration) -> io::Result<Answer> {
    let end = Instant::now() + limit;
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_write_timeout(Some(left(end)?))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut page = Vec::new();
    let mut some = [0; 4096];
    while page.len() < LONGEST {
        stream.set_read_timeout(Some(left(end)?))?;
        match stream.read(&mut some) {
            Ok(0) => break,
            Ok(count) => page.extend(&some[..count]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // What the system calls a time-out here.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(too_slow()),
            Err(e) => return Err(e),
        }
    }
    answer(&String::from_utf8_lossy(&page))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

/// An address of `server` (`HOST:PORT`). The resolver cannot be interrupted: after `limit` it is left alone.
pub fn resolve(server: &str, limit: Duration) -> io::Result<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    let name = server.to_owned();
    let look = move || {
        // Nobody listens where the time is up.
        let _ = sender.send(name.to_socket_addrs().map(|mut found| found.next()));
    };
    thread::Builder::new().name("resolve".into()).spawn(look)?;
    let found = receiver.recv_timeout(limit).map_err(|_| too_slow())??;
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has no address"))
}

/// The address that `tgs-stream` has put into `file` (`metrics.port`). The file lies in the service's directory: it is
/// neither followed nor waited for. `InvalidData` where it holds something else, which no error shows.
pub fn address_in(file: &Path) -> io::Result<SocketAddr> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(file)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut text = String::new();
    file.take(64).read_to_string(&mut text)?;
    text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it holds no address"))
}

/// What is left until `end`; an error where that is nothing.
fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(too_slow()) } else { Ok(left) }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the answer did not come in time")
}

fn answer(page: &str) -> Option<Answer> {
    let (head, body) = page.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::TcpListener;

    /// The outcome of asking a server that does as `behave` has it, and how long that took.
    fn asked(behave: fn(TcpStream), limit: Duration) -> (io::Result<Answer>, Duration) {
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
            let (answer, took) = asked(behave, limit);
            assert_eq!(answer.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!((limit..10 * limit).contains(&took), "{took:?}");
        }
    }

    #[test]
    fn an_answer_without_an_end_is_cut() {
        let endless = |mut stream: TcpStream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        };
        let (answer, _) = asked(endless, Duration::from_mins(1));
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
        let read = |page| answer(page).map(|a| (a.status, a.body));
        assert_eq!(read("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}"), Some((200, "{}".into())));
        assert_eq!(read("HTTP/1.1 503 No\r\n\r\n"), Some((503, String::new())));
        assert_eq!(read("HTTP/1.0 200 OK\r\nA: b"), None);
        assert_eq!(read("SSH-2.0-OpenSSH_9.2\r\n\r\n"), None);
        assert_eq!(read(""), None);
    }
}
