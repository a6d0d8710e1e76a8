//! The stream that another process hands over in an upgrade.

use tgs_core::cancel::Cancel;
use tgs_telegram::Ingest;

use crate::upgrade::HandedIngest;

/// The stream of a process whose place this one takes.
pub(crate) struct HandedStream {
    /// Its ingest, if it publishes.
    pub(crate) ingest: Option<Ingest>,
    /// Set once the process has ended, and its session is free.
    pub(crate) gone: Cancel,
}

/// The ingest as the next process gets it.
pub(super) fn handed(ingest: &Ingest) -> HandedIngest {
    HandedIngest { url: ingest.url.clone(), key: ingest.key.expose().clone() }
}
