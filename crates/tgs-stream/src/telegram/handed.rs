//! The stream that another process or host hands over.

use tgs_core::cancel::Cancel;
use tgs_telegram::Ingest;

use crate::upgrade::HandedIngest;

/// The stream that this process continues.
pub(crate) struct HandedStream {
    /// The ingest, if there is one.
    pub(crate) ingest: Option<Ingest>,
    /// Set once the process has ended whose place this one takes, and its session is free. `None`
    /// on another host, which has a session of its own.
    pub(crate) gone: Option<Cancel>,
}

/// The ingest as the next process gets it.
pub(super) fn handed(ingest: &Ingest) -> HandedIngest {
    HandedIngest { url: ingest.url.clone(), key: ingest.key.expose().clone() }
}
