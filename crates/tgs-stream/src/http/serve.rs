//! A small HTTP/1.1 server on one thread: GET and HEAD, one request a connection, every connection bounded in time
//! and in bytes.
//!
//! Why not `tiny_http`: measured with 0.12, one POST whose body never comes stops every later answer, a header line
//! without an end is kept in memory without limit, and each idle connection holds a thread for ever. A listener that
//! lives for months inside a 16 MiB broadcaster cannot have that, and no setting of it bounds them.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Pages;

/// From the connection's start to its end, whatever the client does.
const CLIENT_TIME: Duration = Duration::from_secs(10);

/// With more than these, the oldest is closed: it is the one most likely to be stuck.
const MAX_CLIENTS: usize = 16;

/// Request line and headers. Prometheus sends about 300 bytes.
const MAX_HEAD: usize = 8 * 1024;

/// What is read of a request that has been answered, or of its body.
const MAX_FAREWELL: usize = 64 * 1024;

/// How long no connection is taken after taking one has failed (out of descriptors), which is no reason to spin.
const PAUSE: Duration = Duration::from_secs(5);

/// Serves until the other end of `stopped` is closed.
pub(super) fn run(listener: TcpListener, pages: Pages, stopped: UnixStream) {
    let server = Server { listener, pages, stopped, clients: Vec::new(), paused_until: None };
    if let Err(e) = server.run() {
        log::error!("metrics, health and status are off from now on: {e}");
    }
}

struct Server {
    listener: TcpListener,
    pages: Pages,
    stopped: UnixStream,
    /// Oldest first.
    clients: Vec<Client>,
    paused_until: Option<Instant>,
}

/// What one wait has found.
struct Ready {
    stopped: bool,
    listener: bool,
    clients: Vec<bool>,
}

impl Server {
    fn run(mut self) -> io::Result<()> {
        // A client can be gone again between poll and accept, which must not block then.
        self.listener.set_nonblocking(true)?;
        loop {
            let now = Instant::now();
            self.clients.retain(|client| client.until > now);
            self.paused_until = self.paused_until.filter(|until| *until > now);
            let ready = self.wait(now)?;
            if ready.stopped {
                return Ok(());
            }
            let mut clients = ready.clients.into_iter();
            let pages = &self.pages;
            self.clients.retain_mut(|client| clients.next() != Some(true) || client.go_on(pages));
            if ready.listener {
                self.accept(now);
            }
        }
    }

