//! An unfinished entry: `part-KEY`, locked by its writer ([`tgs_core::files::lock::open_locked`]).

use std::{fs, io, path::Path};

use tgs_core::files::lock::open_locked;

/// Removes a part without a writer; `WouldBlock` if a writer holds the lock. What is no file has no
/// writer.
pub(super) fn remove_orphan(part: &Path) -> io::Result<()> {
    let is_file = fs::symlink_metadata(part)?.is_file();
    let _held = is_file.then(|| open_locked(part, false)).transpose()?;
    fs::remove_file(part)
}
