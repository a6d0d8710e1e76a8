//! An unfinished entry: `part-KEY`, locked by its writer ([`tgs_core::files::lock::open_locked`]).

use std::{fs, io, path::Path};

use tgs_core::files::lock::open_locked;

/// Removes a part without a writer; `WouldBlock` if a writer holds the lock.
pub(super) fn remove_orphan(part: &Path) -> io::Result<()> {
    let _held = open_locked(part, false)?;
    fs::remove_file(part)
}
