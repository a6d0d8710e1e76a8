//! Opens one connection to a DC through one proxy, or directly, and proves that Telegram answers.
//! Does not choose the proxy.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    thread,
};

use tgs_core::proxy::{
    MtProxyDisguise, MtProxySecret, ProxyProtocol, TunnelError, TunnelHandshake, UpstreamProxy,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, oneshot},
    time::{Instant, timeout_at},
};

use super::{
    codec::{self, WireDecoder, WireEncoder},
    fake_tls::{ClientHello, RECORD_HEADER, server_data_length, server_hello_length},
    obfuscation::Obfuscation,
    ping::Ping,
    problem::ProxyProblem,
};

/// Addresses of a proxy's host name that are tried.
const ADDRESSES: u32 = 4;

/// Concurrent look-ups: one that hangs in the resolver cannot be ended.
static LOOKUPS: Semaphore = Semaphore::const_new(4);

/// A DC, as proxies are to find it.
#[derive(Debug, Clone)]
pub(crate) struct DcTarget {
    /// The number in the header of an MTProxy's stream: 10000 more for a test DC.
    pub(crate) dc: i16,
    /// The DC's addresses, in the order to try.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// A connection over which Telegram has answered.
pub(super) struct DcConnection {
    pub(super) stream: TcpStream,
    pub(super) encoder: WireEncoder,
    pub(super) decoder: WireDecoder,
}

/// Opens a connection through `proxy`; `None` connects directly.
pub(super) async fn open(
    proxy: Option<&UpstreamProxy>,
    target: &DcTarget,
    until: Instant,
) -> Result<DcConnection, ProxyProblem> {
    let Some(proxy) = proxy else { return direct(target, until).await };
    if let ProxyProtocol::MtProxy(secret) = &proxy.protocol {
        let stream = connect(proxy, until).await?;
        let connection = timeout_at(until, mtproxy(stream, secret, target.dc));
        let connection = connection.await.map_err(|_| ProxyProblem::MtProxySilent)??;
        let problems = (ProxyProblem::MtProxySilent, ProxyProblem::MtProxyClosed);
        return answered(connection, problems, until).await;
    }
    let mut problem = ProxyProblem::Tunnel(TunnelError::Unreachable(0));
    for address in &target.addresses {
        match tunnel(proxy, *address, until).await {
            Ok(stream) => {
                let (encoder, decoder) = codec::full();
                let connection = DcConnection { stream, encoder, decoder };
                return answered(connection, (ProxyProblem::NoTelegram, ProxyProblem::NoTelegram), until)
                    .await;
            }
            // Perhaps the proxy has only the other version of IP.
            Err(unreachable @ ProxyProblem::Tunnel(TunnelError::Unreachable(_))) => problem = unreachable,
            Err(other) => return Err(other),
        }
    }
    Err(problem)
}

async fn direct(target: &DcTarget, until: Instant) -> Result<DcConnection, ProxyProblem> {
    let mut problem = ProxyProblem::Direct(io::ErrorKind::AddrNotAvailable);
    let mut left = target.addresses.len() as u32;
    for address in &target.addresses {
        let share = until.saturating_duration_since(Instant::now()) / left.max(1);
        left -= 1;
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let (encoder, decoder) = codec::full();
                let connection = DcConnection { stream, encoder, decoder };
                return answered(connection, (ProxyProblem::NoTelegram, ProxyProblem::NoTelegram), until)
                    .await;
            }
            Ok(Err(error)) => problem = ProxyProblem::Direct(error.kind()),
            Err(_) => problem = ProxyProblem::Direct(io::ErrorKind::TimedOut),
        }
    }
    Err(problem)
}

/// Connects to the proxy itself.
async fn connect(proxy: &UpstreamProxy, until: Instant) -> Result<TcpStream, ProxyProblem> {
    let found = timeout_at(until, lookup(&proxy.host, proxy.port)).await;
    let found = found.map_err(|_| ProxyProblem::Lookup(io::ErrorKind::TimedOut))?;
    let found = found.map_err(|error| ProxyProblem::Lookup(error.kind()))?;
    let mut problem = ProxyProblem::Lookup(io::ErrorKind::NotFound);
    let mut left = ADDRESSES.min(found.len() as u32);
    for address in found.into_iter().take(ADDRESSES as usize) {
        let share = until.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(|error| ProxyProblem::Local(error.kind()))?;
                return Ok(stream);
            }
            Ok(Err(error)) => problem = ProxyProblem::Connect(error.kind()),
            Err(_) => problem = ProxyProblem::ConnectTimeout,
        }
    }
    Err(problem)
}

