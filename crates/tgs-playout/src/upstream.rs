//! Connects the publisher through upstream proxies (SOCKS5, HTTP CONNECT), tried in turn. The proxy
//! looks up the server's name.

use std::{
    any::Any,
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use tgs_core::{
    permit::Permit,
    proxy::{ProxyList, TunnelError, TunnelHandshake, UpstreamProxy},
};
use tgs_rtmp::client::{Deadline, Dial, DirectDialler, Fence, OpenError};

/// Interval at which a wait for the proxy looks at the deadline.
const LOOK: Duration = Duration::from_millis(50);

/// A proxy that does not lead to the server.
#[derive(Debug, thiserror::Error)]
#[error("the proxy {proxy}: {problem}")]
pub struct UpstreamError {
    /// The proxy as scheme, host and port.
    proxy: String,
    problem: UpstreamProblem,
}

/// Why a proxy does not lead to the server.
#[derive(Debug, thiserror::Error)]
enum UpstreamProblem {
    /// The proxy itself cannot be reached.
    #[error(transparent)]
    Connect(#[from] OpenError),
    /// The proxy refuses.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    /// The proxy accepts the connection and says nothing.
    #[error("it accepts the connection and does not answer")]
    Silent,
    /// The proxy closes the connection.
    #[error("it closes the connection without an answer")]
    Closed,
}

impl From<io::Error> for UpstreamProblem {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// Dials through the first proxy of a list that leads to the server, and keeps that one; directly
/// with an empty list.
#[derive(Debug, Clone, Default)]
pub struct UpstreamDialler(ProxyList, Permit);

impl UpstreamDialler {
    /// Dials through `proxies`, from the current one on. The connections send under `permit`.
    #[must_use]
    pub fn new(proxies: ProxyList, permit: Permit) -> Self {
        Self(proxies, permit)
    }
}

/// The fence of a permit that ends.
struct PermitFence(Permit, Duration);

impl Fence for PermitFence {
    fn may_send(&self) -> bool {
        self.0.is_valid()
    }

    fn register(&self, abort: Box<dyn Fn() + Send>) -> Box<dyn Any + Send> {
        Box::new(self.0.register(abort))
    }

    fn user_timeout(&self) -> Duration {
        self.1
    }
}

impl Dial for UpstreamDialler {
    fn dial(&self, host: &str, port: u16, deadline: Deadline<'_>) -> Result<TcpStream, OpenError> {
        let mut left = self.0.len() as u32;
        let mut last = None;
        for (index, proxy) in self.0.in_turn() {
            // Divides the remaining time: a proxy that does not answer leaves time for the next.
            let share = deadline.share(left);
            left -= 1;
            match through(proxy, host, port, share) {
                Ok(connected) => {
                    self.0.keep(index);
                    return Ok(connected);
                }
                Err(UpstreamProblem::Connect(OpenError::Cancelled)) => return Err(OpenError::Cancelled),
                Err(problem) => {
                    let error = UpstreamError { proxy: proxy.to_string(), problem };
                    if left > 0 {
                        log::warn!("{error}; trying the next one");
                    }
                    self.0.pass_over(index);
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) => Err(OpenError::Dial(Box::new(error))),
            None => DirectDialler.dial(host, port, deadline),
        }
    }

    fn fence(&self) -> Option<Arc<dyn Fence>> {
        let silence = self.1.silence()?;
        Some(Arc::new(PermitFence(self.1.clone(), silence)))
    }
}

/// Opens a connection through one proxy.
fn through(
    proxy: &UpstreamProxy,
    host: &str,
    port: u16,
    deadline: Deadline<'_>,
) -> Result<TcpStream, UpstreamProblem> {
    let mut handshake = TunnelHandshake::new(proxy, host, port)?;
    let mut stream = DirectDialler.dial(&proxy.host, proxy.port, deadline)?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(LOOK))?;
    while handshake.has_output() || handshake.wanted() > 0 {
        if deadline.is_cancelled() {
            return Err(OpenError::Cancelled.into());
        }
        if deadline.left().is_zero() {
            return Err(UpstreamProblem::Silent);
        }
        // A message has less than a kilobyte, for which a new connection has room.
        stream.write_all(&handshake.take_output())?;
        let mut bytes = vec![0; handshake.wanted()];
        match stream.read(&mut bytes) {
            Ok(0) => return Err(UpstreamProblem::Closed),
            Ok(count) => handshake.receive(&bytes[..count])?,
            Err(error) if is_unready(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)?;
    Ok(stream)
}

fn is_unready(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread, time::Instant};

    use tgs_core::proxy::parse_proxies;
    use tgs_rtmp::{client, url::RtmpUrl};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn dialler(list: &str) -> UpstreamDialler {
        UpstreamDialler::new(ProxyList::new(parse_proxies(list).unwrap()), Permit::always())
    }

    fn reach(list: &str, limit: Duration) -> Result<(), String> {
        let target = RtmpUrl::parse("rtmp://ingest.invalid/app/key").unwrap();
        client::reach(&dialler(list), &target, || false, limit).map_err(|error| error.to_string())
    }

    /// A server that plays each of these answers to its own connection, then closes it.
    fn server(answers: &'static [&'static [&'static [u8]]]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for answers in answers {
                let (mut socket, _) = listener.accept().unwrap();
                for answer in *answers {
                    let _ = socket.read(&mut [0; 512]);
                    let _ = socket.write_all(answer);
                }
            }
        });
        address
    }

    #[test]
    fn the_proxy_gets_the_name_and_its_refusals_are_said_with_its_address() {
        const OPEN: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let address = server(&[&[&[5, 0], OPEN], &[&[5, 0], &[5, 2]], &[&[5]], &[b"no"]]);
        let list = format!("socks5://{address}");
        assert_eq!(reach(&list, 5 * SECOND), Ok(()));
        for words in [
            "its rules forbid this connection",
            "it closes the connection without an answer",
            "it does not speak SOCKS5 (its answer begins with byte 110)",
        ] {
            assert_eq!(reach(&list, 5 * SECOND).unwrap_err(), format!("the proxy {list}: {words}"));
        }
    }

    #[test]
    fn a_silent_proxy_leaves_time_for_the_next_and_the_one_that_works_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = format!("http://{}", listener.local_addr().unwrap());
        let works = format!("http://{}", server(&[&[b"HTTP/1.1 200 OK\r\n\r\n"]]));
        let dialler = dialler(&format!("{silent} {works}"));
        let target = RtmpUrl::parse("rtmp://ingest.invalid/app/key").unwrap();
        client::reach(&dialler, &target, || false, 6 * SECOND).unwrap();
        assert_eq!(dialler.0.current().unwrap().to_string(), works);
        let error = reach(&silent, SECOND).unwrap_err();
        assert_eq!(error, format!("the proxy {silent}: it accepts the connection and does not answer"));
        let began = Instant::now();
        let stopped = client::reach(&dialler, &target, || true, 60 * SECOND).unwrap_err();
        assert!(matches!(stopped, OpenError::Cancelled) && began.elapsed() < 5 * SECOND, "{stopped}");
    }
}
