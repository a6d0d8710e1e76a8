//! Parses a `.env` file line by line. [`super`] has the grammar.

use std::{ops::Range, str};

/// The content of a `.env` file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EnvFile {
    /// Assignments in the order of the file; each name occurs once.
    pub entries: Vec<Entry>,
    /// Unreadable lines. A single one rejects the file.
    pub refused: Vec<Note>,
    /// Lines that systemd reads differently.
    pub warnings: Vec<Note>,
}

/// An assignment.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Line number, from 1.
    pub line: usize,
    /// Letters, digits and `_`.
    pub name: String,
    /// The value, without quotes and escapes.
    pub value: String,
    /// Byte range of the value in the file, including its quotes.
    pub span: Range<usize>,
}

/// A problem with a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    /// Line number, from 1.
    pub line: usize,
    /// The variable, if the line names one.
    pub name: Option<String>,
    /// The problem, as a predicate of the name or of "the line".
    pub text: String,
}

const NOT_UTF8: &str = "is not UTF-8 text; save the file as UTF-8";
const BYTE_ORDER_MARK: &str = "begins with a byte order mark; save the file as UTF-8 without one";
const CONTROL: &str = "holds a control character; remove it";
const CONTINUED: &str = "ends in a backslash, which may join it to the next line; in a value double it inside \"…\", \
                         in a comment remove it";
const SEMICOLON: &str = "begins with a semicolon; write # before a comment";
const NO_NAME: &str = "is no setting; write NAME=value, with letters, digits and _ in the name";
const HASH: &str = "begins with #; write it as '#…', or leave the value empty";
const BARE: &str = "holds a space, quote, backslash or $; write it as '…', or where it holds ' or \\ itself as \"…\" \
                    with \\ before each \\, \" and $";
const UNCLOSED: &str = "opens a quote and does not close it on the same line";
const BEHIND: &str = "has text after the closing quote; quote the whole value";
const BEFORE_QUOTE: &str =
    "has a backslash before the closing quote; write it as \"…\" with \\ before each \\, \" and $";
const ESCAPE: &str = "has a \\ or $ inside \"…\"; write \\\\ for \\, \\\" for \" and \\$ for $";
const COMMENT: &str = "is followed by a comment, which systemd's EnvironmentFile= reads as part of the value; \
                       put it on its own line";
const UNDECODED: &str = "cannot be read; write it as '…'";
const EXPORT: &str = "is written with export, which systemd's EnvironmentFile= skips; remove that word";

/// Parses a whole file and collects every bad line.
#[must_use]
pub fn parse(bytes: &[u8]) -> EnvFile {
    let mut file = EnvFile::default();
    let mut start = 0;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        file.line(index + 1, start, line);
        start += line.len() + 1;
    }
    file
}

impl EnvFile {
    /// Parses line `number`, which begins at byte `start` of the file.
    fn line(&mut self, number: usize, start: usize, bytes: &[u8]) {
        let note =
            |name: Option<&str>, text: String| Note { line: number, name: name.map(str::to_owned), text };
        let line = match readable(bytes) {
            Ok(line) => line,
            Err(text) => return self.refused.push(note(None, text.into())),
        };
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let Some((exported, name, text)) = split(line) else {
            let text = if line.starts_with(';') { SEMICOLON } else { NO_NAME };
            return self.refused.push(note(None, text.into()));
        };
        if let Some(first) = self.entries.iter().find(|entry| entry.name == name) {
            let text = format!("is set a second time, first in line {}; keep one of them", first.line);
            return self.refused.push(note(Some(name), text));
        }
        // Strip the comment first: dotenvy may take a quote in it for the start of a string.
        let decoded = behind(text).and_then(|rest| {
            let uncommented = &line[..line.len() - rest.len()];
            Ok((decode(uncommented, name)?, rest))
        });
        match decoded {
            Ok((value, rest)) => {
                let warnings = [(exported, EXPORT), (!rest.is_empty(), COMMENT)];
                let given = warnings.into_iter().filter_map(|(given, text)| given.then_some(text));
                self.warnings.extend(given.map(|text| note(Some(name), text.into())));
                // `text` is a slice of the line, which is a slice of the file.
                let start = start + (text.as_ptr().addr() - bytes.as_ptr().addr());
                let span = start..start + text.len() - rest.len();
                self.entries.push(Entry { line: number, name: name.into(), value, span });
            }
            Err(text) => self.refused.push(note(Some(name), text.into())),
        }
    }
}

