//! Where the built tools are, and how they get there. Cargo tells a test only the binaries of its
//! own package.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context, Result, ensure};

/// The `tgs-stream` binary of the profile this test was built with, built now if it is not up to
/// date.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn tgs_stream() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("tgs-stream").unwrap_or_else(|e| panic!("no tgs-stream to test: {e:#}")))
}

/// Builds the tool `name` into the target directory and profile of the running executable. Cargo's
/// own lock makes this safe for tests that do it at the same moment, and it costs a tenth of a
/// second where nothing changed. Out of the whole workspace: alone, a package asks its dependencies
/// for other features, and they are compiled once more for it.
pub fn build(name: &str) -> Result<PathBuf> {
    let dir = profile_dir()?;
    let profile = dir.file_name().and_then(|n| n.to_str()).context("no profile directory")?;
    let target = dir.parent().context("no target directory")?;
    let profile = if profile == "debug" { "dev" } else { profile };
    let output = cargo()
        .args(["build", "--quiet", "--workspace", "--bin", name, "--profile", profile, "--target-dir"])
        .arg(target)
        .output()
        .context("run cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(dir.join(name))
}

/// A cargo in the workspace that does not inherit the variables that the cargo above this process
/// set of its package: build scripts that look at it (ring's) would run anew in every turn of
/// `cargo nextest`, `cargo xtask` and this.
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

/// Where cargo puts what it builds with the profile of the running executable: `target/debug`,
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
    // This package lies directly in it.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A directory of `target/` that outlives the run, made if it is missing: clips, tools, results of
/// the bench.
pub fn target_dir(name: &str) -> Result<PathBuf> {
    let dir = workspace().join("target").join(name);
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    Ok(dir)
}
