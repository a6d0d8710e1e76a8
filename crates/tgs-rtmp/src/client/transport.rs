//! Opens a connection: TCP to the first address that answers, TLS, and cancellable waits.
//! Independent of RTMP.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::event::PollFlags;
use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring, pki_types::ServerName};
use socket2::{Domain, Protocol, Socket, Type};
use tgs_core::proxy::{ProxyList, TunnelHandshake, UpstreamProxy};

use super::{
    acked::acked,
    error::{CertificateProblem, IngestProxyProblem, LookupProblem, OpenError, OpenStage, TlsError},
};
use crate::socket::{again, wait_for};
pub(super) use crate::transport::Transport;

/// The kernel drops the connection if sent data stays unacknowledged for this time.
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// SO_SNDBUF in bytes; the kernel doubles it and fills nearly all with payload: 260 kB. 5 Mbit/s at
/// a round trip of 200 ms need 125 kB, so an outage is caught up at twice that rate. At 1 Mbit/s at
/// most 2 s wait here, where they cannot be dropped. Autotuning would use megabytes.
const SEND_BUFFER: usize = 128 * 1024;

/// Limit of addresses tried per host name.
const ADDRESSES: usize = 8;

/// Limit of concurrent look-ups of one name: a look-up that hangs in the resolver cannot be ended.
/// Of each name apart: a name without an answer must not keep other connections from theirs.
const LOOKUPS: usize = 4;

/// Limit of concurrent look-ups of all names; servers name hosts, too, by redirects.
const ALL_LOOKUPS: usize = 64;

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

impl Transport {
    /// Connects to `host` through the first proxy that leads there; directly without proxies.
    pub(super) fn connect(
        host: &str,
        port: u16,
        proxies: &ProxyList,
        deadline: Deadline<'_>,
    ) -> Result<Self, OpenError> {
        let mut left = proxies.len() as u32;
        let mut last = None;
        for (index, proxy) in proxies.in_turn() {
            // Divides the remaining time: a proxy that does not answer leaves time for the next.
            let share = deadline.at.saturating_duration_since(Instant::now()) / left;
            left -= 1;
            let deadline = Deadline { at: Instant::now() + share, ..deadline };
            match Self::connect_through(proxy, host, port, deadline) {
                Ok(connected) => {
                    proxies.keep(index);
                    return Ok(connected);
                }
                Err(OpenError::Cancelled) => return Err(OpenError::Cancelled),
                Err(error) => {
                    if left > 0 {
                        log::warn!("{error}; trying the next one");
                    }
                    proxies.pass_over(index);
                    last = Some(error);
                }
            }
        }
        last.map_or_else(|| Self::connect_directly(host, port, deadline), Err)
    }