/// Decodes the line and trims blanks.
fn readable(bytes: &[u8]) -> Result<&str, &'static str> {
    let line = str::from_utf8(bytes).map_err(|_| NOT_UTF8)?;
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.starts_with('\u{feff}') {
        return Err(BYTE_ORDER_MARK);
    }
    // Comments included: systemd ends a line at a carriage return.
    if line.contains(|c: char| c.is_control() && c != '\t') {
        return Err(CONTROL);
    }
    if line.ends_with('\\') {
        return Err(CONTINUED);
    }
    Ok(line.trim_matches(BLANK))
}

const BLANK: [char; 2] = [' ', '\t'];

/// Splits a line into whether it has `export`, the name, and the text of the value.
pub(super) fn split(line: &str) -> Option<(bool, &str, &str)> {
    let (name, text) = line.split_once('=')?;
    let name = name.trim_end_matches(BLANK);
    let bare = name
        .strip_prefix("export")
        .filter(|rest| rest.starts_with(BLANK))
        .map(|rest| rest.trim_matches(BLANK));
    let (exported, name) = (bare.is_some(), bare.unwrap_or(name));
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    valid.then(|| (exported, name, text.trim_start_matches(BLANK)))
}

/// Returns the text after the value: empty, or blanks and a comment.
fn behind(text: &str) -> Result<&str, &'static str> {
    let rest = match text.chars().next() {
        Some('\'') => single_quoted(&text[1..])?,
        Some('"') => double_quoted(&text[1..])?,
        Some('#') => return Err(HASH),
        _ => {
            let (value, rest) = text.split_at(text.find(BLANK).unwrap_or(text.len()));
            if value.contains(|c: char| c.is_whitespace() || "'\"\\$".contains(c)) {
                return Err(BARE);
            }
            rest
        }
    };
    let comment = rest.trim_start_matches(BLANK);
    match (rest.is_empty(), comment.starts_with('#')) {
        (true, _) => Ok(rest),
        (false, true) if comment.len() < rest.len() => Ok(rest),
        _ if text.starts_with(['\'', '"']) => Err(BEHIND),
        _ => Err(BARE),
    }
}

/// Returns the text after the closing quote.
fn single_quoted(text: &str) -> Result<&str, &'static str> {
    let (value, rest) = text.split_once('\'').ok_or(UNCLOSED)?;
    // Some readers take `\'` for an escaped quote.
    if value.ends_with('\\') { Err(BEFORE_QUOTE) } else { Ok(rest) }
}

fn double_quoted(text: &str) -> Result<&str, &'static str> {
    let mut chars = text.chars();
    loop {
        match chars.next().ok_or(UNCLOSED)? {
            '"' => return Ok(chars.as_str()),
            '$' => return Err(ESCAPE),
            '\\' if !matches!(chars.next().ok_or(UNCLOSED)?, '\\' | '"' | '$') => return Err(ESCAPE),
            _ => {}
        }
    }
}

/// Decodes the value of an accepted line with dotenvy.
fn decode(line: &str, name: &str) -> Result<String, &'static str> {
    // Drop dotenvy's error: it contains the line, which may hold a secret.
    match dotenvy::from_read_iter(format!("{line}\n").as_bytes()).next() {
        Some(Ok((read, value))) if read == name => Ok(value),
        _ => Err(UNDECODED),
    }
}

#[cfg(test)]
mod tests;
