//! A small tmpfs that a test can fill. Root only, because it is mounted.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// The file that fills the disk.
const OTHERS: &str = "others";

/// The disk; dropping it unmounts it.
#[derive(Debug)]
pub struct Disk(TempDir);

impl Disk {
    /// A disk of this `size` in the syntax of mount (`8m`).
    pub fn of(size: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(dir.path());
        ensure!(mount.status().context("run mount")?.success(), "a disk cannot be mounted: be root");
        Ok(Self(dir))
    }

    /// The mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk up to `spare` bytes.
    pub fn fill(&self, spare: u64) -> Result<()> {
        let disk = rustix::fs::statvfs(self.path())?;
        let size = (disk.f_bavail * disk.f_frsize).saturating_sub(spare);
        fs::write(self.path().join(OTHERS), vec![0; size as usize]).context("fill the disk")
    }

    /// Frees the space that [`Disk::fill`] used.
    pub fn free(&self) -> Result<()> {
        fs::remove_file(self.path().join(OTHERS)).context("free the disk")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A lazy unmount keeps open files usable.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
