//! The recording, as `record.list`, `record.cut` and `status` show it.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, null::null_as_default};

/// What the recorder does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RecorderState {
    /// It writes what is aired.
    Recording,
    /// It cannot write, and tries again.
    Failing {
        /// Why.
        #[serde(default, deserialize_with = "null_as_default")]
        cause: String,
    },
    /// Nothing is aired; also any unknown state.
    #[default]
    #[serde(other)]
    Waiting,
}

/// The recording of a broadcast, in `status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecorderStatus {
    /// `RECORD_DIR`.
    #[serde(deserialize_with = "null_as_default")]
    pub dir: String,
    /// What the recorder does.
    #[serde(deserialize_with = "null_as_default")]
    pub recorder: RecorderState,
    /// The name of the file that is being written.
    pub file: Option<String>,
    /// Bytes written since the start.
    #[serde(deserialize_with = "null_as_default")]
    pub written_bytes: u64,
    /// Seconds that were aired and not recorded since the start.
    #[serde(deserialize_with = "null_as_default")]
    pub lost_seconds: f64,
}

/// Result of `record.list`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordListing {
    /// `RECORD_DIR`.
    #[serde(deserialize_with = "null_as_default")]
    pub dir: String,
    /// The number of all recordings.
    #[serde(deserialize_with = "null_as_default")]
    pub count: usize,
    /// Their size together.
    #[serde(deserialize_with = "null_as_default")]
    pub bytes: u64,
    /// The newest of them, oldest first.
    #[serde(deserialize_with = "null_as_default")]
    pub files: Vec<RecordedFile>,
}

/// A file of the recording.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedFile {
    /// Its name in `RECORD_DIR`.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// When its first frame was aired, to the second.
    #[serde(deserialize_with = "null_as_default")]
    pub from: Timestamp,
    /// When its last frame was aired.
    #[serde(deserialize_with = "null_as_default")]
    pub to: Timestamp,
    /// Its size.
    #[serde(deserialize_with = "null_as_default")]
    pub bytes: u64,
    /// Whether it is closed; else it is being written, or a crash has left it.
    #[serde(deserialize_with = "null_as_default")]
    pub finished: bool,
}

/// Result of `record.cut`: what the bytes that follow contain.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordCut {
    /// The format of the bytes: `matroska`.
    #[serde(deserialize_with = "null_as_default")]
    pub format: String,
    /// When the first frame was aired: at or before the time asked for.
    #[serde(deserialize_with = "null_as_default")]
    pub from: RecordMoment,
    /// When the last frame was aired.
    #[serde(deserialize_with = "null_as_default")]
    pub to: RecordMoment,
    /// The length of the media, without what is missing.
    #[serde(deserialize_with = "null_as_default")]
    pub seconds: f64,
    /// The number of bytes that follow.
    #[serde(deserialize_with = "null_as_default")]
    pub bytes: u64,
    /// The times in between of which nothing was recorded.
    #[serde(deserialize_with = "null_as_default")]
    pub missing: Vec<RecordGap>,
}

/// A moment of a recording.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordMoment {
    /// In UTC.
    #[serde(deserialize_with = "null_as_default")]
    pub utc: Timestamp,
    /// In the time zone of the machine, as `2026-03-29 14:00:00 +02:00`.
    #[serde(deserialize_with = "null_as_default")]
    pub local: String,
}

/// A time of which nothing was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordGap {
    /// Its beginning.
    #[serde(deserialize_with = "null_as_default")]
    pub from: RecordMoment,
    /// Its end.
    #[serde(deserialize_with = "null_as_default")]
    pub to: RecordMoment,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_a_newer_version_is_read() {
        let read =
            r#"{"dir":"/r","recorder":{"state":"resting","x":1},"file":null,"written_bytes":null,"y":2}"#;
        let read: RecorderStatus = serde_json::from_str(read).unwrap();
        assert_eq!(read, RecorderStatus { dir: "/r".into(), ..RecorderStatus::default() });
        let failing = RecorderState::Failing { cause: "full".into() };
        let json = serde_json::to_string(&failing).unwrap();
        assert_eq!(json, r#"{"state":"failing","cause":"full"}"#);
        assert_eq!(serde_json::from_str::<RecorderState>(&json).unwrap(), failing);
    }
}
