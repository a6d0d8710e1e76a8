//! Parked responses: the part of a response that a probe has read, kept with its connection for the
//! encoder. A server that accepts one connection, or serves a URL once, gets one request. Fetches
//! nothing.

use std::{
    fs::File,
    io,
    net::IpAddr,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{LoopbackProxy, exchange::Upstream, head::Authority};

/// Size limit of the kept part: ffprobe reads 5 MB of an unseekable stream.
const MAX_KEPT: u64 = 16 << 20;

/// Limit of parked responses: picture and sound of two items.
const MAX_HELD: usize = 4;

/// Age at which a response without a length, a live stream, is stale.
const FRESH: Duration = Duration::from_secs(30);

/// The beginning of a body, in a file without a name.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    pub(super) len: u64,
}

impl Spool {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile()?, len: 0 })
    }

    /// Adds `bytes`; `false` beyond the limit or if the write fails.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let fits = self.len + bytes.len() as u64 <= MAX_KEPT;
        let written = fits && self.file.write_all_at(bytes, self.len).is_ok();
        self.len += if written { bytes.len() as u64 } else { 0 };
        written
    }

    /// Reads from `at`; 0 bytes at the end.
    pub(super) fn read(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(into, at)
    }
}

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

impl LoopbackProxy {
    /// Parks `response` for the next client, and drops the oldest beyond the limit.
    pub(super) fn park(&self, response: ParkedResponse) {
        let mut all = self.parked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.retain(|other| other.key != response.key && other.is_usable());
        if all.len() >= MAX_HELD {
            all.pop_front();
        }
        all.push_back(response);
    }

    /// Takes the parked response to `key`.
    pub(super) fn take_parked(&self, key: &RequestKey) -> Option<ParkedResponse> {
        let mut all = self.parked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = all.iter().position(|one| one.key == *key)?;
        all.remove(at).filter(ParkedResponse::is_usable)
    }
}