    /// Connects to the first address of `host` that answers.
    fn connect_directly(host: &str, port: u16, deadline: Deadline<'_>) -> Result<Self, OpenError> {
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
                Ok(socket) => return Ok(Self::new(socket)),
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
            None => OpenError::Resolve { host, problem: LookupProblem::NoAddress },
        })
    }

    /// Opens a connection through SOCKS5 or HTTP CONNECT; the proxy looks up the name.
    fn connect_through(
        proxy: &UpstreamProxy,
        host: &str,
        port: u16,
        deadline: Deadline<'_>,
    ) -> Result<Self, OpenError> {
        let failed = |problem| OpenError::Proxy { proxy: proxy.to_string(), problem };
        let mut handshake = TunnelHandshake::new(proxy, host, port)
            .map_err(|error| failed(IngestProxyProblem::Tunnel(error)))?;
        let mut wire = match Self::connect_directly(&proxy.host, proxy.port, deadline) {
            Err(OpenError::Cancelled) => return Err(OpenError::Cancelled),
            other => other.map_err(|error| failed(IngestProxyProblem::Connect(Box::new(error))))?,
        };
        let mut out = handshake.take_output();
        while !out.is_empty() || handshake.wanted() > 0 {
            let slice = match deadline.slice(OpenStage::Connect) {
                Err(OpenError::Timeout(_)) => return Err(failed(IngestProxyProblem::Silent)),
                other => other?,
            };
            let sent = wire.push(&mut out).map_err(|_| failed(IngestProxyProblem::Closed))?;
            if !wire.poll(!sent, slice) || !sent {
                continue;
            }
            let mut bytes = vec![0; handshake.wanted()];
            match wire.read(&mut bytes) {
                Ok(0) => return Err(failed(IngestProxyProblem::Closed)),
                Ok(count) => {
                    let taken = handshake.receive(&bytes[..count]);
                    taken.map_err(|error| failed(IngestProxyProblem::Tunnel(error)))?;
                    out = handshake.take_output();
                }
                Err(error) if again(&error) => {}
                Err(_) => return Err(failed(IngestProxyProblem::Closed)),
            }
        }
        // The server's allowance does not count the proxy's answers.
        wire.take_arrived();
        Ok(wire)
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
        self.set_tls(ClientConnection::new(Arc::new(config), name).map_err(tls_error)?);
        self.shake_hands(deadline)
    }

    fn shake_hands(&mut self, deadline: Deadline<'_>) -> Result<(), OpenError> {
        loop {
            // Before failing, sends the TLS alert that states the reason.
            let outcome = self.advance_tls().map_err(OpenError::from);
            let sent = self.push(&mut Vec::new());
            outcome?;
            let all_sent = sent.map_err(|e| closed_or_broken(e, OpenStage::Tls))?;
            if !self.is_handshaking() && all_sent {
                return Ok(());
            }
            if !self.poll(!all_sent, deadline.slice(OpenStage::Tls)?) {
                continue;
            }
            match self.read_tls() {
                Ok(0) => return Err(OpenError::Closed(OpenStage::Tls)),
                Ok(_) => {}
                Err(e) if again(&e) => {}
                Err(e) => return Err(closed_or_broken(e, OpenStage::Tls)),
            }
        }
    }

    pub(super) fn acked(&self) -> u64 {
        acked(self.socket(), self.written())
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

/// The names of all running look-ups.
static RUNNING: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A running look-up of a name; dropping it ends the count.
struct RunningLookup(String);

impl RunningLookup {
    /// Counts a look-up of `host`; `None` if too many run.
    fn begin(host: &str) -> Option<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let same = running.iter().filter(|name| *name == host).count();
        if same >= LOOKUPS || running.len() >= ALL_LOOKUPS {
            return None;
        }
        running.push(host.to_owned());
        Some(Self(host.to_owned()))
    }
}

impl Drop for RunningLookup {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = running.iter().position(|name| *name == self.0) {
            running.swap_remove(at);
        }
    }
}

/// Resolves a host name. A look-up cannot be interrupted, so it runs in a thread, which is
/// abandoned if the resolver does not answer.
fn resolve(host: &str, port: u16, deadline: Deadline<'_>) -> Result<Vec<SocketAddr>, OpenError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let failed = |problem| OpenError::Resolve { host: host.to_owned(), problem };
    let Some(running) = RunningLookup::begin(host) else {
        return Err(failed(LookupProblem::Busy(LOOKUPS)));
    };
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    let lookup = move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        drop(running);
        // After a timeout the receiver is gone.
        let _ = sender.send(found);
    };
    thread::Builder::new()
        .name("resolve".to_owned())
        .spawn(lookup)
        .map_err(|error| failed(LookupProblem::Thread(error)))?;
    loop {
        match receiver.recv_timeout(deadline.slice(OpenStage::Resolve)?) {
            Ok(found) => return found.map_err(|error| failed(LookupProblem::Failed(error))),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(failed(LookupProblem::Died)),
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
        let hang = |host: &str, count| -> Vec<_> {
            (0..count).map(|_| RunningLookup::begin(host).unwrap()).collect()
        };
        let others = hang("elsewhere", LOOKUPS);
        assert!(resolve("localhost", 1, deadline).is_ok(), "another name is not affected");
        let running = hang("localhost", LOOKUPS);
        let Err(error) = resolve("localhost", 1, deadline) else { panic!("one look-up too many") };
        assert!(error.to_string().contains("has not answered 4 questions"), "{error}");
        assert!(resolve("127.0.0.1", 1, deadline).is_ok(), "an address needs no resolver");
        drop(others);
        drop(running);
        assert!(resolve("localhost", 1, deadline).is_ok());
    }
}
