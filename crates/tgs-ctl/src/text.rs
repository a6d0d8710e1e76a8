//! Text for a terminal: without control characters, in columns, in colour if wanted.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Escapes control characters and those that reverse the writing direction: titles come from files
/// and pages of others.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || reverses(c) {
            let _ = write!(plain, "{}", c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Escapes the same in a JSON document, which stays the same document. JSON itself escapes only the
/// control characters below U+0020; line breaks between its values stay.
pub(crate) fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for c in json.chars() {
        if (c.is_control() && c != '\n') || reverses(c) {
            // All of them are below U+10000.
            let _ = write!(plain, "\\u{:04x}", u32::from(c));
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Whether `c` changes the writing direction.
fn reverses(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The number of terminal columns.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Shortens `text` to `columns`, with `…` at the end.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut fitted = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        fitted.push(c);
    }
    if columns > 0 {
        fitted.push('…');
    }
    fitted
}

/// Aligns `rows` in columns with two spaces between them. The last column is not padded; it is
/// shortened if the line exceeds `columns`.
pub(crate) fn table<const N: usize>(rows: &[[String; N]], columns: Option<usize>) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let line = |row: &[String; N]| {
        let mut line = String::new();
        for (at, (cell, widest)) in row.iter().zip(widths).enumerate() {
            line.push_str(cell);
            if at + 1 < N {
                line.extend(std::iter::repeat_n(' ', widest - width(cell) + 2));
            }
        }
        let line = line.trim_end();
        columns.map_or_else(|| line.to_owned(), |columns| fit(line, columns))
    };
    rows.iter().map(line).collect()
}

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TerminalStyle {
    /// Whether to write colours.
    pub(crate) colour: bool,
}

impl TerminalStyle {
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn titles_cannot_control_the_terminal() {
        assert_eq!(plain("a\x1b[2J\n\u{202e}b\u{9b}ü"), "a\\u{1b}[2J\\n\\u{202e}b\\u{9b}ü");
    }

    #[test]
    fn a_json_document_cannot_control_the_terminal_and_stays_the_same() {
        let value = serde_json::json!({ "a\u{9b}2J": ["\u{1b}[2J\u{7f}\n", "\u{202e}\u{85}ü"] });
        for document in [value.to_string(), format!("{value:#}")] {
            let plain = plain_json(&document);
            assert!(!plain.contains(|c: char| (c.is_control() && c != '\n') || reverses(c)), "{plain}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&plain).unwrap(), value);
        }
        assert!(format!("{value:#}").contains('\n') && plain_json(&format!("{value:#}")).contains('\n'));
    }

    #[test]
    fn text_is_shortened_by_the_columns_it_takes() {
        for (text, columns, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("映画の夜", 8, "映画の夜"),
            ("映画の夜", 6, "映画…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(fit(text, columns), expected, "{text} {columns}");
        }
    }

    #[test]
    fn columns_are_aligned() {
        let row = |a: &str, b: &str, c: &str| [a.to_owned(), b.to_owned(), c.to_owned()];
        let rows = [row("1", "映", "x"), row("10", "ab", "a long title"), row("", "", "")];
        assert_eq!(table(&rows, None), ["1   映  x", "10  ab  a long title", ""]);
        assert_eq!(table(&rows, Some(12)), ["1   映  x", "10  ab  a l…", ""]);
    }

    proptest! {
        #[test]
        fn a_line_never_exceeds_the_terminal(text in ".*", columns in 0_usize..40) {
            prop_assert!(width(&fit(&plain(&text), columns)) <= columns);
        }
    }
}
