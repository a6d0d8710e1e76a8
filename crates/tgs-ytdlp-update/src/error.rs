//! The causes of a failed update and their remedies.

use std::path::PathBuf;

use tgs_core::process::RunError;

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
    NoPython(String),
    #[error("make a Python environment, no venv module: {0}; install python3-venv")]
    NoVenv(String),
    #[error("trust yt-dlp {version}, broken release: {detail}; the next run tries what is the newest then")]
    Broken { version: String, detail: NotWorking },
    #[error(
        "install yt-dlp {newest}, silent downgrade: {detail}; pip left to itself would install {offered}, lower than \
         {current}; wait for the missing package, or give an index that has it by --index-url"
    )]
    Downgrade { newest: String, offered: String, current: String, detail: String },
    #[error(
        "install yt-dlp {newest}, a package that it needs is not available: {detail}; wait for it, or name another index \
         with --index-url"
    )]
    Unmet { newest: String, detail: String },
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
    #[error("{0}")]
    Pip(String),
}

/// Why a yt-dlp does not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotWorking {
    #[error("no page could be served on 127.0.0.1: {0}")]
    NoPage(#[source] std::io::Error),
    #[error(transparent)]
    Child(#[from] RunError),
    #[error("it does not extract from a page on this machine: {0}")]
    Extracts(String),
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
    /// What yt-dlp says.
    #[error("{0}")]
    Refused(String),
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
