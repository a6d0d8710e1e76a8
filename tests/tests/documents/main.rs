//! The documents match the code: messages, exit codes, links and flags that exist.
//! Does not judge their wording: `prose.rs` does.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod prose;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use tgs_core::exit::Code;
use tgs_e2e::bin_path::workspace;

fn read(path: impl AsRef<Path>) -> String {
    let path = workspace().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every document: those in `docs/` and the pages at the top of the repository.
fn documents() -> Vec<(PathBuf, String)> {
    let mut all = below(&workspace().join("docs"), &[".md"]);
    let top = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "CODE_OF_CONDUCT.md"];
    all.extend(top.map(|name| workspace().join(name)));
    all.into_iter().map(|path| (path.clone(), read(path))).collect()
}

/// The files below `dir` whose names end with one of `ends`.
fn below(dir: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(below(&path, ends));
        } else if ends.iter().any(|end| path.to_string_lossy().ends_with(end)) {
            found.push(path);
        }
    }
    found
}

/// The tools' sources without comments; a string over several lines is one line.
fn source() -> String {
    let crates = fs::read_dir(workspace().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = crates.flat_map(|dir| below(&dir.join("src"), &[".rs"])).collect();
    files.extend(below(&workspace().join("deploy"), &[".sh"]));
    files.retain(|file| !file.strip_prefix(workspace()).unwrap().to_string_lossy().contains("test"));
    let mut all = String::new();
    for file in files {
        let mut joined = false;
        for line in read(file).lines().filter(|line| !line.trim_start().starts_with("//")) {
            let line = if joined { line.trim_start() } else { line };
            let (line, goes_on) = line.strip_suffix('\\').map_or((line, false), |line| (line, true));
            all += line;
            all += if goes_on { "" } else { "\n" };
            joined = goes_on;
        }
    }
    all.replace("\\\"", "\"").replace("\\\\", "\\")
}

#[test]
fn troubleshooting_is_about_messages_that_are_written() {
    let source = source();
    let text = read("docs/guide/troubleshooting.md");
    let headings: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert!(headings.len() > 40, "only {} messages", headings.len());
    let mut seen = BTreeSet::new();
    let mut stale = Vec::new();
    for heading in headings {
        let message = heading.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
        let message = message.unwrap_or_else(|| panic!("not of the form ### `message`: {heading}"));
        assert!(seen.insert(message), "twice: {message}");
        // Either part may write the characters between them.
        let between = [' ', '(', ')', ':', ',', ';', '.', '\'', '"', '×'];
        let parts: Vec<_> = message.split('…').map(|part| part.trim_matches(between)).collect();
        assert!(parts.iter().any(|part| part.len() >= 12), "too little to be found by: {message}");
        let gone = parts.into_iter().filter(|part| !source.contains(part));
        stale.extend(gone.map(|part| format!("“{part}” of “{message}”")));
    }
    assert!(stale.is_empty(), "nothing writes:\n{}", stale.join("\n"));
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

#[test]
fn links_lead_somewhere() {
    for (path, text) in documents() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            assert!(file.exists(), "{} links to {link}, which is not there", path.display());
            if !place.is_empty() {
                let there = read(&file);
                let mut headings = there.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|line| anchor(line) == place),
                    "{}: no heading for {link}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn files_that_documents_name_are_there() {
    let mut named = 0;
    for (path, text) in documents() {
        for word in text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let in_source =
                ["crates/", "tests/", "deploy/", "ci/", "docs/"].iter().any(|dir| word.starts_with(dir));
            let file = word.split("::").next().unwrap();
            if in_source && !file.contains([' ', '*', '<', '{']) {
                named += 1;
                assert!(workspace().join(file).exists(), "{} names {word}", path.display());
            }
        }
    }
    assert!(named > 50, "only {named} files named");
}

/// Lines of text that a screen shows.
const SCREEN: usize = 60;

#[test]
fn a_page_longer_than_a_screen_has_a_contents_list() {
    for (path, text) in documents() {
        let headings: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        // The README's sections are links to other pages.
        if path.ends_with("README.md") || headings.len() < 3 || text.lines().count() <= SCREEN {
            continue;
        }
        let (_, rest) = text
            .split_once("\n## Contents\n\n")
            .unwrap_or_else(|| panic!("{} has no contents list", path.display()));
        let listed: Vec<_> = rest.lines().take_while(|line| !line.is_empty()).collect();
        let sections = headings.into_iter().filter(|heading| *heading != "Contents");
        let expected: Vec<_> =
            sections.map(|heading| format!("- [{heading}](#{})", anchor(heading))).collect();
        assert_eq!(listed, expected, "{}", path.display());
    }
}

#[test]
fn the_table_of_exit_codes_is_that_of_the_code() {
    let page = read("docs/reference/exit-codes.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let rows: Vec<_> =
        rows.filter_map(|(code, rest)| Some((code.parse::<u8>().ok()?, rest.split(" |").next()?))).collect();
    assert_eq!(rows, Code::ALL.map(|code| (code as u8, code.meaning())));
}

/// The help of each tool, from the snapshots of its tests.
fn helps() -> BTreeMap<String, String> {
    let crates = below(&workspace().join("crates"), &["help.snap"]);
    let all =
        crates.into_iter().chain(below(&workspace().join("tests/tests/snapshots"), &["cli_exit__help.snap"]));
    all.map(|path| {
        let text = read(path);
        let (_, usage) = text.split_once("Usage: ").unwrap();
        (usage.split_whitespace().next().unwrap().to_owned(), text)
    })
    .collect()
}

#[test]
fn commands_in_the_documents_have_the_flags_they_are_given() {
    let helps = helps();
    let names: Vec<_> = helps.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "tgs-bot",
            "tgs-check-active",
            "tgs-ctl",
            "tgs-diag",
            "tgs-session",
            "tgs-stream",
            "tgs-web",
            "tgs-ytdlp-update"
        ]
    );
    let mut commands = 0;
    for (path, text) in documents() {
        // A line of an indented block, a prompt of a `console` block, or `…` within a line.
        for line in text.lines() {
            let block = ["    ", "$ "].iter().find_map(|prompt| line.strip_prefix(prompt)).into_iter();
            for command in block.chain(line.split('`').skip(1).step_by(2)) {
                let words: Vec<_> = command.split('#').next().unwrap().split_whitespace().collect();
                let Some(at) =
                    words.iter().position(|word| helps.contains_key(word.rsplit('/').next().unwrap()))
                else {
                    continue;
                };
                if words.contains(&"cargo") {
                    continue;
                }
                commands += 1;
                let help = &helps[words[at].rsplit('/').next().unwrap()];
                for flag in words[at..].iter().filter(|word| word.starts_with("--")) {
                    let flag = flag.trim_end_matches([',', ';', ')']).split('=').next().unwrap();
                    let known =
                        help.split(|c: char| !c.is_alphanumeric() && c != '-').any(|word| word == flag);
                    assert!(known, "{}: {} has no {flag}: {command}", path.display(), words[at]);
                }
            }
        }
    }
    assert!(commands > 50, "only {commands} commands found");
}
