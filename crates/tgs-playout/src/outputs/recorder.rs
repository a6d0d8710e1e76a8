//! Records what is aired into `RECORD_DIR`: one more reader of the queue of the further outputs.
//!
//! # Theory of operation
//!
//! A thread of its own takes what the playout thread has sent, divides it into files (`splitter`),
//! and writes each part at once ([`tgs_recording::part`]): what a crash takes is what has gathered
//! since. If the disk fails, the thread says so and tries again; if the disk hangs, the thread
//! hangs with it, and the queue, which is bounded, loses what the thread does not take. The
//! playout thread notices neither.
//!
//! Titles come from the events of what is on air. An event and its keyframe reach this thread
//! separately, so a title waits until the frames of its time are written.

mod metrics;
mod splitter;
mod state;

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tgs_control::{BroadcastEvent, RecorderState, Timestamp};
use tgs_core::{cancel::Cancel, supervise::keep_running};
use tgs_recording::{
    part::{RecordingPart, repair},
    place::RecordingZone,
    store::{RecordingLimits, RecordingStore},
};
use tgs_rtmp::flv::Tag;

pub(crate) use self::state::RecorderView;
use self::{
    metrics::METRICS,
    splitter::{BegunFile, FileSplitter, FileStep},
    state::SharedRecorder,
};
use super::queue::{TagQueue, TagReader};
use crate::{clock::Clock, events::EventSubscription, threads::await_end};

/// How often the queue is written. With the frames for which a keyframe waits, and the time that
/// the disk takes, a crash loses less than two seconds.
const GATHER: Duration = Duration::from_millis(800);

/// Bytes that are taken from the queue at once.
const TAKE: usize = 2 << 20;

/// How often old recordings are looked for, and files that could not be closed.
const TIDY_EVERY: Duration = Duration::from_mins(1);

/// Bytes after which the room on the disk is checked again.
const ROOM_EVERY: u64 = 16 << 20;

/// After a failure the disk is tried again after this time, and after double the time each further
/// failure, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

/// A file is closed if nothing is aired for this time.
const IDLE: Duration = Duration::from_secs(20);

/// Largest distance of an event from the keyframe that it means.
const SNAP_MS: u64 = 700;

/// Titles that wait for their frames.
const MOST_TITLES: usize = 256;

/// How long the end of the process waits for the last file to be closed.
const CLOSING: Duration = Duration::from_secs(3);

/// Where and how a broadcast is recorded.
#[derive(Debug, Clone)]
pub struct RecorderConfig {
    /// The directory of the files.
    pub dir: PathBuf,
    /// The period of the local clock that a file covers.
    pub segment: Duration,
    /// The broadcast's number of pictures a second.
    pub fps: u32,
    /// Age at which a file is deleted.
    pub keep: Duration,
    /// Size of all files together in bytes; 0: without a limit.
    pub most_bytes: u64,
}

/// The recorder's thread. Dropping it closes the file, within 3 s.
#[derive(Debug)]
pub struct RunningRecorder {
    cancel: Cancel,
    thread: Option<JoinHandle<()>>,
}

impl Drop for RunningRecorder {
    fn drop(&mut self) {
        self.cancel.cancel();
        await_end(&self.thread, CLOSING);
    }
}

/// Starts the recorder. Without a thread nothing is recorded, which the log and the status say.
pub(super) fn start(
    config: RecorderConfig,
    queue: TagQueue,
    events: Option<EventSubscription>,
    clock: Arc<dyn Clock>,
    view: &RecorderView,
    cancel: Cancel,
) -> RunningRecorder {
    let shared = SharedRecorder::new(&config.dir);
    view.set(shared.clone());
    let (stop, shown) = (cancel.clone(), shared.clone());
    let run = move || {
        keep_running(
            "recorder",
            |delay| stop.wait(delay),
            || {
                let mut recorder = Recorder::new(&config, events.as_ref(), &*clock, &shared);
                recorder.run(&queue, &stop);
            },
        );
    };
    let thread = thread::Builder::new().name("recorder".into()).spawn(run);
    if let Err(error) = &thread {
        log::error!("nothing is recorded: failed to start a thread: {error}");
        shown.show(RecorderState::Failing { cause: format!("it has no thread: {error}") });
    }
    RunningRecorder { cancel, thread: thread.ok() }
}

/// The state of the thread.
#[derive(Debug)]
struct Recorder<'a> {
    config: &'a RecorderConfig,
    events: Option<&'a EventSubscription>,
    clock: &'a dyn Clock,
    shared: &'a SharedRecorder,
    splitter: FileSplitter,
    zone: RecordingZone,
    store: Option<RecordingStore>,
    part: Option<RecordingPart>,
    /// Titles by the time at which they began, oldest first.
    titles: VecDeque<(Timestamp, String)>,
    /// The title in force before those.
    title: Option<String>,
    /// Bytes of the file at which the room was checked last.
    checked: u64,
    /// After a failure: when to try again, and how long to wait after the next one.
    retry: Option<Instant>,
    delay: Duration,
    tidied: Option<Instant>,
    /// When tags came last, and their time.
    taken: Option<Instant>,
    newest: u64,
}

