//! The `.env` file, read in the one way that every reader of such files agrees on.
//!
//! Half of what can be written in one is read differently by systemd's `EnvironmentFile=` and by dotenv: `$` and
//! backslashes, quotes, comments. A line is therefore a name, `=` and one of three forms of value, and everything else is
//! refused with the way to write it:
//!
//! - bare: no spaces, quotes, backslashes or `$`, no `#` at the beginning;
//! - `'…'`: all characters stand for themselves;
//! - `"…"`: but `\\`, `\"` and `\$` for those three.
//!
//! Two habits of dotenv files that systemd lacks are read as dotenv reads them, with a warning: a comment behind a value,
//! and the word `export`. Messages name lines and variables, never a value. What names mean is [`crate::settings`]' work.

mod edit;
pub mod writer;

use std::{ops::Range, str};

pub use self::edit::{Unwritable, set};

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EnvFile {
    /// The assignments, in the file's order; no name twice.
    pub entries: Vec<Entry>,
    /// The lines that cannot be read. One is enough to make the file unusable.
    pub refused: Vec<Note>,
    /// The lines that systemd reads differently.
    pub warnings: Vec<Note>,
}

/// One assignment.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 1.
    pub line: usize,
    /// Letters, digits and `_`.
    pub name: String,
    /// Without quotes and escapes.
    pub value: String,
    /// Where in the file the value stands: the bytes from the first quote to the last, where it has any.
    pub span: Range<usize>,
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    /// Counted from 1.
    pub line: usize,
    /// The variable, where the line has got that far.
    pub name: Option<String>,
    /// The words for it, to follow the name or "the line".
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
const BEHIND: &str = "has text behind the closing quote; put the quotes around the whole value";
const BEFORE_QUOTE: &str =
    "has a backslash before the closing quote; write it as \"…\" with \\ before each \\, \" and $";
const ESCAPE: &str = "has a \\ or $ inside \"…\"; write \\\\ for \\, \\\" for \" and \\$ for $";
const COMMENT: &str = "has a comment behind it, which systemd's EnvironmentFile= would take as part of the value; \
                       give the comment its own line";
const EXPORT: &str = "is written with export, which systemd's EnvironmentFile= skips; remove that word";

/// Reads a whole file. Refuses lines, not files: every one of them is named.
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
    /// The line `number`, which begins at the byte `start` of the file.
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
        match value(text) {
            Ok((value, rest)) => {
                let warnings = [(exported, EXPORT), (!rest.is_empty(), COMMENT)];
                let given = warnings.into_iter().filter_map(|(given, text)| given.then_some(text));
                self.warnings.extend(given.map(|text| note(Some(name), text.into())));
                // The text is a piece of the line, which is a piece of the file.
                let start = start + (text.as_ptr().addr() - bytes.as_ptr().addr());
                let span = start..start + text.len() - rest.len();
                self.entries.push(Entry { line: number, name: name.into(), value, span });
            }
            Err(text) => self.refused.push(note(Some(name), text.into())),
        }
    }
}

/// The line as text without the blanks around it.
fn readable(bytes: &[u8]) -> Result<&str, &'static str> {
    let line = str::from_utf8(bytes).map_err(|_| NOT_UTF8)?;
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.starts_with('\u{feff}') {
        return Err(BYTE_ORDER_MARK);
    }
    // In comments too: systemd takes a carriage return for the end of the line.
    if line.contains(|c: char| c.is_control() && c != '\t') {
        return Err(CONTROL);
    }
    if line.ends_with('\\') {
        return Err(CONTINUED);
    }
    Ok(line.trim_matches(BLANK))
}

const BLANK: [char; 2] = [' ', '\t'];

