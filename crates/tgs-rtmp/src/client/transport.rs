//! The socket under a connection: TCP to the first address that answers, TLS, and waiting that can
//! be cancelled. Knows no RTMP.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
    os::fd::AsFd,
    sync::{Arc, LazyLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, RootCertStore, crypto::ring, pki_types::ServerName,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    acked::acked,
    error::{OpenError, OpenStage},
};

/// After this long without any answer to what was sent the kernel gives the connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// SO_SNDBUF in bytes; the kernel doubles it and fills nearly all with payload: 260 kB. 5 Mbit/s at
/// a round trip of 200 ms need 125 kB, so twice that rate passes after an outage, and at 1 Mbit/s
/// at most 2 s wait here, too late to be dropped. Autotuning would grow it to megabytes.
const SEND_BUFFER: usize = 128 * 1024;

/// So many addresses of a name are tried.
const ADDRESSES: usize = 8;

/// Look-ups that may run at once: one that the resolver does not answer cannot be ended.
const LOOKUPS: usize = 4;

/// Socket reads in one call while TLS yields no data: a server may send empty records without end.
const RECORDS: usize = 16;

/// How long a blocked call sleeps before it looks whether it is wanted any more.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Whether blocking calls shall end; asked every 50 ms.
pub(super) type Cancelled = Arc<dyn Fn() -> bool + Send + Sync>;

/// Until when opening a connection may take, and whether it is still wanted.
#[derive(Clone, Copy)]
pub(super) struct Deadline<'a> {
    pub(super) at: Instant,
    pub(super) cancelled: &'a Cancelled,
}

impl Deadline<'_> {
    /// How long to sleep before looking again; an error where there is nothing more to wait for.
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
    /// What came from the network since it was last asked for.
    arrived: usize,
    /// TLS may hold data that the socket does not show any more.
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
            // An address that does not answer leaves time for the next.
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
        let tls_error = |error: rustls::Error| OpenError::Tls(error.to_string());
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| OpenError::Tls(format!("{host} is no name a certificate can be for")))?;
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
            // An alert that says why we give up is worth sending before that.
            let outcome = tls.process_new_packets().map(|_| ()).map_err(describe);
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

    /// Writes the front of `out` as far as the socket accepts it and removes that part. Returns
    /// whether everything is written, including what TLS holds.
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

    /// Reads what has arrived: `WouldBlock` where that is nothing, 0 where the server has closed.
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
            // An end without TLS's own farewell is an end all the same.
            if count == 0 {
                return Ok(0);
            }
            self.arrived += count;
            tls.process_new_packets().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Bytes that came from the network since the last call, those that TLS adds included.
    pub(super) fn take_arrived(&mut self) -> usize {
        std::mem::take(&mut self.arrived)
    }

    /// Waits at most `timeout` until the socket is readable, or with `to_write` also writable.
    /// Returns whether it is.
    pub(super) fn poll(&self, to_write: bool, timeout: Duration) -> bool {
        if self.unread {
            return true;
        }
        let write = if to_write { PollFlags::OUT } else { PollFlags::empty() };
        wait_for(&self.socket, PollFlags::IN | write, timeout)
    }

    /// Says that nothing more will be written.
    pub(super) fn shutdown(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // It is a courtesy: nothing depends on its arrival.
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

/// Why one address did not do.
enum ConnectAttempt {
    /// The next one may.
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

/// Each look-up that runs holds a count of it.
static RUNNING: LazyLock<Arc<()>> = LazyLock::new(Arc::default);

/// The addresses of a name. A look-up cannot be interrupted, so a thread does it, which is left
/// behind if the resolver does not answer.
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
        // Nobody listens where the time is up.
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
        let reason = found.errors.first().map(|e| format!("; {e}")).unwrap_or_default();
        return Err(OpenError::Certificate(format!(
            "this machine has no certificate authorities (install ca-certificates, or name a file of them in \
             SSL_CERT_FILE){reason}"
        )));
    }
    Ok(roots)
}

fn describe(error: rustls::Error) -> OpenError {
    use CertificateError as C;
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return OpenError::Tls(error.to_string());
    };
    OpenError::Certificate(match certificate {
        C::Expired | C::ExpiredContext { .. } => "it has expired (or the clock here is wrong)".to_owned(),
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "it is not valid yet (or the clock here is wrong)".to_owned()
        }
        C::BadSignature => "it is not signed by the authority it names".to_owned(),
        C::UnknownIssuer => {
            "its issuer is not known here (SSL_CERT_FILE names the authorities that are)".to_owned()
        }
        C::NotValidForName | C::NotValidForNameContext { .. } => "it is for another host name".to_owned(),
        other => other.to_string(),
    })
}

pub(super) fn closed_or_broken(error: io::Error, stage: OpenStage) -> OpenError {
    use super::error::ConnectionLost;
    match ConnectionLost::from(error) {
        ConnectionLost::Closed | ConnectionLost::Reset => OpenError::Closed(stage),
        ConnectionLost::NoAnswer => OpenError::Timeout(stage),
        broken => OpenError::Broken { stage, broken },
    }
}

/// Whether a non-blocking call just has to be made again later.
pub(super) fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn wait_for(socket: &impl AsFd, flags: PollFlags, timeout: Duration) -> bool {
    let timeout =
        Timespec { tv_sec: timeout.as_secs().cast_signed(), tv_nsec: timeout.subsec_nanos().into() };
    // An error is an interruption by a signal: the caller looks and waits again.
    poll(&mut [PollFd::new(socket, flags)], Some(&timeout)).is_ok_and(|ready| ready > 0)
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
