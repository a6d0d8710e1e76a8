//! Where a broadcast continues, and what is known of it in advance.

use std::sync::Arc;

use crate::{succession::Succession, telegram::HandedStream, upgrade::successor::Predecessor};

/// Where a broadcast continues.
pub(crate) enum BroadcastOrigin {
    /// Where STATE_DIR says.
    Own,
    /// Where the process is whose place this one takes.
    Process(Predecessor),
    /// Where the host before was. Shows its own position to the next one.
    Host(Arc<Succession>),
}

impl BroadcastOrigin {
    /// The ingest that is known before Telegram is asked.
    pub(crate) fn handed(&self) -> Option<HandedStream> {
        match self {
            Self::Own => None,
            Self::Process(predecessor) => {
                Some(HandedStream { ingest: predecessor.ingest(), gone: Some(predecessor.gone()) })
            }
            Self::Host(succession) => {
                let ingest = succession.ingest.clone();
                ingest.map(|ingest| HandedStream { ingest: Some(ingest), gone: None })
            }
        }
    }

    /// The term on air, of a hot standby.
    pub(crate) fn succession(&self) -> Option<&Arc<Succession>> {
        match self {
            Self::Host(succession) => Some(succession),
            Self::Own | Self::Process(_) => None,
        }
    }
}
