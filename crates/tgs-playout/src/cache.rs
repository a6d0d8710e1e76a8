//! Encode once: items as they were encoded, kept on disk, so that the next time they are due nothing is encoded.
//!
//! # Theory of operation
//!
//! An entry is one file, `item-KEY.flv`: the encoder's tags as they came, and behind them an index of the groups of pictures
//! with a checksum each. KEY is a hash of the content (a file's path, size, time and the bytes at its head and tail; a page's
//! extractor, id and format) and of everything that shapes the encoding, so that an entry never has to be invalidated: what
//! has changed has another key, and what is not asked for any more is the first to go.
//!
//! It is written by a thread of its own beside the encoding, under the name `part-KEY` and a lock, and renamed when it
//! is whole. A process that dies leaves a part that nobody holds, which the next start removes. Two broadcasts that encode the
//! same item at once both play; the first to lock the part writes it.
//!
//! Nothing here may disturb the broadcast: what cannot be kept is not kept, and that is said once.

mod entry;
mod recording;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ring::digest;

pub use entry::{CacheEntry, CachePlayback, DamagedEntry};
pub use recording::CacheRecording;

use crate::{
    ffmpeg::{EncodeSetup, RECIPE},
    item::{Item, Media, MediaSource},
    status::METRICS,
    threads::await_end,
};

/// The directory under CACHE_DIR.
const DIRECTORY: &str = "items";

/// How much of a file's head and of its tail its identity is taken from.
const SAMPLE: u64 = 64 << 10;

/// A kept filler is removed when nobody has begun with it for so long.
const FORGOTTEN: Duration = Duration::from_hours(24 * 30);

/// Filters of FFMPEG_ARGS that show what is not in the item and may change: what they make is not kept.
const CHANGING: [&str; 8] =
    ["drawtext", "movie", "subtitles", "ass=", "sendcmd", "lut3d", "haldclut", "localtime"];

/// Ends of the names of still pictures, whose length is a setting.
const IMAGES: [&str; 10] =
    [".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"];

/// The name of an encoded item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey(String);

/// The cache of one broadcast. Any number of them may share a directory.
#[derive(Debug)]
pub struct Cache {
    store: Arc<CacheStore>,
    writers: Mutex<Vec<JoinHandle<()>>>,
}

/// What the writing threads share with it.
#[derive(Debug)]
struct CacheStore {
    dir: PathBuf,
    /// Bytes that all entries together may take; 0 for no cache.
    limit: u64,
    /// Everything but the content that shapes an encoding.
    setup: String,
    /// What a second of the broadcast takes, about.
    bytes_a_second: u64,
    /// How long a still picture is shown.
    image_duration: Duration,
    /// Whether the operator knows that nothing can be kept at present.
    told: AtomicBool,
    /// Whether the operator knows that an item is too large.
    told_large: AtomicBool,
}

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

impl Cache {
    /// The cache in `cache_dir` for what `setup` and the ffmpeg of this `version` make, of at most `limit` bytes (0: none).
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
            setup: format!("{:?} {:?} {version} {RECIPE}", setup.profile, setup.extra),
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

    /// The name under which `media` is kept, as it is now; `None` where it is not. Reads the beginning and the end of a file.
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

    /// The entry that the page `id` led to when it could last be asked. `None` also where it was no page.
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

    /// Begins to keep `item`, `length` long, under the key it had when it was looked at; its tags follow. `None` where it
    /// cannot be kept: without a known length it could not be told whether it is whole, and what does not begin at its
    /// beginning is not.
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

    /// Renews what is told of its size: other broadcasts write to it as well.
    pub(crate) fn measure(&self) {
        self.store.measure();
    }

    /// Waits for what is being written, at most so long: an entry that is whole should not be lost with the process.
    pub fn settle(&self, patience: Duration) {
        await_end(self.writers.lock().unwrap_or_else(PoisonError::into_inner).iter(), patience);
    }
}

impl CacheStore {
    /// The name of what `media` holds under this setup; `None` for what cannot be told apart, and where there is no cache.
    fn key(&self, media: &Media) -> Option<CacheKey> {
        // The segments of a list may change, or be missing for once.
        if self.limit == 0 || media.live || media.sources.iter().any(MediaSource::is_hls) {
            return None;
        }
        let content = match &media.identity {
            Some(identity) => format!("page {identity}"),
            None => of_file(media, self.image_duration)?,
        };
        Some(CacheKey(hash(&[&content, &self.setup])))
    }

