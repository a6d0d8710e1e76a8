//! An answer that one client has read in part, kept with its connection for the next one: so a server that takes one
//! connection only, or serves an address once, is asked once.

use std::{
    fs::File,
    io,
    net::IpAddr,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{Proxy, exchange::Origin, head::Authority};

/// What is kept of one answer. ffprobe reads 5 MB of what it cannot jump about in.
const MAX_KEPT: u64 = 16 << 20;

/// Answers kept at a time: picture and sound of two items.
const MAX_HELD: usize = 4;

/// An answer without a length is live, and is stale after that.
const FRESH: Duration = Duration::from_secs(30);

/// The beginning of a body, in a file that has no name.
#[derive(Debug)]
pub(super) struct Recording {
    file: File,
    pub(super) len: u64,
}

impl Recording {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile()?, len: 0 })
    }

    /// Adds `bytes`; `false` where that is too much, or the disk does not take it.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let fits = self.len + bytes.len() as u64 <= MAX_KEPT;
        let written = fits && self.file.write_all_at(bytes, self.len).is_ok();
        self.len += if written { bytes.len() as u64 } else { 0 };
        written
    }

    /// Reads from `at` on; 0 bytes at the end.
    pub(super) fn read(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(into, at)
    }
}

/// What was asked: the server, the path with its query, and the headers that show who asks.
pub(super) type Key = (Authority, String, Vec<u8>);

/// An answer as far as it came.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) key: Key,
    /// Where the server is; `None` where a child speaks to it.
    pub(super) address: Option<IpAddr>,
    /// The head as clients see it.
    pub(super) head: Vec<u8>,
    pub(super) begun: Recording,
    /// Bytes of the whole body, where the server tells.
    pub(super) length: Option<u64>,
    /// Where the rest comes from; `None` once everything has come.
    pub(super) server: Option<Origin>,
    pub(super) since: Instant,
}

impl Held {
    /// Whether the rest will still come.
    fn is_good(&self) -> bool {
        let Some(server) = &self.server else { return true };
        let Some(length) = self.length else { return self.since.elapsed() < FRESH };
        let closed = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut fds = [PollFd::new(server, PollFlags::RDHUP)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let gone = poll(&mut fds, Some(&now)).is_err() || fds[0].revents().intersects(closed);
        let waiting = rustix::io::ioctl_fionread(server).unwrap_or(0);
        !gone || self.begun.len.saturating_add(waiting) >= length
    }
}

impl Proxy {
    /// Keeps `held` for whoever asks next; the oldest of too many goes.
    pub(super) fn hold(&self, held: Held) {
        let mut all = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.retain(|other| other.key != held.key && other.is_good());
        if all.len() >= MAX_HELD {
            all.pop_front();
        }
        all.push_back(held);
    }

    /// What is kept of the answer to `key`, once.
    pub(super) fn take_held(&self, key: &Key) -> Option<Held> {
        let mut all = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = all.iter().position(|held| held.key == *key)?;
        all.remove(at).filter(Held::is_good)
    }
}
