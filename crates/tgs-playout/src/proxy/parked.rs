//! Parked responses: the part of a response that a probe has read, kept with its connection for the
//! encoder. A server that accepts one connection, or serves a URL once, gets one request. Fetches
//! nothing.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{exchange::Upstream, head::Authority, spool::Spool};

/// Limit of parked responses: picture and sound of two items.
const MAX_HELD: usize = 4;

/// Age at which a response without a length, a live stream, is stale.
const FRESH: Duration = Duration::from_secs(30);

/// A request: the server, the path with its query, and the headers that identify the client.
pub(super) type RequestKey = (Authority, String, Vec<u8>);

/// A response as far as it has come.
#[derive(Debug)]
pub(super) struct ParkedResponse {
    pub(super) key: RequestKey,
    /// The server's address; `None` for a bridge.
    pub(super) address: Option<IpAddr>,
    /// The head for clients.
    pub(super) head: Vec<u8>,
    pub(super) spool: Spool,
    /// `Content-Length`.
    pub(super) length: Option<u64>,
    /// The source of the rest; `None` after its end.
    pub(super) server: Option<Upstream>,
    pub(super) since: Instant,
}

impl ParkedResponse {
    /// Whether the rest of the response can still be read.
    fn is_usable(&self) -> bool {
        let Some(server) = &self.server else { return true };
        let Some(length) = self.length else { return self.since.elapsed() < FRESH };
        let closed = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut fds = [PollFd::new(server, PollFlags::RDHUP)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let gone = poll(&mut fds, Some(&now)).is_err() || fds[0].revents().intersects(closed);
        let waiting = rustix::io::ioctl_fionread(server).unwrap_or(0);
        !gone || self.spool.len.saturating_add(waiting) >= length
    }
}

/// The parked responses of all clients.
#[derive(Debug, Default)]
pub(super) struct ParkedResponses(Mutex<VecDeque<ParkedResponse>>);

impl ParkedResponses {
    fn lock(&self) -> MutexGuard<'_, VecDeque<ParkedResponse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Parks `response` for the next client, and drops the oldest beyond the limit.
    pub(super) fn park(&self, response: ParkedResponse) {
        let mut all = self.lock();
        all.retain(|other| other.key != response.key && other.is_usable());
        if all.len() >= MAX_HELD {
            all.pop_front();
        }
        all.push_back(response);
    }

    /// Takes the parked response to `key`.
    pub(super) fn take(&self, key: &RequestKey) -> Option<ParkedResponse> {
        let mut all = self.lock();
        let at = all.iter().position(|one| one.key == *key)?;
        all.remove(at).filter(ParkedResponse::is_usable)
    }
}
