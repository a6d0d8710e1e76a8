//! The style of comments, strings and documents: width, and phrases that only their author
//! understands. Does not judge names.

use std::path::{Path, PathBuf};

use tgs_e2e::bin_path::workspace;

use super::{below, read};

/// Columns of a comment's line, with indentation and `//`.
const WIDTH: usize = 100;

/// Phrases that are not plain technical English: name the thing and use the field's verb.
const BANNED: [&str; 14] = [
    "what is left",
    "whoever",
    "told",
    "is mended",
    "are mended",
    "be had",
    "is none",
    "goes on air",
    "went on air",
    "takes its turn",
    "has its turn",
    "let go",
    "a person",
    "with nobody present",
];

/// A piece of text in a source, and the line it begins at.
#[derive(Debug)]
struct Piece {
    line: usize,
    kind: Kind,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Comment,
    String,
}

/// The comments and strings of a Rust source. Each line of a comment is a piece of its own.
fn texts(source: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let (kind, length) = if rest.starts_with("//") {
            (Some(Kind::Comment), rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (Some(Kind::Comment), rest.find("*/").map_or(rest.len(), |at| at + 2))
        } else if let Some(length) = raw_string(rest) {
            (Some(Kind::String), length)
        } else if first == '"' {
            (Some(Kind::String), quoted(rest))
        } else {
            (None, character(rest).unwrap_or(first.len_utf8()))
        };
        let (text, after) = rest.split_at(length);
        if let Some(kind) = kind {
            found.push(Piece { line, kind, text: text.to_owned() });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    found
}

/// The length of the raw string `r"…"` or `r#"…"#` at the start of `text`.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let body = after[hashes..].strip_prefix('"')?;
    Some(1 + hashes + 1 + body.find(&end)? + end.len())
}

/// The length of the string at the start of `text`, with both quotes.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the name or character literal at the start of `text`. A lifetime is neither.
fn character(text: &str) -> Option<usize> {
    if text.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        // As a whole, or its last letter could be taken for the prefix of a raw string.
        let name = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let prefix = text[name..].starts_with(['"', '#']) && matches!(&text[..name], "r" | "b" | "br" | "c");
        return (!prefix).then_some(name);
    }
    let mut after = text.strip_prefix('\'')?.char_indices();
    let (_, first) = after.next()?;
    let close = if first == '\\' { after.skip(1).find(|&(_, c)| c == '\'') } else { after.next() };
    close.filter(|&(_, c)| c == '\'').map(|(at, _)| at + 2)
}

/// Words in lower case with their lines. An empty word ends a sentence; no phrase matches it.
fn words<'a>(pieces: impl Iterator<Item = (usize, &'a str)>) -> Vec<(String, usize)> {
    let mut words = Vec::new();
    for (first, text) in pieces {
        for (offset, line) in text.lines().enumerate() {
            for word in line.split_whitespace() {
                let plain = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
                // `//`, a quote, or a backslash at a line's end is no word.
                if !plain.is_empty() {
                    words.push((plain, first + offset));
                }
                if word.ends_with(['.', ',', ';', ':', '!', '?', ')', '`']) {
                    words.push((String::new(), first + offset));
                }
            }
        }
    }
    words
}

/// `line: "phrase"` for each banned phrase, also where it is broken across lines.
fn phrases(words: &[(String, usize)]) -> Vec<String> {
    let mut found = Vec::new();
    for phrase in BANNED {
        let parts: Vec<_> = phrase.split(' ').collect();
        let is_phrase = |window: &[(String, usize)]| window.iter().map(|(word, _)| word).eq(parts.iter());
        let hits = words.windows(parts.len()).filter(|window| is_phrase(window));
        found.extend(hits.map(|window| format!("{}: “{phrase}”", window[0].1)));
    }
    found
}

/// The faults of a Rust source, each with its line.
fn faults_of_source(source: &str) -> Vec<String> {
    let texts = texts(source);
    let lines: Vec<_> = source.lines().collect();
    let mut faults = Vec::new();
    for comment in texts.iter().filter(|text| text.kind == Kind::Comment) {
        for line in comment.line..comment.line + comment.text.lines().count() {
            let width = lines[line - 1].chars().count();
            if width > WIDTH {
                faults.push(format!("{line}: a comment of {width} columns, more than {WIDTH}"));
            }
        }
    }
    // Comment after comment is one text; each string stands alone.
    let comments = texts.iter().filter(|text| text.kind == Kind::Comment);
    faults.extend(phrases(&words(comments.map(|text| (text.line, &*text.text)))));
    for string in texts.iter().filter(|text| text.kind == Kind::String) {
        faults.extend(phrases(&words([(string.line, &*string.text)].into_iter())));
    }
    faults
}

