//! What the leaving process and its successor say to each other, one JSON document a line.

use serde::{Deserialize, Serialize};

use crate::{live_takeover::HandedLive, position::Position};

/// The version of the hand-over. A successor of another version is not used: the broadcast then
/// needs a restart.
pub(super) const PROTOCOL: u32 = 1;

/// What a successor says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(super) enum SuccessorSays {
    /// The settings are read. First message.
    Hello {
        /// [`PROTOCOL`]
        protocol: u32,
        /// Of the program.
        version: String,
        /// Whether it understands `publisher`.
        #[serde(default)]
        takes_publisher: bool,
    },
    /// The first item is read ahead.
    Ready,
    /// The broadcast cannot be taken over.
    Refuses {
        /// The reason.
        why: String,
    },
    /// Media is sent.
    Live,
}

/// What the process on air says. When it has ended, it closes the channel.
#[derive(Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(super) enum PredecessorSays {
    /// Get ready.
    Start(Box<HandedState>),
    /// The connection to the server is closed: publish.
    Go,
    /// After `live`: the connection of the live input's publisher is beside this message.
    Publisher(Box<HandedLive>),
}

/// The state that the files of STATE_DIR do not hold. Has no `Debug`: it holds the stream key.
#[derive(Serialize, Deserialize)]
pub(crate) struct HandedState {
    /// Whether an engine runs: the successor reads its first item ahead.
    pub(crate) on_air: bool,
    /// Where the list continues; without it, where `position.json` says.
    pub(crate) position: Option<Position>,
    /// When the successor is expected to begin, in milliseconds since the epoch.
    pub(crate) begins_at: u64,
    /// The ingest that Telegram has named.
    pub(crate) ingest: Option<HandedIngest>,
    /// What each descriptor beside this message is.
    pub(super) descriptors: Vec<HandedDescriptor>,
}

/// An ingest of Telegram.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct HandedIngest {
    pub(crate) url: String,
    pub(crate) key: String,
}

/// A descriptor that goes over to the successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HandedDescriptor {
    /// The lock of STATE_DIR.
    StateLock,
    /// The listener of metrics, health and status.
    Status,
    /// The listener of the control socket.
    Control,
    /// The listener of the live input.
    LiveInput,
}
