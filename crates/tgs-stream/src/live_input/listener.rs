//! Accepts publishers: one thread listens, one serves each connection.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    connections::PublisherConnections,
    place::LivePhase,
    publisher::{self, PublisherContext},
    refusals::RefusalReason,
};
use crate::http::closed_within;

/// Interval at which stalls are noticed, and the same without a publisher.
const TICKS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// The pause after a lack of descriptors or threads.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The pause before a port that is taken is tried again.
const BIND_AGAIN: Duration = Duration::from_secs(5);

/// Accepts until the other end of `stopped` closes.
pub(super) fn run(
    first: Option<TcpListener>,
    address: SocketAddr,
    context: &Arc<PublisherContext>,
    stopped: &UnixStream,
) {
    let connections = Arc::new(PublisherConnections::default());
    let Some(listener) = first.or_else(|| bind_again(address, context, stopped)) else { return };
    loop {
        let mut fds = [PollFd::new(&listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        let tick = TICKS[usize::from(context.shared.snapshot().phase == LivePhase::Absent)];
        let tick = Timespec { tv_sec: tick.as_secs() as i64, tv_nsec: i64::from(tick.subsec_nanos()) };
        // Errors are interruptions by signals.
        let _ = poll(&mut fds, Some(&tick));
        if closed_within(stopped, Duration::ZERO) {
            break;
        }
        context.shared.tick();
        if let Some(line) = context.refusals.sum_up(Instant::now()) {
            log::warn!("{line}");
        }
        match listener.accept() {
            Ok((socket, peer)) => admit(&connections, socket, peer.ip(), context, stopped),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                log::debug!("live input: failed to accept a connection: {error}");
                if closed_within(stopped, RETRY_PAUSE) {
                    break;
                }
            }
        }
    }
    connections.close_all();
}

/// Listens at `address`.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // accept must not block on a client that has disconnected since poll.
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Tries to listen until it succeeds; `None` if the live input is stopped.
fn bind_again(address: SocketAddr, context: &PublisherContext, stopped: &UnixStream) -> Option<TcpListener> {
    loop {
        if closed_within(stopped, BIND_AGAIN) {
            return None;
        }
        if let Ok(listener) = bind(address) {
            log::info!("live input: listens at {}", context.url());
            return Some(listener);
        }
    }
}

/// Serves `socket` on a thread of its own, or closes it.
fn admit(
    connections: &Arc<PublisherConnections>,
    socket: TcpStream,
    address: IpAddr,
    context: &Arc<PublisherContext>,
    stopped: &UnixStream,
) {
    let refuse = |reason, why: &str| context.refusals.note(address, reason, why, Instant::now());
    if context.tries.is_spent(address, Instant::now()) {
        return refuse(RefusalReason::Tries, "too many wrong stream keys; wait a minute");
    }
    let Ok(stopped) = stopped.try_clone() else {
        return refuse(RefusalReason::Limit, "no file descriptor is left");
    };
    let served = Arc::clone(context);
    let serve = move |socket, connection: &_| publisher::serve(socket, address, connection, &served, stopped);
    if let Err(why) = connections.admit(socket, address, serve) {
        refuse(RefusalReason::Limit, &why.to_string());
    }
}
