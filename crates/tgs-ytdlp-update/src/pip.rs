//! Runs pip: finds the newest version, resolves requirements, installs them. Maps pip's messages to
//! causes.
//!
//! pip's exit code is not sufficient: pip exits with 0 after choosing an older version, and can
//! exit with 0 without a network.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use serde::Deserialize;
use tgs_core::{
    cancel::Cancel,
    process::{self, RunError},
};

use crate::{
    child::{self, Stdout},
    cli::{Cli, UpdateChannel},
    error::{ChildFailure, NEEDED_MB, PipError, UpdateError},
    version::Version,
};

const VENV_LIMIT: Duration = Duration::from_mins(3);
const ASK_LIMIT: Duration = Duration::from_mins(5);
/// Time for 60 MB over a slow line.
const INSTALL_LIMIT: Duration = Duration::from_mins(20);

/// The pip of one environment, with its package sources.
#[derive(Debug)]
pub(crate) struct Pip {
    python: PathBuf,
    /// The root of the versions, for messages.
    root: PathBuf,
    /// The arguments for `--index-url` and `--find-links`.
    sources: Vec<String>,
    cancel: Cancel,
}

/// The part of pip's installation report that is read.
#[derive(Debug, Deserialize)]
struct PipReport {
    install: Vec<PipPackage>,
}

#[derive(Debug, Deserialize)]
struct PipPackage {
    metadata: PackageMetadata,
}

#[derive(Debug, Deserialize)]
struct PackageMetadata {
    name: String,
    version: String,
}

impl Pip {
    /// A pip for queries: that of the version in use, or a new one in `scratch` if that pip does
    /// not work.
    pub(crate) fn to_ask(
        cli: &Cli,
        current: Option<&Path>,
        scratch: &Path,
        cancel: &Cancel,
    ) -> Result<Self, UpdateError> {
        if let Some(dir) = current {
            let pip = Self::of(cli, dir, cancel);
            if pip.command(&["--version"]).is_ok_and(|output| output.status.success()) {
                return Ok(pip);
            }
        }
        let dir = scratch.join("pip");
        make_venv(&dir, cancel)?;
        Ok(Self::of(cli, &dir, cancel))
    }

    /// The pip of the environment `dir`.
    pub(crate) fn of(cli: &Cli, dir: &Path, cancel: &Cancel) -> Self {
        let mut sources = Vec::new();
        if let Some(url) = &cli.index_url {
            sources.extend(["--index-url".to_owned(), url.clone()]);
        }
        if let Some(links) = &cli.find_links {
            sources.extend(["--find-links".to_owned(), links.clone()]);
            if cli.index_url.is_none() {
                sources.push("--no-index".to_owned());
            }
        }
        Self { python: dir.join("bin/python3"), root: cli.root.clone(), sources, cancel: cancel.clone() }
    }

    /// The newest yt-dlp on the index, even if this Python or a dependency prevents its
    /// installation.
    pub(crate) fn newest(&self, channel: UpdateChannel) -> Result<Version, UpdateError> {
        let args = ["--no-deps", "--ignore-requires-python", "yt-dlp"];
        let pre = (channel == UpdateChannel::Nightly).then_some("--pre");
        let args: Vec<_> = pre.into_iter().chain(args).map(ToOwned::to_owned).collect();
        self.ask(&args)?.map_err(|output| refused(&output, "", &self.root))
    }

    /// The yt-dlp version that pip would install for `requirements`; the inner error is pip's
    /// refusal.
    pub(crate) fn ask(&self, requirements: &[String]) -> Result<Result<Version, Output>, UpdateError> {
        let mut command = self.install();
        command.args(["--quiet", "--dry-run", "--ignore-installed", "--report", "-"]);
        command.args(requirements);
        let output = child::run("pip", command, Stdout::Answer, ASK_LIMIT, &self.cancel)?;
        if !output.status.success() {
            return Ok(Err(output));
        }
        let report: PipReport = serde_json::from_slice(&output.stdout).map_err(PipError::Report)?;
        let item = report.install.into_iter().find(|item| item.metadata.name == "yt-dlp");
        let version = item.ok_or(PipError::NotReported)?.metadata.version.parse();
        Ok(Ok(version.map_err(PipError::ReportedVersion)?))
    }

    /// Installs `requirements` into this pip's environment. Temporary files go to `scratch`.
    pub(crate) fn install_into(&self, requirements: &[String], scratch: &Path) -> Result<(), UpdateError> {
        let mut command = self.install();
        command.args(["--progress-bar", "off"]).args(requirements).env("TMPDIR", scratch);
        let output = child::run("pip", command, Stdout::Logged, INSTALL_LIMIT, &self.cancel)?;
        if output.status.success() { Ok(()) } else { Err(refused(&output, "", scratch)) }
    }

    /// The yt-dlp version in this pip's environment.
    pub(crate) fn installed(&self) -> Result<Version, UpdateError> {
        let mut command = process::command(&self.python);
        command.args(["-I", "-c", "from importlib.metadata import version; print(version('yt-dlp'))"]);
        let output = child::run("python3", command, Stdout::Answer, VENV_LIMIT, &self.cancel)?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.trim().parse().map_err(PipError::InstalledVersion)?)
    }

    fn install(&self) -> Command {
        let mut command = self.pip();
        command.arg("install").args(&self.sources);
        command
    }

    fn pip(&self) -> Command {
        let mut command = process::command(&self.python);
        // `-I` isolates Python from a pip.py in the working directory.
        command.args([
            "-I",
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
            "--no-cache-dir",
            "--no-color",
        ]);
        command.args(["--retries", "3", "--timeout", "15"]);
        command
    }

    fn command(&self, args: &[&str]) -> Result<Output, RunError> {
        let mut command = self.pip();
        command.args(args);
        child::run("pip", command, Stdout::Answer, VENV_LIMIT, &self.cancel)
    }
}

