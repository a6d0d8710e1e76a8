//! The `/status` document: what the broadcast publishes, and its progress. Reads no clock.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tgs_core::mask;

use crate::{
    HostRole, HostsStatus, OutputStatus, PublisherState, RecorderStatus, TelegramStatus,
    null::null_as_default,
};

/// The `/status` document.
///
/// Readers accept documents of other versions: missing, additional and `null` fields, and unknown
/// states. Only a document without `on_air` is an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The engine's part.
    #[serde(flatten)]
    pub engine: EngineStatus,
    /// The Telegram part; absent with OUTPUT_URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telegram: Option<TelegramStatus>,
    /// The further outputs; absent without `ALSO_OUTPUT_URLS`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub outputs: Vec<OutputStatus>,
    /// The recording; absent without `RECORD_DIR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecorderStatus>,
    /// Warnings about the settings.
    #[serde(default, deserialize_with = "null_as_default")]
    pub warnings: Vec<String>,
    /// The hot standby; absent without `HA_ENDPOINTS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<HostsStatus>,
}

impl Status {
    /// Whether another host publishes this broadcast.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.hosts.as_ref().is_some_and(|hosts| hosts.role == HostRole::Standby)
    }

    /// Serializes the page. Masks credentials in URLs, which item titles and failures may contain.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let mut page = serde_json::to_value(self)?;
        mask_urls(&mut page);
        serde_json::to_string(&page)
    }
}

pub(crate) fn mask_urls(value: &mut Value) {
    match value {
        Value::String(text) => *text = mask::urls(text).into_owned(),
        Value::Array(all) => all.iter_mut().for_each(mask_urls),
        Value::Object(fields) => fields.values_mut().for_each(mask_urls),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The engine's part of `/status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// What viewers see.
    pub on_air: OnAir,
    /// The connection to the ingest server.
    #[serde(default, deserialize_with = "null_as_default")]
    pub publisher: PublisherState,
    /// Read-ahead in seconds.
    #[serde(default, deserialize_with = "null_as_default")]
    pub readahead_seconds: f64,
    /// Seconds of sent media that the server has not acknowledged by TCP.
    #[serde(default, deserialize_with = "null_as_default")]
    pub queue_seconds: f64,
    /// Encoding speed: media seconds per second of encoder time. `None` before the first
    /// measurement, and while nothing is encoded.
    #[serde(default)]
    pub encoder_speed_ratio: Option<f64>,
    /// Title and cause of the last item that failed.
    #[serde(default)]
    pub last_failure: Option<String>,
    /// Whether a command has paused the broadcast.
    #[serde(default, deserialize_with = "null_as_default")]
    pub paused: bool,
    /// Whether the broadcast ends after the item that was current at `StopAfterCurrent`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub stops_after_current: bool,
    /// The title set by a command.
    #[serde(default)]
    pub title: Option<String>,
    /// Title of the next item, if known.
    #[serde(default)]
    pub next: Option<String>,
}

/// What viewers see.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum OnAir {
    /// An item.
    Item(PlayingItem),
    /// The filler.
    Filler {
        /// Why it is shown.
        #[serde(default, deserialize_with = "null_as_default")]
        cause: String,
    },
    /// The broadcast is over.
    Stopped,
    /// Nothing has been sent yet; also any unknown state.
    #[default]
    #[serde(other)]
    Starting,
}

/// The item on air.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlayingItem {
    /// The item's ID.
    #[serde(deserialize_with = "null_as_default")]
    pub id: String,
    /// The item's title.
    #[serde(deserialize_with = "null_as_default")]
    pub title: String,
    /// The viewers' position in the item, in seconds.
    #[serde(deserialize_with = "null_as_default")]
    pub offset_seconds: f64,
    /// The item's duration in seconds, if known.
    pub duration_seconds: Option<f64>,
    /// The slot or live input that the item belongs to; absent for an item of the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
}

#[cfg(test)]
mod tests {
    use crate::TelegramState;

    use super::*;

    /// Recorded from tgs-stream before these types were deserializable.
    const PAGES: [&str; 3] = [
        r#"{"encoder_speed_ratio":3.25,"last_failure":"a film: no such file","next":"c","on_air":{"duration_seconds":8.0,"id":"/m/a.mkv","offset_seconds":3.4,"state":"item","title":"a"},"paused":false,"publisher":{"state":"connected"},"queue_seconds":0.25,"readahead_seconds":3.96,"stops_after_current":true,"telegram":{"account":"Bob (@bob, 5)","chat":"News (-100)","retry_at":null,"session":"0a1b2c3d","session_valid":true,"standby_valid":false,"state":"live","why":null},"title":"Night","warnings":["PROXY is no setting of ours"]}"#,
        r#"{"encoder_speed_ratio":null,"last_failure":null,"next":null,"on_air":{"cause":"nothing to play","state":"filler"},"paused":true,"publisher":{"cause":"refused","state":"reconnecting"},"queue_seconds":0.0,"readahead_seconds":0.0,"stops_after_current":false,"telegram":{"account":null,"chat":null,"retry_at":1789000000,"session":null,"session_valid":false,"standby_valid":null,"state":"waiting_flood","why":"FLOOD_WAIT"},"title":null,"warnings":[]}"#,
        r#"{"encoder_speed_ratio":null,"last_failure":null,"next":null,"on_air":{"state":"starting"},"paused":false,"publisher":{"state":"connecting"},"queue_seconds":0.0,"readahead_seconds":0.0,"stops_after_current":false,"title":null,"warnings":[]}"#,
    ];

