//! Encode once: items as they were encoded, kept on disk, so that the next time they are due
//! nothing is encoded.
//!
//! # Theory of operation
//!
//! An entry is one file, `item-KEY.flv`: the encoder's tags as they came, and behind them an index
//! of the groups of pictures with a checksum each. KEY is a hash of the content (a file's path,
//! size, time and the bytes at its head and tail; a page's extractor, id and format) and of
//! everything that shapes the encoding, so that an entry never has to be invalidated: what has
//! changed has another key, and what is not asked for any more is the first to go.
//!
//! It is written by a thread of its own beside the encoding, under the name `part-KEY` and a lock,
//! and renamed when it is whole. A process that dies leaves a part that nobody holds, which the
//! next start removes. Two broadcasts that encode the same item at once both play; the first to
//! lock the part writes it.
//!
//! Nothing here disturbs the broadcast: an item that cannot be cached plays uncached, with one
//! WARN.

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

pub(crate) use self::files::forget_fillers;
pub use self::{
    entry::{CacheEntry, CachePlayback, DamagedEntry},
    files::{CachedItem, clear, list},
    key::CacheKey,
    recording::CacheRecording,
};
use self::{files::DIRECTORY, key::entry_name, store::CacheStore};
use crate::{
    ffmpeg::{ENCODER_VERSION, EncodeSetup},
    item::{Item, Media},
    threads::await_end,
};

/// Filters of FFMPEG_ARGS that show what is not in the item and may change: what they make is not
/// kept.
const CHANGING: [&str; 8] =
    ["drawtext", "movie", "subtitles", "ass=", "sendcmd", "lut3d", "haldclut", "localtime"];

/// The cache of one broadcast. Any number of them may share a directory.
#[derive(Debug)]
pub struct Cache {
    store: Arc<CacheStore>,
    writers: Mutex<Vec<JoinHandle<()>>>,
}

impl Cache {
    /// The cache in `cache_dir` for what `setup` and the ffmpeg of this `version` make, of at most
    /// `limit` bytes (0: none).
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
            setup: format!("{:?} {:?} {version} {ENCODER_VERSION}", setup.profile, setup.extra),
            bytes_a_second: u64::from(setup.profile.video_kbps + setup.profile.audio_kbps) * 1000 / 8,
            image_duration: setup.image_duration,
            told: AtomicBool::new(false),
            told_large: AtomicBool::new(false),
        };
        if limit > 0 {
            match fs::create_dir_all(&store.dir) {
                Ok(()) => {
                    store.sweep();
                    // The limit may be lower than it was, and the disk fuller.
                    store.make_room(0);
                }
                Err(error) => store.cannot(&error),
            }
            store.measure();
        }
        Self { store: Arc::new(store), writers: Mutex::default() }
    }

    /// The name under which `media` is kept, as it is now; `None` where it is not. Reads the
    /// beginning and the end of a file.
    #[must_use]
    pub fn key(&self, media: &Media) -> Option<CacheKey> {
        self.store.key(media)
    }

    /// The entry that holds this item under its key, whole as far as its index tells.
    #[must_use]
    pub fn find(&self, key: &CacheKey, item: &Item) -> Option<CacheEntry> {
        let entry = self.store.entry(key, &item.title)?;
        if item.media.identity.is_some() {
            self.store.link(&item.id, key);
        }
        Some(entry)
    }

    /// The entry that the page `id` led to when it could last be asked. `None` also where it was no
    /// page.
    #[must_use]
    pub fn recall(&self, id: &str) -> Option<CacheEntry> {
        if self.store.limit == 0 {
            return None;
        }
        let target = fs::read_link(self.store.dir.join(self.store.link_name(id))).ok()?;
        let key = target.to_str()?.strip_prefix("item-")?.strip_suffix(".flv")?;
        // Its title comes from the page, which cannot be asked: whatever the slate says is right.
        CacheEntry::open(&self.store.dir.join(entry_name(&CacheKey(key.to_owned())))).ok()
    }

    /// Begins to keep `item`, `length` long, under the key it had when it was looked at; its tags
    /// follow. `None` where it cannot be kept: without a known length nothing shows whether it is
    /// whole, and what does not begin at its beginning is not.
    #[must_use]
    pub fn record(&self, key: &CacheKey, item: &Item, length: Option<Duration>) -> Option<CacheRecording> {
        let length = length.filter(|_| item.start.is_zero())?;
        let estimate = length.as_millis() as u64 * self.store.bytes_a_second / 1000;
        if estimate > self.store.limit {
            // It would push everything else out first.
            if !self.store.told_large.swap(true, Ordering::Relaxed) {
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

    /// Measures its size again: other broadcasts write to it as well.
    pub(crate) fn measure(&self) {
        self.store.measure();
    }

    /// Waits for what is being written, at most so long: an entry that is whole should not be lost
    /// with the process.
    pub fn settle(&self, patience: Duration) {
        await_end(self.writers.lock().unwrap_or_else(PoisonError::into_inner).iter(), patience);
    }
}

#[cfg(test)]
mod tests;
