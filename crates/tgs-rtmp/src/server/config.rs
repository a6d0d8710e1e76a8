//! What a server accepts: application, key, and how much.

use std::time::Duration;

use crate::{limits::Rate, stream_key::StreamKey};

/// The stream keys that may publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCheck {
    /// Every key; for tests.
    Any,
    /// This key only, compared in constant time.
    Exactly(StreamKey),
    /// The caller decides at [`super::ServerEvent::Requested`].
    Caller,
}

/// Why a caller refuses a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishRefusal {
    /// The key is wrong.
    Key,
    /// Another client publishes.
    Busy,
}

impl PublishRefusal {
    /// The words for the client.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Key => "wrong stream key",
            Self::Busy => "another client publishes already",
        }
    }
}

/// Limits of a client; exceeding one closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Longest audio or video message in bytes. Unfinished messages hold at most twice as much.
    pub longest_message: usize,
    /// Bytes of a publisher, including headers. Before `publish` a client has much less.
    pub bytes: Rate,
    /// Messages of any type of a publisher.
    pub messages: Rate,
    /// Time from the start of the connection to `publish`.
    pub time_to_publish: Duration,
    /// Longest time without audio or video after `publish`.
    pub idle: Duration,
}

impl Default for ServerLimits {
    /// 4 MiB per message, 32 Mbit/s, 1000 messages/s, 10 s until `publish` and between media.
    fn default() -> Self {
        Self {
            longest_message: 4 << 20,
            bytes: Rate { at_once: 16 << 20, per_second: 4 << 20 },
            messages: Rate { at_once: 5000, per_second: 1000 },
            time_to_publish: Duration::from_secs(10),
            idle: Duration::from_secs(10),
        }
    }
}

/// Server settings for its publishers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The application (first part of the URL path); `None` accepts every application.
    pub app: Option<String>,
    /// Accepted stream keys (last part of the URL path).
    pub key: KeyCheck,
    /// Size of the server's chunks in bytes; `None` keeps the default of 128.
    pub chunk_size: Option<u32>,
    /// Limits of each client.
    pub limits: ServerLimits,
}

impl ServerConfig {
    /// Accepts `key` in every application, with the default limits.
    #[must_use]
    pub fn new(key: KeyCheck) -> Self {
        Self { app: None, key, chunk_size: Some(4096), limits: ServerLimits::default() }
    }
}
