//! The encode cache: encoded items on disk, played again without ffmpeg.
//!
//! # Theory of operation
//!
//! An entry is one file, `item-KEY.flv`: the encoder's tags, then an index of the groups of
//! pictures with a checksum each. KEY is a hash of the content (for a file: path, size, time and
//! the bytes at its head and tail; for a page: extractor, id and format) and of everything that
//! shapes the encoding. So entries are never invalidated: changed content has another key, and
//! entries that are not used any more are evicted first.
//!
//! A thread beside the encoding writes the entry as `part-KEY`, under a lock, and renames the
//! complete file. A process that dies leaves an unlocked part, which the next start removes. When
//! two broadcasts encode the same item at once, both play; the first to lock the part writes the
//! entry.
//!
//! A cache failure never interrupts the broadcast: the item plays uncached, with one WARN.

mod entry;
mod files;
mod key;
mod part;
mod recording;
mod store;

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

pub use self::{
    entry::{CacheEntry, CachePlayback, DamagedEntry},
    files::{CachedItem, clear, list},
    key::CacheKey,
    recording::CacheRecording,
};
use self::{
    files::DIRECTORY,
    key::entry_name,
    store::{CacheStore, DrawnParts},
};
pub(crate) use self::{files::forget_fillers, key::identity};
use crate::{
    ffmpeg::{ENCODER_VERSION, EncodeSetup},
    item::{Item, Media, MediaPart},
    threads::await_end,
};

/// Filters of FFMPEG_ARGS whose output depends on more than the item; their output is not cached.
const CHANGING: [&str; 8] =
    ["drawtext", "movie", "subtitles", "ass=", "sendcmd", "lut3d", "haldclut", "localtime"];

/// The cache of one broadcast. Several broadcasts may share a directory.
#[derive(Debug)]
pub struct Cache {
    store: Arc<CacheStore>,
    writers: Mutex<Vec<JoinHandle<()>>>,
}

impl Cache {
    /// Opens the cache in `cache_dir`, of at most `limit` bytes (0 disables the cache), for the
    /// encodings of `setup` by the ffmpeg of this `version`.
    #[must_use]
    pub fn open(cache_dir: &Path, limit: u64, setup: &EncodeSetup, version: &str) -> Self {
        let filters = [&setup.extra.video_filter, &setup.extra.audio_filter];
        let changes =
            |word: &&&str| filters.iter().any(|filter| filter.as_ref().is_some_and(|it| it.contains(**word)));
        let limit = match CHANGING.iter().find(|word| changes(word)) {
            Some(word) if limit > 0 => {
                log::info!(
                    "encoded items are not kept: FFMPEG_ARGS has {word}, whose picture may be another next time"
                );
                0
            }
            _ => limit,
        };
        let store = CacheStore {
            dir: cache_dir.join(DIRECTORY),
            limit,
            setup: format!(
                "{:?} {:?} {:?} {version} {ENCODER_VERSION}",
                setup.profile, setup.processing, setup.extra
            ),
            drawn: DrawnParts::of(&setup.processing.look),
            bytes_a_second: u64::from(setup.profile.video_kbps + setup.profile.audio_kbps) * 1000 / 8,
            image_duration: setup.image_duration,
            told: AtomicBool::new(false),
            warned_large: AtomicBool::new(false),
        };
        if limit > 0 {
            match fs::create_dir_all(&store.dir) {
                Ok(()) => {
                    store.sweep();
                    // The limit may be lower, or the disk fuller, than at the last run.
                    store.make_room(0);
                }
                Err(error) => store.cannot(&error),
            }
            store.measure();
        }
        Self { store: Arc::new(store), writers: Mutex::default() }
    }

    /// The key of `media` at present; `None` for media that cannot be cached. Reads the beginning
    /// and the end of a file.
    #[must_use]
    pub fn key(&self, media: &Media) -> Option<CacheKey> {
        self.store.key(media)
    }

    /// The entry of `item` under `key`. Only its index is checked here.
    #[must_use]
    pub fn find(&self, key: &CacheKey, item: &Item) -> Option<CacheEntry> {
        let entry = self.store.entry(key, &item.title)?;
        if item.media.identity.is_some() {
            self.store.link(&item.id, &item.media.part, key);
        }
        Some(entry)
    }

    /// The last known entry of this `part` of the page `id`, for a page that cannot be resolved.
    /// `None` also if `id` is not a page.
    #[must_use]
    pub fn recall(&self, id: &str, part: &MediaPart) -> Option<CacheEntry> {
        if self.store.limit == 0 {
            return None;
        }
        let target = fs::read_link(self.store.dir.join(self.store.link_name(id, part))).ok()?;
        let key = target.to_str()?.strip_prefix("item-")?.strip_suffix(".flv")?;
        // The title check is skipped: the current title is on the unreachable page.
        CacheEntry::open(&self.store.dir.join(entry_name(&CacheKey(key.to_owned())))).ok()
    }

    /// Starts recording `item` of this `length` under `key`, the key it had when it was probed.
    /// `None` if the item cannot be cached: without a known length a complete recording cannot be
    /// recognised, and an item that starts half-way is incomplete.
    #[must_use]
    pub fn record(&self, key: &CacheKey, item: &Item, length: Option<Duration>) -> Option<CacheRecording> {
        let length = length.filter(|_| item.start.is_zero())?;
        let estimate = length.as_millis() as u64 * self.store.bytes_a_second / 1000;
        if estimate > self.store.limit {
            // Such an item would evict all other entries first.
            if !self.store.warned_large.swap(true, Ordering::Relaxed) {
                log::warn!(
                    "“{}” alone is larger than the cache and encoded each time (CACHE_MAX_GB)",
                    item.title
                );
            }
            return None;
        }
        let (recording, thread) = recording::start(self.store.clone(), key.clone(), item, estimate)?;
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        writers.retain(|thread| !thread.is_finished());
        writers.push(thread);
        Some(recording)
    }

    /// Measures the size of the cache again: other broadcasts write to the directory as well.
    pub(crate) fn measure(&self) {
        self.store.measure();
    }

    /// Waits at most `patience` for running writers, so that process exit does not lose a complete
    /// entry.
    pub fn settle(&self, patience: Duration) {
        await_end(self.writers.lock().unwrap_or_else(PoisonError::into_inner).iter(), patience);
    }
}

#[cfg(test)]
mod tests;
