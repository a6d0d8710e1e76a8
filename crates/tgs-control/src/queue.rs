//! The result of `queue.list`.

use serde::{Deserialize, Serialize};

use crate::null::null_as_default;

/// The queue: entries that play before the rest of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueListing {
    /// The entries in playing order.
    #[serde(default, deserialize_with = "null_as_default")]
    pub entries: Vec<QueueEntry>,
}

/// An entry of the queue. Credentials in URLs are masked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueEntry {
    /// The entry's ID. No other entry of this broadcast ever gets it, also after a restart.
    pub id: u64,
    /// The line as it was added.
    #[serde(deserialize_with = "null_as_default")]
    pub source: String,
    /// The title, as far as it is known without opening the source.
    #[serde(deserialize_with = "null_as_default")]
    pub title: String,
    /// Whether an item of the entry is on air. The entry stays until it has been shown to its end.
    #[serde(deserialize_with = "null_as_default")]
    pub on_air: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_newer_and_older_versions_are_read() {
        let read: QueueListing =
            serde_json::from_str(r#"{"entries":[{"id":7,"title":null,"new":{}}],"more":1}"#).unwrap();
        assert_eq!(read.entries, [QueueEntry { id: 7, ..QueueEntry::default() }]);
        assert_eq!(serde_json::from_str::<QueueListing>("{}").unwrap(), QueueListing::default());
        let written = serde_json::to_string(&read.entries[0]).unwrap();
        assert_eq!(written, r#"{"id":7,"source":"","title":"","on_air":false}"#);
    }
}
