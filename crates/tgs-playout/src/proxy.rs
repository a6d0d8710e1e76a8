//! The loopback HTTP proxy through which ffmpeg and yt-dlp reach the network. It decides which
//! addresses they may connect to.
//!
//! Both follow redirects, playlists and DNS to any address, so the proxy judges each connection by
//! its target address: a source that an untrusted list or page names must be public, or in the
//! network of that list ([`crate::item::Trust`]). ffmpeg supports no proxy for RTSP, which uses a
//! relay. Media pass unread.
//!
//! A child receives the proxy's URL and its own credentials in its environment, which other users
//! cannot read.

mod address;
mod bridge;
mod client;
mod error;
mod exchange;
mod head;
mod parked;
mod policy;
mod protocols;
mod rtsp_filter;
mod rtsp_relay;
mod serve;

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, OnceLock, PoisonError, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use tgs_core::supervise::keep_running;

pub use self::{
    address::Network,
    client::{ProxyClient, ReadPurpose},
    policy::checked_address,
    protocols::{cookies, input_options, is_bridged},
};
use self::{
    client::ClientAccount,
    parked::{ParkedResponse, RequestKey},
};

/// Limit of known clients. Beyond it the client idle for longest is forgotten.
const MAX_CLIENTS: usize = 256;

/// Limit of remembered busy servers. Beyond it the oldest entry is dropped early.
const MAX_BUSY: usize = 64;

/// Upper limit for `Retry-After`.
const MAX_WAIT: Duration = Duration::from_mins(10);

/// The proxy of this process.
#[derive(Debug)]
struct LoopbackProxy {
    address: SocketAddr,
    clients: Mutex<VecDeque<Arc<ClientAccount>>>,
    parked: Mutex<VecDeque<ParkedResponse>>,
    /// Requests that servers refuse until this time.
    busy: Mutex<VecDeque<(RequestKey, Instant)>>,
}

/// Starts the proxy unless it is running.
fn start() -> io::Result<Arc<LoopbackProxy>> {
    static PROXY: OnceLock<Arc<LoopbackProxy>> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(proxy) = PROXY.get() {
        return Ok(Arc::clone(proxy));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (clients, parked, busy) = Default::default();
    let proxy = Arc::new(LoopbackProxy { address, clients, parked, busy });
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

impl LoopbackProxy {
    fn add(&self, account: &Arc<ClientAccount>) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MAX_CLIENTS
            && let Some(idle) = clients.iter().position(|one| one.connections.load(Ordering::SeqCst) == 0)
        {
            clients.remove(idle);
        }
        clients.push_back(Arc::clone(account));
    }

    /// Finds the client with this `Proxy-Authorization` and makes it the last to be forgotten.
    fn client(&self, authorization: &str) -> Option<Arc<ClientAccount>> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let at = clients.iter().position(|one| one.is_authorized_by(authorization))?;
        let account = clients.remove(at)?;
        clients.push_back(Arc::clone(&account));
        Some(account)
    }

    /// Refuses `key` for `seconds`, as its server requests.
    fn note_busy(&self, key: &RequestKey, seconds: u64) {
        let until = Instant::now() + Duration::from_secs(seconds).min(MAX_WAIT);
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|(other, _)| other != key);
        if busy.len() >= MAX_BUSY {
            busy.pop_front();
        }
        busy.push_back((key.clone(), until));
    }

    /// Seconds until the server of `key` accepts requests again.
    fn busy_for(&self, key: &RequestKey) -> Option<u64> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        busy.retain(|(_, until)| *until > now);
        busy.iter().find(|(other, _)| other == key).map(|(_, until)| (*until - now).as_secs() + 1)
    }
}
