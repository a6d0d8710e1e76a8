//! Puts coming items into the cache while the broadcast has all it wants (`CACHE_AHEAD`).
//!
//! One encoder, of the lowest priority where the system permits that. It is read only while the
//! read-ahead is full, so it blocks on its pipe whenever the broadcast's own encoder has work.
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
    supervise::{contain, keep_running},
};
use tgs_rtmp::flv::Kind;

use crate::{
    cache::Cache,
    ffmpeg::{EncodeJob, EncodeSetup, Encoder, outcome::judge, probe},
    item::{Item, UpcomingItem},
    read_ahead::ReadAhead,
};

/// How many items ahead of the one that is encoded.
pub(super) const ITEMS: usize = 3;

/// What comes, as the list was last seen.
#[derive(Clone, Default)]
pub(super) struct UpcomingItems(Arc<(Mutex<Vec<UpcomingItem>>, Condvar)>);

impl UpcomingItems {
    /// These come next.
    pub(super) fn set(&self, coming: Vec<UpcomingItem>) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = coming;
        self.0.1.notify_all();
    }

    /// The nearest of them that nobody has taken; waits for one until `cancel` is set.
    fn take(&self, cancel: &Cancel) -> Option<UpcomingItem> {
        let mut coming = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !cancel.is_cancelled() {
            if !coming.is_empty() {
                return Some(coming.remove(0));
            }
            // The time-out is for `cancel`, which does not wake this.
            let waited = self.0.1.wait_timeout(coming, Duration::from_millis(200));
            coming = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }
}

/// The thread's part of a broadcast.
pub(super) struct CachePrefetcher {
    pub(super) upcoming: UpcomingItems,
    pub(super) cache: Arc<Cache>,
    pub(super) read_ahead: Arc<ReadAhead>,
    pub(super) setup: EncodeSetup,
    pub(super) ffprobe: PathBuf,
    pub(super) cancel: Cancel,
}

impl CachePrefetcher {
    /// Starts the thread; the broadcast does without where that fails.
    pub(super) fn start(self) -> Option<JoinHandle<()>> {
        let run = move || keep_running("prefetch", |delay| self.cancel.wait(delay), || self.run());
        let started = thread::Builder::new().name("prefetch".into()).spawn(run);
        started.map_err(|error| log::warn!("nothing is encoded ahead: cannot start a thread: {error}")).ok()
    }

    /// Works until the broadcast is cancelled.
    fn run(&self) {
        // What comes is taken as late as that: it may have its turn meanwhile.
        let mut hopeless = HashSet::new();
        while self.read_ahead.wait_full(&self.cancel)
            && let Some(UpcomingItem { id, find }) = self.upcoming.take(&self.cancel)
        {
            // A page that is kept need not be asked, and what did not come to be kept will not the
            // next time.
            if hopeless.contains(&id) || self.cache.recall(&id).is_some() {
                continue;
            }
            let kept = contain(|| {
                find().ok_or_else(|| "there is nothing to play".to_owned()).and_then(|item| self.keep(&item))
            });
            // A panic is that item's failure, too.
            let kept = kept.unwrap_or_else(|panic| Err(panic.to_string()));
            if let Err(why) = kept
                && !self.cancel.is_cancelled()
            {
                log::debug!("{id} is not encoded ahead: {why}");
                if hopeless.len() > 1000 {
                    hopeless.clear();
                }
                hopeless.insert(id);
            }
        }
    }

    fn keep(&self, item: &Item) -> Result<(), String> {
        let key = self.cache.key(&item.media).ok_or("nothing tells it from others")?;
        if self.cache.find(&key, item).is_some() {
            return Ok(());
        }
        let tool = |e: io::Error| format!("cannot run ffmpeg: {e}");
        let wanted = self.setup.wanted();
        let found =
            probe::probe(&self.ffprobe, &item.media, wanted, &self.cancel).map_err(|why| why.to_string())?;
        let job = EncodeJob::item(item, &found, &self.setup);
        let recording = self.cache.record(&key, item, job.expected);
        let (recording, length) = recording.zip(job.expected).ok_or("it cannot be kept")?;
        let mut encoder = Encoder::start(job.command(&self.setup), &self.cancel).map_err(tool)?;
        encoder.yield_to_others();
        encoder.watch(found.watch(&item.media));
        let mut pictures = 0;
        let read = loop {
            recording.wait_room(&self.cancel);
            if !self.read_ahead.wait_full(&self.cancel) {
                return Ok(());
            }
            match encoder.next_tag() {
                Ok(Some(tag)) => {
                    pictures += u32::from(tag.kind == Kind::Video && tag.is_frame());
                    if !recording.push(&tag) {
                        // Another process does it, or the disk does not take it.
                        return Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if encoder.is_sound_ahead() {
            return Err("its sound goes on without its picture".into());
        }
        let ended = encoder.finish(read.is_ok()).map_err(tool)?;
        let later = probe::following(
            &self.ffprobe,
            &item.media,
            self.setup.wanted(),
            &found,
            &ended.new_streams,
            &self.cancel,
        );
        let goes_on = !matches!(later, Ok(None));
        let played = Duration::from_secs(1) * pictures / self.setup.profile.fps;
        let source = item.media.sources.first();
        judge(&read, &ended, job.promised(&ended, source), played, source).map_err(|why| why.to_string())?;
        if !ended.messages.trim().is_empty() || goes_on {
            return Err("ffmpeg complains about it".into());
        }
        let length = if job.estimated { played } else { length };
        recording.finish(length, job.is_silent(), job.titled);
        log::debug!("“{}” is encoded ahead", item.title);
        Ok(())
    }
}
