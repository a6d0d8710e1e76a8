//! What lies in a cache directory: to be listed, and to be removed.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{entry::CacheEntry, part::remove_orphan};

/// The directory under CACHE_DIR.
pub(super) const DIRECTORY: &str = "items";

/// A kept filler is removed when nobody has begun with it for so long.
pub(super) const FORGOTTEN: Duration = Duration::from_hours(24 * 30);

/// What lies in a cache.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CachedItem {
    /// The item's title when it was encoded.
    pub title: String,
    /// Its length in seconds.
    pub seconds: u64,
    /// The entry's size in bytes.
    pub bytes: u64,
    /// When it was last played (or written), in seconds since the epoch.
    pub used: u64,
}

/// The entries in `cache_dir`, the one played last first.
#[must_use]
pub fn list(cache_dir: &Path) -> Vec<CachedItem> {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut kept: Vec<CachedItem> = files(&cache_dir.join(DIRECTORY))
        .into_iter()
        .filter(CacheFile::is_entry)
        .filter_map(|file| {
            let entry = CacheEntry::open(&file.path).ok()?;
            Some(CachedItem {
                title: entry.title().to_owned(),
                seconds: entry.length().as_secs(),
                bytes: file.bytes,
                used: seconds(file.used),
            })
        })
        .collect();
    kept.sort_by_key(|kept| std::cmp::Reverse(kept.used));
    kept
}

/// Removes every entry in `cache_dir`, also while broadcasts play from them: those go on with the
/// files they have open. Answers how many bytes that frees. Root is refused where the directory is
/// another user's, who could lead it elsewhere.
pub fn clear(cache_dir: &Path) -> io::Result<u64> {
    let dir = cache_dir.join(DIRECTORY);
    let meta = match fs::symlink_metadata(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        found => found?,
    };
    if rustix::process::geteuid().is_root() && meta.uid() != 0 {
        let why = format!("{} belongs to another user: run this as that one (sudo -u)", dir.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut freed = 0;
    for file in files(&dir).into_iter().filter(CacheFile::is_ours) {
        let part = file.name.starts_with("part-");
        match if part { remove_orphan(&file.path) } else { fs::remove_file(&file.path) } {
            Ok(()) => freed += file.bytes,
            // It is being written.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(freed)
}

/// Removes kept fillers that no broadcast has begun with for a month.
pub(crate) fn forget_fillers(cache_dir: &Path) {
    for file in files(cache_dir) {
        let ours = ["filler-", ".filler-"].iter().any(|begin| file.name.starts_with(begin));
        if ours && file.used.elapsed().is_ok_and(|age| age > FORGOTTEN) {
            let _ = fs::remove_file(&file.path);
        }
    }
}

/// A file or link of a directory.
#[derive(Debug)]
pub(super) struct CacheFile {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) used: SystemTime,
}

impl CacheFile {
    pub(super) fn is_entry(&self) -> bool {
        self.name.starts_with("item-")
    }

    /// Others may have put something there as well.
    pub(super) fn is_ours(&self) -> bool {
        ["item-", "part-", "page-", ".page-"].iter().any(|begin| self.name.starts_with(begin))
    }
}

/// What lies in `dir`, as far as it can be seen.
pub(super) fn files(dir: &Path) -> Vec<CacheFile> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let meta = entry.metadata().ok().filter(|meta| !meta.is_dir())?;
            Some(CacheFile {
                path: entry.path(),
                name: entry.file_name().into_string().ok()?,
                bytes: meta.len(),
                used: meta.modified().unwrap_or(UNIX_EPOCH),
            })
        })
        .collect()
}
