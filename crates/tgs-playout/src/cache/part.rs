//! An entry that is being written: `part-KEY`, under a lock.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// Removes a part that nobody writes; `WouldBlock` where somebody does.
pub(super) fn remove_orphan(part: &Path) -> io::Result<()> {
    let _held = lock(part, false)?;
    fs::remove_file(part)
}

/// The file at `part`, locked, and made if it is to be. It stays ours under this name: only who holds its lock renames or
/// removes it. `WouldBlock` where another holds it.
pub(super) fn lock(part: &Path, make: bool) -> io::Result<File> {
    let file = File::options().write(true).create(make).truncate(false).mode(0o644).open(part)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    // Who held it before may have renamed it since this was opened: then it is an entry.
    let own = file.metadata()?.ino();
    let same = fs::symlink_metadata(part).is_ok_and(|there| there.ino() == own);
    if same { Ok(file) } else { Err(io::ErrorKind::WouldBlock.into()) }
}
