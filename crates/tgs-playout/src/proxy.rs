//! The loopback HTTP proxy that children fetch from the network through: it decides which addresses they reach.
//!
//! ffmpeg and yt-dlp follow redirects, playlists and names wherever a stranger's server leads them. Here each connection
//! is judged by the address that it is really made to: what a stranger names reaches public addresses, and private ones
//! only from a list that lies on the same network ([`Trust`]). What a probe has read of an answer that cannot be asked
//! for in parts is kept for the encoder (`held`), so that the server sees one connection.
//!
//! A child finds the proxy in its environment, which other users cannot read, with credentials of its own ([`Client`]).
//! Without them the proxy does nothing.

mod address;
mod carrier;
mod exchange;
mod head;
mod held;
mod protocols;
mod relay;
mod rtsp;
mod serve;

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ring::rand::{SecureRandom, SystemRandom};
use tgs_core::supervise::keep_running;

pub use address::Network;
pub use protocols::{cookies, is_carried, opened_options};

use crate::item::{FailureReason, ItemFailure, MediaSource, Trust};
use carrier::Carried;
use held::Held;

/// Clients that are known at a time; of more, those without a connection that were idle longest are forgotten.
const MAX_CLIENTS: usize = 256;

/// Addresses whose servers are busy that are known at a time; of more the first is asked again early.
const MAX_BUSY: usize = 64;

/// A server that asks for more time than this (`Retry-After`) is asked again all the same.
const MAX_WAIT: Duration = Duration::from_mins(10);

/// The variables by which an operator names a proxy for https.
const HTTPS_PROXY: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];

/// Whether what a client reads is kept for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// It plays what it reads.
    Plays,
    /// It only looks, and somebody is to read the same from the beginning.
    Looks,
}

/// A child's account with the proxy.
#[derive(Debug, Clone)]
pub struct Client(Arc<Account>);

#[derive(Debug)]
struct Account {
    /// Name and password as they stand in a URL: short, because ffmpeg has 200 bytes for them and the server's name.
    credentials: String,
    trust: Trust,
    /// The host of the address that the child was given.
    host: String,
    reads: Reads,
    is_proxied: bool,
    /// What is read for it over another protocol than HTTP.
    carried: Option<Carried>,
    connections: AtomicUsize,
    /// Whether somebody on the network may have spoken to the child.
    heard: AtomicBool,
    record: Mutex<Record>,
}

/// What a client has met.
#[derive(Debug, Default)]
struct Record {
    /// The network of the host that it was given.
    near: Option<Network>,
    gets: u32,
    trouble: Option<Trouble>,
}

/// Why a client did not get what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    Forbidden(IpAddr),
    Unresolved,
    Unreachable(io::ErrorKind),
    Busy {
        status: u16,
        seconds: Option<u64>,
    },
    /// Of a sender that a carrier speaks to.
    Sender(ItemFailure),
}

impl Client {
    /// An account for a child that opens `source`.
    #[must_use]
    pub fn new(source: &MediaSource, reads: Reads) -> Self {
        Self::with_ffmpeg(source, reads, Path::new("ffmpeg"))
    }

    /// The same where the proxy may have to run `ffmpeg`, because it does not speak the protocol of `source`.
    #[must_use]
    pub fn with_ffmpeg(source: &MediaSource, reads: Reads, ffmpeg: &Path) -> Self {
        let carried = protocols::is_carried(source)
            .then(|| Carried { source: source.clone(), ffmpeg: ffmpeg.to_owned() });
        let host = host_of(&source.url).map_or(String::new(), |server| server.host);
        let account = Account {
            credentials: format!("t:{}", random()),
            trust: source.trust,
            host,
            reads,
            is_proxied: protocols::is_proxied(source),
            carried,
            connections: AtomicUsize::new(0),
            heard: AtomicBool::new(false),
            record: Mutex::default(),
        };
        Self(Arc::new(account))
    }

    /// Makes `command` fetch from the network through the proxy, where its protocol takes one. A proxy of the
    /// operator's stays in force for its scheme: it decides then.
    pub fn apply(&self, command: &mut Command) {
        // An empty value sets no proxy.
        let is_own = |command: &Command, names: [&str; 2]| {
            let mut set = command.get_envs().filter(|(_, value)| value.is_some_and(|it| !it.is_empty()));
            set.any(|(name, _)| names.iter().any(|one| name == *one))
        };
        // ffmpeg reads this name alone, for https too.
        let is_http_own = is_own(command, ["http_proxy"; 2]);
        if !self.0.is_proxied || (is_http_own && self.0.carried.is_none()) {
            self.goes_elsewhere();
            return;
        }
        let url = self.url();
        for names in [["http_proxy", "HTTP_PROXY"], HTTPS_PROXY, ["ftp_proxy", "FTP_PROXY"]] {
            if names == HTTPS_PROXY && self.0.carried.is_none() && is_own(command, names) {
                self.goes_elsewhere();
                continue;
            }
            for name in names {
                command.env(name, &url);
            }
        }
        // Hosts that are exempt from the operator's proxy would be exempt from this one.
        for name in ["no_proxy", "NO_PROXY"] {
            command.env_remove(name);
        }
    }

