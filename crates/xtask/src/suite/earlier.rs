//! Builds the Debian package of an earlier commit, which the upgrade test begins with. Compiles
//! into this workspace's target directory: the dependencies are the same, so only the product's own
//! crates are compiled again.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};
use tgs_e2e::{
    bin_path::{self, workspace},
    tools::{EARLIER, earlier_dir},
};

use crate::step;

/// Builds it unless it is there; `false` where that fails.
pub(super) fn build() -> Result<bool> {
    let (dir, commit) = (earlier_dir(), EARLIER);
    let package = dir.join(format!("{commit}.deb"));
    if !package.exists() {
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let source = dir.join("source");
        if !step::run(&format!("sources of {commit}"), &mut unpack(&source)) {
            println!("the upgrade starts from this commit; a shallow clone lacks it: git fetch --unshallow");
            return Ok(false);
        }
        let mut dist = bin_path::cargo();
        dist.args(["run", "--quiet", "--package", "xtask", "--", "dist", "--profile", "dev"]);
        dist.current_dir(&source).env("CARGO_TARGET_DIR", workspace().join("target"));
        if !step::run(&format!("package of {commit}"), &mut dist) {
            return Ok(false);
        }
        fs::rename(built(&source)?, &package).context("keep the earlier package")?;
        fs::remove_dir_all(&source).context("remove the earlier sources")?;
    }
    fs::copy(&package, dir.join("tgs.deb")).context("copy the earlier package")?;
    Ok(true)
}

/// Unpacks the commit's tree into `source`.
fn unpack(source: &Path) -> Command {
    let mut command = Command::new("sh");
    let script =
        "rm -rf \"$1\" && mkdir \"$1\" && git archive \"$2\" | tar -x -C \"$1\" && test -f \"$1/Cargo.toml\"";
    command.args(["-c", script, "sh"]).arg(source).arg(EARLIER).current_dir(workspace());
    command
}

/// The package in the earlier sources' `target/dist`.
fn built(source: &Path) -> Result<std::path::PathBuf> {
    let entries = fs::read_dir(source.join("target/dist")).context("read the earlier target/dist")?;
    let mut packages = entries.flatten().map(|entry| entry.path());
    packages
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .context("no earlier package was built")
}