/// Whether a line says `export`, its name, and the text of its value.
fn split(line: &str) -> Option<(bool, &str, &str)> {
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

/// The value, and the comment that follows it with the blanks before it.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    let (value, rest) = match text.chars().next() {
        Some('\'') => single_quoted(&text[1..])?,
        Some('"') => double_quoted(&text[1..])?,
        Some('#') => return Err(HASH),
        _ => {
            let (value, rest) = text.split_at(text.find(BLANK).unwrap_or(text.len()));
            if value.contains(|c: char| c.is_whitespace() || "'\"\\$".contains(c)) {
                return Err(BARE);
            }
            (value.to_owned(), rest)
        }
    };
    let comment = rest.trim_start_matches(BLANK);
    match (rest.is_empty(), comment.starts_with('#')) {
        (true, _) => Ok((value, rest)),
        (false, true) if comment.len() < rest.len() => Ok((value, rest)),
        _ if text.starts_with(['\'', '"']) => Err(BEHIND),
        _ => Err(BARE),
    }
}

/// The value up to the closing quote, and what is behind that.
fn single_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let (value, rest) = text.split_once('\'').ok_or(UNCLOSED)?;
    // Some readers take the quote for an escaped one.
    if value.ends_with('\\') {
        return Err(BEFORE_QUOTE);
    }
    Ok((value.to_owned(), rest))
}

fn double_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next().ok_or(UNCLOSED)? {
            '"' => return Ok((value, chars.as_str())),
            '$' => return Err(ESCAPE),
            '\\' => match chars.next().ok_or(UNCLOSED)? {
                c @ ('\\' | '"' | '$') => value.push(c),
                _ => return Err(ESCAPE),
            },
            c => value.push(c),
        }
    }
}

