//! What the host on air writes twice a second, and its successor continues from.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the format.
const VERSION: u32 = 1;

/// The largest record and the largest queue, in bytes: etcd takes 1.5 MiB in one request.
pub(crate) const LARGEST: usize = 1 << 20;

/// The state of a broadcast. The parts are the files of a `STATE_DIR`, as their owner writes them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StateRecord {
    /// The version of the format; the driver sets it.
    #[serde(default)]
    pub version: u32,
    /// The host that wrote it.
    #[serde(default)]
    pub host: String,
    /// When, in milliseconds since the epoch.
    #[serde(default)]
    pub at_ms: u64,
    /// The place in the list; `None` at its beginning.
    #[serde(default)]
    pub position: Option<Value>,
    /// Pause, title, stop and paused outputs.
    #[serde(default)]
    pub standing: Option<Value>,
    /// Whether the host has left the air by itself: it will not publish with its lease any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
    /// The queue, which has a key of its own: it changes rarely and may be long.
    #[serde(skip)]
    pub queue: Option<Value>,
}

impl StateRecord {
    /// The bytes of the record without its queue; `None` if they are too many.
    pub(crate) fn to_bytes(&self) -> Option<Vec<u8>> {
        let record = Self { version: VERSION, ..self.clone() };
        serde_json::to_vec(&record).ok().filter(|bytes| bytes.len() <= LARGEST)
    }

    /// The bytes of its queue; `None` if they are too many.
    pub(crate) fn queue_bytes(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(&self.queue).ok().filter(|bytes| bytes.len() <= LARGEST)
    }

    /// Reads a record and its queue; `None` if a later version wrote it, or it is damaged.
    pub(crate) fn read(state: &[u8], queue: Option<&[u8]>) -> Option<Self> {
        let record: Self = serde_json::from_slice(state).ok()?;
        let queue = queue.and_then(|queue| serde_json::from_slice(queue).ok());
        (record.version <= VERSION).then_some(Self { queue, ..record })
    }
}

/// An announced hand-over: the host prepares a broadcast at the position, and says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// Which offer it is.
    pub(crate) id: String,
    /// The host that prepares.
    pub(crate) to: String,
    /// Where it will continue.
    pub(crate) record: StateRecord,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = StateRecord {
            version: VERSION,
            host: "left".into(),
            at_ms: 7,
            position: Some(json!({"offset_ms": 1500})),
            standing: Some(json!({"title": "Night"})),
            left: true,
            queue: Some(json!({"version": 1, "next_id": 2, "entries": []})),
        };
        let (state, queue) = (record.to_bytes().unwrap(), record.queue_bytes().unwrap());
        assert_eq!(StateRecord::read(&state, Some(&queue)), Some(record.clone()));
        assert_eq!(StateRecord::read(&state, None), Some(StateRecord { queue: None, ..record }));
        assert_eq!(StateRecord::read(b"{\"version\":2}", None), None);
        assert_eq!(StateRecord::read(b"no record", None), None);
        let long = StateRecord { position: Some("x".repeat(LARGEST).into()), ..StateRecord::default() };
        assert_eq!(long.to_bytes(), None);
    }
}
