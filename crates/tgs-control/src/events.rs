//! What happens on air, as `subscribe` of the control socket sends it and the as-run log keeps it.
//!
//! The texts contain no credentials: the engine masks them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A change of what viewers see.
///
/// At each moment at most one of item, filler and outage is on air; each has its beginning and its
/// end. `at` is the wall-clock time of the first picture as sent, or of the change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum BroadcastEvent {
    /// An item began, or continues after filler or an outage.
    ItemBegan {
        /// When its first picture was sent.
        at: Timestamp,
        /// The item.
        item: AiredItem,
        /// The place in the item of that picture, in seconds from the item's beginning.
        offset_seconds: f64,
        /// The item's whole length in seconds, if known.
        #[serde(default)]
        duration_seconds: Option<f64>,
        /// Whether the item was interrupted before.
        #[serde(default)]
        resumed: bool,
        /// When it was to begin: the time of a hard start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        planned_start: Option<Timestamp>,
    },
    /// An item ended, or was interrupted.
    ItemEnded {
        /// When.
        at: Timestamp,
        /// The item.
        item: AiredItem,
        /// The place reached in the item, in seconds from its beginning.
        offset_seconds: f64,
        /// How it ended.
        how: ItemEnd,
    },
    /// An item cannot be played, or not to its end. What of it is encoded is still sent.
    ItemFailed {
        /// When.
        at: Timestamp,
        /// The item's title.
        title: String,
        /// The class of the failure, as in the metric `tgs_item_failures_total`.
        reason: String,
        /// What happened.
        detail: String,
        /// Seconds of it that were encoded.
        played_seconds: f64,
    },
    /// The filler began.
    FillerBegan {
        /// When its first picture was sent.
        at: Timestamp,
        /// Why.
        cause: String,
    },
    /// The filler ended.
    FillerEnded {
        /// When.
        at: Timestamp,
    },
    /// The connection to the server was lost, or cannot be made.
    OutageBegan {
        /// When this was noticed.
        at: Timestamp,
        /// Why.
        cause: String,
    },
    /// The connection was made again.
    OutageEnded {
        /// When.
        at: Timestamp,
    },
    /// The engine has started: from now on it connects and plays.
    Started {
        /// When.
        at: Timestamp,
    },
    /// The engine has ended: nothing is on air.
    Stopped {
        /// When.
        at: Timestamp,
        /// Why.
        cause: String,
    },
    /// An event of a newer version.
    #[serde(other)]
    Unknown,
}

/// An item in an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AiredItem {
    /// Its number in this run of the engine, from 1.
    pub seq: u64,
    /// Its identity: the path or the page's URL, credentials masked.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What ffmpeg opens for it, credentials masked; absent for a page that plays from the cache.
    #[serde(default)]
    pub source: Option<String>,
    /// The slot or live input that it belongs to; absent for an item of the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
}

/// How an item ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum ItemEnd {
    /// It played to its end.
    Played,
    /// A command left it.
    Skipped {
        /// Who sent the command.
        by: CommandSender,
        /// The command.
        command: String,
    },
    /// It failed before its end.
    Failed {
        /// What happened.
        reason: String,
    },
    /// The broadcast, its slot or its live input ended in its midst.
    Cut {
        /// Why.
        cause: String,
    },
    /// A slot, a live input, filler or an outage replaced it; it may continue.
    Interrupted {
        /// Why.
        cause: String,
    },
    /// A way of a newer version.
    #[serde(other)]
    Unknown,
}

/// Who sent a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CommandSender {
    /// What this machine knows of the sender: `uid 0 (root)`, `signal`, `internal`.
    pub user: String,
    /// The name that the client states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

impl CommandSender {
    /// The tool itself: the playlist watch, the Telegram side.
    #[must_use]
    pub fn internal() -> Self {
        Self { user: "internal".to_owned(), client: None }
    }

    /// A signal of the system.
    #[must_use]
    pub fn signal() -> Self {
        Self { user: "signal".to_owned(), client: None }
    }
}

impl fmt::Display for CommandSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.client {
            Some(client) => write!(f, "{} (stated: {client})", self.user),
            None => f.write_str(&self.user),
        }
    }
}

impl BroadcastEvent {
    /// Serializes the event.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_named_and_newer_ones_are_readable() {
        let item = AiredItem { seq: 3, id: "/a".into(), title: "a".into(), source: None, lane: None };
        let by = CommandSender { user: "uid 0 (root)".into(), client: Some("tgs-ctl".into()) };
        let how = ItemEnd::Skipped { by, command: "next".into() };
        let event = BroadcastEvent::ItemEnded { at: Timestamp(1), item, offset_seconds: 1.5, how };
        let json = event.to_json().unwrap();
        assert_eq!(
            json,
            r#"{"event":"item_ended","at":"1970-01-01T00:00:00.001Z","item":{"seq":3,"id":"/a","title":"a","source":null},"offset_seconds":1.5,"how":{"how":"skipped","by":{"user":"uid 0 (root)","client":"tgs-ctl"},"command":"next"}}"#
        );
        assert_eq!(serde_json::from_str::<BroadcastEvent>(&json).unwrap(), event);
        let newer = serde_json::from_str::<BroadcastEvent>(r#"{"event":"advert","at":1}"#).unwrap();
        assert_eq!(newer, BroadcastEvent::Unknown);
        assert_eq!(serde_json::from_str::<ItemEnd>(r#"{"how":"sold"}"#).unwrap(), ItemEnd::Unknown);
    }
}
