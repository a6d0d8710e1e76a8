//! Changes of a broadcast's state that concern no picture, as `subscribe` sends them.

use serde::{Deserialize, Serialize};

use crate::LiveClient;

/// A change of the broadcast's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum StateChange {
    /// The broadcast was paused.
    Paused {
        /// When the pause ends by itself (RFC 3339).
        #[serde(default)]
        ends: Option<String>,
    },
    /// A pause has ended.
    Resumed,
    /// An operator has stopped the broadcast.
    StoppedByOperator,
    /// An operator has started the stopped broadcast.
    StartedByOperator,
    /// The Telegram side is in another state.
    Session {
        /// The state's name, as in `/status`.
        state: String,
        /// Why, if it is not live.
        #[serde(default)]
        why: Option<String>,
    },
    /// The queue has changed.
    Queue {
        /// The number of its entries.
        length: usize,
    },
    /// A publisher of the live input has arrived.
    LiveArrived {
        /// The publisher.
        publisher: LiveClient,
    },
    /// The publisher of the live input has gone.
    LiveLeft {
        /// The name of its key.
        key: String,
    },
    /// A change of a newer version.
    #[serde(other)]
    Unknown,
}