    fn wait(&self, now: Instant) -> io::Result<Ready> {
        let wake = self.clients.iter().map(|client| client.until).chain(self.paused_until).min();
        let timeout = wake
            .map(|at| at.saturating_duration_since(now))
            .map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) });
        let accepting = if self.paused_until.is_some() { PollFlags::empty() } else { PollFlags::IN };
        let mut fds = vec![PollFd::new(&self.stopped, PollFlags::IN), PollFd::new(&self.listener, accepting)];
        fds.extend(self.clients.iter().map(|client| PollFd::new(&client.stream, client.interest())));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(Ready {
            stopped: ready.next() == Some(true),
            listener: ready.next() == Some(true),
            clients: ready.collect(),
        })
    }

    /// Takes one connection. Only one, so that a burst finds its predecessors answered before they are the oldest.
    fn accept(&mut self, now: Instant) {
        let accepted = self.listener.accept().and_then(|(stream, _)| {
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        match accepted {
            Ok(stream) => {
                if self.clients.len() >= MAX_CLIENTS {
                    self.clients.remove(0);
                }
                self.clients.push(Client {
                    stream,
                    until: now + CLIENT_TIME,
                    phase: Phase::Request(Vec::new()),
                });
            }
            Err(e) if passing(&e) => {}
            Err(e) => {
                log::warn!(
                    "failed to take a connection for metrics or health, trying again in {PAUSE:?}: {e}"
                );
                self.paused_until = Some(now + PAUSE);
            }
        }
    }
}

/// Errors that mean "not now" or "that client has gone".
fn passing(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(e.kind(), ConnectionAborted | Interrupted | WouldBlock)
}

struct Client {
    stream: TcpStream,
    until: Instant,
    phase: Phase,
}

enum Phase {
    /// What has come of the request so far.
    Request(Vec<u8>),
    /// The answer, and how much of it has gone.
    Answer(Vec<u8>, usize),
    /// All is sent. What the client still sends is read: closing over unread bytes would reset the connection, and
    /// the answer could be lost with it. Up to this many bytes more.
    Farewell(usize),
}

impl Client {
    fn interest(&self) -> PollFlags {
        match self.phase {
            Phase::Answer(..) => PollFlags::OUT,
            Phase::Request(_) | Phase::Farewell(_) => PollFlags::IN,
        }
    }

    /// Does what can be done without waiting; `false` when the connection is done with.
    fn go_on(&mut self, pages: &Pages) -> bool {
        match self.step(pages) {
            Ok(open) => open,
            Err(e) => passing(&e),
        }
    }

    fn step(&mut self, pages: &Pages) -> io::Result<bool> {
        let mut chunk = [0; 1024];
        match &mut self.phase {
            Phase::Request(request) => {
                let n = self.stream.read(&mut chunk)?;
                request.extend_from_slice(&chunk[..n]);
                if let Some(head) = head(request) {
                    self.phase = Phase::Answer(answer(head, pages), 0);
                } else if request.len() > MAX_HEAD {
                    let page = Page::plain(
                        "431 Request Header Fields Too Large",
                        "that is no request for these pages",
                    );
                    self.phase = Phase::Answer(page.bytes(true), 0);
                }
                Ok(n > 0)
            }
            Phase::Answer(bytes, sent) => {
                *sent += self.stream.write(&bytes[*sent..])?;
                if *sent == bytes.len() {
                    self.stream.shutdown(Shutdown::Write)?;
                    self.phase = Phase::Farewell(MAX_FAREWELL);
                }
                Ok(true)
            }
            Phase::Farewell(left) => {
                let n = self.stream.read(&mut chunk)?;
                *left = left.saturating_sub(n);
                Ok(n > 0 && *left > 0)
            }
        }
    }
}

/// Everything up to the empty line, once that is there.
fn head(request: &[u8]) -> Option<&[u8]> {
    let end = request.windows(4).position(|w| w == b"\r\n\r\n")?;
    Some(&request[..end])
}

fn answer(head: &[u8], pages: &Pages) -> Vec<u8> {
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words[..] else {
        return Page::plain("400 Bad Request", "this is not an HTTP request").bytes(true);
    };
    if !version.starts_with("HTTP/1.") {
        return Page::plain("505 HTTP Version Not Supported", "only HTTP/1.0 and 1.1 are spoken here")
            .bytes(true);
    }
    let path = target.split('?').next().unwrap_or_default();
    let page = match (path, method) {
        ("/metrics" | "/healthz" | "/status", "GET" | "HEAD") => page(path, pages),
        ("/metrics" | "/healthz" | "/status", _) => Page {
            allow: true,
            ..Page::plain("405 Method Not Allowed", "only GET and HEAD are answered here")
        },
        _ => Page::plain("404 Not Found", "there are /metrics, /healthz and /status"),
    };
    page.bytes(method != "HEAD")
}

fn page(path: &str, pages: &Pages) -> Page {
    match path {
        "/metrics" => match super::render(|_| true) {
            Ok(text) => Page { status: "200 OK", kind: prometheus::TEXT_FORMAT, body: text, allow: false },
            Err(e) => {
                log::error!("failed to write out the metrics: {e}");
                Page::plain("500 Internal Server Error", &format!("failed to write out the metrics: {e}"))
            }
        },
        "/healthz" => match (pages.health)() {
            Ok(()) => Page::plain("200 OK", "ok"),
            Err(reason) => Page::plain("503 Service Unavailable", &reason),
        },
        _ => Page {
            status: "200 OK",
            kind: "application/json",
            body: (pages.status_json)() + "\n",
            allow: false,
        },
    }
}

struct Page {
    status: &'static str,
    kind: &'static str,
    body: String,
    /// Say which methods there are: a 405 must.
    allow: bool,
}

impl Page {
    fn plain(status: &'static str, text: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: format!("{text}\n"), allow: false }
    }

    fn bytes(&self, with_body: bool) -> Vec<u8> {
        let Self { status, kind, body, allow } = self;
        let allow = if *allow { "Allow: GET, HEAD\r\n" } else { "" };
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\n\
             Connection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        if with_body {
            bytes.extend_from_slice(body.as_bytes());
        }
        bytes
    }
}
