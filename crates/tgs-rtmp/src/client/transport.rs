//! The socket of a connection: TCP to the first address that answers, TLS, and cancellable waits.
//! Independent of RTMP.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
    sync::{Arc, LazyLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::event::PollFlags;
use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring, pki_types::ServerName};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    acked::acked,
    error::{CertificateProblem, OpenError, OpenStage, TlsError},
};
use crate::socket::{again, wait_for};

/// The kernel drops the connection if sent data stays unacknowledged for this time.
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// SO_SNDBUF in bytes; the kernel doubles it and fills nearly all with payload: 260 kB. 5 Mbit/s at
/// a round trip of 200 ms need 125 kB, so an outage is caught up at twice that rate. At 1 Mbit/s at
/// most 2 s wait here, where they cannot be dropped. Autotuning would use megabytes.
const SEND_BUFFER: usize = 128 * 1024;

/// Limit of addresses tried per host name.
const ADDRESSES: usize = 8;

/// Limit of concurrent look-ups: a look-up that hangs in the resolver cannot be ended.
const LOOKUPS: usize = 4;

/// Limit of socket reads per call without TLS data: a server may send empty records endlessly.
const RECORDS: usize = 16;

/// Interval at which a blocked call checks for cancellation.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Whether blocking calls must end; called every 50 ms.
pub(super) type Cancelled = Arc<dyn Fn() -> bool + Send + Sync>;

/// The deadline for opening a connection, and its cancellation.
#[derive(Clone, Copy)]
pub(super) struct Deadline<'a> {
    pub(super) at: Instant,
    pub(super) cancelled: &'a Cancelled,
}

impl Deadline<'_> {
    /// Time to sleep before the next check; an error after the deadline or on cancellation.
    pub(super) fn slice(&self, stage: OpenStage) -> Result<Duration, OpenError> {
        if (self.cancelled)() {
            return Err(OpenError::Cancelled);
        }
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(OpenError::Timeout(stage)) } else { Ok(left.min(LOOK)) }
    }
}

/// An open connection.
pub(super) struct Transport {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    written: u64,
    /// Bytes received from the network since the last [`Transport::take_arrived`].
    arrived: usize,
    /// TLS may hold data that `poll` on the socket does not show.
    unread: bool,
}

impl Transport {
    /// Connects to the first address of `host` that answers.
    pub(super) fn connect(host: &str, port: u16, deadline: Deadline<'_>) -> Result<Self, OpenError> {
        let mut addresses = resolve(host, port, deadline)?;
        addresses.truncate(ADDRESSES);
        let mut left = addresses.len() as u32;
        let mut last = None;
        for address in addresses {
            // Divides the remaining time: an address that does not answer leaves time for the next.
            let share = deadline.at.saturating_duration_since(Instant::now()) / left;
            left -= 1;
            let deadline = Deadline { at: Instant::now() + share, ..deadline };
            match connect_to(address, deadline) {
                Ok(socket) => return Ok(Self { socket, tls: None, written: 0, arrived: 0, unread: false }),
                Err(ConnectAttempt::Fatal(error)) => return Err(error),
                Err(ConnectAttempt::Failed(error)) => last = Some(error),
            }
        }
        let host = host.to_owned();
        Err(match last {
            Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                OpenError::Refused { host, port }
            }
            Some(error) if error.kind() == io::ErrorKind::TimedOut => OpenError::Timeout(OpenStage::Connect),
            Some(source) => OpenError::Connect { host, port, source },
            None => OpenError::Resolve { host, reason: "it has no address".to_owned() },
        })
    }

    /// Sets up TLS and verifies the server's certificate for `host`.
    pub(super) fn start_tls(&mut self, host: &str, deadline: Deadline<'_>) -> Result<(), OpenError> {
        let tls_error = |error| OpenError::Tls(TlsError::Failed(error));
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| OpenError::Tls(TlsError::Name { host: host.to_owned() }))?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(tls_error)?
            .with_root_certificates(authorities()?)
            .with_no_client_auth();
        let mut tls = ClientConnection::new(Arc::new(config), name).map_err(tls_error)?;
        tls.set_buffer_limit(None);
        self.tls = Some(Box::new(tls));
        self.shake_hands(deadline)
    }

    fn shake_hands(&mut self, deadline: Deadline<'_>) -> Result<(), OpenError> {
        loop {
            let Some(tls) = &mut self.tls else { return Ok(()) };
            // Before failing, sends the TLS alert that states the reason.
            let outcome = tls.process_new_packets().map(|_| ()).map_err(OpenError::from);
            let sent = self.push(&mut Vec::new());
            outcome?;
            let all_sent = sent.map_err(|e| closed_or_broken(e, OpenStage::Tls))?;
            let Some(tls) = &mut self.tls else { return Ok(()) };
            if !tls.is_handshaking() && all_sent {
                return Ok(());
            }
            if !self.poll(!all_sent, deadline.slice(OpenStage::Tls)?) {
                continue;
            }
            let Some(tls) = &mut self.tls else { return Ok(()) };
            match tls.read_tls(&mut self.socket) {
                Ok(0) => return Err(OpenError::Closed(OpenStage::Tls)),
                Ok(_) => {}
                Err(e) if again(&e) => {}
                Err(e) => return Err(closed_or_broken(e, OpenStage::Tls)),
            }
        }
    }

    /// Writes as much of `out` as the socket accepts and removes that part. Returns whether
    /// everything is written, including data held by TLS.
    pub(super) fn push(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            let mut done = 0;
            let outcome = loop {
                if done == out.len() {
                    break Ok(true);
                }
                match self.socket.write(&out[done..]) {
                    Ok(n) => done += n,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Ok(false),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => break Err(e),
                }
            };
            self.written += done as u64;
            out.drain(..done);
            return outcome;
        };
        tls.writer().write_all(out)?;
        out.clear();
        while tls.wants_write() {
            match tls.write_tls(&mut self.socket) {
                Ok(n) => self.written += n as u64,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Reads received data: `WouldBlock` if none has arrived, 0 if the server has closed.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.read(buffer).inspect(|count| self.arrived += count);
        };
        self.unread = false;
        for _ in 0..RECORDS {
            match tls.reader().read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) => {
                    self.unread = count == buffer.len();
                    return Ok(count);
                }
                Err(e) => return Err(e),
            }
            let count = tls.read_tls(&mut self.socket)?;
            // Treats a close without `close_notify` as a normal end.
            if count == 0 {
                return Ok(0);
            }
            self.arrived += count;
            tls.process_new_packets().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Bytes received from the network since the last call, including TLS overhead.
    pub(super) fn take_arrived(&mut self) -> usize {
        std::mem::take(&mut self.arrived)
    }

    /// Waits at most `timeout` until the socket is readable, or with `to_write` also writable.
    /// Returns whether it is ready.
    pub(super) fn poll(&self, to_write: bool, timeout: Duration) -> bool {
        if self.unread {
            return true;
        }
        let write = if to_write { PollFlags::OUT } else { PollFlags::empty() };
        wait_for(&self.socket, PollFlags::IN | write, timeout)
    }

    /// Shuts down the sending side.
    pub(super) fn shutdown(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // Best effort: nothing depends on the arrival of `close_notify`.
            let _ = tls.write_tls(&mut self.socket);
        }
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn acked(&self) -> u64 {
        acked(&self.socket, self.written)
    }
}

