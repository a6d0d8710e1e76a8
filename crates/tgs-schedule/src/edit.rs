//! Changes to the text of a timetable: what the user has written around a change stays, comments
//! too.

use jiff::civil::Time;
use serde::{Deserialize, Serialize};
use tgs_core::digest::Digest;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value, value};

use crate::{clock_time, document::MAX_SLOTS, problem::TimetableProblems, timetable::Timetable};

/// Why a text is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The timetable as it is does not check.
    #[error("the timetable has problems; correct them first:\n{0}")]
    Before(TimetableProblems),
    /// The timetable would not check after the change.
    #[error("refused, the timetable would have problems:\n{0}")]
    After(TimetableProblems),
    /// No slot has that index.
    #[error("there is no slot {index}: the timetable has {slots}, counted from 0; read it again")]
    NoSlot {
        /// The index, from 0.
        index: usize,
        /// How many slots there are.
        slots: usize,
    },
    /// `at` is no time of day.
    #[error("at {0}")]
    NoTime(String),
    /// There is no room for another slot.
    #[error("the timetable has {MAX_SLOTS} slots, the limit; remove one first")]
    Full,
}

/// The keys of a new slot, as they are written to the file. A `None` is not written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are the keys of the file, which `Slot` describes")]
pub struct NewSlot {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<String>,
    pub at: String,
    pub play: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pick: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill_mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<String>,
}

/// The version of a text: 16 hexadecimal digits that change with each of its bytes.
#[must_use]
pub fn etag(text: &str) -> String {
    let mut digest = Digest::default();
    digest.add(text.as_bytes());
    let mut hex = digest.hex();
    hex.truncate(16);
    hex
}

/// Appends a slot to the text.
pub fn add_slot(text: &str, slot: &NewSlot) -> Result<String, EditError> {
    let (mut document, timetable) = open(text)?;
    if timetable.slots().len() >= MAX_SLOTS {
        return Err(EditError::Full);
    }
    let is_first = document.as_table().is_empty();
    let tables = document.entry("slot").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    if let Some(tables) = tables.as_array_of_tables_mut() {
        let mut table = slot.to_table();
        table.decor_mut().set_prefix(if is_first { "" } else { "\n" });
        tables.push(table);
    }
    close(text, &document)
}

/// Removes the slot at `index`, from 0, with the comments above its line and beside its keys.
pub fn remove_slot(text: &str, index: usize) -> Result<String, EditError> {
    let (mut document, timetable) = open(text)?;
    let tables = document.get_mut("slot").and_then(Item::as_array_of_tables_mut);
    match tables.filter(|tables| index < tables.len()) {
        Some(tables) => tables.remove(index),
        None => return Err(EditError::NoSlot { index, slots: timetable.slots().len() }),
    };
    close(text, &document)
}

/// Moves the slot at `index`, from 0, to another time of day. `until` moves with it, so that the
/// slot keeps its length.
pub fn move_slot(text: &str, index: usize, at: &str) -> Result<String, EditError> {
    let new = clock_time::parse(at).map_err(EditError::NoTime)?;
    let (mut document, timetable) = open(text)?;
    let no_slot = EditError::NoSlot { index, slots: timetable.slots().len() };
    let Some(old) = timetable.slots().get(index) else { return Err(no_slot) };
    let tables = document.get_mut("slot").and_then(Item::as_array_of_tables_mut);
    let Some(table) = tables.and_then(|tables| tables.get_mut(index)) else { return Err(no_slot) };
    replace(table, "at", clock_time::short(new));
    if let Some(crate::slot::End::Until(until)) = old.end {
        let moved = until.wrapping_add(jiff::SignedDuration::from_secs(seconds(new) - seconds(old.at)));
        replace(table, "until", clock_time::short(moved));
    }
    close(text, &document)
}

fn seconds(time: Time) -> i64 {
    time.duration_since(Time::midnight()).as_secs()
}

fn open(text: &str) -> Result<(DocumentMut, Timetable), EditError> {
    let timetable = Timetable::parse(text).map_err(EditError::Before)?;
    // What has just been parsed is TOML; an empty document would be refused as one that has
    // changed.
    let document = text.parse().unwrap_or_default();
    Ok((document, timetable))
}

/// The changed text, checked, with the line ends of the old one.
fn close(old: &str, document: &DocumentMut) -> Result<String, EditError> {
    let mut text = document.to_string();
    if old.contains("\r\n") {
        text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    Timetable::parse(&text).map_err(EditError::After)?;
    Ok(text)
}

/// Sets a key to a text, with the spaces and the comment around the old value.
fn replace(table: &mut Table, key: &str, text: String) {
    let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) else { return };
    let decor = old.decor().clone();
    let mut new = Value::from(text);
    *new.decor_mut() = decor;
    *old = new;
}

impl NewSlot {
    fn to_table(&self) -> Table {
        let text = |text: &Option<String>| text.as_ref().map(value);
        let values = [
            ("name", Some(value(&self.name))),
            ("days", text(&self.days)),
            ("at", Some(value(&self.at))),
            ("play", Some(value(&self.play))),
            ("pick", text(&self.pick)),
            ("count", self.count.map(value)),
            ("start", text(&self.start)),
            ("for", text(&self.length)),
            ("until", text(&self.until)),
            ("fill", text(&self.fill)),
            ("fill_mode", text(&self.fill_mode)),
            ("late", text(&self.late)),
        ];
        let mut table = Table::new();
        for (key, value) in values {
            if let Some(value) = value {
                table.insert(key, value);
            }
        }
        table
    }
}
