//! The state that the broadcast and the writing threads share: the directory, its limit, eviction.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tgs_core::digest;

use super::{
    entry::CacheEntry,
    files::{ABANDONED, CacheFile, files},
    key::{CacheKey, entry_name, identity},
    part::remove_orphan,
};
use crate::{
    ffmpeg::{draw::side_files, look::Look},
    item::{Media, MediaPart},
    status::METRICS,
};

/// What is drawn over the items of a broadcast, as far as it depends on the item.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DrawnParts {
    pub(super) logo: bool,
    pub(super) names: bool,
    pub(super) subtitles: bool,
}

impl DrawnParts {
    pub(super) fn of(look: &Look) -> Self {
        Self { logo: look.logo.is_some(), names: look.shows_names(), subtitles: look.shows_subtitles() }
    }

    /// What a key adds for media that is not played as a whole, or has a look of its own.
    fn part_key(self, part: &MediaPart) -> Option<String> {
        let plain = MediaPart {
            no_logo: part.no_logo && self.logo,
            listed: if self.names { part.listed.clone() } else { Box::default() },
            subtitles: if self.subtitles { part.subtitles.clone() } else { Vec::new() },
            ..part.clone()
        };
        (plain != MediaPart::default()).then(|| format!("{plain:?}"))
    }
}

/// The identity of the subtitles beside the film of `media`.
fn subtitles_beside(media: &Media) -> Option<String> {
    let path = media.sources.first()?.url.strip_prefix("file:")?;
    Some(side_files(Path::new(path))).filter(|found| !found.is_empty())
}

/// The directory of a cache and its limit.
#[derive(Debug)]
pub(super) struct CacheStore {
    pub(super) dir: PathBuf,
    /// Limit in bytes of all entries together; 0 disables the cache.
    pub(super) limit: u64,
    /// Everything besides the content that shapes an encoding.
    pub(super) setup: String,
    /// What is drawn over items.
    pub(super) drawn: DrawnParts,
    /// Estimated bytes of one second of the broadcast.
    pub(super) bytes_a_second: u64,
    /// How long a still picture is shown.
    pub(super) image_duration: Duration,
    /// Whether the warning that items cannot be cached was logged since the last cached item.
    pub(super) told: AtomicBool,
    /// Whether the warning about an item larger than the cache was logged.
    pub(super) warned_large: AtomicBool,
}

impl CacheStore {
    /// The key of `media` under this setup; `None` if the content cannot be identified or the cache
    /// is disabled.
    pub(super) fn key(&self, media: &Media) -> Option<CacheKey> {
        if self.limit == 0 {
            return None;
        }
        let content = identity(media, self.image_duration)?;
        let part = self.drawn.part_key(&media.part);
        let beside = Some(media).filter(|_| self.drawn.subtitles).and_then(subtitles_beside);
        let more = part.as_deref().into_iter().chain(beside.as_deref());
        Some(CacheKey(digest::key([&*content, &*self.setup].into_iter().chain(more))))
    }

    /// Opens the entry of this key; an unreadable entry is removed. `None` also if the entry is a
    /// slate with another title.
    pub(super) fn entry(&self, key: &CacheKey, title: &str) -> Option<CacheEntry> {
        let path = self.dir.join(entry_name(key));
        match CacheEntry::open(&path) {
            Ok(entry) => Some(entry).filter(|entry| entry.shows(title)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log::warn!("removing the cache entry {}: {error}", path.display());
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Records as a symbolic link that the `part` of the page `id` leads to the entry `key`.
    pub(super) fn link(&self, id: &str, part: &MediaPart, key: &CacheKey) {
        let (name, target) = (self.link_name(id, part), entry_name(key));
        let path = self.dir.join(&name);
        if fs::read_link(&path).is_ok_and(|found| found == Path::new(&target)) {
            return;
        }
        let new = self.dir.join(format!(".{name}.{}", std::process::id()));
        let _ = fs::remove_file(&new);
        if let Err(error) = symlink(&target, &new).and_then(|()| fs::rename(&new, &path)) {
            log::debug!("the page {id} is not remembered: {error}");
        }
    }

    pub(super) fn link_name(&self, id: &str, part: &MediaPart) -> String {
        let part = self.drawn.part_key(part);
        format!("page-{}", digest::key([id, &*self.setup].into_iter().chain(part.as_deref())))
    }

    /// Removes the parts of dead processes, dangling page links, and what a dead rsync left.
    pub(super) fn sweep(&self) {
        for file in files(&self.dir) {
            let name = file.name.as_str();
            if name.starts_with("part-") {
                let _ = remove_orphan(&file.path);
                continue;
            }
            let dangling = name.starts_with("page-") && !file.path.exists();
            let abandoned =
                name.starts_with(".item-") && file.used.elapsed().is_ok_and(|age| age > ABANDONED);
            if dangling || abandoned || name.starts_with(".page-") {
                let _ = fs::remove_file(&file.path);
            }
        }
    }

    /// Evicts the least recently used entries until `wanted` more bytes fit into the limit and onto
    /// the disk. Returns `false`, without evicting, if all entries together would not free enough.
    pub(super) fn make_room(&self, wanted: u64) -> bool {
        let mut all: Vec<CacheFile> = files(&self.dir).into_iter().filter(CacheFile::is_ours).collect();
        let total: u64 = all.iter().map(|file| file.bytes).sum();
        let missing = (total + wanted).saturating_sub(self.limit).max(self.missing_on_disk(wanted));
        all.retain(CacheFile::is_entry);
        if all.iter().map(|file| file.bytes).sum::<u64>() < missing {
            return false;
        }
        all.sort_by_key(|file| std::cmp::Reverse(file.used));
        let mut removed = 0;
        while removed < missing
            && let Some(oldest) = all.pop()
        {
            match fs::remove_file(&oldest.path) {
                Ok(()) => METRICS.cache.evictions.inc(),
                // Another broadcast has evicted this entry.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => continue,
            }
            removed += oldest.bytes;
        }
        if removed > 0 {
            self.sweep();
        }
        removed >= missing
    }

    /// Bytes missing on the disk to write `wanted` bytes and leave a tenth of it (at most 5 GB)
    /// free.
    pub(super) fn missing_on_disk(&self, wanted: u64) -> u64 {
        let Ok(disk) = rustix::fs::statvfs(&self.dir) else { return 0 };
        let spare = (disk.f_blocks * disk.f_frsize / 10).min(5_000_000_000);
        (wanted + spare).saturating_sub(disk.f_bavail * disk.f_frsize)
    }

    pub(super) fn measure(&self) {
        let entries = files(&self.dir).into_iter().filter(CacheFile::is_entry);
        METRICS.cache.bytes.set(entries.map(|file| file.bytes).sum::<u64>() as f64);
    }

    /// Warns that items are not cached, once until an item is cached again.
    pub(super) fn cannot(&self, why: &dyn std::fmt::Display) {
        if !self.told.swap(true, Ordering::Relaxed) {
            log::warn!(
                "cannot cache items in {}: {why}; continuing uncached (CACHE_DIR, CACHE_MAX_GB)",
                self.dir.display()
            );
        }
    }
}
