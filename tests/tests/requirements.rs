//! docs/requirements.md: every requirement and task once, with files that are there and tests that
//! are there.

use std::{collections::BTreeSet, fs};

use tgs_e2e::bin_path::workspace;

/// What must be there: FR-001 to FR-010, T001 to T030.
fn ids() -> BTreeSet<String> {
    let requirements = (1..=10).map(|n| format!("FR-{n:03}"));
    requirements.chain((1..=30).map(|n| format!("T{n:03}"))).collect()
}

/// What stands in `…` in a cell.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_requirement_is_here_and_shown() {
    let text = fs::read_to_string(workspace().join("docs/requirements.md")).expect("docs/requirements.md");
    let ids = ids();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| FR-") || line.starts_with("| T0")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let &[id, asked, here, files, tests] = cells.as_slice() else { panic!("not five cells: {line}") };
        assert!(ids.contains(id), "{id} is not a requirement");
        assert!(seen.insert(id.to_owned()), "{id} is there twice");
        assert!(!asked.is_empty() && !here.is_empty(), "{id} says nothing");
        let (files, tests) = (quoted(files), quoted(tests));
        assert!(!files.is_empty() && !tests.is_empty(), "{id} names no file or no test");
        let gone = files.into_iter().filter(|file| !workspace().join(file).is_file());
        wrong.extend(gone.map(|file| format!("{id}: there is no file {file}")));
        for test in tests {
            let (file, name) =
                test.split_once("::").unwrap_or_else(|| panic!("{id}: not file::test: {test}"));
            let source = fs::read_to_string(workspace().join(file)).unwrap_or_default();
            if !is_test(&source, name) {
                wrong.push(format!("{id}: there is no test {name} in {file}"));
            }
        }
    }
    let missing: Vec<_> = ids.difference(&seen).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether `name` is a test of this source: a function with the attribute before it.
fn is_test(source: &str, name: &str) -> bool {
    let Some(at) = source.find(&format!("fn {name}(")) else { return false };
    source[..at].rsplit('}').next().is_some_and(|before| before.contains("#[test]"))
}
