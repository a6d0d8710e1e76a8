//! Misbehaving web servers of ten kinds on one port: the path selects the kind and the file.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

/// The misbehaviour of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Accepts the request and never answers.
    Silent,
    /// Sends one byte of the response header per second.
    Drips,
    /// Sends an endless response header.
    EndlessHeader,
    /// Sends half of the requested bytes, then stalls with the connection open.
    Stalls,
    /// Sends a third of the requested bytes, then closes the connection; also for a range request.
    Dies,
    /// Sends less than its `Content-Length` and ignores ranges.
    Lies,
    /// Sends 1 KiB per second.
    Trickles,
    /// Redirects to itself.
    Redirects,
    /// Sends an HTML page instead of the file, with status 200.
    Html,
    /// Answers every other request as busy.
    Busy,
}

impl Manner {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Silent,
        Self::Drips,
        Self::EndlessHeader,
        Self::Stalls,
        Self::Dies,
        Self::Lies,
        Self::Trickles,
        Self::Redirects,
        Self::Html,
        Self::Busy,
    ];
}

/// Longest time that a connection stays open.
const HOLD: Duration = Duration::from_mins(2);

/// The server. Its threads end with the process or with their connections.
#[derive(Debug)]
pub struct Server {
    port: u16,
}

impl Server {
    /// Serves the files of `dir`.
    pub fn start(dir: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen on 127.0.0.1")?;
        let port = listener.local_addr()?.port();
        let (dir, asked) = (dir.to_owned(), Arc::new(AtomicUsize::new(0)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (dir, asked) = (dir.clone(), Arc::clone(&asked));
                // A client that disconnects is expected here.
                thread::spawn(move || drop(answer(&stream, &dir, &asked)));
            }
        });
        Ok(Self { port })
    }

    /// The URL of the file `name` with this misbehaviour.
    #[must_use]
    pub fn url(&self, manner: Manner, name: &str) -> String {
        let number = Manner::ALL.iter().position(|other| *other == manner).unwrap_or_default();
        format!("http://127.0.0.1:{}/{number}/{name}", self.port)
    }
}

fn answer(mut stream: &TcpStream, dir: &Path, asked: &AtomicUsize) -> io::Result<()> {
    stream.set_read_timeout(Some(HOLD))?;
    stream.set_write_timeout(Some(HOLD))?;
    let (manner, name, from) = request(stream)?;
    let turn = asked.fetch_add(1, Ordering::Relaxed);
    match manner {
        Manner::Silent => return wait(stream),
        Manner::Redirects => {
            return write!(stream, "HTTP/1.1 302 Found\r\nLocation: /7/{name}\r\nContent-Length: 0\r\n\r\n");
        }
        Manner::Html => {
            let page = "<html><title>Not found</title><a href=/>home</a>\n".repeat(300);
            return write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            );
        }
        Manner::Busy if turn.is_multiple_of(2) => {
            let head = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 100000\r\nContent-Length: 0\r\n\r\n";
            return stream.write_all(head.as_bytes());
        }
        Manner::EndlessHeader => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            return repeat(stream, b"X-Filler: 0123456789\r\n", Duration::from_millis(1));
        }
        Manner::Drips => return repeat(stream, b"H", Duration::from_secs(1)),
        _ => {}
    }
    send(stream, manner, &dir.join(name), from)
}

/// Sends the file from byte `from`.
fn send(mut stream: &TcpStream, manner: Manner, path: &PathBuf, from: Option<usize>) -> io::Result<()> {
    let all = fs::read(path)?;
    let total = all.len();
    let rest = all.get(from.unwrap_or(0)..).unwrap_or_default();
    let from = from.filter(|_| manner != Manner::Lies).unwrap_or(0);
    if from > 0 {
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}\r\n",
            total - 1
        )?;
    } else {
        write!(stream, "HTTP/1.1 200 OK\r\n")?;
    }
    let stated = if manner == Manner::Lies { total + 100_000 } else { rest.len() };
    write!(stream, "Accept-Ranges: bytes\r\nContent-Length: {stated}\r\nConnection: close\r\n\r\n")?;
    match manner {
        Manner::Stalls => {
            stream.write_all(&rest[..rest.len() / 2])?;
            wait(stream)
        }
        Manner::Dies => stream.write_all(&rest[..rest.len() / 3]),
        Manner::Trickles => rest.chunks(1024).try_for_each(|chunk| {
            thread::sleep(Duration::from_secs(1));
            stream.write_all(chunk)
        }),
        _ => stream.write_all(rest),
    }
}

/// Keeps the connection open until the client closes it.
fn wait(mut stream: &TcpStream) -> io::Result<()> {
    while stream.read(&mut [0; 4096])? > 0 {}
    Ok(())
}

fn repeat(mut stream: &TcpStream, bytes: &[u8], pause: Duration) -> io::Result<()> {
    for _ in 0..HOLD.as_millis() / pause.as_millis() {
        stream.write_all(bytes)?;
        thread::sleep(pause);
    }
    Ok(())
}

/// Parses the kind, the file and the first requested byte.
fn request(stream: &TcpStream) -> io::Result<(Manner, String, Option<usize>)> {
    let mut lines = BufReader::new(stream.take(64 * 1024)).lines();
    let first = lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let (number, name) = path.split_once('/').unwrap_or(("0", &path));
    let number: usize = number.parse().unwrap_or_default();
    let mut from = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            from = range.split('-').next().and_then(|n| n.parse().ok());
        }
    }
    Ok((Manner::ALL[number % Manner::ALL.len()], name.to_owned(), from))
}