impl<'a> Recorder<'a> {
    fn new(
        config: &'a RecorderConfig,
        events: Option<&'a EventSubscription>,
        clock: &'a dyn Clock,
        shared: &'a SharedRecorder,
    ) -> Self {
        let zone = RecordingZone::of_host();
        Self {
            config,
            events,
            clock,
            shared,
            splitter: FileSplitter::new(zone.clone(), config.segment, config.fps),
            zone,
            store: None,
            part: None,
            titles: VecDeque::new(),
            title: None,
            checked: 0,
            retry: None,
            delay: RETRY.0,
            tidied: None,
            taken: None,
            newest: 0,
        }
    }

    fn run(&mut self, queue: &TagQueue, cancel: &Cancel) {
        let reader = queue.reader();
        while !cancel.wait(GATHER) {
            self.turn(&reader, false);
        }
        self.turn(&reader, true);
        self.end_file(u64::MAX);
    }

    /// Writes what has gathered. With `last`, all of it.
    fn turn(&mut self, reader: &TagReader, last: bool) {
        self.shared.beat();
        self.note_events();
        self.tidy();
        if self.take(reader) || last {
            for step in self.splitter.steps(last) {
                self.execute(step);
                self.shared.beat();
            }
        } else if self.taken.is_some_and(|at| at.elapsed() > IDLE) {
            self.taken = None;
            for step in self.splitter.steps(true) {
                self.execute(step);
            }
            self.end_file(u64::MAX);
            self.splitter.forget_file();
            if self.retry.is_none() {
                self.shared.show(RecorderState::Waiting);
            }
        }
    }

    /// Takes all tags that wait; `false` if none do.
    fn take(&mut self, reader: &TagReader) -> bool {
        let before = self.newest;
        let mut any = false;
        loop {
            let taken = reader.take(TAKE);
            if !taken.dropped.is_zero() {
                self.note_lost(taken.dropped, "the disk is too slow");
            }
            let Some(newest) = taken.tags.last() else { break };
            self.newest = newest.timestamp;
            any = true;
            self.splitter.push(taken.tags);
        }
        if any {
            self.taken = Some(Instant::now());
            let now = Timestamp((self.clock.wall() * 1000.0) as u64);
            self.splitter.observe(self.newest, now);
            if self.retry.is_some() {
                self.shared.add_lost(Duration::from_millis(self.newest.saturating_sub(before)));
            }
        }
        any
    }

    fn note_lost(&self, lost: Duration, why: &str) {
        self.shared.add_lost(lost);
        if self.shared.is_due("slow") {
            log::warn!(
                "recording into {}: {why}; {:.0} s are not recorded",
                self.config.dir.display(),
                lost.as_secs_f64()
            );
        }
    }

    fn note_events(&mut self) {
        let Some(events) = self.events else { return };
        while let Some(event) = events.next(Duration::ZERO) {
            let (at, title) = match &*event {
                BroadcastEvent::ItemBegan { at, item, .. } => (*at, item.title.clone()),
                BroadcastEvent::FillerBegan { at, .. } => (*at, "filler".to_owned()),
                _ => continue,
            };
            if self.titles.len() >= MOST_TITLES {
                self.title = self.titles.pop_front().map(|(_, title)| title);
            }
            self.titles.push_back((at, title));
        }
    }

    fn execute(&mut self, step: FileStep) {
        let done = match step {
            FileStep::Begin(file) => {
                // A title that is about as old as the next file belongs there.
                self.end_file(file.started.0.saturating_sub(SNAP_MS));
                if self.retry.is_some_and(|at| Instant::now() < at) {
                    self.splitter.forget_file();
                    return;
                }
                self.begin_file(file)
            }
            FileStep::Append(tags) => self.append(&tags),
        };
        if let Err(error) = done {
            self.fail(&error);
        }
    }

    fn begin_file(&mut self, file: BegunFile) -> io::Result<()> {
        let store = match &self.store {
            Some(store) => store,
            None => self.store.insert(RecordingStore::open(&self.config.dir)?),
        };
        store.check_room()?;
        let part = RecordingPart::create(
            &self.config.dir,
            &self.zone.stem(file.started),
            file.started,
            file.codecs,
        )?;
        log::debug!("recording into {}", part.path().display());
        let name = part.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.shared.begin_file(name);
        self.checked = part.bytes();
        let part = self.part.insert(part);
        // What is on air at its beginning.
        while self.titles.front().is_some_and(|(at, _)| at.0 <= file.started.0 + SNAP_MS) {
            self.title = self.titles.pop_front().map(|(_, title)| title);
        }
        if let Some(title) = &self.title {
            part.note_chapter(0, title, 0);
        }
        Ok(())
    }

