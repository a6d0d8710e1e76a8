//! Accepts connections and serves them: bounded in number, also of one address, in the time of a
//! handshake and of a request's head, and ended if the other side accepts nothing or too little.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::SockRef;
use tgs_core::{tls::ServerCertificate, tries::AddressBlock};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{http::Peer, shares::Shares, stall::Unstalled};

/// Connections at once, and those of one address.
const MOST: usize = 256;
const OF_ADDRESS: usize = 128;
/// Time limit of a TLS handshake, and of a request's head.
const HEAD: Duration = Duration::from_secs(10);
/// A peer that acknowledges nothing for so long is gone.
const GONE: Duration = Duration::from_secs(30);
/// Longest head of a request.
const LONGEST_HEAD: usize = 32 << 10;

/// Serves `router` until the task is dropped. `behind_proxy` allows loopback all connections.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    certificate: Option<Arc<ServerCertificate>>,
    behind_proxy: bool,
) {
    let free = Arc::new(Semaphore::new(MOST));
    let (shares, all) = (Shares::new(MOST, OF_ADDRESS), Shares::new(MOST, MOST));
    loop {
        // Waits here: further connections stay in the kernel's queue.
        let Ok(permit) = free.clone().acquire_owned().await else { return };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the peer has gone.
                log::debug!("accept: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let is_proxy = behind_proxy && address.ip().to_canonical().is_loopback();
        let shares = if is_proxy { &all } else { &shares };
        let Some(share) = shares.take(AddressBlock::from(address.ip())) else {
            log::debug!("refusing a connection: {} has {OF_ADDRESS}", address.ip());
            continue;
        };
        let (router, certificate) = (router.clone(), certificate.clone());
        task::spawn(async move {
            let _permits = (permit, share);
            connection(stream, address, router, certificate).await;
        });
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    certificate: Option<Arc<ServerCertificate>>,
) {
    let socket = SockRef::from(&stream);
    if let Err(error) = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_user_timeout(Some(GONE))) {
        log::debug!("set the options of a connection: {error}");
    }
    let stream = Unstalled::new(stream);
    let peer = |tls| Peer { address: address.ip(), tls };
    match certificate {
        None => http(stream, router.layer(Extension(peer(false)))).await,
        Some(certificate) => {
            let handshake = TlsAcceptor::from(certificate.current()).accept(stream);
            match timeout(HEAD, handshake).await {
                Ok(Ok(stream)) => http(stream, router.layer(Extension(peer(true)))).await,
                Ok(Err(error)) => log::debug!("TLS with {}: {error}", address.ip()),
                Err(_) => log::debug!("TLS with {}: no handshake in time", address.ip()),
            }
        }
    }
}

async fn http(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        log::debug!("connection: {error}");
    }
}
