//! Paths of the built tools; builds them if necessary. Cargo gives a test only the binaries of its
//! own package.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context, Result, ensure};

/// The `tgs-stream` binary of this test's profile, rebuilt if outdated.
///
/// # Panics
/// If the build fails.
#[must_use]
pub fn tgs_stream() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("tgs-stream").unwrap_or_else(|e| panic!("no tgs-stream to test: {e:#}")))
}

/// Set by `cargo xtask test`, which has built everything: an up-to-date build takes 0.2 CPU seconds
/// in each test, and waits for the checks that run beside the tests.
pub const BUILT: &str = "TGS_TOOLS_ARE_BUILT";

/// Builds the tool `name` into the target directory and profile of the running executable. Cargo's
/// lock serialises concurrent tests. Builds from the whole workspace: a single package would select
/// other features and recompile its dependencies.
pub fn build(name: &str) -> Result<PathBuf> {
    build_with(name, &["--workspace"])
}

/// Builds `PACKAGE-test-dc`, the tool with the feature `test-dc`: it knows the test DC's addresses
/// and key.
pub fn build_for_test_dc(package: &str) -> Result<PathBuf> {
    build_with(&format!("{package}-test-dc"), &["--workspace", "--features", &format!("{package}/test-dc")])
}

fn build_with(name: &str, selection: &[&str]) -> Result<PathBuf> {
    let dir = profile_dir()?;
    let path = dir.join(name);
    if env::var_os(BUILT).is_some() && path.exists() {
        return Ok(path);
    }
    let profile = dir.file_name().and_then(|n| n.to_str()).context("no profile directory")?;
    let target = dir.parent().context("no target directory")?;
    let profile = if profile == "debug" { "dev" } else { profile };
    let output = cargo()
        .args(["build", "--quiet"])
        .args(selection)
        .args(["--bin", name, "--profile", profile, "--target-dir"])
        .arg(target)
        .output()
        .context("run cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(path)
}

/// A cargo command in the workspace without the package variables that an outer cargo set: build
/// scripts that read them (ring's) would run again after each change between `cargo nextest`,
/// `cargo xtask` and this.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(workspace());
    for (name, _) in env::vars_os() {
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "NEXTEST"];
        if name.to_str().is_some_and(|name| told.iter().any(|told| name.starts_with(told))) {
            command.env_remove(&name);
        }
    }
    command
}

/// Cargo's output directory for the profile of the running executable: `target/debug`,
/// `target/release`.
pub fn profile_dir() -> Result<PathBuf> {
    let exe = env::current_exe().context("find the running executable")?;
    let dir =
        exe.ancestors().skip(1).find(|dir| !dir.ends_with("deps")).context("executable without directory")?;
    Ok(dir.to_owned())
}

/// The root of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    // This package is a direct subdirectory of the workspace.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A directory of `target/` that outlives the run, created if missing: clips, tools, bench
/// results.
pub fn target_dir(name: &str) -> Result<PathBuf> {
    let dir = workspace().join("target").join(name);
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    Ok(dir)
}
