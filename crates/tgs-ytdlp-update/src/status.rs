//! `--status`: the installed versions. Reads the directory and starts no program.

use std::{
    fmt::Write as _,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tgs_core::{time::moment, ytdlp_dir};

use crate::versions_dir::{VersionDir, VersionsDir};

/// The installed versions.
#[derive(Debug, Serialize)]
pub(crate) struct InstalledVersions {
    root: PathBuf,
    current: Option<InstalledVersion>,
    previous: Option<InstalledVersion>,
    /// The version that a rollback replaced; no update installs it again.
    rolled_back: Option<String>,
    /// Unix timestamp of the last successful update.
    last_success: Option<u64>,
}

#[derive(Debug, Serialize)]
struct InstalledVersion {
    version: String,
    dir: PathBuf,
}

impl From<VersionDir> for InstalledVersion {
    fn from(found: VersionDir) -> Self {
        Self { version: found.version.to_string(), dir: found.dir }
    }
}

impl InstalledVersions {
    pub(crate) fn read(tree: &VersionsDir) -> Self {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
        Self {
            root: tree.root().to_owned(),
            current: tree.current().map(Into::into),
            previous: tree.previous().map(Into::into),
            rolled_back: tree.rolled_back().map(|version| version.to_string()),
            last_success: ytdlp_dir::last_success(tree.root()).and_then(seconds),
        }
    }

    pub(crate) fn text(&self) -> String {
        let version = |found: &Option<InstalledVersion>| {
            found.as_ref().map_or_else(
                || "none".to_owned(),
                |found| format!("{} in {}", found.version, found.dir.display()),
            )
        };
        let success = self.last_success.and_then(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s)));
        let mut text = format!("in use          {}\n", version(&self.current));
        let _ = writeln!(text, "before          {}", version(&self.previous));
        if let Some(version) = &self.rolled_back {
            let _ = writeln!(text, "rolled back     {version}; an update takes only a newer one");
        }
        let _ = write!(text, "last success    {}", success.map_or_else(|| "never".to_owned(), moment));
        text
    }
}
