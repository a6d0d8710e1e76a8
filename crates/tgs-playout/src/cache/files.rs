//! Lists and removes the files of a cache directory.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{entry::CacheEntry, part::remove_orphan};

/// Name of the directory under CACHE_DIR.
pub(super) const DIRECTORY: &str = "items";

/// A filler file that no broadcast has opened for this long is removed.
pub(super) const FORGOTTEN: Duration = Duration::from_hours(24 * 30);

/// An rsync that has written nothing to its `.item-KEY.flv.XXXXXX` for this long has ended.
pub(super) const ABANDONED: Duration = Duration::from_hours(24);

/// An entry of the cache.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CachedItem {
    /// The item's title when it was encoded.
    pub title: String,
    /// The item's length in seconds.
    pub seconds: u64,
    /// The entry's size in bytes.
    pub bytes: u64,
    /// When the entry was last played (or written), in seconds since the epoch.
    pub used: u64,
}

/// The entries in `cache_dir`, most recently played first.
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

/// Removes every entry in `cache_dir`; broadcasts that play from the cache continue with their open
/// files. Returns the number of freed bytes. Refuses root if the directory belongs to another user,
/// who could redirect the removal.
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
            // A broadcast writes this part.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(freed)
}

/// Removes filler files that no broadcast has opened for 30 days.
pub(crate) fn forget_fillers(cache_dir: &Path) {
    for file in files(cache_dir) {
        let ours = ["filler-", ".filler-"].iter().any(|begin| file.name.starts_with(begin));
        if ours && file.used.elapsed().is_ok_and(|age| age > FORGOTTEN) {
            let _ = fs::remove_file(&file.path);
        }
    }
}

/// A file or link in a directory.
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

    /// Whether the file is of a cache: the directory may hold files of other programs.
    pub(super) fn is_ours(&self) -> bool {
        ["item-", ".item-", "part-", "page-", ".page-"].iter().any(|begin| self.name.starts_with(begin))
    }
}

/// The files and links in `dir`; unreadable ones are left out.
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
