//! The methods of the control socket: names, parameters, and what each does. The results are types
//! of their own; see each method's documentation.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::rpc::{ErrorCode, RpcError, RpcRequest};

/// The version of the protocol. It grows when a method, parameter or result is added; none is ever
/// removed or changed. Servers refuse unknown methods and parameters, clients ignore unknown
/// fields.
pub const PROTOCOL: u32 = 5;

/// A request to a broadcast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params")]
pub enum Call {
    /// States the client's name, for the log. Result: [`crate::Hello`].
    #[serde(rename = "hello")]
    Hello(HelloParams),
    /// What is on air, and the state of everything that puts it there. Result:
    /// [`crate::BroadcastStatus`].
    #[serde(rename = "status")]
    Status(NoParams),
    /// Switches to the next item.
    #[serde(rename = "next")]
    Next(NoParams),
    /// Returns to the beginning of the item before.
    #[serde(rename = "previous")]
    Previous(NoParams),
    /// Continues with this entry of the list.
    #[serde(rename = "goto")]
    Goto(GotoParams),
    /// Seeks within the current item.
    #[serde(rename = "seek")]
    Seek(SeekParams),
    /// Shows the filler until `resume`, `PAUSE_MAX` at most. Kept over restarts.
    #[serde(rename = "pause")]
    Pause(NoParams),
    /// Ends a pause.
    #[serde(rename = "resume")]
    Resume(NoParams),
    /// Adds an entry to the queue. Result: [`Queued`].
    #[serde(rename = "queue.add")]
    QueueAdd(QueueAddParams),
    /// The entries that play before the rest of the list. Result: [`crate::QueueListing`].
    #[serde(rename = "queue.list")]
    QueueList(NoParams),
    /// Moves an entry of the queue.
    #[serde(rename = "queue.move")]
    QueueMove(QueueMoveParams),
    /// Removes an entry from the queue.
    #[serde(rename = "queue.remove")]
    QueueRemove(QueueEntryParams),
    /// Empties the queue.
    #[serde(rename = "queue.clear")]
    QueueClear(NoParams),
    /// A part of the list, in playing order. Result: [`crate::PlaylistPage`].
    #[serde(rename = "playlist.list")]
    PlaylistList(PlaylistListParams),
    /// Reads the list again.
    #[serde(rename = "playlist.reload")]
    PlaylistReload(NoParams),
    /// Sets the title of the broadcast, and of the live stream in Telegram; an empty text removes
    /// it. Kept over restarts.
    #[serde(rename = "title.set")]
    TitleSet(TitleParams),
    /// Stops the broadcast: closes the connection to the server. Kept over restarts. Refused while
    /// the output is a file.
    #[serde(rename = "stop")]
    Stop(StopParams),
    /// Starts a stopped broadcast.
    #[serde(rename = "start")]
    Start(NoParams),
    /// Hands the broadcast over to the program that is installed now, without a gap, and ends this
    /// process: within 35 s, or the broadcast goes on and the error says why. Commands are refused
    /// meanwhile. Result: [`Upgraded`]. Since protocol 5.
    #[serde(rename = "upgrade")]
    Upgrade(NoParams),
    /// Gives the air to another host of the hot standby, and makes this one a standby. Refused if
    /// none is ready, or etcd does not answer. Since protocol 5.
    #[serde(rename = "handover")]
    Handover(NoParams),
    /// From now on the connection carries `event` notifications. Result: [`SubscribeParams`], as
    /// accepted.
    #[serde(rename = "subscribe")]
    Subscribe(SubscribeParams),
    /// What was on air. Result: [`crate::AsRunListing`].
    #[serde(rename = "asrun.list")]
    AsRunList(AsRunParams),
    /// The text of the timetable, as its file has it. Refused without SCHEDULE. Result:
    /// [`crate::ScheduleText`].
    #[serde(rename = "schedule.get")]
    ScheduleGet(NoParams),
    /// Replaces the text of the timetable, comments included; it is taken at once. Refused if the
    /// text has problems, or the file has changed since `etag`. Result: [`crate::ScheduleText`].
    #[serde(rename = "schedule.set")]
    ScheduleSet(ScheduleSetParams),
    /// Who has the air when, from a date on, by the timetable in force. Files are looked at,
    /// lengths are not measured. Refused without SCHEDULE. Result: [`crate::SchedulePlan`].
    #[serde(rename = "schedule.plan")]
    SchedulePlan(SchedulePlanParams),
    /// The further outputs. Result: [`crate::OutputListing`]. This and the other methods of
    /// outputs: since protocol 4.
    #[serde(rename = "output.list")]
    OutputList(NoParams),
    /// Disconnects a further output until `output.resume`. Kept over restarts.
    #[serde(rename = "output.pause")]
    OutputPause(OutputParams),
    /// Connects a paused output again.
    #[serde(rename = "output.resume")]
    OutputResume(OutputParams),
    /// The recordings. Result: [`crate::RecordListing`]. This and `record.cut` are refused without
    /// `RECORD_DIR`.
    #[serde(rename = "record.list")]
    RecordList(RecordListParams),
    /// From the next line on, the connection carries a part of the recordings as Matroska, cut at
    /// keyframes; the server closes it at the end. Result: [`crate::RecordCut`].
    #[serde(rename = "record.cut")]
    RecordCut(RecordCutParams),
    /// The last lines of the log. Result: [`LogLines`].
    #[serde(rename = "log.tail")]
    LogTail(LogTailParams),
    /// The live input and its publisher. Result: [`crate::LiveStatus`]. This and the other methods
    /// of the live input are refused without `LIVE_INPUT`.
    #[serde(rename = "live.status")]
    LiveStatus(NoParams),
    /// Puts the publisher of the live input on air.
    #[serde(rename = "live.take")]
    LiveTake(NoParams),
    /// Disconnects the publisher of the live input, and refuses it for a minute.
    #[serde(rename = "live.drop")]
    LiveDrop(NoParams),
    /// From the next line on, the connection carries the stream of the publisher as FLV, until it
    /// ends. Result: [`MonitorFormat`].
    #[serde(rename = "live.preview")]
    LivePreview(NoParams),
    /// One picture of a source, as it would be aired: with logo, names and subtitles. Encodes for
    /// some seconds, at most 12; one at a time. Result: [`PreviewPicture`]. Since protocol 3.
    #[serde(rename = "preview")]
    Preview(PreviewParams),
    /// From the next line on, the connection carries the broadcast as FLV. Result:
    /// [`MonitorFormat`].
    #[serde(rename = "monitor")]
    Monitor(NoParams),
}

