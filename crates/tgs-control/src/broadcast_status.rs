//! The result of the method `status`, and the greeting of the control socket.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{LiveStatus, Status, null::null_as_default, status::mask_urls};

/// The first line that a client receives (as notification `hello`), and the result of `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The program: `tgs-stream`.
    pub server: String,
    /// Its version.
    pub version: String,
    /// The version of the protocol; it grows with each addition.
    pub protocol: u32,
    /// The broadcast's name: that of the unit's instance, `main` for the first broadcast of a
    /// machine.
    #[serde(default)]
    pub channel: String,
}

/// The result of `status`: the document of `/status`, and what only the control socket shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BroadcastStatus {
    /// The document of `/status`.
    #[serde(flatten)]
    pub status: Status,
    /// The reason of `/healthz` if the broadcast is unhealthy.
    #[serde(default)]
    pub unhealthy: Option<String>,
    /// Whether an operator has stopped the broadcast.
    #[serde(default, deserialize_with = "null_as_default")]
    pub stopped: bool,
    /// When a pause ends by itself (RFC 3339).
    #[serde(default)]
    pub pause_ends: Option<String>,
    /// The titles of the next items, at most five, as far as known without a network request.
    #[serde(default, deserialize_with = "null_as_default")]
    pub upcoming: Vec<String>,
    /// The number of queue entries.
    #[serde(default, deserialize_with = "null_as_default")]
    pub queue_length: usize,
    /// When this tgs-stream started (RFC 3339).
    #[serde(default, deserialize_with = "null_as_default")]
    pub started_at: String,
    /// Its process ID.
    #[serde(default, deserialize_with = "null_as_default")]
    pub pid: u32,
    /// The URL of the output without its key.
    #[serde(default)]
    pub output: Option<String>,
    /// Media bytes sent to the server since the start.
    #[serde(default)]
    pub sent_bytes: Option<u64>,
    /// Connections that were lost and made again since the start.
    #[serde(default)]
    pub reconnects: Option<u64>,
    /// The live input; absent without `LIVE_INPUT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveStatus>,
}

impl BroadcastStatus {
    /// Serializes the status. Masks credentials in URLs.
    #[must_use]
    pub fn to_masked_json(&self) -> Value {
        // No map in it has keys other than strings.
        let mut value = serde_json::to_value(self).unwrap_or_default();
        mask_urls(&mut value);
        value
    }
}
