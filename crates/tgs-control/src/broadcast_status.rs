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
    /// The disk of `STATE_DIR` or `CACHE_DIR` with the smaller share of free space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskSpace>,
    /// When `tgs-ytdlp-update` last installed or confirmed the newest yt-dlp (RFC 3339); absent for
    /// a yt-dlp that it has not installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ytdlp_updated: Option<String>,
}

/// The space on a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskSpace {
    /// The directory of the broadcast on it.
    #[serde(deserialize_with = "null_as_default")]
    pub dir: String,
    /// Free bytes, for users other than root.
    #[serde(deserialize_with = "null_as_default")]
    pub free_bytes: u64,
    /// All bytes.
    #[serde(deserialize_with = "null_as_default")]
    pub total_bytes: u64,
}

impl DiskSpace {
    /// Bytes below which a disk of any size counts as filling. The cache leaves twice as much free.
    const LITTLE: u64 = 2_500_000_000;

    /// Whether less than 5 % is free, and less than 2.5 GB.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        self.free_bytes < (self.total_bytes / 20).min(Self::LITTLE)
    }
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
