//! Reads one slot: each key by itself, then what keys must not stand beside each other.

use std::time::Duration;

use jiff::civil::Time;
use tgs_core::units::parse_duration;
use toml_edit::{Item, Key, Table};

use super::lines::DocumentLines;
use crate::{
    calendar::Days,
    clock_time,
    likely::{choice, likely, shown},
    occurrence::MAX_LENGTH,
    problem::Problem,
    slot::{End, Fill, LONGEST_NAME, LONGEST_SOURCE, Late, Order, Pick, Slot, StartKind},
};

/// The keys of a slot, in the order in which the guide has them.
pub(crate) const KEYS: [&str; 12] =
    ["name", "days", "at", "play", "pick", "count", "start", "for", "until", "fill", "fill_mode", "late"];
/// What people write instead, and the key that is meant.
const SYNONYMS: [(&str, &str); 23] = [
    ("title", "name"),
    ("day", "days"),
    ("date", "days"),
    ("weekday", "days"),
    ("weekdays", "days"),
    ("time", "at"),
    ("begin", "at"),
    ("from", "at"),
    ("source", "play"),
    ("path", "play"),
    ("file", "play"),
    ("url", "play"),
    ("playlist", "play"),
    ("order", "pick"),
    ("number", "count"),
    ("duration", "for"),
    ("length", "for"),
    ("end", "until"),
    ("to", "until"),
    ("stop", "until"),
    ("filler", "fill"),
    ("fillmode", "fill_mode"),
    ("mode", "fill_mode"),
];
/// The most items that `count` may ask for.
const MAX_COUNT: i64 = 1000;

/// Whether a slot has a key of that name.
pub(super) fn is_key(name: &str) -> bool {
    KEYS.contains(&name)
}

/// Reads a slot and collects its problems.
pub(super) struct SlotReader<'a> {
    table: &'a Table,
    lines: &'a DocumentLines,
    /// The slot in messages.
    label: String,
    problems: &'a mut Vec<Problem>,
    /// The problems of the slots before.
    before: usize,
}

impl<'a> SlotReader<'a> {
    pub(super) fn new(
        index: usize,
        table: &'a Table,
        lines: &'a DocumentLines,
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        let before = problems.len();
        Self { table, lines, label: (index + 1).to_string(), problems, before }
    }

    /// `None` if the slot has a problem.
    pub(super) fn read(mut self) -> Option<Slot> {
        let name = self.name();
        self.unknown_keys();
        let days = self.days();
        let at = self.time("at");
        if !self.table.contains_key("at") {
            self.missing("at = \"20:00\"");
        }
        let play = self.source("play");
        if !self.table.contains_key("play") {
            self.missing("play = \"news/\"");
        }
        let pick = self.pick();
        let start = self.word("start", &StartKind::WORDS);
        let end = self.end(at);
        let fill = self.fill();
        let late = self.word("late", &Late::WORDS);
        if self.problems.len() > self.before {
            return None;
        }
        Some(Slot {
            name: name?,
            days: days.unwrap_or_else(Days::daily),
            at: at?,
            play: play?,
            pick,
            start: start.unwrap_or_default(),
            end,
            fill: fill.unwrap_or_default(),
            late: late.unwrap_or_default(),
            line: self.lines.number(self.table.span()),
        })
    }

    fn refuse<T>(&mut self, key: &str, text: impl Into<String>) -> Option<T> {
        let span = self.table.get(key).and_then(Item::span).or_else(|| self.table.span());
        self.push(self.lines.number(span), key.to_owned(), text.into())
    }