/// No parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

/// Parameters of `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelloParams {
    /// The client's name, at most 64 characters; logged as stated.
    pub client: String,
}

/// Parameters of `goto`: exactly one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GotoParams {
    /// The entry's index in the order of `playlist.list`, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// The entry's ID in `playlist.list`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Parameters of `seek`: exactly one, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeekParams {
    /// Distance from the item's beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
    /// Distance from the picture on air; negative: back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<f64>,
}

/// Parameters of `queue.add`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueAddParams {
    /// Anything that a line of a playlist may be: a path, a folder, a URL.
    pub source: String,
    /// The index in the queue, from 0; without it the entry goes to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
    /// Restricts a source that somebody else has chosen. A path must lead, links resolved, to a
    /// media file below one of these directories whenever it is opened; a URL must be http(s) and
    /// lead to public addresses, redirects included. Since protocol 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Vec<PathBuf>>,
}

impl QueueAddParams {
    /// The first version of the protocol that knows [`QueueAddParams::below`].
    pub const BELOW_SINCE: u32 = 2;
}

/// Parameters of `preview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviewParams {
    /// As in `queue.add`. Of a folder or list, its first item.
    pub source: String,
    /// The time of the picture in seconds from the item's beginning.
    #[serde(default)]
    pub at: f64,
    /// As in `queue.add`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Vec<PathBuf>>,
}

/// Result of `preview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewPicture {
    /// The item's title.
    pub title: String,
    /// The picture as PNG in base64, of the broadcast's size.
    pub png: String,
}

/// Parameters of `queue.move`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueMoveParams {
    /// The entry's ID.
    pub id: u64,
    /// Its new index in the queue, from 0.
    pub position: usize,
}

/// Parameters of `queue.remove`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueEntryParams {
    /// The entry's ID.
    pub id: u64,
}

/// Parameters of `playlist.list`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlaylistListParams {
    /// The first entry's index.
    pub offset: usize,
    /// The number of entries, at most 1,000.
    pub limit: usize,
}

impl Default for PlaylistListParams {
    fn default() -> Self {
        Self { offset: 0, limit: 100 }
    }
}

