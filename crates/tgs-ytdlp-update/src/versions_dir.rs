//! The directory of versions: the current and previous links, complete versions, and the swap. See
//! [`tgs_core::ytdlp_dir`].
//!
//! Leftovers of a killed run lack `tgs-version`; the next run removes them. A version is built at
//! its final path, because a Python environment cannot be moved.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tgs_core::{
    cancel::Cancel,
    files::{
        self,
        lock::{FileLock, LockError},
    },
    ytdlp_dir::{self, CURRENT, LAST_SUCCESS, PREVIOUS, VERSION, VERSIONS},
};

use crate::{error::UpdateError, version::Version};

/// Names the version that a rollback replaced: no update installs it again.
const ROLLED_BACK: &str = "rolled-back";

/// The directory of versions.
#[derive(Debug)]
pub(crate) struct VersionsDir {
    root: PathBuf,
}

/// A complete version.
#[derive(Debug, Clone)]
pub(crate) struct VersionDir {
    pub(crate) dir: PathBuf,
    pub(crate) version: Version,
}

impl VersionDir {
    /// The directory's name below `versions`.
    pub(crate) fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl VersionsDir {
    /// The directory at `root`, which need not exist.
    pub(crate) fn at(root: &Path) -> Self {
        // Absolute, because scripts in an environment contain the path of their Python.
        Self { root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()) }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn versions(&self) -> PathBuf {
        self.root.join(VERSIONS)
    }

    /// Creates the directory if missing and locks out other updates.
    pub(crate) fn lock(&self) -> Result<FileLock, UpdateError> {
        fs::create_dir_all(self.versions()).map_err(UpdateError::io(&self.versions()))?;
        let taken = FileLock::take(&self.root, "lock".as_ref(), Duration::ZERO, &Cancel::new());
        // Versions before 0.2 lock the same file, so the file must stay.
        taken.map(FileLock::keep_file).map_err(|error| match error {
            LockError::Held(holder) => {
                let holder = holder.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                UpdateError::Busy { dir: self.root.clone(), holder }
            }
            LockError::Cancelled => UpdateError::Stopped,
            LockError::Io(error) => UpdateError::io(&self.root.join("lock"))(error),
        })
    }

    /// The version in use.
    pub(crate) fn current(&self) -> Option<VersionDir> {
        self.linked(CURRENT)
    }

    /// The version that was in use before the current one.
    pub(crate) fn previous(&self) -> Option<VersionDir> {
        self.linked(PREVIOUS)
    }

    fn linked(&self, link: &str) -> Option<VersionDir> {
        let target = fs::read_link(self.root.join(link)).ok()?;
        found(&self.versions().join(target.file_name()?))
    }

    /// All names below `versions`, complete or not.
    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.versions()).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// An unused directory for `version`: children of a killed run may still write to an old one.
    pub(crate) fn free_dir(&self, version: &Version) -> PathBuf {
        let names = self.names();
        let numbered = (2..).map(|n| format!("{version}-{n}"));
        let mut candidates = std::iter::once(version.to_string()).chain(numbered);
        let name = candidates.find(|name| !names.contains(name)).unwrap_or_default();
        self.versions().join(name)
    }

    /// Marks the version in `dir` as complete and switches to it; keeps the old one for rollback.
    pub(crate) fn swap_in(&self, dir: &Path, version: &Version) -> io::Result<()> {
        files::replace(&dir.join(VERSION), format!("{version}\n").as_bytes(), 0o644)?;
        // Flush first: after a power failure, no link may point to unwritten files.
        rustix::fs::syncfs(File::open(dir)?)?;
        if let Some(current) = self.current() {
            self.point(PREVIOUS, &current.name())?;
        }
        self.point(CURRENT, &dir.file_name().unwrap_or_default().to_string_lossy())
    }

    /// Swaps the current and the previous version.
    pub(crate) fn swap_back(&self, current: &VersionDir, previous: &VersionDir) -> io::Result<()> {
        // Recorded before the swap: a kill in between skips at most one update.
        match previous.version.cmp(&current.version) {
            std::cmp::Ordering::Less => {
                let text = format!("{}\n", current.version);
                files::replace(&self.root.join(ROLLED_BACK), text.as_bytes(), 0o644)?;
            }
            _ => remove_if_there(&self.root.join(ROLLED_BACK))?,
        }
        self.point(CURRENT, &previous.name())?;
        self.point(PREVIOUS, &current.name())
    }

    /// The version that a rollback replaced.
    pub(crate) fn rolled_back(&self) -> Option<Version> {
        files::read_text(&self.root.join(ROLLED_BACK)).ok()?.trim().parse().ok()
    }

    /// Points `link` at the version `name`, atomically.
    fn point(&self, link: &str, name: &str) -> io::Result<()> {
        let beside = self.root.join(format!(".{link}.new"));
        remove_if_there(&beside)?;
        symlink(Path::new(VERSIONS).join(name), &beside)?;
        fs::rename(&beside, self.root.join(link))?;
        File::open(&self.root)?.sync_all()
    }

