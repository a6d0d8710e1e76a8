//! Entries of the as-run log, and their export as CSV. Reads no file.

use std::io;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Something that was on air for a time. Consecutive entries leave no gap and do not overlap.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AsRunEntry {
    /// The entry's number, from 1. A later line of the same number replaces the earlier one.
    pub n: u64,
    /// What was on air.
    pub kind: AsRunKind,
    /// The item's title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The item's identity: its path or the page's URL, credentials masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What ffmpeg opened, credentials masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The slot or live input that the item belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// When the entry was to begin: the time of a hard start, else as expected when the entry
    /// before it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_start: Option<Timestamp>,
    /// When the entry was to end, by its planned start and the item's length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_end: Option<Timestamp>,
    /// When its first picture was sent.
    pub start: Timestamp,
    /// When the next entry began; absent while it is on air.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// Whether the end is the last time known before the process died, accurate to 2 s.
    #[serde(skip_serializing_if = "is_false")]
    pub estimated: bool,
    /// The first picture's place in the item, in seconds from its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset_seconds: Option<f64>,
    /// The place in the item that was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_offset_seconds: Option<f64>,
    /// Whether the item was interrupted before.
    #[serde(skip_serializing_if = "is_false")]
    pub resumed: bool,
    /// How an item ended: `played`, `skipped`, `failed`, `cut` or `interrupted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Who skipped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why it ended so, or why there was filler or an outage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What an entry of the as-run log shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AsRunKind {
    /// An item.
    Item,
    /// The filler.
    Filler,
    /// No connection to the server.
    Outage,
    /// Nothing: the broadcast was stopped, starting, or not running.
    OffAir,
    /// A kind of a newer version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl AsRunKind {
    /// The kind's name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Item => "item",
            Self::Filler => "filler",
            Self::Outage => "outage",
            Self::OffAir => "off_air",
            Self::Unknown => "unknown",
        }
    }
}

/// Entries of the as-run log, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AsRunListing {
    /// The entries.
    pub entries: Vec<AsRunEntry>,
}

/// The columns of [`write_csv`].
const COLUMNS: [&str; 17] = [
    "start",
    "end",
    "seconds",
    "estimated",
    "kind",
    "title",
    "ended",
    "by",
    "reason",
    "planned_start",
    "planned_end",
    "offset_seconds",
    "end_offset_seconds",
    "resumed",
    "id",
    "source",
    "lane",
];

/// Writes `entries` as CSV (RFC 4180) with a header row. Texts that a spreadsheet would take for a
/// formula begin with an apostrophe.
pub fn write_csv<'a>(
    entries: impl IntoIterator<Item = &'a AsRunEntry>,
    out: impl io::Write,
) -> io::Result<()> {
    let mut table = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
    table.write_record(COLUMNS)?;
    for entry in entries {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        let seconds = |value: Option<f64>| value.map(|value| format!("{value:.3}")).unwrap_or_default();
        let text = |value: &Option<String>| value.as_deref().map(neutral).unwrap_or_default();
        let length = entry.end.map(|end| end.millis_since(entry.start) as f64 / 1000.0);
        table.write_record([
            time(Some(entry.start)),
            time(entry.end),
            seconds(length),
            u8::from(entry.estimated).to_string(),
            entry.kind.name().to_owned(),
            text(&entry.title),
            text(&entry.ended),
            text(&entry.by),
            text(&entry.reason),
            time(entry.planned_start),
            time(entry.planned_end),
            seconds(entry.offset_seconds),
            seconds(entry.end_offset_seconds),
            u8::from(entry.resumed).to_string(),
            text(&entry.id),
            text(&entry.source),
            text(&entry.lane),
        ])?;
    }
    table.flush()
}

/// A text that no spreadsheet takes for a formula.
fn neutral(text: &str) -> String {
    let formula = text.trim_start().starts_with(['=', '+', '-', '@']) || text.starts_with(['\t', '\r']);
    if formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_only_what_is_known() {
        let mut entry =
            AsRunEntry { n: 1, kind: AsRunKind::OffAir, start: Timestamp(5), ..Default::default() };
        let json = serde_json::to_string(&entry).unwrap();
        assert_eq!(json, r#"{"n":1,"kind":"off_air","start":"1970-01-01T00:00:00.005Z"}"#);
        assert_eq!(serde_json::from_str::<AsRunEntry>(&json).unwrap(), entry);
        entry.kind = AsRunKind::Unknown;
        let newer = r#"{"n":1,"kind":"advert","start":"1970-01-01T00:00:00.005Z","price":3}"#;
        assert_eq!(serde_json::from_str::<AsRunEntry>(newer).unwrap(), entry);
    }

    #[test]
    fn a_table_opens_in_a_spreadsheet_and_computes_nothing() {
        let entry = AsRunEntry {
            n: 1,
            kind: AsRunKind::Item,
            title: Some("=HYPERLINK(\"http://h\"), \"quoted\"".into()),
            id: Some("@a\nb".into()),
            reason: Some(" +1".into()),
            by: Some("-x".into()),
            start: Timestamp(1000),
            end: Some(Timestamp(3500)),
            offset_seconds: Some(0.0),
            ..AsRunEntry::default()
        };
        let mut out = Vec::new();
        write_csv([&entry], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let (header, row) = text.split_once("\r\n").unwrap();
        assert_eq!(header, COLUMNS.join(","));
        assert_eq!(
            row,
            "1970-01-01T00:00:01.000Z,1970-01-01T00:00:03.500Z,2.500,0,item,\
             \"'=HYPERLINK(\"\"http://h\"\"), \"\"quoted\"\"\",,'-x,' +1,,,0.000,,0,\"'@a\nb\",,\r\n"
        );
    }
}