/// Why connecting to one address failed.
enum ConnectAttempt {
    /// The next address may work.
    Failed(io::Error),
    Fatal(OpenError),
}

impl From<io::Error> for ConnectAttempt {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

fn connect_to(address: SocketAddr, deadline: Deadline<'_>) -> Result<TcpStream, ConnectAttempt> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    match socket.connect(&address.into()) {
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        other => other?,
    }
    loop {
        let slice = match deadline.slice(OpenStage::Connect) {
            Ok(slice) => slice,
            Err(OpenError::Timeout(_)) => return Err(ConnectAttempt::Failed(io::ErrorKind::TimedOut.into())),
            Err(error) => return Err(ConnectAttempt::Fatal(error)),
        };
        if wait_for(&socket, PollFlags::OUT, slice) {
            return match socket.take_error()? {
                None => Ok(socket.into()),
                Some(error) => Err(ConnectAttempt::Failed(error)),
            };
        }
    }
}

/// Each running look-up holds a reference, which counts it.
static RUNNING: LazyLock<Arc<()>> = LazyLock::new(Arc::default);

/// Resolves a host name. A look-up cannot be interrupted, so it runs in a thread, which is
/// abandoned if the resolver does not answer.
fn resolve(host: &str, port: u16, deadline: Deadline<'_>) -> Result<Vec<SocketAddr>, OpenError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let failed = |reason: String| OpenError::Resolve { host: host.to_owned(), reason };
    if Arc::strong_count(&RUNNING) > LOOKUPS {
        return Err(failed(format!("the resolver has not answered {LOOKUPS} questions before this one")));
    }
    let running = Arc::clone(&RUNNING);
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    let lookup = move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        drop(running);
        // After a timeout the receiver is gone.
        let _ = sender.send(found);
    };
    thread::Builder::new().name("resolve".to_owned()).spawn(lookup).map_err(|e| failed(e.to_string()))?;
    loop {
        match receiver.recv_timeout(deadline.slice(OpenStage::Resolve)?) {
            Ok(found) => return found.map_err(|e| failed(e.to_string())),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(failed("the resolver died".to_owned())),
        }
    }
}

fn authorities() -> Result<RootCertStore, OpenError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let problem = CertificateProblem::NoAuthorities(found.errors.into_iter().next());
        return Err(OpenError::Certificate(problem));
    }
    Ok(roots)
}

pub(super) fn closed_or_broken(error: io::Error, stage: OpenStage) -> OpenError {
    use super::error::ConnectionLost;
    match ConnectionLost::from(error) {
        ConnectionLost::Closed | ConnectionLost::Reset => OpenError::Closed(stage),
        ConnectionLost::NoAnswer => OpenError::Timeout(stage),
        broken => OpenError::Broken { stage, broken },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_that_never_answers_holds_only_so_many_threads() {
        let cancelled: Cancelled = Arc::new(|| false);
        let deadline = Deadline { at: Instant::now() + Duration::from_mins(1), cancelled: &cancelled };
        assert!(resolve("localhost", 1, deadline).is_ok());
        let running = vec![Arc::clone(&RUNNING); LOOKUPS];
        let Err(error) = resolve("localhost", 1, deadline) else { panic!("one look-up too many") };
        assert!(error.to_string().contains("has not answered 4 questions"), "{error}");
        assert!(resolve("127.0.0.1", 1, deadline).is_ok(), "an address needs no resolver");
        drop(running);
        assert!(resolve("localhost", 1, deadline).is_ok());
    }
}
