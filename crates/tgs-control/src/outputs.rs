//! The further outputs, as `output.list` and `status` show them.

use serde::{Deserialize, Serialize};

use crate::{PublisherState, null::null_as_default};

/// The result of `output.list`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OutputListing {
    /// The outputs, in the order of `ALSO_OUTPUT_URLS`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub outputs: Vec<OutputStatus>,
}

/// A further output of the broadcast.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputStatus {
    /// Its name in `ALSO_OUTPUT_URLS`.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Its URL without the key.
    #[serde(deserialize_with = "null_as_default")]
    pub url: String,
    /// The proxy that leads to its server (`ALSO_OUTPUT_PROXIES`), as scheme, host and port; absent
    /// without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Whether an operator has paused it.
    #[serde(deserialize_with = "null_as_default")]
    pub paused: bool,
    /// Its connection.
    #[serde(deserialize_with = "null_as_default")]
    pub publisher: PublisherState,
    /// Media bytes sent to it since the start.
    #[serde(deserialize_with = "null_as_default")]
    pub sent_bytes: u64,
    /// Connections that were lost and made again since the start.
    #[serde(deserialize_with = "null_as_default")]
    pub reconnects: u64,
    /// Seconds of media that it has missed over open connections since the start, because it was
    /// too slow.
    #[serde(deserialize_with = "null_as_default")]
    pub dropped_seconds: f64,
    /// Seconds of media that wait for it.
    #[serde(deserialize_with = "null_as_default")]
    pub queue_seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_of_a_newer_version_is_read() {
        let read =
            r#"{"outputs":[{"name":"vk","publisher":{"state":"resting"},"sent_bytes":null,"more":1}],"x":2}"#;
        let read: OutputListing = serde_json::from_str(read).unwrap();
        let expected = OutputStatus { name: "vk".into(), ..OutputStatus::default() };
        assert_eq!(read.outputs, [expected]);
        assert_eq!(serde_json::from_str::<OutputListing>("{}").unwrap(), OutputListing::default());
    }
}
