//! Measures the loudness of coming items, and encodes them into the cache (`CACHE_AHEAD`), while
//! the read-ahead is full.
//!
//! One ffmpeg at a time, at the lowest priority that the system permits. It is read only while the
//! read-ahead is full, so it blocks on its pipe while the broadcast's own encoder has work.
//! Failures are logged at debug level; they are reported when the item is due.

use std::{
    collections::HashSet,
    io,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use tgs_core::{
    cancel::Cancel,
    supervise::{Panic, contain, keep_running},
};
use tgs_rtmp::flv::Kind;

use crate::{
    cache::{Cache, CacheKey},
    ffmpeg::{
        EncodeJob, EncodeSetup, Encoder, draw,
        loudness_run::LoudnessError,
        outcome::judge,
        probe::{self, Probe},
        ready_subtitles::ReadySubtitles,
    },
    item::{Item, ItemFailure, UpcomingItem},
    loudness::LoudnessMeter,
    read_ahead::ReadAhead,
};

/// Why an item is not encoded ahead.
#[derive(Debug, thiserror::Error)]
enum PrefetchError {
    #[error("there is nothing to play")]
    NoItem,
    #[error("its content has no stable identity")]
    NoKey,
    #[error("it cannot be kept")]
    NoRoom,
    #[error("cannot run ffmpeg: {0}")]
    Ffmpeg(#[source] io::Error),
    #[error("its loudness is unknown: {0}")]
    Loudness(#[from] LoudnessError),
    #[error("its sound goes on without its picture")]
    SoundAhead,
    #[error("ffmpeg reports errors, or it has more than was encoded")]
    Incomplete,
    #[error(transparent)]
    Failed(#[from] ItemFailure),
    #[error("{0}")]
    Panicked(Panic),
}

/// Number of coming items to encode ahead.
pub(super) const ITEMS: usize = 3;

/// The coming items, as of the last look at the list.
#[derive(Clone, Default)]
pub(super) struct UpcomingItems(Arc<(Mutex<Vec<UpcomingItem>>, Condvar)>);

impl UpcomingItems {
    /// Replaces the coming items.
    pub(super) fn set(&self, coming: Vec<UpcomingItem>) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = coming;
        self.0.1.notify_all();
    }

    /// Takes the nearest coming item; waits for one until `cancel` is set.
    fn take(&self, cancel: &Cancel) -> Option<UpcomingItem> {
        let mut coming = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !cancel.is_cancelled() {
            if !coming.is_empty() {
                return Some(coming.remove(0));
            }
            // `cancel` does not notify the condition variable, hence the time-out.
            let waited = self.0.1.wait_timeout(coming, Duration::from_millis(200));
            coming = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }
}

/// The prefetch thread.
pub(super) struct CachePrefetcher {
    pub(super) upcoming: UpcomingItems,
    /// Whether items are encoded, not only measured.
    pub(super) encodes: bool,
    /// `None` if no item is measured.
    pub(super) meter: Option<Arc<LoudnessMeter>>,
    pub(super) cache: Arc<Cache>,
    /// While it is full, there is time; `None`: always.
    pub(super) read_ahead: Option<Arc<ReadAhead>>,
    pub(super) setup: EncodeSetup,
    pub(super) ffprobe: PathBuf,
    pub(super) cancel: Cancel,
}

impl CachePrefetcher {
    /// Starts the thread. If that fails, nothing is encoded ahead.
    pub(super) fn start(self) -> Option<JoinHandle<()>> {
        let run = move || keep_running("prefetch", |delay| self.cancel.wait(delay), || self.run());
        let started = thread::Builder::new().name("prefetch".into()).spawn(run);
        started.map_err(|error| log::warn!("nothing is encoded ahead: cannot start a thread: {error}")).ok()
    }

    /// Runs until the broadcast is cancelled.
    fn run(&self) {
        // Takes an item only once the read-ahead is full: the item may have become current before.
        let mut settled = HashSet::new();
        while self.wait_time()
            && let Some(UpcomingItem { id, part, find }) = self.upcoming.take(&self.cancel)
        {
            // A cached page needs no resolving, and an item that failed once is not tried again.
            // Pages are resolved to be encoded, not to be measured only.
            let wanted = self.encodes || id.starts_with('/');
            if !wanted || settled.contains(&id) || self.cache.recall(&id, &part).is_some() {
                continue;
            }
            let kept = contain(|| find().ok_or(PrefetchError::NoItem).and_then(|item| self.keep(&item)));
            // A panic counts as that item's failure.
            let kept = kept.unwrap_or_else(|panic| Err(PrefetchError::Panicked(panic)));
            if let Err(why) = &kept {
                log::debug!("{id} is not encoded ahead: {why}");
            }
            // What was only measured leaves no entry that would show it.
            if (kept.is_err() || !self.encodes) && !self.cancel.is_cancelled() {
                if settled.len() > 1000 {
                    settled.clear();
                }
                settled.insert(id);
            }
        }
    }

    /// Waits until the broadcast has no work; `false` once it is cancelled.
    fn wait_time(&self) -> bool {
        let full = |read_ahead: &Arc<ReadAhead>| read_ahead.wait_full(&self.cancel);
        self.read_ahead.as_ref().map_or_else(|| !self.cancel.is_cancelled(), full)
    }

    /// Encodes one item now. Failures are logged at debug level.
    pub(super) fn keep_now(&self, item: &Item) {
        if let Err(why) =
            contain(|| self.keep(item)).unwrap_or_else(|panic| Err(PrefetchError::Panicked(panic)))
        {
            log::debug!("“{}” is not encoded ahead: {why}", item.title);
        }
    }

    fn keep(&self, item: &Item) -> Result<(), PrefetchError> {
        let key = self.cache.key(&item.media);
        if key.as_ref().is_some_and(|key| self.cache.find(key, item).is_some()) {
            return Ok(());
        }
        let wanted = self.setup.wanted();
        let mut found = probe::probe(&self.ffprobe, &item.media, wanted, &self.cancel)?;
        if let Some(meter) = self.meter.as_ref().filter(|_| found.audio.is_some()) {
            let mut proceed = || self.wait_time();
            found.loudness = Some(meter.measure(&item.media, &found, false, &mut proceed)?);
        }
        draw::prepare_item(&self.setup, item, &mut found, Some(draw::LONG), &self.cancel);
        match key {
            Some(_) if found.ready_subtitles == ReadySubtitles::Failed => Err(PrefetchError::Incomplete),
            Some(key) if self.encodes => self.encode(item, &key, &found),
            None if self.encodes => Err(PrefetchError::NoKey),
            _ => Ok(()),
        }
    }

    fn encode(&self, item: &Item, key: &CacheKey, found: &Probe) -> Result<(), PrefetchError> {
        let job = EncodeJob::item(item, found, &self.setup);
        let recording = self.cache.record(key, item, job.expected);
        let (recording, length) = recording.zip(job.expected).ok_or(PrefetchError::NoRoom)?;
        let mut encoder =
            Encoder::start(job.command(&self.setup), &self.cancel).map_err(PrefetchError::Ffmpeg)?;
        encoder.yield_to_others();
        encoder.watch(found.watch(&item.media));
        let mut pictures = 0;
        let read = loop {
            recording.wait_room(&self.cancel);
            if !self.wait_time() {
                return Ok(());
            }
            match encoder.next_tag() {
                Ok(Some(tag)) => {
                    pictures += u32::from(tag.kind == Kind::Video && tag.is_frame());
                    if !recording.push(&tag) {
                        // Another process writes this entry, or the disk refuses it.
                        return Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if encoder.is_sound_ahead() {
            return Err(PrefetchError::SoundAhead);
        }
        let ended = encoder.finish(read.is_ok()).map_err(PrefetchError::Ffmpeg)?;
        let later = probe::following(
            &self.ffprobe,
            &item.media,
            self.setup.wanted(),
            found,
            &ended.new_streams,
            &self.cancel,
        );
        let played = Duration::from_secs(1) * pictures / self.setup.profile.fps;
        let goes_on = !matches!(later, Ok(None)) && !item.media.ends_at(found.speed().stored(played));
        let source = item.media.sources.first();
        judge(&read, &ended, job.promised(&ended, source), played, source)?;
        if !ended.messages.trim().is_empty() || goes_on {
            return Err(PrefetchError::Incomplete);
        }
        let length = if job.estimated { played } else { length };
        recording.finish(length, job.is_silent(), job.titled);
        log::debug!("“{}” is encoded ahead", item.title);
        Ok(())
    }
}
