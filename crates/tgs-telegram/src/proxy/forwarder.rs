//! The listener on loopback that grammers connects to. It runs on the pool's runtime, so it works
//! during calls only and ends with the pool.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tgs_core::proxy::ProxyList;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    codec,
    framing::Frame,
    open::{DcConnection, DcTarget, open},
    problem::ProxyFailure,
};

/// Concurrent connections. A pool has one, and another while it replaces a key.
const CONNECTIONS: usize = 4;

/// Proxies whose attempts fit into one call.
const TRIED: usize = 3;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// A running forwarder; ends with the runtime that it was started on.
pub(crate) struct Forwarder {
    address: SocketAddr,
    failure: Arc<Mutex<Option<ProxyFailure>>>,
}

/// What all connections of a forwarder share.
struct Forwarding {
    proxies: ProxyList,
    target: DcTarget,
    /// Time limit of an attempt with one proxy.
    limit: Duration,
    failure: Arc<Mutex<Option<ProxyFailure>>>,
}

impl Forwarder {
    /// Listens on a free port of loopback. `limit` is that of a call, in which three proxies can be
    /// tried.
    pub(crate) fn start(
        runtime: &Runtime,
        proxies: &ProxyList,
        target: DcTarget,
        limit: Duration,
    ) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let failure = Arc::default();
        let share = proxies.len().clamp(1, TRIED) as u32;
        let forwarding = Forwarding {
            proxies: proxies.clone(),
            target,
            limit: limit * 4 / 5 / share,
            failure: Arc::clone(&failure),
        };
        let _in_runtime = runtime.enter();
        runtime.spawn(accept(TcpListener::from_std(listener)?, address, Arc::new(forwarding)));
        Ok(Self { address, failure })
    }

    /// Where grammers connects.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The failure of the last attempt to open a connection, unless a later one was opened.
    pub(crate) fn take_failure(&self) -> Option<ProxyFailure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

async fn accept(listener: TcpListener, address: SocketAddr, forwarding: Arc<Forwarding>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((local, peer)) if is_own(peer, address) => {
                let forwarding = Arc::clone(&forwarding);
                connections.spawn(async move { forwarding.serve(local).await });
            }
            Ok((_, peer)) => {
                log::debug!("refused the connection of another user from {peer}");
            }
            // For example out of file descriptors, which may be temporary.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

impl Forwarding {
    async fn serve(&self, local: TcpStream) {
        if let Some(upstream) = self.open().await
            && let Err(error) = forward(local, upstream).await
        {
            log::debug!("a connection through a proxy ended: {error}");
        }
    }

    /// Opens a connection through the first proxy that works, from the current one on.
    async fn open(&self) -> Option<DcConnection> {
        for (index, proxy) in self.proxies.in_turn() {
            match open(Some(proxy), &self.target, Instant::now() + self.limit).await {
                Ok(upstream) => {
                    self.proxies.keep(index);
                    self.report(None);
                    log::debug!("connected to Telegram through {proxy}");
                    return Some(upstream);
                }
                Err(problem) => {
                    let failure = ProxyFailure { proxy: proxy.to_string(), problem };
                    if self.proxies.len() > 1 {
                        log::warn!("{failure}; trying the next one");
                    }
                    self.proxies.pass_over(index);
                    self.report(Some(failure));
                }
            }
        }
        None
    }

    fn report(&self, failure: Option<ProxyFailure>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

/// Forwards frames in both directions until either side closes.
async fn forward(mut local: TcpStream, upstream: DcConnection) -> io::Result<()> {
    local.set_nodelay(true)?;
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
    let DcConnection { mut stream, mut encoder, mut decoder } = upstream;
    let (mut to_client, mut from_client) = codec::full();
    let (mut local_reader, mut local_writer) = local.split();
    let (mut reader, mut writer) = stream.split();
    let outgoing = async {
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = local_reader.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            from_client.feed(&chunk[..count]).map_err(invalid)?;
            while let Some(frame) = from_client.next().map_err(invalid)? {
                writer.write_all(&encoder.encode(&frame)).await?;
            }
        }
    };
    let incoming = async {
        let mut chunk = vec![0; CHUNK];
        loop {
            while let Some(frame) = decoder.next().map_err(invalid)? {
                local_writer.write_all(&to_client.encode(&frame)).await?;
                if matches!(frame, Frame::Status(_)) {
                    return Ok(());
                }
            }
            let count = reader.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            decoder.feed(&chunk[..count]).map_err(invalid)?;
        }
    };
    tokio::select! {
        done = outgoing => done,
        done = incoming => done,
    }
}

/// Whether the connection from `peer` is of this user: another one must not use the proxy. `true`
/// where the kernel's table cannot be read.
fn is_own(peer: SocketAddr, listener: SocketAddr) -> bool {
    let (SocketAddr::V4(peer), SocketAddr::V4(listener)) = (peer, listener) else { return false };
    let Ok(table) = fs::read_to_string("/proc/self/net/tcp") else { return true };
    let (from, to) = (in_table(peer), in_table(listener));
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut row = row.filter(|row| row.get(1) == Some(&from.as_str()) && row.get(2) == Some(&to.as_str()));
    let user = row.next().and_then(|row| row.get(7)?.parse::<u32>().ok());
    user.is_none_or(|user| user == rustix::process::geteuid().as_raw())
}

/// An address as in `/proc/net/tcp`.
fn in_table(address: SocketAddrV4) -> String {
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_this_user_are_found_in_the_table() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (_server, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(is_own(peer, address));
        let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
        let SocketAddr::V4(peer) = peer else { panic!("{peer}") };
        assert!(table.contains(&format!(" {} ", in_table(peer))), "{table}");
    }
}
