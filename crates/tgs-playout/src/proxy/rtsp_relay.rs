//! Relays one RTSP connection of ffmpeg, which supports no proxy for RTSP and follows redirects
//! itself.
//!
//! ffmpeg opens `rtsp://127.0.0.1:PORT/…`, and the relay connects to the server at a permitted
//! address. Requests pass unchanged, so digest authentication works. Media are interleaved: no UDP
//! port is open.

use std::{
    fs,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{
    account::{ClientAccount, CountedConnection},
    connect::connect,
    error::ProxyError,
    exchange::{Exchange, Upstream},
    head::Authority,
    protocols::server_of,
    rtsp_filter::RtspFilter,
};
use crate::item::MediaSource;

/// Time limit for ffmpeg to start and connect.
const START_TIME: Duration = Duration::from_secs(30);

/// Time limit of the TLS handshake.
const TLS_TIME: Duration = Duration::from_secs(5);

/// Starts a relay for one connection to the server of `source`; returns its port.
pub(super) fn start(source: &MediaSource, account: &Arc<ClientAccount>) -> io::Result<u16> {
    let server = server_of(&source.url).ok_or(io::ErrorKind::InvalidInput)?;
    let is_tls = source.url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("rtsps:"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let account = Arc::clone(account);
    let relay = move || {
        if let Err(error) = run(listener, &server, is_tls, &account) {
            log::debug!("the RTSP relay to {} ended: {error}", server.host);
        }
    };
    thread::Builder::new().name("rtsp relay".into()).stack_size(256 << 10).spawn(relay)?;
    Ok(port)
}

fn run(listener: TcpListener, server: &Authority, is_tls: bool, account: &ClientAccount) -> io::Result<()> {
    let client = accept(&listener)?;
    drop(listener);
    client.set_nodelay(true)?;
    let _counted = CountedConnection::new(account);
    account.note_answer();
    let connected = connect(account, server).and_then(|(stream, _)| {
        if !is_tls {
            return Ok(Upstream::server(stream));
        }
        start_tls(stream, &server.host).map_err(|error| ProxyError::Unreachable(error.kind()))
    });
    let origin = match connected {
        Ok(origin) => origin,
        Err(error) => return (&client).write_all(&refuse(account, error)),
    };
    let mut filter = RtspFilter::default();
    let mut exchange = Exchange::new(Some(origin), Vec::new(), Vec::new());
    exchange.filter = Some(Box::new(move |bytes| {
        filter.pass(bytes).map_err(|refusal| refuse(account, ProxyError::Upstream(refusal.failure())))
    }));
    exchange.run(&client);
    Ok(())
}

/// Accepts the first connection of this user within [`START_TIME`].
fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let deadline = Instant::now() + START_TIME;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Err(Errno::INTR) => continue,
            polled => polled?,
        };
        let (client, address) = listener.accept()?;
        if is_of_this_user(address, listener.local_addr()?) {
            return Ok(client);
        }
    }
}

/// Whether the loopback connection from `peer` to `own` is this user's: other users must not occupy
/// the relay. If the kernel's table is unreadable, every connection counts as this user's.
fn is_of_this_user(peer: SocketAddr, own: SocketAddr) -> bool {
    let Ok(table) = fs::read_to_string("/proc/self/net/tcp") else { return true };
    let place = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()),
        IpAddr::V6(_) => String::new(),
    };
    let (peer, own) = (place(peer), place(own));
    // The columns are: number, local address, remote address, state, queues, timer, retransmits,
    // user.
    table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|columns| {
        columns.get(1) == Some(&&*peer)
            && columns.get(2) == Some(&&*own)
            && columns.get(7).and_then(|user| user.parse().ok()) == Some(rustix::process::geteuid().as_raw())
    })
}

/// Records `error` and returns the message for ffmpeg. The record comes first: its reader runs once
/// ffmpeg has ended.
fn refuse(account: &ClientAccount, error: ProxyError) -> Vec<u8> {
    let answer = format!("RTSP/1.0 {} {}\r\n\r\n", error.status(), error.failure().detail);
    account.record().error = Some(error);
    answer.into_bytes()
}

/// Sets up TLS within [`TLS_TIME`].
fn start_tls(mut stream: TcpStream, host: &str) -> io::Result<Upstream> {
    let provider = Arc::new(ring::default_provider());
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let deadline = Instant::now() + TLS_TIME;
    while tls.is_handshaking() {
        while tls.wants_write() {
            tls.write_tls(&mut stream)?;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        if tls.read_tls(&mut stream)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        tls.process_new_packets().map_err(io::Error::other)?;
    }
    Ok(Upstream::tls(tls, stream))
}

/// Accepts every certificate, as ffmpeg does by default: cameras sign their own.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_this_user_are_known() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let own = listener.local_addr().unwrap();
        let client = TcpStream::connect(own).unwrap();
        assert!(is_of_this_user(client.local_addr().unwrap(), own));
        assert!(!is_of_this_user(own, own));
    }
}
