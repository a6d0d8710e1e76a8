//! The live input, as `live.status` and `status` show it.

use serde::{Deserialize, Serialize};

use crate::null::null_as_default;

/// The live input and its publisher.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveStatus {
    /// Where publishers connect, without a key.
    #[serde(deserialize_with = "null_as_default")]
    pub url: String,
    /// What the publisher does.
    pub state: LiveState,
    /// The publisher, once its media has come.
    pub publisher: Option<LiveClient>,
    /// Whether viewers see it.
    #[serde(deserialize_with = "null_as_default")]
    pub on_air: bool,
    /// Whether it waits for `live.take`.
    #[serde(deserialize_with = "null_as_default")]
    pub waits_for_take: bool,
}

/// What the publisher does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveState {
    /// Nobody publishes.
    #[default]
    Absent,
    /// It has connected, and no picture has come.
    Connected,
    /// Its media flows.
    Flowing,
    /// It sends nothing, or has lost its connection; it may come back.
    Stalled,
    /// A state of a newer version.
    #[serde(other)]
    Unknown,
}

/// A client that publishes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveClient {
    /// The name of its key.
    #[serde(deserialize_with = "null_as_default")]
    pub key: String,
    /// Its address.
    #[serde(deserialize_with = "null_as_default")]
    pub address: String,
    /// Codecs and size, such as `H.264 1280x720, AAC 48000 Hz stereo`.
    #[serde(deserialize_with = "null_as_default")]
    pub format: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_a_newer_version_is_read() {
        let read: LiveStatus =
            serde_json::from_str(r#"{"url":"rtmp://[::1]:1/live","state":"muted","more":1}"#).unwrap();
        assert_eq!(read.state, LiveState::Unknown);
        assert_eq!(serde_json::from_str::<LiveStatus>("{}").unwrap(), LiveStatus::default());
        let status = LiveStatus { state: LiveState::Flowing, ..LiveStatus::default() };
        let written = serde_json::to_string(&status).unwrap();
        assert_eq!(
            written,
            r#"{"url":"","state":"flowing","publisher":null,"on_air":false,"waits_for_take":false}"#
        );
    }
}