    /// Records the time of a successful update.
    pub(crate) fn note_success(&self) -> io::Result<()> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        files::replace(&self.root.join(LAST_SUCCESS), format!("{seconds}\n").as_bytes(), 0o644)
    }

    /// Removes versions that are neither current, previous, nor in use by a visible process.
    pub(crate) fn prune(&self) {
        let mut linked = Vec::new();
        for link in [CURRENT, PREVIOUS] {
            match fs::read_link(self.root.join(link)) {
                Ok(target) => linked.extend(target.file_name().map(ToOwned::to_owned)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // With an unreadable link, no version is removed.
                Err(error) => {
                    return log::warn!("failed to read the link {link}: {error}; nothing old is removed");
                }
            }
        }
        for name in self.names() {
            let dir = self.versions().join(&name);
            if linked.iter().any(|linked| **linked == *name) {
                continue;
            }
            let complete = ytdlp_dir::version(&dir).is_some();
            if complete && runs(&dir) {
                log::info!("{} is kept: a process runs from it", dir.display());
                continue;
            }
            match fs::remove_dir_all(&dir) {
                Ok(()) if complete => log::info!("removed the old version {name}"),
                Ok(()) => log::info!("removed {name}, which was not finished"),
                Err(error) => log::warn!("failed to remove {}: {error}", dir.display()),
            }
        }
    }
}

/// The complete version in `dir`.
fn found(dir: &Path) -> Option<VersionDir> {
    Some(VersionDir { dir: dir.to_owned(), version: ytdlp_dir::version(dir)?.parse().ok()? })
}

/// Whether a process has a path in `dir` on its command line, as Python programs do.
fn runs(dir: &Path) -> bool {
    let mut wanted = dir.as_os_str().as_bytes().to_owned();
    wanted.push(b'/');
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|line| line.windows(wanted.len()).any(|part| part == wanted))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, VersionsDir) {
        let dir = tempfile::tempdir().unwrap();
        let tree = VersionsDir::at(&dir.path().join("ytdlp"));
        drop(tree.lock().unwrap());
        (dir, tree)
    }

    fn add(tree: &VersionsDir, version: &str) -> PathBuf {
        let dir = tree.free_dir(&version.parse().unwrap());
        fs::create_dir(&dir).unwrap();
        dir
    }

    fn swap_in(tree: &VersionsDir, version: &str) {
        tree.swap_in(&add(tree, version), &version.parse().unwrap()).unwrap();
    }

    fn state(tree: &VersionsDir) -> (Option<String>, Option<String>) {
        (tree.current().map(|found| found.name()), tree.previous().map(|found| found.name()))
    }

    #[test]
    fn versions_come_go_and_come_back() {
        let (_dir, tree) = tree();
        assert_eq!(state(&tree), (None, None));
        swap_in(&tree, "2026.1.1");
        assert_eq!(state(&tree), (Some("2026.1.1".into()), None));
        swap_in(&tree, "2026.2.1");
        swap_in(&tree, "2026.3.1");
        assert_eq!(state(&tree), (Some("2026.3.1".into()), Some("2026.2.1".into())));
        assert_eq!(fs::read_link(tree.root.join(CURRENT)).unwrap(), Path::new("versions/2026.3.1"));

        let back =
            |tree: &VersionsDir| tree.swap_back(&tree.current().unwrap(), &tree.previous().unwrap()).unwrap();
        back(&tree);
        assert_eq!(state(&tree), (Some("2026.2.1".into()), Some("2026.3.1".into())));
        assert_eq!(tree.rolled_back(), Some("2026.3.1".parse().unwrap()));
        back(&tree);
        assert_eq!(state(&tree), (Some("2026.3.1".into()), Some("2026.2.1".into())));
        assert_eq!(tree.rolled_back(), None);

        tree.prune();
        assert_eq!(tree.names(), ["2026.2.1", "2026.3.1"].map(String::from).into());
    }

    #[test]
    fn remains_of_a_killed_run_are_removed() {
        let (_dir, tree) = tree();
        swap_in(&tree, "2026.1.1");
        let half = add(&tree, "2026.2.1");
        fs::write(half.join("file"), "").unwrap();
        symlink("versions/2026.2.1", tree.root.join(".current.new")).unwrap();
        // The name is not reused while children of the killed run may still write there.
        assert!(tree.free_dir(&"2026.2.1".parse().unwrap()).ends_with("2026.2.1-2"));
        assert_eq!(state(&tree), (Some("2026.1.1".into()), None));
        tree.prune();
        assert_eq!(tree.names(), ["2026.1.1".to_owned()].into());
        swap_in(&tree, "2026.2.1");
        assert_eq!(state(&tree), (Some("2026.2.1".into()), Some("2026.1.1".into())));
    }

    #[test]
    fn an_old_version_stays_while_something_runs_from_it() {
        let (_dir, tree) = tree();
        for version in ["2026.1.1", "2026.2.1", "2026.3.1"] {
            swap_in(&tree, version);
        }
        let program = tree.versions().join("2026.1.1/tail");
        let mut command = std::process::Command::new("tail");
        let mut child = command
            .arg("-f")
            .arg(&program)
            .arg("/dev/null")
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // The command line appears shortly after the start.
        let line = format!("/proc/{}/cmdline", child.id());
        while !fs::read_to_string(&line).unwrap().contains("2026.1.1") {
            std::thread::yield_now();
        }
        tree.prune();
        assert!(tree.names().contains("2026.1.1"));
        child.kill().unwrap();
        child.wait().unwrap();
        tree.prune();
        assert!(!tree.names().contains("2026.1.1"));
    }

    #[test]
    fn one_update_at_a_time() {
        let (_dir, tree) = tree();
        let held = tree.lock().unwrap();
        let refused = tree.lock().unwrap_err();
        assert!(matches!(refused, UpdateError::Busy { .. }));
        assert!(
            refused.to_string().ends_with(&format!("another update runs (pid {})", std::process::id())),
            "{refused}"
        );
        drop(held);
        tree.lock().unwrap();
        assert!(tree.root().join("lock").exists(), "older versions lock the same file");
    }
}
