//! Rules of the workspace that no compiler holds: what may depend on what, and that every
//! dependency says why it is there.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use tgs_e2e::bin_path::{cargo, workspace};

/// What developers use, and operators never see: free to depend on anything.
const DEVELOPERS: [&str; 3] = ["xtask", "tgs-e2e", "tgs-testdc"];
/// The libraries, from the lowest layer up: a crate may use those of lower layers. `tgs-rtmp` can
/// be published alone.
const LAYERS: [&[&str]; 4] = [
    &["tgs-core", "tgs-rtmp"],
    &["tgs-control", "tgs-ha", "tgs-schedule", "tgs-telegram"],
    &["tgs-recording"],
    &["tgs-playout"],
];
/// Who may speak to Telegram.
const TELEGRAM: [&str; 4] = ["tgs-stream", "tgs-session", "tgs-diag", "tgs-bot"];

/// The packages of the workspace.
fn packages() -> Vec<Value> {
    let output =
        cargo().args(["metadata", "--no-deps", "--format-version", "1"]).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn name(value: &Value) -> &str {
    value["name"].as_str().expect("a name")
}

/// The names of what `package` depends on: other crates of the workspace, or everything else.
fn dependencies(package: &Value, own: bool) -> BTreeSet<&str> {
    let all = package["dependencies"].as_array().expect("dependencies").iter();
    all.filter(|dependency| dependency["path"].is_string() == own).map(name).collect()
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let packages = packages();
    let used: BTreeSet<_> = packages.iter().flat_map(|package| dependencies(package, false)).collect();
    let path = workspace().join("docs/DEPENDENCIES.md");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("- ")).collect();
    let mut listed = Vec::new();
    for line in &lines {
        let (name, why) =
            line.split_once(": ").unwrap_or_else(|| panic!("not of the form `- name: why`: {line}"));
        assert!(!why.trim().is_empty(), "{name} says nothing");
        listed.push(name);
    }
    assert!(listed.is_sorted(), "{} is not in alphabetical order", path.display());
    let listed: BTreeSet<_> = listed.into_iter().collect();
    let silent: Vec<_> = used.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&used).collect();
    assert!(silent.is_empty(), "dependencies without a line in {}: {silent:?}", path.display());
    assert!(stale.is_empty(), "lines without a dependency in {}: {stale:?}", path.display());
}

#[test]
fn every_shared_dependency_is_used() {
    let packages = packages();
    let used: BTreeSet<_> =
        packages.iter().flat_map(|p| p["dependencies"].as_array().expect("dependencies")).map(name).collect();
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let (_, section) = manifest.split_once("[workspace.dependencies]\n").expect("a section of dependencies");
    let section = section.split("\n[").next().unwrap_or_default();
    for line in section.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, _)) = line.split_once('=') {
            assert!(used.contains(name.trim()), "no crate uses {name} of [workspace.dependencies]");
        }
    }
}

#[test]
fn crates_depend_on_lower_layers_alone() {
    for package in packages() {
        let who = name(&package).to_owned();
        if DEVELOPERS.contains(&&*who) {
            continue;
        }
        for on in dependencies(&package, true) {
            // In tests a tool may use the harness.
            let harness = on == "tgs-e2e" || on == "tgs-testdc";
            let layer = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
            let below = layer(on).is_some_and(|on| layer(&who).is_none_or(|who| on < who));
            assert!(below || harness, "{who} depends on {on}");
            assert!(on != "tgs-telegram" || TELEGRAM.contains(&&*who), "{who} must not depend on {on}");
        }
    }
}

/// They start within milliseconds, in a deploy and on a machine that has nothing to spare.
#[test]
fn small_tools_compile_no_telegram_and_no_runtime() {
    for tool in ["tgs-check-active", "tgs-control", "tgs-ctl", "tgs-ytdlp-update"] {
        let args = ["tree", "--package", tool, "--edges", "normal", "--prefix", "none", "--format", "{p}"];
        let output = cargo().args(args).output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8_lossy(&output.stdout);
        assert!(tree.contains("tgs-core "), "{tree}");
        for heavy in ["grammers", "prometheus", "tokio"] {
            assert!(!tree.contains(heavy), "{tool} compiles {heavy}:\n{tree}");
        }
    }
}

/// A hole in the desk's page must not lead to code that holds a session.
#[test]
fn the_desk_compiles_no_telegram() {
    let args = ["tree", "--package", "tgs-web", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let output = cargo().args(args).output().expect("cargo runs");
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(tree.contains("axum ") && !tree.contains("grammers") && !tree.contains("aws-lc"), "{tree}");
}

#[test]
fn every_main_is_a_few_lines_over_its_library() {
    let mut seen = 0;
    for package in packages() {
        for target in package["targets"].as_array().expect("targets") {
            let path = Path::new(target["src_path"].as_str().expect("a path"));
            if path.ends_with("src/main.rs") {
                let lines = fs::read_to_string(path).unwrap().lines().count();
                assert!(
                    lines <= 15,
                    "{} has {lines} lines; what it does belongs into the library",
                    path.display()
                );
                seen += 1;
            }
        }
    }
    assert!(seen >= 2, "only {seen} programs found");
}

#[test]
fn the_readme_names_what_there_is() {
    let text = fs::read_to_string(workspace().join("README.md")).unwrap();
    for command in ["cargo xtask demo", "cargo xtask test"] {
        assert!(text.contains(&format!("\n$ {command}")), "the README does not show {command}");
    }
    // `](path)` of this repository.
    for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        if !link.starts_with("http") {
            let file = link.split('#').next().unwrap_or_default();
            assert!(workspace().join(file).exists(), "the README links to {link}, which is not there");
        }
    }
}
