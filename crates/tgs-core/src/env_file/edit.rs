//! Changes one value of a `.env` file and no other byte.

use super::parse::{EnvFile, Note, parse, split};

/// Why a value cannot be written. Contains no value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The file has unreadable lines, so the effect of a change is unknown.
    #[error("{}", lines(.0))]
    Refused(Vec<Note>),
    /// The new value contains a control character, which no form can express.
    #[error("the new value holds a control character")]
    Control,
    /// The name has other characters than letters, digits and `_`, or a leading digit.
    #[error("the name is not a variable name")]
    Name,
}

fn lines(notes: &[Note]) -> String {
    let line = |note: &Note| {
        format!("line {}: {} {}", note.line, note.name.as_deref().unwrap_or("the line"), note.text)
    };
    notes.iter().map(line).collect::<Vec<_>>().join("; ")
}

/// Returns `bytes` with `name` set to `value`. An existing assignment keeps its place, `export`,
/// comment and line end, and its quotes if the new value fits. A new name is appended. Commented
/// lines stay.
pub fn set(bytes: &[u8], name: &str, value: &str) -> Result<Vec<u8>, Unwritable> {
    let EnvFile { entries, refused, .. } = parse(bytes);
    if !refused.is_empty() {
        return Err(Unwritable::Refused(refused));
    }
    let quoted = quote(value).ok_or(Unwritable::Control)?;
    if split(&format!("{name}=")) != Some((false, name, "")) {
        return Err(Unwritable::Name);
    }
    if let Some(entry) = entries.into_iter().find(|entry| entry.name == name) {
        let (before, after) = (&bytes[..entry.span.start], &bytes[entry.span.end..]);
        let value = match bytes[entry.span].first() {
            Some(b'\'') => quoted,
            Some(b'"') if !value.contains(['\\', '"', '$']) => format!("\"{value}\""),
            _ => bare(value).unwrap_or(quoted),
        };
        return Ok([before, value.as_bytes(), after].concat());
    }
    let crlf = bytes.split(|byte| *byte == b'\n').next().is_some_and(|first| first.ends_with(b"\r"));
    let end = if crlf { "\r\n" } else { "\n" };
    let finish = match bytes.last() {
        None | Some(b'\n') => "",
        Some(b'\r') => "\n",
        Some(_) => end,
    };
    let line = format!("{finish}{name}={}{end}", bare(value).unwrap_or(quoted));
    Ok([bytes, line.as_bytes()].concat())
}

/// Returns `value` if every reader accepts it without quotes.
fn bare(value: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.:/@+,%".contains(c);
    (!value.is_empty() && value.chars().all(plain)).then(|| value.to_owned())
}