    fn accept<T>(&mut self, key: &str, parsed: Result<T, String>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(text) => self.refuse(key, text),
        }
    }

    fn push<T>(&mut self, line: usize, key: String, text: String) -> Option<T> {
        self.problems.push(Problem { line, slot: Some(self.label.clone()), key: Some(key), text });
        None
    }

    fn missing(&mut self, example: &str) {
        let key = example.split(' ').next().unwrap_or_default();
        let text = format!("is missing; write {example}");
        self.push::<()>(self.lines.number(self.table.span()), key.to_owned(), text);
    }

    fn unknown_keys(&mut self) {
        for (key, item) in self.table {
            if is_key(key) {
                continue;
            }
            let synonym = SYNONYMS.iter().find(|(synonym, _)| *synonym == key).map(|(_, meant)| *meant);
            let hint = match synonym.or_else(|| likely(key, KEYS)) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("a slot has {}", choice(KEYS)),
            };
            let span = self.table.key(key).and_then(Key::span).or_else(|| item.span());
            self.push::<()>(
                self.lines.number(span),
                shown(key, "a key"),
                format!("is an unknown key; {hint}"),
            );
        }
    }

    /// The text of `key`; `None` if it is missing or a problem.
    fn text(&mut self, key: &str, example: &str) -> Option<&'a str> {
        match self.table.get(key)?.as_str() {
            Some(text) => Some(text),
            None => self.refuse(key, format!("must be a text in quotes, such as {example}")),
        }
    }

    fn name(&mut self) -> Option<String> {
        if !self.table.contains_key("name") {
            self.missing("name = \"Evening news\"");
        }
        let name = self.text("name", "\"Evening news\"")?;
        if name.trim().is_empty() {
            return self.refuse("name", "is empty; logs and desk show the slot by its name");
        }
        if name.chars().count() > LONGEST_NAME {
            return self.refuse("name", format!("is longer than {LONGEST_NAME} characters, the limit"));
        }
        if name.chars().any(char::is_control) {
            return self.refuse("name", "has a line break or another control character; remove it");
        }
        self.label = format!("{name:?}");
        Some(name.to_owned())
    }

    fn days(&mut self) -> Option<Days> {
        // An unquoted date, days = 2026-12-31.
        let date = self.table.get("days").and_then(Item::as_datetime);
        if let Some(toml_edit::Datetime { date: Some(date), time: None, offset: None }) = date {
            return self.accept("days", Days::from_toml(*date));
        }
        let text = self.text("days", "\"mon-fri\"")?;
        self.accept("days", Days::parse(text))
    }

    fn time(&mut self, key: &str) -> Option<Time> {
        // An unquoted time, at = 20:00:00.
        let time = self.table.get(key).and_then(Item::as_datetime);
        if let Some(toml_edit::Datetime { date: None, time: Some(time), offset: None }) = time {
            let time = clock_time::from_toml(*time);
            return time.or_else(|| self.refuse(key, "must be at a whole second"));
        }
        let text = self.text(key, "\"20:00\"")?;
        self.accept(key, clock_time::parse(text))
    }

    fn source(&mut self, key: &str) -> Option<String> {
        let text = self.text(key, "\"news/\"")?;
        if text.trim().is_empty() {
            return self.refuse(key, "is empty; name a file, folder, list or address");
        }
        if text.chars().count() > LONGEST_SOURCE {
            return self.refuse(key, format!("is longer than {LONGEST_SOURCE} characters, the limit"));
        }
        if text.chars().any(char::is_control) {
            return self.refuse(key, "has a line break or another control character; remove it");
        }
        Some(text.to_owned())
    }

    fn word<T: Clone>(&mut self, key: &str, words: &[(&'static str, T)]) -> Option<T> {
        let names = || words.iter().map(|(word, _)| *word);
        let text = self.text(key, &format!("{:?}", names().next().unwrap_or_default()))?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        let all = choice(names());
        let hint = match likely(text, names()) {
            Some(meant) => format!("did you mean {meant:?}? ({all})"),
            None => format!("write {all}"),
        };
        self.refuse(key, format!("is {}; {hint}", shown(text, "unknown")))
    }

    fn pick(&mut self) -> Option<Pick> {
        let order = self.word("pick", &Order::WORDS);
        let has_count = self.table.contains_key("count");
        let count = match self.table.get("count").map(Item::as_integer) {
            None => Some(1),
            Some(Some(count @ 1..=MAX_COUNT)) => Some(count as usize),
            Some(_) => {
                self.refuse("count", format!("must be a whole number from 1 to {MAX_COUNT}, without quotes"))
            }
        };
        if has_count && !self.table.contains_key("pick") {
            self.refuse::<()>("count", "needs pick = \"newest\" or pick = \"random\" beside it");
        }
        Some(Pick { order: order?, count: count? })
    }

    fn end(&mut self, at: Option<Time>) -> Option<End> {
        let length = self.length();
        let until = self.time("until");
        if self.table.contains_key("for") && self.table.contains_key("until") {
            return self.refuse("until", "stands beside for; keep one of them");
        }
        if until.is_some() && until == at {
            return self.refuse("until", "is the time of at; write for = \"24h\" for a whole day");
        }
        length.map(End::For).or(until.map(End::Until))
    }

    fn length(&mut self) -> Option<Duration> {
        let text = self.text("for", "\"30m\"")?;
        match parse_duration(text) {
            Ok(length) if (Duration::from_secs(1)..=MAX_LENGTH).contains(&length) => Some(length),
            Ok(_) => self.refuse("for", "must be from 1s to 7d"),
            Err(error) => self.refuse("for", error.to_string()),
        }
    }

    fn fill(&mut self) -> Option<Fill> {
        let source = self.source("fill");
        let mode = self.word("fill_mode", &Fill::WORDS);
        let has = |key| self.table.contains_key(key);
        let key = if has("fill") { "fill" } else { "fill_mode" };
        if has("fill") && has("fill_mode") {
            return self.refuse("fill_mode", "stands beside fill; keep one of them");
        }
        if has(key) && !has("for") && !has("until") {
            return self.refuse(key, "needs for or until: without them the slot ends with what it plays");
        }
        source.map(Fill::Source).or(mode)
    }
}