    #[test]
    fn a_page_of_the_version_before_is_read_and_written_as_it_was() {
        for page in PAGES {
            let status: Status = serde_json::from_str(page).unwrap();
            assert_eq!(status.to_json().unwrap(), page);
        }
        let first: Status = serde_json::from_str(PAGES[0]).unwrap();
        assert!(matches!(&first.engine.on_air, OnAir::Item(item) if item.title == "a"));
        assert_eq!(first.telegram.unwrap().standby_valid, Some(false));
        assert_eq!(serde_json::from_str::<Status>(PAGES[2]).unwrap(), Status::default());
    }

    #[test]
    fn fields_may_be_missing_or_more_but_on_air_marks_the_page() {
        let read = |json: &str| serde_json::from_str::<Status>(json);
        let short = read(r#"{"on_air":{"state":"item","new":1},"telegram":{"session":"a"},"x":{}}"#).unwrap();
        assert_eq!(short.telegram.unwrap().session.as_deref(), Some("a"));
        for other in ["{}", "[]", r#"{"telegram":{"state":"live"}}"#, r#"{"on_air":true}"#] {
            assert!(read(other).is_err(), "{other}");
        }
    }

    #[test]
    fn unknown_states_and_nulls_leave_the_rest_readable() {
        let page = r#"{"on_air":{"state":"advert","id":"x","cause":{}},"publisher":{"state":"resting","for":3},
            "readahead_seconds":null,"queue_seconds":0.5,"paused":null,"stops_after_current":null,"title":"Night",
            "warnings":null,"telegram":{"state":"waiting_votes","session":"a","session_valid":null}}"#;
        let status: Status = serde_json::from_str(page).unwrap();
        let telegram = TelegramStatus {
            state: TelegramState::WaitingOther,
            session: Some("a".into()),
            ..TelegramStatus::default()
        };
        let engine =
            EngineStatus { queue_seconds: 0.5, title: Some("Night".into()), ..EngineStatus::default() };
        assert_eq!(status, Status { engine, telegram: Some(telegram), ..Status::default() });

        let page = r#"{"on_air":{"state":"item","id":null,"title":"a","offset_seconds":null},
            "publisher":null,"telegram":{"state":null}}"#;
        let status: Status = serde_json::from_str(page).unwrap();
        let item = PlayingItem { title: "a".into(), ..PlayingItem::default() };
        let engine = EngineStatus { on_air: OnAir::Item(item), ..EngineStatus::default() };
        let telegram = Some(TelegramStatus::default());
        assert_eq!(status, Status { engine, telegram, ..Status::default() });

        let page = r#"{"on_air":{"state":"filler"},"publisher":{"state":"reconnecting","cause":null}}"#;
        let engine = serde_json::from_str::<Status>(page).unwrap().engine;
        assert_eq!(engine.on_air, OnAir::Filler { cause: String::new() });
        assert_eq!(engine.publisher, PublisherState::Reconnecting { cause: String::new() });
        assert!(serde_json::from_str::<Status>(r#"{"on_air":null}"#).is_err());

        let engine = EngineStatus { readahead_seconds: f64::NAN, ..EngineStatus::default() };
        let json = Status { engine, ..Status::default() }.to_json().unwrap();
        assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), Status::default());
    }

    #[test]
    fn the_page_shows_no_token_and_the_warnings_about_the_settings() {
        let url = "http://me:hidden@h/film.mp4?token=hidden";
        let item = PlayingItem {
            id: url.into(),
            title: url.into(),
            duration_seconds: Some(1.5),
            ..PlayingItem::default()
        };
        let engine = EngineStatus {
            on_air: OnAir::Item(item),
            last_failure: Some(format!("“{url}”: the server refuses it")),
            next: Some(url.into()),
            publisher: PublisherState::Reconnecting { cause: format!("{url} is gone") },
            ..EngineStatus::default()
        };
        let warnings = vec!["PROXY is no setting of ours".to_owned()];
        let json = Status { engine, warnings, ..Status::default() }.to_json().unwrap();
        assert!(!json.contains("hidden") && json.contains("film.mp4"), "{json}");
        let page: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(page["on_air"]["id"], "http://[masked]@h/film.mp4?token=[masked]");
        assert_eq!(page["on_air"]["duration_seconds"], 1.5);
        assert_eq!(page["warnings"][0], "PROXY is no setting of ours");
        assert!(page.get("telegram").is_none());
    }
}