/// Looks a name up in a thread: tokio's own look-up would keep the runtime from ending.
async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let permit = LOOKUPS.try_acquire().map_err(|_| io::ErrorKind::ResourceBusy)?;
    let (sender, receiver) = oneshot::channel();
    let name = host.to_owned();
    thread::Builder::new().name("resolve".to_owned()).spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        drop(permit);
        // After a timeout nobody receives it.
        let _ = sender.send(found);
    })?;
    receiver.await.unwrap_or_else(|_| Err(io::ErrorKind::NotFound.into()))
}

/// Opens a connection to `address` through SOCKS5 or HTTP CONNECT.
async fn tunnel(
    proxy: &UpstreamProxy,
    address: SocketAddr,
    until: Instant,
) -> Result<TcpStream, ProxyProblem> {
    let mut stream = connect(proxy, until).await?;
    let host = address.ip().to_string();
    let mut handshake = TunnelHandshake::new(proxy, &host, address.port())?;
    let shake_hands = async {
        loop {
            stream.write_all(&handshake.take_output()).await.map_err(closed)?;
            while let wanted @ 1.. = handshake.wanted() {
                let mut bytes = vec![0; wanted];
                let count = stream.read(&mut bytes).await.map_err(closed)?;
                if count == 0 {
                    return Err(ProxyProblem::Closed);
                }
                handshake.receive(&bytes[..count])?;
                if handshake.has_output() {
                    break;
                }
            }
            if handshake.wanted() == 0 {
                return Ok(());
            }
        }
    };
    timeout_at(until, shake_hands).await.map_err(|_| ProxyProblem::Silent)??;
    Ok(stream)
}

fn closed(_: io::Error) -> ProxyProblem {
    ProxyProblem::Closed
}

/// Begins the stream of an MTProxy, after the disguise's handshake if its secret has one.
async fn mtproxy(
    mut stream: TcpStream,
    secret: &MtProxySecret,
    dc: i16,
) -> Result<DcConnection, ProxyProblem> {
    let local = |error: io::Error| ProxyProblem::Local(error.kind());
    let key = secret.key.expose();
    let disguised = match &secret.disguise {
        MtProxyDisguise::Plain | MtProxyDisguise::Padded => false,
        MtProxyDisguise::FakeTls { domain } => {
            let hello = ClientHello::new(key, domain).map_err(local)?;
            shake_fake_hands(&mut stream, &hello).await?;
            true
        }
    };
    let (encoder, decoder) = codec::mtproxy(Obfuscation::new(key, dc).map_err(local)?, disguised);
    Ok(DcConnection { stream, encoder, decoder })
}

async fn shake_fake_hands(stream: &mut TcpStream, hello: &ClientHello) -> Result<(), ProxyProblem> {
    let closed = |_: io::Error| ProxyProblem::MtProxyClosed;
    stream.write_all(&hello.bytes).await.map_err(closed)?;
    let mut header = [0; RECORD_HEADER];
    stream.read_exact(&mut header).await.map_err(closed)?;
    let first = server_hello_length(header).map_err(|_| ProxyProblem::NotMtProxy)?;
    let mut answer = vec![0; first];
    answer[..RECORD_HEADER].copy_from_slice(&header);
    stream.read_exact(&mut answer[RECORD_HEADER..]).await.map_err(closed)?;
    let data = server_data_length(&answer).map_err(|_| ProxyProblem::NotMtProxy)?;
    answer.resize(first + data, 0);
    stream.read_exact(&mut answer[first..]).await.map_err(closed)?;
    if hello.is_answered_by(&answer) { Ok(()) } else { Err(ProxyProblem::NotMtProxy) }
}

/// Waits for Telegram's answer to a ping. `problems` are those of silence and of a close.
async fn answered(
    mut connection: DcConnection,
    problems: (ProxyProblem, ProxyProblem),
    until: Instant,
) -> Result<DcConnection, ProxyProblem> {
    let (silent, closed) = problems;
    let ping = Ping::new().map_err(|error| ProxyProblem::Local(error.kind()))?;
    let request = connection.encoder.encode(&ping.frame());
    let exchange = async {
        connection.stream.write_all(&request).await.map_err(|_| closed.clone())?;
        let mut chunk = [0; 2048];
        loop {
            let count = connection.stream.read(&mut chunk).await.map_err(|_| closed.clone())?;
            if count == 0 {
                return Err(closed);
            }
            connection.decoder.feed(&chunk[..count]).map_err(|_| ProxyProblem::NotTelegram)?;
            if let Some(frame) = connection.decoder.next().map_err(|_| ProxyProblem::NotTelegram)? {
                return if ping.is_answered_by(&frame) { Ok(()) } else { Err(ProxyProblem::NotTelegram) };
            }
        }
    };
    timeout_at(until, exchange).await.map_err(|_| silent)??;
    Ok(connection)
}
