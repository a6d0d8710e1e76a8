//! The result of `playlist.list`.

use serde::{Deserialize, Serialize};

use crate::null::null_as_default;

/// A part of the list, in the playing order of the present round.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaylistPage {
    /// The number of entries in the round. Pages and remote lists count as one until they are due.
    #[serde(default, deserialize_with = "null_as_default")]
    pub total: usize,
    /// The requested entries.
    #[serde(default, deserialize_with = "null_as_default")]
    pub entries: Vec<ListedEntry>,
}

/// An entry of the list. Credentials in URLs are masked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListedEntry {
    /// The index in the playing order, from 0.
    pub index: usize,
    /// The entry's ID, stable across edits, shuffled rounds and restarts.
    #[serde(deserialize_with = "null_as_default")]
    pub id: String,
    /// The title, as far as it is known without opening the source.
    #[serde(deserialize_with = "null_as_default")]
    pub title: String,
    /// The path or URL.
    #[serde(deserialize_with = "null_as_default")]
    pub source: String,
    /// Where the round is, relative to this entry.
    #[serde(deserialize_with = "null_as_default")]
    pub state: EntryState,
}

/// Where a round is, relative to an entry of the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// The round has passed the entry, whether or not it could be played.
    Passed,
    /// The entry is on air.
    Current,
    /// The entry follows, after what is queued.
    Next,
    /// The entry comes later in the round; also any unknown state.
    #[default]
    #[serde(other)]
    Later,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_newer_and_older_versions_are_read() {
        let page =
            r#"{"total":9,"entries":[{"index":3,"id":"a","state":"current"},{"state":"doubtful","x":1}]}"#;
        let read: PlaylistPage = serde_json::from_str(page).unwrap();
        assert_eq!((read.total, read.entries[0].index, read.entries[0].state), (9, 3, EntryState::Current));
        assert_eq!(read.entries[1], ListedEntry::default());
        let written = serde_json::to_string(&read.entries[1]).unwrap();
        assert_eq!(written, r#"{"index":0,"id":"","title":"","source":"","state":"later"}"#);
    }
}
