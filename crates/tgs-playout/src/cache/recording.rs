//! Records one item into the cache while the item is encoded. A thread writes to the disk; the
//! broadcast never waits for the disk.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tgs_core::{cancel::Cancel, files::lock::open_locked, supervise::contain};
use tgs_rtmp::flv::Tag;

use super::{
    entry::{EntryIndex, EntryWriter},
    key::{CacheKey, entry_name},
    store::CacheStore,
};
use crate::item::Item;

/// Limit in bytes of the tags that wait for the disk: half a minute of the broadcast. With a slower
/// disk the recording fails.
const MAX_WAITING: usize = 8 << 20;

/// Bytes between two syncs, so that the final sync is short. Room is made as often.
const PORTION: u64 = 16 << 20;

/// FLV timestamps have 31 bits: a longer item is not cached.
const LONGEST: u64 = 1 << 31;

/// An event for the writing thread.
enum RecordingEvent {
    Tag(Tag),
    Whole(EntryIndex),
}

/// An item that is being recorded. Dropping it unfinished removes the part.
#[derive(Debug)]
pub struct CacheRecording {
    sender: mpsc::Sender<RecordingEvent>,
    waiting: Arc<AtomicUsize>,
    store: Arc<CacheStore>,
    title: String,
}

/// Starts recording `item`, of about `estimate` bytes, under `key`.
pub(super) fn start(
    store: Arc<CacheStore>,
    key: CacheKey,
    item: &Item,
    estimate: u64,
) -> Option<(CacheRecording, JoinHandle<()>)> {
    let (sender, events) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let recording =
        CacheRecording { sender, waiting: waiting.clone(), store: store.clone(), title: item.title.clone() };
    let part = store.dir.join(format!("part-{}", key.0));
    let work = RecordingThread { store, key, part, item: item.clone(), estimate, waiting };
    let thread = thread::Builder::new().name("cache".into()).spawn(move || work.run(&events));
    match thread {
        Ok(thread) => Some((recording, thread)),
        Err(error) => {
            recording.store.cannot(&error);
            None
        }
    }
}

impl CacheRecording {
    /// Records the next tag. Returns `false` if the recording has failed; drop it then.
    #[must_use]
    pub fn push(&self, tag: &Tag) -> bool {
        let size = tag.body.len();
        if self.waiting.fetch_add(size, Ordering::Relaxed) + size > MAX_WAITING {
            self.store.cannot(&"the disk is too slow");
            return false;
        }
        self.sender.send(RecordingEvent::Tag(tag.clone())).is_ok()
    }

    /// Waits until the queue for the disk is at most half full, for encoders faster than real time.
    pub fn wait_room(&self, cancel: &Cancel) {
        while self.waiting.load(Ordering::Relaxed) > MAX_WAITING / 2
            && !cancel.wait(Duration::from_millis(20))
        {}
    }

    /// Completes the recording with the item's `length`, whether the item is `silent`, and whether
    /// its picture is a `slate` with the title. The thread writes the remaining tags after this
    /// returns.
    pub fn finish(self, length: Duration, silent: bool, slate: bool) {
        let millis = length.as_millis() as u64;
        let index = EntryIndex { title: self.title, slate, silent, millis, groups: Vec::new() };
        let _ = self.sender.send(RecordingEvent::Whole(index));
    }
}

/// Why an item was not cached.
enum RecordingEnd {
    /// The encoder failed, the source changed meanwhile, or the item is too long.
    Abandoned,
    /// Writing failed.
    Disk(io::Error),
}

impl From<io::Error> for RecordingEnd {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// The state of the writing thread.
struct RecordingThread {
    store: Arc<CacheStore>,
    key: CacheKey,
    part: PathBuf,
    item: Item,
    estimate: u64,
    waiting: Arc<AtomicUsize>,
}

impl RecordingThread {
    fn run(&self, events: &mpsc::Receiver<RecordingEvent>) {
        let file = match open_locked(&self.part, true) {
            // Another recording of the same item holds the lock.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            locked => locked,
        };
        // The lock is held until the part is renamed or removed, so that no other process takes the
        // name.
        let done = file.map_err(RecordingEnd::Disk).and_then(|file| {
            let _held = file.try_clone()?;
            let done = contain(|| self.write(file, events))
                .unwrap_or_else(|panic| Err(io::Error::other(panic.to_string()).into()));
            if done.is_err() {
                let _ = fs::remove_file(&self.part);
            }
            done
        });
        if let Err(RecordingEnd::Disk(error)) = done {
            self.store.cannot(&error);
        }
        self.store.measure();
    }

    fn write(&self, file: File, events: &mpsc::Receiver<RecordingEvent>) -> Result<(), RecordingEnd> {
        let store = &self.store;
        file.set_len(0)?;
        // Makes room for the next portion only: the rest of the estimate is not due yet.
        let room = |have: u64| {
            if store.make_room(PORTION.min(self.estimate.saturating_sub(have))) {
                Ok(())
            } else {
                Err(io::Error::other("there is no room"))
            }
        };
        room(0)?;
        let mut writer = EntryWriter::new(file)?;
        let mut synced = 0;
        let index = loop {
            match events.recv() {
                Ok(RecordingEvent::Tag(tag)) => {
                    self.waiting.fetch_sub(tag.body.len(), Ordering::Relaxed);
                    if tag.timestamp >= LONGEST {
                        return Err(RecordingEnd::Abandoned);
                    }
                    writer.push(&tag)?;
                    if writer.length() > store.limit {
                        return Err(io::Error::other("an item alone is larger than the cache").into());
                    }
                    if writer.length() - synced > PORTION {
                        synced = writer.length();
                        writer.sync()?;
                        room(synced)?;
                    }
                }
                Ok(RecordingEvent::Whole(index)) => break index,
                Err(mpsc::RecvError) => return Err(RecordingEnd::Abandoned),
            }
        };
        let _file = writer.finish(index)?;
        room(u64::MAX)?;
        // The source may have changed while it was encoded.
        if store.key(&self.item.media).as_ref() != Some(&self.key) {
            return Err(RecordingEnd::Abandoned);
        }
        fs::rename(&self.part, store.dir.join(entry_name(&self.key)))?;
        File::open(&store.dir)?.sync_all()?;
        if self.item.media.identity.is_some() {
            store.link(&self.item.id, &self.item.media.part, &self.key);
        }
        store.told.store(false, Ordering::Relaxed);
        Ok(())
    }
}