/// The longest title of a live stream, in characters; Telegram's limit of titles.
pub const LONGEST_TITLE: usize = 128;

/// Parameters of `title.set`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TitleParams {
    /// The title, at most 128 characters.
    pub text: String,
}

/// Parameters of `stop`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopParams {
    /// Whether the current item is played to its end first.
    pub after_current: bool,
}

/// Parameters of `subscribe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubscribeParams {
    /// The kinds of events; all if empty.
    pub events: Vec<EventKind>,
}

/// The kinds of events that `subscribe` chooses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// An item began, ended or failed.
    Item,
    /// The broadcast was paused, resumed, stopped or started.
    State,
    /// The filler began or ended.
    Filler,
    /// The connection to the server was made or lost.
    Publisher,
    /// The Telegram session changed its state.
    Session,
    /// The queue changed.
    Queue,
    /// A publisher of the live input arrived or left.
    Live,
}

/// Parameters of `asrun.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AsRunParams {
    /// Only entries that began at or after this time (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The number of entries, the newest ones; at most 10,000.
    pub limit: usize,
}

impl Default for AsRunParams {
    fn default() -> Self {
        Self { since: None, limit: 100 }
    }
}

/// Parameters of `schedule.set`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSetParams {
    /// The whole new text.
    pub text: String,
    /// The version that the change was made from, as `schedule.get` gave it.
    pub etag: String,
}

/// Parameters of `schedule.plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulePlanParams {
    /// The first date in the timetable's time zone, such as `2026-03-29`; without it today.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The number of days, 1 to 31.
    pub days: u16,
}

impl Default for SchedulePlanParams {
    fn default() -> Self {
        Self { from: None, days: 1 }
    }
}

/// Parameters of `output.pause` and `output.resume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputParams {
    /// The output's name in `ALSO_OUTPUT_URLS`.
    pub name: String,
}

/// Parameters of `record.list`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordListParams {
    /// The number of recordings, the newest ones; at most 1,000.
    pub limit: usize,
}

impl Default for RecordListParams {
    fn default() -> Self {
        Self { limit: 100 }
    }
}

/// Parameters of `record.cut`. A time is a local one (`14:05`, `2026-03-29 14:05:30`), RFC 3339
/// (`2026-03-29T14:05:00+02:00`), a duration before now (`10m`), or `now`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordCutParams {
    /// Where the cut begins; at most 24 hours before its end.
    pub from: String,
    /// Where it ends.
    pub to: String,
}

/// Parameters of `log.tail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogTailParams {
    /// The number of lines, at most 500.
    pub lines: usize,
}

impl Default for LogTailParams {
    fn default() -> Self {
        Self { lines: 50 }
    }
}

/// Result of `queue.add`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The ID of the new entry.
    pub id: u64,
}

/// Result of `upgrade`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upgraded {
    /// The process that has the broadcast now.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Seconds from the end of the old connection to the first media over the new one; `None` if
    /// nothing was on air.
    pub gap_seconds: Option<f64>,
}

/// Result of `log.tail`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLines {
    /// The lines, oldest first.
    pub lines: Vec<String>,
}

/// Result of `monitor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorFormat {
    /// The format of the bytes that follow: `flv`.
    pub format: String,
}

impl Call {
    /// Whether the call changes nothing, so that a standby answers it, too.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::Hello(_)
                | Self::Status(_)
                | Self::PlaylistList(_)
                | Self::QueueList(_)
                | Self::Subscribe(_)
                | Self::AsRunList(_)
                | Self::OutputList(_)
                | Self::RecordList(_)
                | Self::RecordCut(_)
                | Self::LogTail(_)
        )
    }

    /// The names of all methods.
    pub const METHODS: [&str; 37] = [
        "hello",
        "status",
        "next",
        "previous",
        "goto",
        "seek",
        "pause",
        "resume",
        "queue.add",
        "queue.list",
        "queue.move",
        "queue.remove",
        "queue.clear",
        "playlist.list",
        "playlist.reload",
        "title.set",
        "stop",
        "start",
        "upgrade",
        "handover",
        "subscribe",
        "asrun.list",
        "schedule.get",
        "schedule.set",
        "schedule.plan",
        "output.list",
        "output.pause",
        "output.resume",
        "record.list",
        "record.cut",
        "log.tail",
        "live.status",
        "live.take",
        "live.drop",
        "live.preview",
        "preview",
        "monitor",
    ];

    /// The call that a request means.
    pub fn parse(request: RpcRequest) -> Result<Self, RpcError> {
        let RpcRequest { method, params, .. } = request;
        if !Self::METHODS.contains(&method.as_str()) {
            return Err(unknown_method(&method));
        }
        let call = json!({ "method": method, "params": params });
        serde_json::from_value(call).map_err(|error| {
            RpcError::new(ErrorCode::InvalidParams, format!("parameters of {method}: {error}"))
        })
    }

    /// The method's name and its parameters, for a request.
    #[must_use]
    pub fn to_parts(&self) -> (String, Value) {
        // The derived form is an object with these two fields.
        let mut parts = serde_json::to_value(self).unwrap_or_default();
        let method = parts["method"].as_str().unwrap_or_default().to_owned();
        (method, parts["params"].take())
    }
}

