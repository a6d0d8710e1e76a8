//! What may happen at once. Work that may block has its threads, so that a library or a broadcast
//! that hangs delays nothing else.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::shares::Shares;

/// Threads for work that blocks.
pub(crate) const THREADS: usize = 32;
/// Passwords that are verified at once: each takes 19 MiB.
const HASHING: usize = 2;
/// Searches of the library at once.
const SEARCHES: usize = 2;
/// Sources that are judged at once: a disk or a name server may not answer.
const SOURCES: usize = 4;
/// Requests to the broadcasts at once, and to one of them.
const REQUESTS: usize = 16;
pub(crate) const REQUESTS_OF_CHANNEL: usize = 4;
/// Thumbnails that are made at once.
const THUMBNAILS: usize = 4;

// One more searches the machine for channels.
const _: () = assert!(HASHING + SEARCHES + SOURCES + REQUESTS + THUMBNAILS < THREADS);

/// Browsers that follow the channels, and those of one user.
const FOLLOWERS: (usize, usize) = (64, 8);
/// Pictures that are shown, and those of one user: a channel has eight.
const PICTURES: (usize, usize) = (16, 4);

/// Large parts of as-run logs that are read and sent at once, and those of one user: each takes
/// megabytes until a browser has accepted it.
const LISTINGS: (usize, usize) = (4, 2);

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// The limits of the desk.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Passwords.
    pub(crate) hashing: Arc<Semaphore>,
    /// Searches.
    pub(crate) searches: Arc<Semaphore>,
    /// Sources that are judged.
    pub(crate) sources: Arc<Semaphore>,
    /// Requests to the broadcasts.
    pub(crate) requests: Arc<Semaphore>,
    /// Thumbnails.
    pub(crate) thumbnails: Arc<Semaphore>,
    /// Event streams, by user.
    pub(crate) followers: Arc<Shares<String>>,
    /// Pictures, by user.
    pub(crate) pictures: Arc<Shares<String>>,
    /// Large parts of as-run logs, by user.
    pub(crate) listings: Arc<Shares<String>>,
}

impl Default for Limits {
    fn default() -> Self {
        let limit = |permits| Arc::new(Semaphore::new(permits));
        Self {
            hashing: limit(HASHING),
            searches: limit(SEARCHES),
            sources: limit(SOURCES),
            requests: limit(REQUESTS),
            thumbnails: limit(THUMBNAILS),
            followers: Shares::new(FOLLOWERS.0, FOLLOWERS.1),
            pictures: Shares::new(PICTURES.0, PICTURES.1),
            listings: Shares::new(LISTINGS.0, LISTINGS.1),
        }
    }
}

/// A permit of `limit`; `None` if none is free in time. Work on a thread takes it along: the thread
/// outlives the request.
pub(crate) async fn acquire(limit: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    timeout(PATIENCE, limit.clone().acquire_owned()).await.ok()?.ok()
}

/// How long a browser may take to accept a piece of a stream.
pub(crate) const SLOWEST_BROWSER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_its_turn_and_not_for_ever() {
        let limits = Limits::default();
        let held: Vec<_> = std::iter::repeat_with(|| limits.sources.clone().try_acquire_owned())
            .map_while(Result::ok)
            .collect();
        assert_eq!(held.len(), SOURCES);
        assert!(acquire(&limits.sources).await.is_none(), "the library hangs");
        assert!(acquire(&limits.requests).await.is_some(), "which delays nothing else");
        let (waiting, ()) = tokio::join!(acquire(&limits.sources), async { drop(held) });
        assert!(waiting.is_some());
    }
}