/// `value` as it is written in a file: quoted always, so that it can hold everything but control characters (a tab is
/// fine); `None` where it holds such a one.
#[must_use]
pub fn quote(value: &str) -> Option<String> {
    if value.contains(|c: char| c.is_control() && c != '\t') {
        return None;
    }
    if !value.contains(['\'', '\\']) {
        return Some(format!("'{value}'"));
    }
    Some(format!("\"{}\"", value.replace('\\', r"\\").replace('"', r#"\""#).replace('$', r"\$")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is expected of a file's text.
    enum Read {
        /// These values, nothing to say.
        As(&'static [(&'static str, &'static str)]),
        /// These values, with this warning.
        Warned(&'static [(&'static str, &'static str)], &'static str),
        /// Refused in line 1 with these words.
        Refused(&'static str),
    }

    use Read::{As, Refused, Warned};

    /// Texts that were given to systemd 252, dotenvy 0.15.7 and bash. Where the three read one differently (or one of
    /// them not at all) it must be refused or warned of; some that they agree on are refused to keep the forms few.
    const CASES: &[(&str, Read)] = &[
        ("A=plain\n", As(&[("A", "plain")])),
        ("A=x", As(&[("A", "x")])),
        ("A=\"x y\"\n", As(&[("A", "x y")])),
        ("A='x y'\n", As(&[("A", "x y")])),
        ("A=x y\n", Refused(BARE)),
        ("A=  x  \n", As(&[("A", "x")])),
        ("A = x\n", As(&[("A", "x")])),
        ("  A=x\n", As(&[("A", "x")])),
        ("A=x\ty\n", Refused(BARE)),
        ("A=val # note\n", Warned(&[("A", "val")], COMMENT)),
        ("A=\"val\" # note\n", Warned(&[("A", "val")], COMMENT)),
        ("A='val' # note\n", Warned(&[("A", "val")], COMMENT)),
        ("A='val'# note\n", Refused(BEHIND)),
        ("A=val#x\n", As(&[("A", "val#x")])),
        ("A= # note\n", Refused(HASH)),
        ("A=#x\n", Refused(HASH)),
        ("A=https://u:p@h/?a=b&c=d#frag\n", As(&[("A", "https://u:p@h/?a=b&c=d#frag")])),
        ("A=$HOME\n", Refused(BARE)),
        ("A=\"$HOME\"\n", Refused(ESCAPE)),
        ("A='$HOME'\n", As(&[("A", "$HOME")])),
        ("A=${B}2\n", Refused(BARE)),
        ("A=pa$$word\n", Refused(BARE)),
        ("A=\"p$a\"\n", Refused(ESCAPE)),
        ("A=p\\$a\n", Refused(BARE)),
        ("A=\"p\\$a\"\n", As(&[("A", "p$a")])),
        ("A=a\\b\n", Refused(BARE)),
        ("A=\"a\\b\"\n", Refused(ESCAPE)),
        ("A='a\\b'\n", As(&[("A", "a\\b")])),
        ("A=\"a\\nb\"\n", Refused(ESCAPE)),
        ("A='a\\nb'\n", As(&[("A", "a\\nb")])),
        ("A=a\\nb\n", Refused(BARE)),
        ("A=\"a\\tb\"\n", Refused(ESCAPE)),
        ("A=\"a\\\\b\"\n", As(&[("A", "a\\b")])),
        ("A=\"a\\\"b\"\n", As(&[("A", "a\"b")])),
        ("A='a\\'b'\n", Refused(BEFORE_QUOTE)),
        ("A='a\\'\n", Refused(BEFORE_QUOTE)),
        ("A=a\\ b\n", Refused(BARE)),
        ("export A=1\n", Warned(&[("A", "1")], EXPORT)),
        ("export=1\n", As(&[("export", "1")])),
        ("; note\nA=1\n", Refused(SEMICOLON)),
        ("# note\nA=1\n", As(&[("A", "1")])),
        ("JUNK\nA=1\n", Refused(NO_NAME)),
        ("A=YWJj==\n", As(&[("A", "YWJj==")])),
        ("A=\n", As(&[("A", "")])),
        ("A=\"\"\n", As(&[("A", "")])),
        ("A=\"l1\nl2\"\nB=2\n", Refused(UNCLOSED)),
        ("A='l1\nl2'\nB=2\n", Refused(UNCLOSED)),
        ("A=l1\\\nl2\nB=2\n", Refused(CONTINUED)),
        ("A=it's\nB=2\n", Refused(BARE)),
        ("A=a\"b\"c\nB=2\n", Refused(BARE)),
        ("A=\"a\"b\n", Refused(BEHIND)),
        ("A=\"a\"'b'\n", Refused(BEHIND)),
        ("A=\"a\" \"b\"\n", Refused(BEHIND)),
        ("A=\"abc\nB=2\n", Refused(UNCLOSED)),
        ("A='abc\nB=2\n", Refused(UNCLOSED)),
        ("A=\"abc\\\"\n", Refused(UNCLOSED)),
        ("A=`id`\n", As(&[("A", "`id`")])),
        ("A=a;b\n", As(&[("A", "a;b")])),
        ("A=100%h!\n", As(&[("A", "100%h!")])),
        ("A=a&b\n", As(&[("A", "a&b")])),
        ("A=x\r\nB=y\r\n", As(&[("A", "x"), ("B", "y")])),
        ("A=\"x\"\r\nB=y\r\n", As(&[("A", "x"), ("B", "y")])),
        ("\u{feff}A=x\nB=y\n", Refused(BYTE_ORDER_MARK)),
        ("A=héllo☃\n", As(&[("A", "héllo☃")])),
        ("A-B=1\nA=2\n", Refused(NO_NAME)),
        ("A.B=1\nA=2\n", Refused(NO_NAME)),
        ("1A=1\nA=2\n", Refused(NO_NAME)),
        ("=1\n", Refused(NO_NAME)),
        ("A=x\\", Refused(CONTINUED)),
        ("A={\"k\":\"v\"}\n", Refused(BARE)),
        ("A='{\"k\":\"v w\"}'\n", As(&[("A", "{\"k\":\"v w\"}")])),
        ("A=a\u{1}b\nB=y\n", Refused(CONTROL)),
        ("# note\rA=1\n", Refused(CONTROL)),
        ("a_b=1\n", As(&[("a_b", "1")])),
        ("A: x\n", Refused(NO_NAME)),
        ("# path C:\\\nA=1\nB=2\n", Refused(CONTINUED)),
        ("A=a\u{a0}b\n", Refused(BARE)),
        ("", As(&[])),
        (" \t\r\n\n", As(&[])),
    ];

    fn values(file: &EnvFile) -> Vec<(&str, &str)> {
        file.entries.iter().map(|entry| (entry.name.as_str(), entry.value.as_str())).collect()
    }

    #[test]
    fn table() {
        for (text, expected) in CASES {
            let file = parse(text.as_bytes());
            let warnings: Vec<_> = file.warnings.iter().map(|note| (note.line, note.text.as_str())).collect();
            match expected {
                As(pairs) => assert_eq!(
                    (values(&file).as_slice(), &*file.refused, &*warnings),
                    (*pairs, &[][..], &[][..]),
                    "{text:?}"
                ),
                Warned(pairs, words) => {
                    assert_eq!(
                        (values(&file).as_slice(), &*file.refused, &*warnings),
                        (*pairs, &[][..], &[(1, *words)][..]),
                        "{text:?}"
                    );
                }
                Refused(words) => {
                    let first = file.refused.first().map(|note| (note.line, note.text.as_str()));
                    assert_eq!(first, Some((1, *words)), "{text:?}");
                }
            }
        }
        assert_eq!(parse(b"A=\xff\xfe\n").refused[0].text, NOT_UTF8);
    }

    #[test]
    fn every_bad_line_is_named_and_the_good_ones_are_read() {
        let file = parse(b"A=1\nB=x y\n\nA=2\nexport C='c' # note\nD\nE=\"\n");
        let shown: Vec<_> = file.refused.iter().map(|note| (note.line, note.name.as_deref())).collect();
        assert_eq!(shown, [(2, Some("B")), (4, Some("A")), (6, None), (7, Some("E"))]);
        assert_eq!(file.refused[1].text, "is set a second time, first in line 1; keep one of them");
        assert_eq!(values(&file), [("A", "1"), ("C", "c")]);
        assert_eq!(file.warnings.len(), 2);
    }

    /// Lines that come near to being right.
    fn near() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("'"),
            Just("\""),
            Just("\\"),
            Just("$"),
            Just("{"),
            Just("#"),
            Just(" "),
            Just("\t"),
            Just("="),
            Just(";"),
            Just("`"),
            Just("a"),
            Just("Z_9"),
            Just("ü"),
            Just("\u{2028}"),
            Just("export"),
            Just("\r"),
        ];
        let value = prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat());
        prop_oneof![
            value.clone(),
            value.clone().prop_map(|value| format!("A={value}")),
            value.clone().prop_map(|value| format!(" export B = {value} # note")),
            value.clone().prop_map(|value| format!("C='{value}'")),
            value.prop_map(|value| format!("D=\"{value}\"")),
        ]
    }

    fn dotenvy(text: &str) -> Option<Vec<(String, String)>> {
        dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>().ok()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn no_input_panics(bytes in any::<Vec<u8>>(), text in ".*") {
            let _ = parse(&bytes);
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn dotenvy_reads_what_is_accepted_alike(line in near()) {
            let text = line + "\n";
            let file = parse(text.as_bytes());
            if file.refused.is_empty() {
                let own = file.entries.into_iter().map(|entry| (entry.name, entry.value)).collect();
                prop_assert_eq!(dotenvy(&text), Some(own));
            }
        }

        #[test]
        fn what_is_quoted_reads_as_it_was(value in r#"(\PC|['"\\$#\t ])*"#) {
            let text = format!("A={}\n", quote(&value).unwrap());
            let expected = vec![("A".to_owned(), value)];
            let file = parse(text.as_bytes());
            prop_assert_eq!(values(&file), vec![("A", &*expected[0].1)]);
            prop_assert_eq!(dotenvy(&text), Some(expected));
        }
    }

    #[test]
    fn control_characters_cannot_be_written() {
        assert_eq!(quote("a\nb"), None);
        assert_eq!(quote("a\0b"), None);
        assert_eq!(quote("a\tb").as_deref(), Some("'a\tb'"));
    }
}
