//! Small disks that a test can fill or freeze. Root only, because they are mounted.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::{NamedTempFile, TempDir};

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
        match fs::write(self.path().join(OTHERS), vec![0; size as usize]) {
            // Another process has taken some of it meanwhile: it is full.
            Err(error) if spare == 0 && error.kind() == io::ErrorKind::StorageFull => Ok(()),
            done => done.context("fill the disk"),
        }
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

/// A small ext4 on a loop device, whose writes hang while it is frozen. Root only.
#[derive(Debug)]
pub struct FrozenDisk {
    mount: TempDir,
    _image: NamedTempFile,
}

impl FrozenDisk {
    /// A disk of this size.
    pub fn of(mib: u64) -> Result<Self> {
        let image = NamedTempFile::new()?;
        image.as_file().set_len(mib << 20)?;
        let mount = tempfile::tempdir()?;
        run(Command::new("mkfs.ext4").arg("-q").arg(image.path()))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(image.path()).arg(mount.path()))?;
        Ok(Self { mount, _image: image })
    }

    /// The mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.mount.path()
    }

    /// From now on writes wait.
    pub fn freeze(&self) -> Result<()> {
        run(Command::new("fsfreeze").arg("--freeze").arg(self.path()))
    }

    /// Lets the writes continue.
    pub fn thaw(&self) -> Result<()> {
        run(Command::new("fsfreeze").arg("--unfreeze").arg(self.path()))
    }
}

impl Drop for FrozenDisk {
    fn drop(&mut self) {
        // Fails if it is not frozen.
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(self.path()).stderr(Stdio::null()).status();
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}: be root");
    Ok(())
}