    /// The proxy's URL for a request of this process itself for `url`; `None` where a proxy of the operator's is
    /// in force.
    #[must_use]
    pub fn proxy(&self, url: &str) -> Option<String> {
        let is_own = |name: &str| std::env::var_os(name).is_some_and(|own| !own.is_empty());
        let is_https = url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
        if is_own("http_proxy") || (is_https && HTTPS_PROXY.into_iter().any(is_own)) {
            self.goes_elsewhere();
            return None;
        }
        Some(self.url())
    }

    /// The proxy with these credentials.
    fn url(&self) -> String {
        let address = match start() {
            Ok(proxy) => {
                proxy.add(&self.0);
                proxy.address
            }
            Err(error) => {
                log::error!("nothing can be fetched from the network: cannot listen on 127.0.0.1: {error}");
                // Nobody listens there: without the proxy nothing may be reached.
                SocketAddr::from((Ipv4Addr::LOCALHOST, 1))
            }
        };
        format!("http://{}@{address}", self.0.credentials)
    }

    /// The URL by which the child opens `source`, once. For RTSP from strangers this starts a relay, which
    /// waits for the child's connection and ends with it.
    #[must_use]
    pub fn opened_url(&self, source: &MediaSource) -> String {
        if !protocols::is_relayed(source) {
            return protocols::opened_url(source);
        }
        let port = relay::start(source, &self.0).unwrap_or_else(|error| {
            log::error!("nothing can be fetched over RTSP: cannot listen on 127.0.0.1: {error}");
            // Nobody listens there: without the relay nothing may be reached.
            1
        });
        protocols::relayed_url(source, port)
    }

    /// The child may ask the network past this proxy.
    pub fn goes_elsewhere(&self) {
        self.0.heard.store(true, Ordering::SeqCst);
    }

    /// The trust in what the child's answer names. Where nothing was asked of the network, no stranger has named it.
    #[must_use]
    pub fn trust_in_answer(&self) -> Trust {
        if self.0.heard.load(Ordering::SeqCst) { Trust::Found(self.network()) } else { self.0.trust }
    }

    /// The network that the URL it was given lies in: where its server was reached, or else what a numeric address says.
    fn network(&self) -> Network {
        let named = || self.0.host.parse().map(Network::of).unwrap_or_default();
        self.0.record().near.unwrap_or_else(named)
    }

    /// Why it did not get what it wanted, where the proxy knows better than the child.
    #[must_use]
    pub fn failure(&self) -> Option<ItemFailure> {
        self.0.record().trouble.as_ref().map(Trouble::failure)
    }
}

impl Trouble {
    /// The status of the answer that refuses a client.
    fn status(&self) -> u16 {
        match self {
            Self::Forbidden(_) => 403,
            Self::Sender(failure) if failure.reason == FailureReason::Forbidden => 403,
            Self::Busy { .. } => 503,
            _ => 502,
        }
    }

    fn failure(&self) -> ItemFailure {
        match self {
            Self::Forbidden(address) => forbidden(*address),
            Self::Unresolved => unresolved(),
            Self::Sender(failure) => failure.clone(),
            Self::Unreachable(io::ErrorKind::ConnectionRefused) => {
                ItemFailure::new(FailureReason::Network, "the server refuses the connection")
            }
            Self::Unreachable(_) => ItemFailure::new(FailureReason::Network, "the server does not answer"),
            Self::Busy { status, seconds } => {
                let wait = seconds.map_or(String::new(), |s| format!(", and asks to come back in {s} s"));
                ItemFailure::new(FailureReason::Network, format!("the server is busy (HTTP {status}){wait}"))
            }
        }
    }
}

impl Account {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `host` may be reached at `address`.
    fn permits(&self, host: &str, address: IpAddr) -> bool {
        let (network, near) = (Network::of(address), self.record().near);
        if host != self.host {
            return permits(Trust::Found(near.unwrap_or_default()), network);
        }
        // Its name must not lead to another network later, where the answer is a stranger's.
        permits(self.trust, network) && near.is_none_or(|near| near == network)
    }

    /// Notes that `host` was reached at `address`.
    fn reached(&self, host: &str, address: IpAddr) {
        if host == self.host {
            self.record().near.get_or_insert(Network::of(address));
        }
    }
}

/// Whether a source of this `trust` may lie in `network`.
fn permits(trust: Trust, network: Network) -> bool {
    match trust {
        Trust::Operator => true,
        Trust::Found(list) => network == Network::Public || (network == list && network != Network::Reserved),
    }
}

