//! The Debian package, built by cargo-deb from `[package.metadata.deb]` of tgs-stream's manifest.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use tgs_e2e::bin_path::{self, workspace};

use crate::step;

/// Builds `target/dist/tgs_VERSION_ARCH.deb` from `dist`; `small` takes half a minute more.
pub(super) fn build(dist: &Path, small: bool) -> Result<bool> {
    fs::write(dist.join("changelog"), changelog()?)?;
    let mut deb = bin_path::cargo();
    deb.args(["deb", "--no-build", "--no-strip", "--quiet", "--package", "tgs-stream", "--output"]).arg(dist);
    if !small {
        deb.arg("--fast");
    }
    let name = if small { "cargo deb (packs for half a minute)" } else { "cargo deb" };
    Ok(step::run(name, &mut deb))
}

/// The changelog entry that Debian requires; it refers to NEWS.md.
fn changelog() -> Result<String> {
    // The commit's time makes the package reproducible.
    let git = Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(workspace()).output();
    let commit =
        git.ok().and_then(|output| String::from_utf8_lossy(&output.stdout).trim().parse::<u64>().ok());
    let seconds =
        commit.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    let date =
        Command::new("date").args(["--utc", "--rfc-email", "--date"]).arg(format!("@{seconds}")).output();
    let date = String::from_utf8(date.context("run date")?.stdout)?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "tgs ({version}-1) unstable; urgency=medium\n\n  * See /usr/share/doc/tgs/NEWS.md.\n\n \
         -- tgs developers <tgs@users.noreply.github.com>  {}\n",
        date.trim()
    ))
}