    /// The entry of this key, used now. One that cannot be read is removed.
    fn entry(&self, key: &CacheKey, title: &str) -> Option<CacheEntry> {
        let path = self.dir.join(entry_name(key));
        match CacheEntry::open(&path) {
            Ok(entry) => Some(entry).filter(|entry| entry.shows(title)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log::warn!("the kept {} is not used and removed: {error}", path.display());
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Notes that the page `id` leads to the entry `key`.
    fn link(&self, id: &str, key: &CacheKey) {
        let (name, target) = (self.link_name(id), entry_name(key));
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

    fn link_name(&self, id: &str) -> String {
        format!("page-{}", hash(&[id, &self.setup]))
    }

    /// Removes what dead processes have left, and the links to what is gone.
    fn sweep(&self) {
        for file in files(&self.dir) {
            let name = file.name.as_str();
            if name.starts_with("part-") {
                let _ = recording::remove_orphan(&file.path);
            } else if name.starts_with(".page-") || name.starts_with("page-") && !file.path.exists() {
                let _ = fs::remove_file(&file.path);
            }
        }
    }

    /// Removes the entries used longest ago until `wanted` bytes more fit into the limit and onto the disk. Removes none
    /// and answers `false` where they would not fit even then.
    fn make_room(&self, wanted: u64) -> bool {
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
                Ok(()) => METRICS.cache_evictions.inc(),
                // Another broadcast was quicker.
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

    /// How much is missing on the disk to write so much and leave a tenth of it (5 GB at most) for everything else.
    fn missing_on_disk(&self, wanted: u64) -> u64 {
        let Ok(disk) = rustix::fs::statvfs(&self.dir) else { return 0 };
        let spare = (disk.f_blocks * disk.f_frsize / 10).min(5_000_000_000);
        (wanted + spare).saturating_sub(disk.f_bavail * disk.f_frsize)
    }

    fn measure(&self) {
        let entries = files(&self.dir).into_iter().filter(CacheFile::is_entry);
        METRICS.cache_bytes.set(entries.map(|file| file.bytes).sum::<u64>() as f64);
    }

    /// Tells that items are not kept, once until one is again.
    fn cannot(&self, why: &dyn std::fmt::Display) {
        if !self.told.swap(true, Ordering::Relaxed) {
            log::warn!(
                "encoded items are not kept in {}, the broadcast goes on without: {why} (CACHE_DIR, CACHE_MAX_GB)",
                self.dir.display()
            );
        }
    }
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

/// Removes every entry in `cache_dir`, also while broadcasts play from them: those go on with the files they have open.
/// Answers how many bytes that frees. Root is refused where the directory is another user's, who could lead it elsewhere.
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
        match if part { recording::remove_orphan(&file.path) } else { fs::remove_file(&file.path) } {
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
struct CacheFile {
    path: PathBuf,
    name: String,
    bytes: u64,
    used: SystemTime,
}

impl CacheFile {
    fn is_entry(&self) -> bool {
        self.name.starts_with("item-")
    }

    /// Others may have put something there as well.
    fn is_ours(&self) -> bool {
        ["item-", "part-", "page-", ".page-"].iter().any(|begin| self.name.starts_with(begin))
    }
}

/// What lies in `dir`, as far as it can be seen.
fn files(dir: &Path) -> Vec<CacheFile> {
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

fn entry_name(key: &CacheKey) -> String {
    format!("item-{}.flv", key.0)
}

/// What tells one file's content from another's. `None` for what is no file, and for lists, whose segments may change
/// while they do not.
fn of_file(media: &Media, image_duration: Duration) -> Option<String> {
    let [source] = &media.sources[..] else { return None };
    let path = source.url.strip_prefix("file:")?;
    // What stands there may be a pipe: nobody is waited for.
    let file = tgs_core::files::open_regular(Path::new(path)).ok()?;
    let meta = file.metadata().ok()?;
    let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let mut begin = [0; 8];
    file.read_at(&mut begin, 0).ok()?;
    if [&b"#EXTM3U"[..], b"ffconcat", b"<?xml", b"<MPD"].iter().any(|list| begin.starts_with(list)) {
        return None;
    }
    let mut sample = digest::Context::new(&digest::SHA256);
    add_sample(&file, 0, &mut sample).ok()?;
    add_sample(&file, meta.len().saturating_sub(SAMPLE), &mut sample).ok()?;
    let name = path.to_ascii_lowercase();
    let image = IMAGES.iter().any(|end| name.ends_with(end));
    let shown = if image { format!(" {image_duration:?}") } else { String::new() };
    Some(format!("file {path} {} {} {:?}{shown}", meta.len(), changed.as_nanos(), sample.finish()))
}

/// Adds what `file` has from `at` on to `sum`.
fn add_sample(file: &File, mut at: u64, sum: &mut digest::Context) -> io::Result<()> {
    let (end, mut bytes) = (at + SAMPLE, [0; 8 << 10]);
    while at < end {
        let count = file.read_at(&mut bytes, at)?;
        if count == 0 {
            break;
        }
        sum.update(&bytes[..count.min((end - at) as usize)]);
        at += count as u64;
    }
    Ok(())
}

/// 128 bits of a hash of these texts, as they stand in file names.
fn hash(texts: &[&str]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for text in texts {
        context.update(&(text.len() as u64).to_le_bytes());
        context.update(text.as_bytes());
    }
    let hash = context.finish();
    let bits = u128::from_be_bytes(std::array::from_fn(|n| hash.as_ref()[n]));
    format!("{bits:032x}")
}

#[cfg(test)]
mod tests;
