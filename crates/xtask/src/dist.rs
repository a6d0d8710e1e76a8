//! `cargo xtask dist`: builds the Debian package and the archive for a deploy into `target/dist`.
//! Publishes nothing.

mod deb;
mod docs;
mod manuals;
mod tools;

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use tgs_e2e::bin_path::{self, workspace};

pub(crate) use self::tools::{subcommands, tools};
use crate::{install, step};

/// Folders of `deploy` that a release contains.
const RELEASED: [&str; 5] = ["systemd", "sysusers.d", "tmpfiles.d", "logrotate.d", "prometheus"];

/// Builds all with the cargo profile `profile`; `false` if a step failed (its output is printed).
pub(crate) fn run(profile: &str) -> Result<bool> {
    install::for_dist()?;
    let dist = workspace().join("target/dist");
    if dist.exists() {
        fs::remove_dir_all(&dist).with_context(|| format!("empty {}", dist.display()))?;
    }
    fs::create_dir_all(&dist)?;
    let mut build = bin_path::cargo();
    build.args(["build", "--locked", "--profile", profile]);
    for (name, _) in tools() {
        build.args(["--package", name, "--bin", name]);
    }
    if profile == "dev" {
        // As the tests do: the tools alone unify features differently and would compile again.
        build.arg("--workspace");
    }
    if !step::run(&format!("build the tools ({profile})"), &mut build) {
        return Ok(false);
    }
    step::say("strip the tools, write the manual pages and the documents");
    // Package and archive take the programs from here, without symbols.
    let bin = dist.join("bin");
    fs::create_dir(&bin)?;
    for (name, _) in tools() {
        let mut strip = Command::new("strip");
        strip.arg("--strip-unneeded").arg("-o").arg(bin.join(name)).arg(built(profile).join(name));
        ensure!(strip.status().context("run strip")?.success(), "strip failed on {name}");
    }
    manuals::write(&dist)?;
    docs::write(workspace(), &dist.join("docs"))?;
    Ok(deb::build(&dist, profile == "release")? && archive(&dist)?)
}

/// Where cargo puts the programs of `profile`.
fn built(profile: &str) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    target.join(if profile == "dev" { "debug" } else { profile })
}

/// `tgs-VERSION-ARCH`
fn release_name() -> String {
    format!("tgs-{}-{}", env!("CARGO_PKG_VERSION"), env::consts::ARCH)
}

/// Packs a release for `deploy/remote_deploy.sh`: one folder, owned by root, reproducible.
fn archive(dist: &Path) -> Result<bool> {
    let name = release_name();
    let (top, deploy) = (dist.join(&name), workspace().join("deploy"));
    fs::create_dir(&top)?;
    copy_dir(&dist.join("bin"), &top.join("bin"), 0o755)?;
    for part in RELEASED {
        copy_dir(&deploy.join(part), &top.join(part), 0o644)?;
    }
    for script in [deploy.join("remote_deploy.sh"), workspace().join("ci/check_service_active.sh")] {
        let to = top.join(script.file_name().unwrap_or_default());
        copy(&script, &to, 0o755)?;
    }
    copy(&workspace().join(".env.template"), &top.join(".env.template"), 0o644)?;
    docs::write(workspace(), &top.join("docs"))?;
    let mut tar = Command::new("tar");
    tar.current_dir(dist).args([
        "--create",
        "--gzip",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
    ]);
    tar.arg("--mtime=@0").arg("--file").arg(format!("{name}.tar.gz")).arg(&name);
    let done = step::run(&format!("target/dist/{name}.tar.gz"), &mut tar);
    fs::remove_dir_all(&top)?;
    Ok(done)
}

/// Copies the files of a directory without subdirectories.
fn copy_dir(from: &Path, to: &Path, mode: u32) -> Result<()> {
    fs::create_dir(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()), mode)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}
