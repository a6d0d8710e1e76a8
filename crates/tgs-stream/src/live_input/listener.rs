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
    connections::{PublisherConnections, ServedPublisher},
    handed::HandedInput,
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
    first: HandedInput,
    address: SocketAddr,
    context: &Arc<PublisherContext>,
    stopped: &UnixStream,
) {
    let connections = Arc::new(PublisherConnections::default());
    if let Some((socket, publisher)) = first.publisher {
        admit(
            &connections,
            (socket, publisher.address),
            context,
            stopped,
            |socket, served, context, stopped| {
                publisher::resume(socket, publisher, served, context, stopped);
            },
        );
    }
    let Some(listener) = first.listener.or_else(|| bind_again(address, context, stopped)) else { return };
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
            Ok((socket, peer)) => accept(&connections, socket, peer.ip(), context, stopped),
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

/// Serves a client on a thread of its own, or closes its connection.
fn accept(
    connections: &Arc<PublisherConnections>,
    socket: TcpStream,
    address: IpAddr,
    context: &Arc<PublisherContext>,
    stopped: &UnixStream,
) {
    if context.tries.is_spent(address, Instant::now()) {
        let why = "too many wrong stream keys; wait a minute";
        return context.refusals.note(address, RefusalReason::Tries, why, Instant::now());
    }
    admit(connections, (socket, address), context, stopped, move |socket, served, context, stopped| {
        publisher::serve(socket, address, served, context, stopped);
    });
}

/// Calls `serve` on a thread of its own, or closes the connection.
fn admit(
    connections: &Arc<PublisherConnections>,
    (socket, address): (TcpStream, IpAddr),
    context: &Arc<PublisherContext>,
    stopped: &UnixStream,
    serve: impl FnOnce(TcpStream, &ServedPublisher, &Arc<PublisherContext>, UnixStream) + Send + 'static,
) {
    let refuse = |why: &str| context.refusals.note(address, RefusalReason::Limit, why, Instant::now());
    let Ok(stopped) = stopped.try_clone() else { return refuse("no file descriptor is left") };
    let with = Arc::clone(context);
    let serve = move |socket, served: &_| serve(socket, served, &with, stopped);
    if let Err(why) = connections.admit(socket, address, serve) {
        refuse(&why.to_string());
    }
}
