//! Keeps one item while it is encoded: a thread that writes beside the broadcast, and the hand that
//! feeds it without ever waiting for a disk.

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

/// Tags that wait for the disk, in bytes: half a minute of the broadcast. A disk that is slower
/// than that has to do without.
const MAX_WAITING: usize = 8 << 20;

/// The disk is given what has gathered this often, so that the end is not one long wait; room is
/// made as often.
const PORTION: u64 = 16 << 20;

/// FLV's own times have 31 bits: a longer item is not kept.
const LONGEST: u64 = 1 << 31;

/// An event for the writing thread.
enum RecordingEvent {
    Tag(Tag),
    Whole(EntryIndex),
}

/// An item being kept. Dropped before it is finished, nothing of it stays.
#[derive(Debug)]
pub struct CacheRecording {
    tell: mpsc::Sender<RecordingEvent>,
    waiting: Arc<AtomicUsize>,
    store: Arc<CacheStore>,
    title: String,
}

/// Starts keeping `item`, which will take about `estimate` bytes, under `key`.
pub(super) fn start(
    store: Arc<CacheStore>,
    key: CacheKey,
    item: &Item,
    estimate: u64,
) -> Option<(CacheRecording, JoinHandle<()>)> {
    let (tell, told) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let recording =
        CacheRecording { tell, waiting: waiting.clone(), store: store.clone(), title: item.title.clone() };
    let part = store.dir.join(format!("part-{}", key.0));
    let work = RecordingThread { store, key, part, item: item.clone(), estimate, waiting };
    let thread = thread::Builder::new().name("cache".into()).spawn(move || work.run(&told));
    match thread {
        Ok(thread) => Some((recording, thread)),
        Err(error) => {
            recording.store.cannot(&error);
            None
        }
    }
}

impl CacheRecording {
    /// Keeps the next tag. `false` where the recording has failed: drop it then.
    #[must_use]
    pub fn push(&self, tag: &Tag) -> bool {
        let size = tag.body.len();
        if self.waiting.fetch_add(size, Ordering::Relaxed) + size > MAX_WAITING {
            self.store.cannot(&"the disk is too slow");
            return false;
        }
        self.tell.send(RecordingEvent::Tag(tag.clone())).is_ok()
    }

    /// Waits until the disk has taken most of what was pushed: for encoders faster than real time.
    pub fn wait_room(&self, cancel: &Cancel) {
        while self.waiting.load(Ordering::Relaxed) > MAX_WAITING / 2
            && !cancel.wait(Duration::from_millis(20))
        {}
    }

    /// The item is whole: `length` long, `silent` where it has no sound, with its title in the
    /// picture where it is a `slate`. The rest is done behind the broadcast.
    pub fn finish(self, length: Duration, silent: bool, slate: bool) {
        let millis = length.as_millis() as u64;
        let index = EntryIndex { title: self.title, slate, silent, millis, groups: Vec::new() };
        let _ = self.tell.send(RecordingEvent::Whole(index));
    }
}

/// Why an item was not kept.
enum RecordingEnd {
    /// The encoder has failed, or the source changed meanwhile.
    Abandoned,
    /// The disk.
    Disk(io::Error),
}

impl From<io::Error> for RecordingEnd {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// The thread's part.
struct RecordingThread {
    store: Arc<CacheStore>,
    key: CacheKey,
    part: PathBuf,
    item: Item,
    estimate: u64,
    waiting: Arc<AtomicUsize>,
}

impl RecordingThread {
    fn run(&self, told: &mpsc::Receiver<RecordingEvent>) {
        let file = match open_locked(&self.part, true) {
            // Another process keeps it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            locked => locked,
        };
        // Its lock is held to the end, whatever that is: under this name it is nobody else's.
        let done = file.map_err(RecordingEnd::Disk).and_then(|file| {
            let _held = file.try_clone()?;
            let done = contain(|| self.write(file, told))
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

    fn write(&self, file: File, told: &mpsc::Receiver<RecordingEvent>) -> Result<(), RecordingEnd> {
        let store = &self.store;
        file.set_len(0)?;
        // What is missing to the estimate, but for what is not due for long.
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
            match told.recv() {
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
        // What was read may have been written to meanwhile.
        if store.key(&self.item.media).as_ref() != Some(&self.key) {
            return Err(RecordingEnd::Abandoned);
        }
        fs::rename(&self.part, store.dir.join(entry_name(&self.key)))?;
        File::open(&store.dir)?.sync_all()?;
        if self.item.media.identity.is_some() {
            store.link(&self.item.id, &self.key);
        }
        store.told.store(false, Ordering::Relaxed);
        Ok(())
    }
}
