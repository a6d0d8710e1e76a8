//! The tools as they ship: optimised, for bench and soak.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tgs_e2e::bin_path::{cargo, profile_dir};

use crate::step;

/// Builds tgs-stream and tgs-session with the progress shown, and answers the directory they are
/// in. Always both: alone, each asks the dependencies for other features, and they would be
/// compiled anew for bench and soak in turn.
pub(crate) fn build() -> Result<PathBuf> {
    build_with("the tools", &["--package", "tgs-stream", "--package", "tgs-session"])
}

/// Builds the program `name` of `package`, optimised, and answers its path.
pub(crate) fn daemon(package: &str, name: &str, feature: Option<&str>) -> Result<PathBuf> {
    let mut args = vec!["--package", package, "--bin", name];
    args.extend(feature.iter().flat_map(|feature| ["--features", *feature]));
    Ok(build_with(name, &args)?.join(name))
}

/// Answers the directory of the programs.
fn build_with(what: &str, args: &[&str]) -> Result<PathBuf> {
    // Beside what this program was built into.
    let target = profile_dir()?.parent().context("no target directory")?.to_owned();
    let mut cargo = cargo();
    cargo.args(["build", "--release"]).args(args).arg("--target-dir").arg(&target);
    ensure!(step::run(&format!("build {what}, optimised"), &mut cargo), "{what} cannot be built");
    Ok(target.join("release"))
}
