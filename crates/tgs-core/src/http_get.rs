//! A page of another tool on this machine (`/status`, `/healthz`), over plain HTTP: one GET, bounded in time and size.
//!
//! No redirects, no TLS, no kept connections: for pages that are made from memory a few microseconds away.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// The longest answer that is read, in bytes; what follows is left out.
const LONGEST: u64 = 1 << 20;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code: 200, 503, …
    pub status: u16,
    /// What follows the head.
    pub body: String,
}

/// The page at `path` (which begins with `/`) of the server at `address`. Connecting, each write and each read take at
/// most `limit`.
pub fn get(address: SocketAddr, path: &str, limit: Duration) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut page = Vec::new();
    stream.take(LONGEST).read_to_end(&mut page)?;
    answer(&String::from_utf8_lossy(&page))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

fn answer(page: &str) -> Option<Answer> {
    let (head, body) = page.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

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
