//! The causes of a failed update and their remedies.

use std::{
    fmt,
    path::PathBuf,
    process::{ExitStatus, Output},
};

use tgs_core::process::{self, RunError};

use crate::version::NoVersion;

/// Free space required for a version, in MB: the environment with its JavaScript runtime takes 170,
/// pip's downloads 60.
pub(crate) const NEEDED_MB: u64 = 300;

/// The cause of a failure. Each text follows "failed to".
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    #[error("lock {dir}: another update runs{holder}", dir = dir.display())]
    Busy { dir: PathBuf, holder: String },
    #[error(
        "reach the package index, no network: {0}; check the network, the name servers and --index-url; the next run \
         tries again"
    )]
    NoNetwork(String),
    #[error("make room for a new version, full disk: {detail}; free {megabytes} MB at {dir}", dir = dir.display())]
    DiskFull { dir: PathBuf, megabytes: u64, detail: String },
    #[error(
        "install yt-dlp {newest}, Python too old: {detail}; upgrade the system, or put a newer python3 first in PATH"
    )]
    PythonTooOld { newest: String, detail: String },
    #[error("start python3: {0}; install python3 and python3-venv")]
    NoPython(#[source] std::io::Error),
    #[error("make a Python environment, no venv module: {0}; install python3-venv")]
    NoVenv(ChildFailure),
    #[error("trust yt-dlp {version}, broken release: {detail}; the next run tries what is the newest then")]
    Broken { version: String, detail: NotWorking },
    #[error(
        "install yt-dlp {newest}, silent downgrade: {detail}; pip left to itself would install {offered}, lower than \
         {current}; wait for the missing package, or give an index that has it by --index-url"
    )]
    Downgrade { newest: String, offered: String, current: String, detail: ChildFailure },
    #[error(
        "install yt-dlp {newest}, a package that it needs is not available: {detail}; wait for it, or name another index \
         with --index-url"
    )]
    Unmet { newest: String, detail: ChildFailure },
    #[error("install yt-dlp {wanted}, silent downgrade: pip installed {got}")]
    WrongVersion { wanted: String, got: String },
    #[error("use {path}: {source}", path = path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("finish: stopped by a signal")]
    Stopped,
    #[error("update: {0}")]
    Child(#[from] RunError),
    #[error("roll back: there is no version before this one")]
    NoPrevious,
    #[error("roll back: the version before is gone")]
    PreviousGone,
    #[error("roll back to {version}: {detail}")]
    PreviousBroken { version: String, detail: NotWorking },
    #[error(transparent)]
    Pip(#[from] PipError),
}

/// What pip, or the Python that makes its environment, does not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PipError {
    #[error("make a Python environment at {dir}: {failure}", dir = dir.display())]
    Environment { dir: PathBuf, failure: ChildFailure },
    #[error("ask pip: {0}")]
    Refused(ChildFailure),
    #[error("read the report of pip: {0}")]
    Report(#[source] serde_json::Error),
    #[error("find yt-dlp in the report of pip")]
    NotReported,
    #[error("read the report of pip: {0}")]
    ReportedVersion(#[source] NoVersion),
    #[error("find out what was installed: {0}")]
    InstalledVersion(#[source] NoVersion),
}

/// How a child failed: in its own words, if it has said any.
#[derive(Debug)]
pub(crate) enum ChildFailure {
    /// The line that names the cause, at most 300 characters long.
    Said(String),
    /// It has ended without a word.
    Silent(ExitStatus),
}

impl ChildFailure {
    /// The cause of a failure: the last stderr line that begins with `ERROR:`, else the last line.
    pub(crate) fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stderr);
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let error = text.lines().rev().find_map(|line| line.trim().strip_prefix("ERROR:"));
        match error.or_else(|| lines.next_back()) {
            Some(line) => Self::Said(line.trim().chars().take(300).collect()),
            None => Self::Silent(output.status),
        }
    }
}

impl fmt::Display for ChildFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(words) => f.write_str(words),
            Self::Silent(status) => f.write_str(&process::describe(*status)),
        }
    }
}

/// Why a yt-dlp does not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotWorking {
    #[error("no page could be served on 127.0.0.1: {0}")]
    NoPage(#[source] std::io::Error),
    #[error(transparent)]
    Child(#[from] RunError),
    #[error("it does not extract from a page on this machine: {0}")]
    Extracts(ChildFailure),
    #[error("it extracts something else from a page on this machine than the page plays")]
    OtherVideo,
    #[error("it does not extract {url}, which the version in use does: {detail}")]
    Canary { url: String, detail: CanaryError },
}

/// Why yt-dlp does not extract the canary.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CanaryError {
    #[error(transparent)]
    Child(#[from] RunError),
    #[error("{0}")]
    Refused(ChildFailure),
}

impl UpdateError {
    /// Maps an I/O error at `path`, for `map_err`.
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { dir: path, megabytes: NEEDED_MB, detail: source.to_string() }
            }
            _ => Self::Io { path, source },
        }
    }
}
