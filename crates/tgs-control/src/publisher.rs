//! The state of a connection to an RTMP server, as `/status` shows it.

use serde::{Deserialize, Serialize};

use crate::null::null_as_default;

/// The connection to the ingest server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PublisherState {
    /// Connected; media can be sent.
    Connected,
    /// The connection was lost; the publisher reconnects.
    Reconnecting {
        /// The cause of the loss.
        #[serde(default, deserialize_with = "null_as_default")]
        cause: String,
    },
    /// Not connected since the start; also any unknown state.
    #[default]
    #[serde(other)]
    Connecting,
}

impl PublisherState {
    /// The state's name in `/status`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting { .. } => "reconnecting",
        }
    }
}
