//! Reads the text of a timetable. Reports all its problems at once, each with its line.

mod lines;
mod reader;

use toml_edit::{Document, Item, Table};

use crate::{
    document::{lines::DocumentLines, reader::SlotReader},
    likely::{likely, shown},
    problem::{Problem, TimetableProblems},
    slot::Slot,
    timetable::Timetable,
    zone::Zone,
};

/// The longest file, in bytes: 1 MiB.
pub const LONGEST_FILE: usize = 1 << 20;
/// The most slots of a file.
pub const MAX_SLOTS: usize = 1000;

const KEYS: [&str; 2] = ["timezone", "slot"];
/// What people write instead, and the key that is meant.
const SYNONYMS: [(&str, &str); 4] =
    [("tz", "timezone"), ("time_zone", "timezone"), ("zone", "timezone"), ("event", "slot")];

impl Timetable {
    /// Reads a timetable. A file with problems is refused as a whole.
    pub fn parse(text: &str) -> Result<Self, TimetableProblems> {
        let mut problems = Vec::new();
        let timetable = read(text, &mut problems);
        match (timetable, TimetableProblems::of(problems)) {
            (Some(timetable), None) => Ok(timetable),
            (_, Some(problems)) => Err(problems),
            (None, None) => Err(TimetableProblems { list: vec![whole(1, "cannot be read")], more: 0 }),
        }
    }
}

/// A problem of the file, outside of its slots.
fn whole(line: usize, text: impl Into<String>) -> Problem {
    Problem { line, slot: None, key: None, text: text.into() }
}

/// `None` has at least one problem.
fn read(text: &str, problems: &mut Vec<Problem>) -> Option<Timetable> {
    if text.len() > LONGEST_FILE {
        problems.push(whole(1, "the file is longer than 1 MiB, the limit; shorten it"));
        return None;
    }
    let lines = DocumentLines::of(text);
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let line = lines.number(error.span());
            problems.push(whole(line, format!("is not TOML: {}", error.message())));
            return None;
        }
    };
    let root = document.as_table();
    for (key, item) in root {
        if !KEYS.contains(&key) {
            let line = lines.number(root.key(key).and_then(toml_edit::Key::span).or_else(|| item.span()));
            problems.push(Problem {
                line,
                slot: None,
                key: Some(shown(key, "a key")),
                text: unknown_key(key),
            });
        }
    }
    let zone = zone(root, &lines, problems);
    let slots = slots(root, &lines, problems);
    Some(Timetable::new(zone?, slots))
}

fn unknown_key(key: &str) -> String {
    let synonym = SYNONYMS.iter().find(|(synonym, _)| *synonym == key).map(|(_, meant)| *meant);
    match synonym.or_else(|| likely(key, KEYS)) {
        Some(meant) => format!("is an unknown key; did you mean {meant}?"),
        // Written above the first [[slot]], or below a table of another name.
        None if reader::is_key(key) => "belongs into a slot, below its [[slot]]".to_owned(),
        None => "is an unknown key; outside of slots there is only timezone".to_owned(),
    }
}

fn zone(root: &Table, lines: &DocumentLines, problems: &mut Vec<Problem>) -> Option<Zone> {
    let item = root.get("timezone");
    let found = match item.map(Item::as_str) {
        None => Zone::of_host(),
        Some(Some(name)) => Zone::named(name),
        Some(None) => Err("must be a text in quotes, such as \"Europe/Moscow\"".to_owned()),
    };
    match found {
        Ok(zone) => Some(zone),
        Err(text) => {
            let line = lines.number(item.and_then(Item::span));
            problems.push(Problem { line, slot: None, key: Some("timezone".to_owned()), text });
            None
        }
    }
}

fn slots(root: &Table, lines: &DocumentLines, problems: &mut Vec<Problem>) -> Vec<Slot> {
    let tables = match root.get("slot") {
        None => return Vec::new(),
        Some(Item::ArrayOfTables(tables)) => tables,
        Some(other) => {
            let line = lines.number(root.key("slot").and_then(toml_edit::Key::span).or_else(|| other.span()));
            problems.push(whole(line, "each slot begins with a line [[slot]], in two brackets"));
            return Vec::new();
        }
    };
    if let Some(table) = tables.get(MAX_SLOTS) {
        let text = format!("there are {} slots, more than {MAX_SLOTS}, the limit", tables.len());
        problems.push(whole(lines.number(table.span()), text));
    }
    let read = tables.iter().take(MAX_SLOTS).enumerate();
    read.filter_map(|(index, table)| SlotReader::new(index, table, lines, problems).read()).collect()
}
