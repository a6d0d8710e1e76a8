//! A directory managed by `tgs-ytdlp-update`, with a wheel index of its own: real wheels, and
//! copies of real wheels with a deliberate defect.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{bin_path, tools};

/// The directory and its index.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
}

/// The result of a run of the tool.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// The log.
    pub log: String,
}

impl Ran {
    /// The text after `RESULT:` in the last line of the log.
    #[must_use]
    pub fn result(&self) -> &str {
        self.log.lines().last().and_then(|line| line.split_once("RESULT: ")).map_or("", |(_, result)| result)
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), log: text(&output.stderr) }
    }
}

/// The path of the tool.
///
/// # Panics
/// If the build fails.
pub fn tool() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        bin_path::build("tgs-ytdlp-update").unwrap_or_else(|e| panic!("no tgs-ytdlp-update to test: {e:#}"))
    })
}

impl Place {
    /// An empty directory; its index has these yt-dlp versions, their dependencies, and no deno.
    pub fn with(versions: &[&str]) -> Result<Self> {
        let place = Self { dir: tempfile::tempdir()? };
        fs::create_dir(place.root())?;
        fs::create_dir(place.index())?;
        for wheel in tools::wheels()? {
            let name = wheel.file_name().context("no name")?.to_string_lossy().into_owned();
            if !name.starts_with("yt_dlp-") && !name.starts_with("deno-") {
                symlink(&wheel, place.index().join(name))?;
            }
        }
        versions.iter().try_for_each(|version| place.offer(&format!("yt_dlp-{version}-")))?;
        Ok(place)
    }

    /// Adds the wheel whose name begins with `start` to the index.
    pub fn offer(&self, start: &str) -> Result<()> {
        let named =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
        let wheel = tools::wheels()?.into_iter().find(named).with_context(|| format!("no wheel {start}"))?;
        Ok(symlink(&wheel, self.index().join(wheel.file_name().context("no name")?))?)
    }

    /// Adds a yt-dlp of version `version` to the index. In the file whose name ends in `file` the
    /// first `old` is replaced by `new`.
    pub fn forge(&self, version: &str, file: &str, old: &str, new: &str) -> Result<()> {
        let real = tools::YT_DLP_VERSIONS[1];
        let wheel = |version| format!("yt_dlp-{version}-py3-none-any.whl");
        let output = Command::new("python3")
            .args(["-c", FORGE])
            .arg(tools::wheels_dir().join(wheel(real)))
            .arg(self.index().join(wheel(version)))
            .args([real, version, file, old, new])
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Removes a version from the index.
    pub fn withdraw(&self, version: &str) -> Result<()> {
        Ok(fs::remove_file(self.index().join(format!("yt_dlp-{version}-py3-none-any.whl")))?)
    }

    /// The root directory of the versions.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("ytdlp")
    }

    /// The directory of wheels.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.dir.path().join("index")
    }

    /// The tool with its directory as the only setting.
    #[must_use]
    pub fn bare(&self) -> Command {
        let mut command = Command::new(tool());
        command.arg("--root").arg(self.root());
        command
    }

    /// The tool with its directory and its index.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare();
        command.arg("--find-links").arg(self.index()).args(args);
        command
    }

    /// Runs the tool until it exits.
    pub fn run(&self, args: &[&str]) -> Result<Ran> {
        Ok(self.command(args).output()?.into())
    }

    /// The version that the current yt-dlp reports, if it runs.
    pub fn version(&self) -> Result<String> {
        let output = Command::new(self.root().join("current/bin/yt-dlp")).arg("--version").output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// The entries of `versions`, sorted.
    pub fn versions(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(self.root().join("versions"))?;
        let mut names: Vec<_> = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        names.sort();
        Ok(names)
    }
}

/// Copies a yt-dlp wheel under another version, with a modification.
const FORGE: &str = r#"
import sys, zipfile
source, target, real, version, file, old, new = sys.argv[1:]
changed = 0
with zipfile.ZipFile(source) as wheel, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as forged:
    for name in wheel.namelist():
        text = wheel.read(name)
        if name.endswith(file):
            changed += text.count(old.encode(), 0) > 0
            text = text.replace(old.encode(), new.encode(), 1)
        if name.endswith(".dist-info/METADATA"):
            text = text.replace(f"\nVersion: {real}\n".encode(), f"\nVersion: {version}\n".encode(), 1)
        info = (f"yt_dlp-{real}.dist-info", f"yt_dlp-{version}.dist-info")
        if name.endswith("/RECORD"):
            text = text.replace(info[0].encode(), info[1].encode())
        forged.writestr(name.replace(*info), text)
assert changed == 1, f"{changed} files changed"
"#;