/// Quotes `value` for a `.env` file. `None` if it contains a control character other than a tab.
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

    #[test]
    fn table() {
        let cases = [
            // A name that is there.
            ("A=1\nS=old\nB=2\n", "new", "A=1\nS=new\nB=2\n"),
            ("S=old", "new", "S=new"),
            ("S=\n", "new", "S=new\n"),
            ("S=", "new", "S=new"),
            (" S = \t\r\n", "new", " S =new \t\r\n"),
            ("\texport  S =  old  # mine\r\nB=2\r\n", "new", "\texport  S =  new  # mine\r\nB=2\r\n"),
            ("S='old' # mine", "new", "S='new' # mine"),
            ("S=\"o\\\"ld\"\n", "new", "S=\"new\"\n"),
            ("S=\"old\"\n", "n$w", "S='n$w'\n"),
            ("S='old'\n", "n'w", "S=\"n'w\"\n"),
            ("S=old\n", "n w", "S='n w'\n"),
            ("S=old # mine\n", "", "S='' # mine\n"),
            ("S=old\n", "", "S=''\n"),
            ("#S=example\nS=old\n# S=other\n", "new", "#S=example\nS=new\n# S=other\n"),
            ("SS=1\nS_=2\ns=3\nS=4\n", "new", "SS=1\nS_=2\ns=3\nS=new\n"),
            ("A='S=x'\nS=old\n", "new", "A='S=x'\nS=new\n"),
            // One that is not.
            ("", "new", "S=new\n"),
            ("A=1\n", "new", "A=1\nS=new\n"),
            ("A=1", "new", "A=1\nS=new\n"),
            ("#S=example", "n w", "#S=example\nS='n w'\n"),
            ("A=1\r\nB=2\r\n", "new", "A=1\r\nB=2\r\nS=new\r\n"),
            ("A=1\r\nB=2", "new", "A=1\r\nB=2\r\nS=new\r\n"),
            ("A=1\r", "new", "A=1\r\nS=new\r\n"),
        ];
        for (old, value, new) in cases {
            let set = set(old.as_bytes(), "S", value);
            assert_eq!(set.as_deref(), Ok(new.as_bytes()), "{old:?}");
        }
    }

    #[test]
    fn edits_that_are_refused() {
        let refused = |text: &str| set(text.as_bytes(), "S", "new").unwrap_err().to_string();
        assert_eq!(
            refused("A=1\nS=secret1\nS=secret2\nJUNK secret3\n"),
            "line 3: S is set a second time, first in line 2; keep one of them; line 4: the line is no setting; write \
             NAME=value, with letters, digits and _ in the name"
        );
        assert!(refused("S=\"first\nsecond\"\n").starts_with("line 1: S opens a quote"));
        assert_eq!(set(b"", "S", "a\nB=1"), Err(Unwritable::Control));
        for name in ["", "A B", "export A", "1A", "A=", "#A", " A", "Ä"] {
            assert_eq!(set(b"", name, "x"), Err(Unwritable::Name), "{name}");
        }
    }

    /// Lines as people write them, with some that cannot be read.
    fn file() -> impl Strategy<Value = String> {
        let name =
            prop_oneof![Just("A"), Just("B"), Just("S"), Just("SS"), Just("export"), Just("#S"), Just("# ")];
        let value = prop_oneof![
            r"[a-z0-9=#/;]{0,4}",
            r#"'[a-z $"=#S]{0,4}'"#,
            r#""([a-z '=#S]|\\\\|\\"|\\\$){0,4}""#,
            r#"[a' "\\$]{0,3}"#,
        ];
        let blank = "[ \t]{0,2}";
        let line = (blank, "(export )?", name, blank, blank, value, "( # [a-zS= ]{0,3})?", blank).prop_map(
            |(a, export, name, b, c, value, comment, d)| {
                format!("{a}{export}{name}{b}={c}{value}{comment}{d}")
            },
        );
        let line = prop_oneof![9 => line, 1 => Just(String::new())];
        let end = prop_oneof![4 => Just("\n"), 1 => Just("\r\n")];
        (prop::collection::vec((line, end), 0..6), any::<bool>()).prop_map(|(lines, finished)| {
            let text: String = lines.into_iter().flat_map(|(line, end)| [line, end.to_owned()]).collect();
            if finished { text } else { text.trim_end_matches(['\r', '\n']).to_owned() }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn one_value_changes_and_no_other_byte(text in file(), value in r#"(\PC|['"\\$#\t ]){0,12}|[A-Za-z0-9_=-]{0,12}"#) {
            let old = parse(text.as_bytes());
            let Ok(new) = set(text.as_bytes(), "S", &value) else {
                prop_assert!(!old.refused.is_empty());
                return Ok(());
            };
            let read = parse(&new);
            prop_assert!(read.refused.is_empty(), "{:?}", read.refused);
            let pairs = |file: &EnvFile| -> Vec<(usize, String, String)> {
                file.entries.iter().map(|e| (e.line, e.name.clone(), e.value.clone())).collect()
            };
            let mut expected = pairs(&old);
            let at = old.entries.iter().position(|entry| entry.name == "S");
            if let Some(at) = at {
                let (was, is) = (&old.entries[at].span, &read.entries[at].span);
                prop_assert_eq!(&text.as_bytes()[..was.start], &new[..is.start]);
                prop_assert_eq!(&text.as_bytes()[was.end..], &new[is.end..]);
                expected[at].2 = value;
                prop_assert_eq!(&old.warnings, &read.warnings);
            } else {
                prop_assert!(new.starts_with(text.as_bytes()));
                let line = read.entries.last().map_or(0, |entry| entry.line);
                expected.push((line, "S".into(), value));
            }
            prop_assert_eq!(pairs(&read), expected);
            // As dotenv reads it too, which only minds blanks at the end of a file without a last
            // line end.
            let ended = [&*new, b"\n"].concat();
            let dotenv: Vec<_> = dotenvy::from_read_iter(&*ended).collect::<Result<_, _>>().unwrap();
            let own: Vec<_> = read.entries.into_iter().map(|entry| (entry.name, entry.value)).collect();
            prop_assert_eq!(dotenv, own);
        }

        #[test]
        fn spans_are_the_values(text in file()) {
            for entry in parse(text.as_bytes()).entries {
                let raw = &text[entry.span];
                prop_assert_eq!(parse(format!("A={raw}\n").as_bytes()).entries[0].value.clone(), entry.value);
            }
        }
    }
}