    fn append(&mut self, tags: &[Tag]) -> io::Result<()> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let before = part.bytes();
        part.append(tags)?;
        self.shared.add_written(part.bytes() - before);
        if self.retry.take().is_some() {
            self.delay = RETRY.0;
            log::info!("recording into {} works again", self.config.dir.display());
        }
        self.shared.show(RecorderState::Recording);
        // A title that is newer may be that of a keyframe to come.
        let settled = part.started().0 + part.millis().saturating_sub(SNAP_MS);
        self.note_titles(settled);
        self.check_size()
    }

    fn check_size(&mut self) -> io::Result<()> {
        let Some((part, store)) = self.part.as_ref().zip(self.store.as_ref()) else { return Ok(()) };
        // A file is deleted as a whole: it must be a small part of what is kept.
        if self.config.most_bytes > 0 && part.bytes() > self.config.most_bytes / 4 {
            self.splitter.split();
        }
        if part.bytes() <= self.checked + ROOM_EVERY {
            return Ok(());
        }
        self.checked = part.bytes();
        // There is still room to close the file.
        store.check_room().inspect_err(|_| self.end_file(u64::MAX))
    }

    /// Notes the titles that began before `until`.
    fn note_titles(&mut self, until: u64) {
        let Some(part) = &mut self.part else { return };
        while let Some((at, title)) = self.titles.pop_front_if(|(at, _)| at.0 < until) {
            part.note_chapter(at.millis_since(part.started()), &title, SNAP_MS);
            self.title = Some(title);
        }
    }

    /// Closes the file, if there is one, with the titles that began before `until`.
    fn end_file(&mut self, until: u64) {
        let Some(ends) = self.part.as_ref().map(|part| part.started().0 + part.millis()) else { return };
        self.note_titles(ends.min(until));
        self.shared.end_file();
        let Some(part) = self.part.take() else { return };
        let path = part.path().display().to_string();
        match part.close() {
            Ok(Some(path)) => log::info!("recorded {}", path.display()),
            Ok(None) => {}
            Err(error) => {
                log::warn!("failed to close {path}: {error}; it can be played, and is closed later");
            }
        }
        self.tidied = None;
    }

    /// The disk fails: the file stays as it is, and the next one is tried later.
    fn fail(&mut self, error: &io::Error) {
        let dir = self.config.dir.display();
        if self.shared.is_due(&error.to_string()) {
            log::warn!(
                "failed to record into {dir}: {error}; the broadcast continues without a recording, which is tried \
                 again (RECORD_DIR, RECORD_KEEP, RECORD_MAX_GB)"
            );
        }
        self.shared.show(RecorderState::Failing { cause: error.to_string() });
        self.shared.end_file();
        // Its lock and path may be those of a disk that is gone.
        self.store = None;
        self.part = None;
        self.splitter.forget_file();
        self.retry = Some(Instant::now() + self.delay);
        self.delay = (self.delay * 2).min(RETRY.1);
    }

    /// Deletes old recordings, and closes what a crash or a full disk has left, once a minute.
    fn tidy(&mut self) {
        if self.tidied.is_some_and(|at| at.elapsed() < TIDY_EVERY) {
            return;
        }
        self.tidied = Some(Instant::now());
        // Also while a file is written: writing to a file that was removed does not fail.
        if let Err(error) = self.tidy_store() {
            self.fail(&error);
        }
    }

    fn tidy_store(&mut self) -> io::Result<()> {
        let store = match &self.store {
            Some(store) => store,
            None => self.store.insert(RecordingStore::open(&self.config.dir)?),
        };
        let now = Timestamp((self.clock.wall() * 1000.0) as u64);
        let limits = RecordingLimits { keep: self.config.keep, most: self.config.most_bytes };
        let (deleted, bytes) = store.expire(now, limits)?;
        if deleted > 0 {
            log::info!("deleted {deleted} old recordings of {}", self.config.dir.display());
        }
        METRICS.kept_bytes.set(bytes as i64);
        if let Some(part) = self.part.as_ref().filter(|part| !part.path().exists()) {
            let why = format!("{} was removed", part.path().display());
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        for path in store.unfinished(self.part.as_ref().map(RecordingPart::path))? {
            self.shared.beat();
            match repair(&path) {
                Ok(Some((path, millis))) => {
                    log::info!("closed the recording {}, of {} s", path.display(), millis / 1000);
                }
                Ok(None) => log::info!("deleted {}, which contains nothing", path.display()),
                Err(error) => log::warn!("failed to close the recording {}: {error}", path.display()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