/// The longest part of an unknown name that is repeated.
const LONGEST_NAME: usize = 40;

fn unknown_method(name: &str) -> RpcError {
    let shown: String = name.chars().take(LONGEST_NAME).collect();
    let best = Call::METHODS
        .into_iter()
        .max_by(|a, b| strsim::jaro_winkler(a, &shown).total_cmp(&strsim::jaro_winkler(b, &shown)));
    let hint = match best.filter(|best| strsim::jaro_winkler(best, &shown) > 0.8) {
        Some(best) => format!("did you mean {best}?"),
        None => format!("the methods are {}", Call::METHODS.join(", ")),
    };
    RpcError::new(ErrorCode::UnknownMethod, format!("{shown:?} is not a method; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, params: Value) -> Result<Call, RpcError> {
        Call::parse(RpcRequest { id: None, method: method.into(), params })
    }

    #[test]
    fn every_method_is_parsed_by_its_name_and_written_as_it_was_read() {
        for method in Call::METHODS {
            let params = match method {
                "hello" => json!({ "client": "test" }),
                "queue.add" => json!({ "source": "a.mp4" }),
                "preview" => json!({ "source": "a.mp4", "at": 2.5 }),
                "queue.move" => json!({ "id": 3, "position": 0 }),
                "queue.remove" => json!({ "id": 3 }),
                "output.pause" | "output.resume" => json!({ "name": "vk" }),
                "title.set" => json!({ "text": "Night" }),
                "record.cut" => json!({ "from": "14:00", "to": "14:05" }),
                "schedule.set" => json!({ "text": "", "etag": "0" }),
                "seek" => json!({ "by": -10.0 }),
                "goto" => json!({ "index": 2 }),
                _ => json!({}),
            };
            let parsed = call(method, params).unwrap();
            let (name, params) = parsed.to_parts();
            assert_eq!(name, method);
            assert_eq!(call(method, params).unwrap(), parsed);
        }
    }

    #[test]
    fn every_variant_is_in_the_list_of_methods() {
        // serde names all variants that it knows.
        let error = serde_json::from_value::<Call>(json!({ "method": "?", "params": {} })).unwrap_err();
        let error = error.to_string();
        let (_, known) = error.split_once("expected one of ").unwrap();
        let known: Vec<_> = known.split(", ").map(|name| name.trim_matches('`')).collect();
        assert_eq!(known, Call::METHODS);
    }

    #[test]
    fn wrong_parameters_are_named() {
        for (method, params, words) in [
            ("queue.add", json!({}), "missing field `source`"),
            ("queue.add", json!({ "source": "a", "positon": 1 }), "unknown field `positon`"),
            ("queue.move", json!({ "id": -1, "position": 0 }), "-1"),
            ("next", json!({ "x": 1 }), "unknown field `x`"),
            ("seek", json!({ "to": "1" }), "invalid type: string"),
            ("subscribe", json!({ "events": ["items"] }), "unknown variant `items`"),
        ] {
            let error = call(method, params).unwrap_err();
            assert!(error.is(ErrorCode::InvalidParams), "{error}");
            assert!(error.message.contains(words) && error.message.contains(method), "{error}");
        }
    }

    #[test]
    fn an_unknown_method_gets_the_one_that_is_meant() {
        let error = call("queue.ad", json!({})).unwrap_err();
        assert!(error.is(ErrorCode::UnknownMethod) && error.message.ends_with("did you mean queue.add?"));
        let error = call(&"x".repeat(60_000), json!({})).unwrap_err();
        assert!(error.message.len() < 500 && error.message.contains("log.tail"), "{error}");
    }
}
