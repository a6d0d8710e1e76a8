//! Lines as people write them, read beside systemd, dotenvy and bash.

use proptest::prelude::*;

use super::*;
use crate::env_file::quote;

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

/// Texts that were given to systemd 252, dotenvy 0.15.7 and bash. Where the three read one
/// differently (or one of them not at all) it must be refused or warned of; some that they agree on
/// are refused to keep the forms few.
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
    ("A=val  # don't change\n", Warned(&[("A", "val")], COMMENT)),
    ("A='val'\t\t# 5\" screen\n", Warned(&[("A", "val")], COMMENT)),
    ("A=\"val\"    # it's\n", Warned(&[("A", "val")], COMMENT)),
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

/// The value that the text between an entry's first and last byte stands for, by the three forms as
/// documented.
fn by_the_forms(raw: &str) -> String {
    let inner = |quote| raw.strip_prefix(quote).and_then(|raw| raw.strip_suffix(quote));
    if let Some(inner) = inner('\'') {
        return inner.to_owned();
    }
    let Some(inner) = inner('"') else { return raw.to_owned() };
    let mut chars = inner.chars();
    let mut next = || chars.next().map(|c| if c == '\\' { chars.next().unwrap() } else { c });
    std::iter::from_fn(&mut next).collect()
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
    fn accepted_lines_have_one_value_in_every_reader(line in near()) {
        let text = line + "\n";
        let file = parse(text.as_bytes());
        for entry in &file.entries {
            prop_assert_eq!(by_the_forms(&text[entry.span.clone()]), entry.value.clone());
        }
        if file.refused.is_empty() {
            let own = file.entries.into_iter().map(|entry| (entry.name, entry.value)).collect();
            prop_assert_eq!(dotenvy(&text), Some(own));
        }
    }

    #[test]
    fn quoted_values_are_read_back_unchanged(value in r#"(\PC|['"\\$#\t ])*"#) {
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
