//! Limits clients of the status server: `tiny_http` bounds neither connections nor their time.
//!
//! At most [`MAX_CONNECTIONS`], one thread each; a new one replaces the one idle for longest, so
//! that idle clients block nobody. A request must arrive within [`REQUEST_TIME_OUT`], an answer be
//! read within [`ANSWER_TIME_OUT`]. Only a checked request line reaches [`Backend`].

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{
    backend::Backend,
    request::{HttpRequest, ParsedHead, status_only},
    stop::closed_within,
};

/// Enough for Prometheus, a few tools and operators.
const MAX_CONNECTIONS: usize = 32;

/// From the start of the connection or the end of the last answer.
const REQUEST_TIME_OUT: Duration = Duration::from_secs(10);

/// The time for a client to read an answer.
const ANSWER_TIME_OUT: Duration = Duration::from_secs(10);

/// The longest request head.
const MAX_HEAD: usize = 8 * 1024;

/// How long, and how many bytes, input after the last answer is read: closing a socket with unread
/// input resets it, which may lose the answer.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 1 << 20);

/// The pause after a lack of descriptors or threads.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Small: there are 32 of them.
const STACK_SIZE: usize = 256 * 1024;

/// Listens on the first of `addrs` that is free.
pub(super) fn listen(addrs: &[SocketAddr]) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addrs)?;
    // accept must not block on a client that has disconnected since poll.
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts until the other end of `stopped` closes. Reopens a listener that has failed.
pub(super) fn run(listener: TcpListener, backend: &Arc<Backend>, stopped: &UnixStream) {
    let clients = Arc::new(OpenConnections::default());
    let mut listener = Some(listener);
    let mut addr = None;
    loop {
        let Some(open) = &listener else {
            match addr.map(|addr| listen(&[addr])) {
                Some(Ok(again)) => {
                    log::warn!("reopened the listener of metrics, health and status");
                    listener = Some(again);
                }
                _ if closed_within(stopped, RETRY_PAUSE) => break,
                _ => {}
            }
            continue;
        };
        addr = open.local_addr().ok().or(addr);
        let mut fds = [PollFd::new(open, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        // Errors are interruptions by signals.
        let _ = poll(&mut fds, None);
        if closed_within(stopped, Duration::ZERO) {
            break;
        }
        match open.accept() {
            Ok((socket, _)) => clients.admit(socket, backend),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => listener = None,
            // ECONNABORTED, or no descriptor left, which the rest of the process may need.
            Err(e) => {
                log::debug!("failed to accept a connection to the status server: {e}");
                if closed_within(stopped, RETRY_PAUSE / 10) {
                    break;
                }
            }
        }
    }
    clients.close_all();
}

/// The open connections, oldest first.
#[derive(Debug, Default)]
struct OpenConnections {
    open: Mutex<Vec<OpenConnection>>,
    /// A connection has ended.
    ended: Condvar,
}

#[derive(Debug)]
struct OpenConnection {
    socket: Arc<TcpStream>,
    /// When it began to wait for a request; `None` during an answer.
    waiting: Option<Instant>,
    closed: bool,
}

impl OpenConnections {
    fn locked(&self) -> MutexGuard<'_, Vec<OpenConnection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves `socket` on a thread of its own; closes another connection if there are too many.
    fn admit(self: &Arc<Self>, socket: TcpStream, backend: &Arc<Backend>) {
        let socket = Arc::new(socket);
        let mut open = self.locked();
        while open.len() >= MAX_CONNECTIONS {
            // Idle ones first, longest idle time first; then the oldest. A shut down connection
            // ends at once.
            let oldest = open.iter_mut().filter(|client| !client.closed);
            if let Some(oldest) = oldest.min_by_key(|client| (client.waiting.is_none(), client.waiting)) {
                oldest.closed = true;
                let _ = oldest.socket.shutdown(Shutdown::Both);
            }
            open = self.ended.wait_timeout(open, RETRY_PAUSE).unwrap_or_else(PoisonError::into_inner).0;
        }
        open.push(OpenConnection {
            socket: Arc::clone(&socket),
            waiting: Some(Instant::now()),
            closed: false,
        });
        drop(open);
        let served = ServedConnection { clients: Arc::clone(self), socket };
        let backend = Arc::clone(backend);
        let thread = thread::Builder::new().name("web-client".into()).stack_size(STACK_SIZE);
        if let Err(e) = thread.spawn(move || served.run(&backend)) {
            log::warn!("failed to start a thread for a connection to the status server: {e}");
        }
    }

    fn close_all(&self) {
        for client in self.locked().iter() {
            let _ = client.socket.shutdown(Shutdown::Both);
        }
    }
}

/// A served connection; closed on drop.
struct ServedConnection {
    clients: Arc<OpenConnections>,
    socket: Arc<TcpStream>,
}

impl Drop for ServedConnection {
    fn drop(&mut self) {
        self.clients.locked().retain(|client| !Arc::ptr_eq(&client.socket, &self.socket));
        self.clients.ended.notify_all();
    }
}

impl ServedConnection {
    fn run(self, backend: &Backend) {
        // Errors are the client's.
        if self.serve(backend).is_ok() {
            self.linger();
        }
    }

    /// Answers requests until the last one.
    fn serve(&self, backend: &Backend) -> io::Result<()> {
        self.socket.set_nonblocking(false)?;
        let mut input = Vec::new();
        loop {
            self.set_waiting(Some(Instant::now()));
            let parsed = match self.head(&mut input)? {
                ReadHead::Whole(head) => HttpRequest::parse(&head),
                ReadHead::TooLong => ParsedHead::Refused(431),
                ReadHead::TooSlow => ParsedHead::Refused(408),
                ReadHead::Nothing => return Err(io::ErrorKind::UnexpectedEof.into()),
            };
            self.set_waiting(None);
            let (answer, close) = match parsed {
                ParsedHead::Request(request) => (backend.answer(&request), request.close),
                ParsedHead::Refused(status) => (status_only(status), true),
            };
            self.write(&answer)?;
            if close {
                return Ok(());
            }
        }
    }

    fn set_waiting(&self, waiting: Option<Instant>) {
        let mut open = self.clients.locked();
        if let Some(client) = open.iter_mut().find(|client| Arc::ptr_eq(&client.socket, &self.socket)) {
            client.waiting = waiting;
        }
    }

    /// Reads the next head without its empty line. Further input stays in `input`.
    fn head(&self, input: &mut Vec<u8>) -> io::Result<ReadHead> {
        let end = Instant::now() + REQUEST_TIME_OUT;
        let mut searched = 0;
        loop {
            let found = input[searched..].windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(at) = found.map(|at| searched + at) {
                let rest = input.split_off(at + 4);
                input.truncate(at);
                return Ok(ReadHead::Whole(std::mem::replace(input, rest)));
            }
            if input.len() > MAX_HEAD {
                return Ok(ReadHead::TooLong);
            }
            searched = input.len().saturating_sub(3);
            let mut some = [0; 4096];
            match self.read_until(&mut some, end)? {
                Some(count) if count > 0 => input.extend(&some[..count]),
                None if !input.is_empty() => return Ok(ReadHead::TooSlow),
                _ => return Ok(ReadHead::Nothing),
            }
        }
    }

    /// Reads once; `None` at `end`.
    fn read_until(&self, some: &mut [u8], end: Instant) -> io::Result<Option<usize>> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        self.socket.set_read_timeout(Some(left))?;
        match (&*self.socket).read(some) {
            Ok(count) => Ok(Some(count)),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let end = Instant::now() + ANSWER_TIME_OUT;
        while !bytes.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.socket.set_write_timeout(Some(left))?;
            let count = (&*self.socket).write(bytes)?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Drains input so that the client can read the answer.
    fn linger(&self) {
        let (time, most) = LINGER;
        let (end, mut read) = (Instant::now() + time, 0);
        let mut some = [0; 4096];
        let _ = self.socket.shutdown(Shutdown::Write);
        while read < most {
            match self.read_until(&mut some, end) {
                Ok(Some(count)) if count > 0 => read += count,
                _ => return,
            }
        }
    }
}

enum ReadHead {
    Whole(Vec<u8>),
    TooLong,
    TooSlow,
    /// The client has disconnected or sent nothing.
    Nothing,
}