/// The faults of a file whose comments begin with `#`, each with its line.
fn faults_of_script(source: &str) -> Vec<String> {
    let is_comment = |line: &str| line.trim_start().starts_with('#');
    let comments = || source.lines().enumerate().filter(|(_, line)| is_comment(line));
    let widths = comments().map(|(index, line)| (index + 1, line.chars().count()));
    let wide = widths.filter(|(_, width)| *width > WIDTH);
    let wide = wide.map(|(line, width)| format!("{line}: a comment of {width} columns, more than {WIDTH}"));
    wide.chain(phrases(&words(comments().map(|(index, line)| (index + 1, line))))).collect()
}

/// The scripts, units, manifests and workflows. `.env.template` is a document.
fn scripts() -> Vec<PathBuf> {
    let found = |dir: &str, ends: &[&str]| below(&workspace().join(dir), ends);
    let all = ["ci", "deploy", ".github", ".config"].into_iter().flat_map(|dir| found(dir, &[""]));
    let more = ["crates", "tests"].into_iter().flat_map(|dir| found(dir, &[".sh", "Cargo.toml"]));
    let top = ["Cargo.toml", "clippy.toml", "deny.toml", "rust-toolchain.toml", "rustfmt.toml"];
    all.chain(more).chain(top.map(|name| workspace().join(name))).collect()
}

/// The faults of all files, each as `path:line: fault`.
fn faults() -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |path: &Path, faults: Vec<String>| {
        let path = path.strip_prefix(workspace()).unwrap_or(path).display();
        found.extend(faults.iter().map(|fault| format!("{path}:{fault}")));
    };
    for dir in ["crates", "tests", "fuzz/fuzz_targets"] {
        for path in below(&workspace().join(dir), &[".rs"]) {
            // This file lists the phrases.
            if !path.ends_with("documents/prose.rs") {
                look(&path, faults_of_source(&read(&path)));
            }
        }
    }
    for path in scripts() {
        look(&path, faults_of_script(&read(&path)));
    }
    let english = workspace().join("crates/tgs-web/page/lang/en.json");
    look(&english, phrases(&words([(1, &*read(&english))].into_iter())));
    let pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "fuzz/README.md"];
    let pages = pages.map(|name| workspace().join(name)).into_iter();
    for path in pages.chain(below(&workspace().join("docs"), &[".md"])) {
        // Made from strings of the sources, which are examined there.
        if !path.parent().is_some_and(|dir| dir.ends_with("docs/reference")) {
            look(&path, phrases(&words([(1, &*read(&path))].into_iter())));
        }
    }
    found
}

#[test]
fn text_is_plain_and_comments_are_narrow() {
    let faults = faults();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn faults_are_found_where_they_are() {
    let wide = format!("    let x = 1; // {}\n", "x".repeat(WIDTH));
    for (source, expected) in [
        ("// Whoever it is.\n", vec!["1: “whoever”"]),
        ("/// It takes\n/// its turn\nfn f() {}\n", vec!["1: “takes its turn”"]),
        ("fn told() { let told = 'x'; }\n", vec![]),
        ("let a = \"is \\\n  told\";", vec!["2: “told”"]),
        ("let a = r#\"a \" told\"#; // told", vec!["1: “told”", "1: “told”"]),
        ("let a = '\"'; let b: &'static str = \"x\"; // be had", vec!["1: “be had”"]),
        ("// There is none. Whose?\n// It is\n", vec!["1: “is none”"]),
        ("// He let. Go\n", vec![]),
        (&wide, vec!["1: a comment of 118 columns, more than 100"]),
    ] {
        assert_eq!(faults_of_source(source), expected, "{source}");
    }
    let wide = format!("a = 1\n  # {}\n{} # said\n# Whoever\n", "x".repeat(97), "y".repeat(200));
    let expected = ["2: a comment of 101 columns, more than 100", "4: “whoever”"];
    assert_eq!(faults_of_script(&wide), expected);
}