fn forbidden(address: IpAddr) -> ItemFailure {
    let whose = match Network::of(address) {
        Network::Loopback => "this machine",
        Network::Reserved => "no server of media",
        _ => "a private network",
    };
    let why = "lists, pages and redirects from elsewhere may not lead there";
    ItemFailure::new(FailureReason::Forbidden, format!("it leads to {address}, an address of {whose}: {why}"))
}

fn unresolved() -> ItemFailure {
    ItemFailure::new(FailureReason::Network, "the server's name cannot be resolved")
}

/// The server that `url` names.
fn host_of(url: &str) -> Option<head::Authority> {
    let (scheme, rest) = url.split_once("://")?;
    let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let port = match &*scheme.to_ascii_lowercase() {
        "https" => 443,
        "rtmp" => 1935,
        "rtsp" => 554,
        "rtsps" => 322,
        _ => 80,
    };
    head::authority(place, Some(port))
}

/// Where the server of `source` is, for a protocol that takes neither a proxy nor a relay: checked, so that ffmpeg can be given the address
/// instead of the name. `None` where the operator names it, or the proxy does the checking.
pub fn checked_address(source: &MediaSource) -> Result<Option<IpAddr>, ItemFailure> {
    if source.is_file()
        || source.trust == Trust::Operator
        || protocols::is_tunnelled(source)
        || protocols::is_relayed(source)
    {
        return Ok(None);
    }
    let server = host_of(&source.url).ok_or_else(unresolved)?;
    let found = (&*server.host, server.port).to_socket_addrs().map_err(|_| unresolved())?;
    let mut refused = None;
    for address in found.map(|address| address.ip()) {
        if permits(source.trust, Network::of(address)) {
            return Ok(Some(address));
        }
        refused.get_or_insert(address);
    }
    Err(refused.map_or_else(unresolved, forbidden))
}

/// The proxy of this process.
#[derive(Debug)]
struct Proxy {
    address: SocketAddr,
    clients: Mutex<VecDeque<Arc<Account>>>,
    held: Mutex<VecDeque<Held>>,
    /// What servers asked to leave alone, and until when.
    busy: Mutex<VecDeque<(held::Key, Instant)>>,
}

/// Starts the proxy where it does not run yet.
fn start() -> io::Result<Arc<Proxy>> {
    static PROXY: OnceLock<Arc<Proxy>> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(proxy) = PROXY.get() {
        return Ok(Arc::clone(proxy));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (clients, held, busy) = Default::default();
    let proxy = Arc::new(Proxy { address, clients, held, busy });
    let serving = Arc::clone(&proxy);
    let pause = |delay| {
        thread::sleep(delay);
        false
    };
    thread::Builder::new()
        .name("proxy".into())
        .spawn(move || keep_running("proxy", pause, || serve::run(&listener, &serving)))?;
    Ok(Arc::clone(PROXY.get_or_init(|| proxy)))
}

impl Proxy {
    fn add(&self, account: &Arc<Account>) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MAX_CLIENTS
            && let Some(idle) = clients.iter().position(|one| one.connections.load(Ordering::SeqCst) == 0)
        {
            clients.remove(idle);
        }
        clients.push_back(Arc::clone(account));
    }

    /// Whose credentials these are. Who has asked last is forgotten last.
    fn client(&self, authorization: &str) -> Option<Arc<Account>> {
        let shown = authorization.strip_prefix("Basic ")?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let at = clients.iter().position(|one| base64(one.credentials.as_bytes()) == shown)?;
        let account = clients.remove(at)?;
        clients.push_back(Arc::clone(&account));
        Some(account)
    }
}

impl Proxy {
    /// Leaves `key` alone for `seconds`, as its server wants it.
    fn leave_alone(&self, key: &held::Key, seconds: u64) {
        let until = Instant::now() + Duration::from_secs(seconds).min(MAX_WAIT);
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|(other, _)| other != key);
        if busy.len() >= MAX_BUSY {
            busy.pop_front();
        }
        busy.push_back((key.clone(), until));
    }

    /// How long the server of `key` does not want to be asked for it, in seconds.
    fn wait_for(&self, key: &held::Key) -> Option<u64> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        busy.retain(|(_, until)| *until > now);
        busy.iter().find(|(other, _)| other == key).map(|(_, until)| (*until - now).as_secs() + 1)
    }
}

/// 72 random bits as text.
fn random() -> String {
    let mut bytes = [0; 9];
    // Without random numbers there is no TLS either; what is left is not guessed from outside in 256 tries.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        fastrand::fill(&mut bytes);
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `bytes` as HTTP's Basic scheme has them.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let known = digit <= group.len();
            text.push(if known { char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]) } else { '=' });
        }
    }
    text
}
