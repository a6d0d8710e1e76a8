//! Opens the TCP connection that a client publishes over: directly, or as a dialler from outside
//! does.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::event::PollFlags;
use socket2::{Domain, Protocol, Socket, Type};

use super::error::{LookupProblem, OpenError, OpenStage};
use crate::{fence::Fence, socket::wait_for};

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

/// When an attempt to open a connection ends: at a time, and when its caller cancels.
#[derive(Clone, Copy)]
pub struct Deadline<'a> {
    pub(super) at: Instant,
    pub(super) cancelled: &'a Cancelled,
}

impl Deadline<'_> {
    /// The time left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether the caller has cancelled. A dialler that waits asks every 50 ms.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        (self.cancelled)()
    }

    /// A deadline after the first of `parts` equal parts of the time left: a server that does not
    /// answer leaves time for the next.
    #[must_use]
    pub fn share(self, parts: u32) -> Self {
        Self { at: Instant::now() + self.left() / parts.max(1), ..self }
    }

    /// Time to sleep before the next check; an error after the deadline or on cancellation.
    pub(super) fn slice(&self, stage: OpenStage) -> Result<Duration, OpenError> {
        if self.is_cancelled() {
            return Err(OpenError::Cancelled);
        }
        let left = self.left();
        if left.is_zero() { Err(OpenError::Timeout(stage)) } else { Ok(left.min(LOOK)) }
    }
}

impl fmt::Debug for Deadline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline").field("left", &self.left()).finish_non_exhaustive()
    }
}

/// Opens TCP connections for a client, for example through proxies.
pub trait Dial {
    /// Connects to `port` of `host`, a name or an IP address without brackets, within `deadline`.
    /// The peer must have acknowledged everything that was sent over the connection until then.
    /// Errors of the dialler's own are [`OpenError::Dial`].
    ///
    /// The options of the socket are the dialler's: [`DirectDialler`] sets `TCP_NODELAY`,
    /// `TCP_USER_TIMEOUT` (5 s), and a send buffer of half a second to two seconds of media.
    fn dial(&self, host: &str, port: u16, deadline: Deadline<'_>) -> Result<TcpStream, OpenError>;

    /// What limits when the connections of this dialler may send; `None`: nothing does.
    fn fence(&self) -> Option<Arc<dyn Fence>> {
        None
    }
}

/// Connects to the first address of a host that answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct DirectDialler;

impl Dial for DirectDialler {
    fn dial(&self, host: &str, port: u16, deadline: Deadline<'_>) -> Result<TcpStream, OpenError> {
        let mut addresses = resolve(host, port, deadline)?;
        addresses.truncate(ADDRESSES);
        let mut left = addresses.len() as u32;
        let mut last = None;
        for address in addresses {
            // Divides the remaining time: an address that does not answer leaves time for the next.
            let share = deadline.share(left);
            left -= 1;
            match connect_to(address, share) {
                Ok(socket) => return Ok(socket),
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