/// Creates a virtual environment with pip at `dir`.
pub(crate) fn make_venv(dir: &Path, cancel: &Cancel) -> Result<(), UpdateError> {
    let mut venv = process::command("python3");
    venv.args(["-I", "-m", "venv", "--without-pip"]).arg(dir);
    make_part(venv, "venv", dir, cancel)?;
    // ensurepip runs separately because the venv module hides the cause of its failure.
    let mut ensurepip = process::command(dir.join("bin/python3"));
    ensurepip.args(["-I", "-m", "ensurepip", "--default-pip"]);
    make_part(ensurepip, "ensurepip", dir, cancel)
}

fn make_part(command: Command, module: &str, dir: &Path, cancel: &Cancel) -> Result<(), UpdateError> {
    let output = match child::run(module, command, Stdout::Logged, VENV_LIMIT, cancel) {
        Err(RunError::Start { source, .. })
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
        {
            return Err(UpdateError::NoPython(source));
        }
        ran => ran?,
    };
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stdout.as_slice(), &output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    if words.contains(&format!("No module named {module}")) {
        return Err(UpdateError::NoVenv(ChildFailure::of(&output)));
    }
    Err(disk_full(&words, dir).unwrap_or_else(|| {
        PipError::Environment { dir: dir.to_owned(), failure: ChildFailure::of(&output) }.into()
    }))
}

/// The cause that pip's output names; `None` for a missing package. `newest` is the requested
/// version, `dir` the target.
pub(crate) fn cause(words: &str, newest: &str, dir: &Path) -> Option<UpdateError> {
    let line = |parts: &[&str]| {
        words
            .lines()
            .find(|line| parts.iter().any(|part| line.contains(part)))
            .map(|line| shown(line).to_owned())
    };
    if let Some(full) = disk_full(words, dir) {
        return Some(full);
    }
    if let Some(detail) = line(&NETWORK) {
        return Some(UpdateError::NoNetwork(detail));
    }
    let python = line(&[
        "requires a different Python",
        "require a different python version: ",
        "no such option: --report",
    ]);
    python.map(|detail| UpdateError::PythonTooOld { newest: newest.to_owned(), detail })
}

/// The error for a failed pip.
pub(crate) fn refused(output: &Output, newest: &str, dir: &Path) -> UpdateError {
    let words = String::from_utf8_lossy(&output.stderr);
    cause(&words, newest, dir).unwrap_or_else(|| PipError::Refused(ChildFailure::of(output)).into())
}

/// Texts of pip and its libraries for an unreachable index.
const NETWORK: [&str; 9] = [
    "Failed to establish a new connection",
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "ProxyError",
    "SSLError",
    "Connection aborted",
];

fn disk_full(words: &str, dir: &Path) -> Option<UpdateError> {
    let full = ["No space left on device", "Disk quota exceeded"];
    let line = words.lines().find(|line| full.iter().any(|part| line.contains(part)))?;
    Some(UpdateError::DiskFull { dir: dir.to_owned(), megabytes: NEEDED_MB, detail: shown(line).to_owned() })
}

/// A line of pip without its level prefix, at most 300 characters long.
fn shown(line: &str) -> &str {
    let line = line.trim();
    let line = line.strip_prefix("ERROR: ").or_else(|| line.strip_prefix("WARNING: ")).unwrap_or(line);
    line.char_indices().nth(300).map_or(line, |(end, _)| &line[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_apart() {
        // Output of pip 23.2.
        let cases = [
            (
                "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError('<pip.\
                 _vendor.urllib3 object at 0x7f>: Failed to establish a new connection: [Errno -3] Temporary failure in \
                 name resolution')': /simple/yt-dlp/\nERROR: Could not find a version that satisfies the requirement \
                 yt-dlp (from versions: none)\nERROR: No matching distribution found for yt-dlp\n",
                Some("reach the package index, no network: Retrying ("),
            ),
            (
                "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
                Some(
                    "make room for a new version, full disk: Could not install packages due to an OSError: [Errno 28]",
                ),
            ),
            (
                "ERROR: Ignored the following versions that require a different python version: 9 Requires-Python \
                 >=3.12\nERROR: Could not find a version that satisfies the requirement yt-dlp==9\n",
                Some("install yt-dlp 9, Python too old: Ignored the following versions"),
            ),
            (
                "\nUsage:\n  pip install [options]\n\nno such option: --report\n",
                Some("install yt-dlp 9, Python too old: no such option: --report"),
            ),
            ("ERROR: No matching distribution found for certifi>=2026.10.19; extra == \"default\"\n", None),
        ];
        for (words, expected) in cases {
            let found = cause(words, "9", Path::new("/opt")).map(|failure| failure.to_string());
            match (&found, expected) {
                (Some(found), Some(expected)) => assert!(found.starts_with(expected), "{found}"),
                _ => assert!(found.is_none() && expected.is_none(), "{found:?}"),
            }
        }
    }
}
