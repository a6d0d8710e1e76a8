//! The as-run log: what was on air, from when to when, in `STATE_DIR/as-run.jsonl`.
//!
//! # Theory of operation
//!
//! The engine's events reach a thread of its own over a bounded queue, so neither a slow nor a full
//! disk delays the broadcast. `ledger` turns events into entries without gap or overlap. Each entry
//! has a line when it begins, which is fsynced, and a complete one when it ends. Meanwhile a small
//! file holds the time up to which media was sent; after a crash the entry ends there.

mod files;
mod ledger;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use tgs_control::{AsRunEntry, AsRunKind, Timestamp};
use tgs_core::{cancel::Cancel, supervise::keep_running};
use tgs_playout::{engine::Control, events::EventSubscription, status::SharedStatus};

use files::LogFiles;
pub(crate) use ledger::Ledger;

/// Events that may wait for a slow disk: hours of them.
const QUEUE: usize = 4096;

/// How often the time up to which media was sent is saved. With the 0.25 s that the time may be
/// old, a crash is placed within 2 s.
const ALIVE_EVERY: Duration = Duration::from_millis(1200);

/// How long the end of the tool waits for the last lines.
const SETTLE: Duration = Duration::from_secs(2);

/// The log of a running broadcast. Dropping it writes what has been reported.
#[derive(Debug)]
pub(crate) struct AsRunLog {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl AsRunLog {
    /// Writes the log of `control`'s broadcast into `state_dir`; old files are deleted after
    /// `keep`. Without a thread or a subscription there is no log, which a WARN says.
    ///
    /// With `after`, the files are touched once that is set: another process writes them before.
    pub(crate) fn start(state_dir: &Path, keep: Duration, control: &Control, after: Option<Cancel>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let thread = control.subscribe(QUEUE).map_err(|error| error.to_string()).and_then(|events| {
            let writer = AsRunWriter {
                files: LogFiles::new(state_dir, keep),
                events,
                status: control.status.clone(),
                stop: stop.clone(),
                after,
            };
            let spawned = thread::Builder::new().name("as-run".into()).spawn(move || writer.run());
            spawned.map_err(|error| error.to_string())
        });
        if let Err(error) = &thread {
            log::warn!("failed to start the as-run log, so nothing is written into it: {error}");
        }
        Self { stop, thread: thread.ok() }
    }
}

impl Drop for AsRunLog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + SETTLE;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The newest `limit` entries that began at or after `since`, oldest first.
pub fn list(state_dir: &Path, since: Option<Timestamp>, limit: usize) -> io::Result<Vec<AsRunEntry>> {
    files::list(state_dir, since, limit)
}

/// The thread's state.
struct AsRunWriter {
    files: LogFiles,
    events: EventSubscription,
    status: SharedStatus,
    stop: Arc<AtomicBool>,
    after: Option<Cancel>,
}

impl AsRunWriter {
    fn run(mut self) {
        if let Some(after) = self.after.take() {
            while !after.wait(ALIVE_EVERY / 4) {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
        let stop = self.stop.clone();
        let pause = |delay| {
            thread::sleep(delay);
            stop.load(Ordering::Relaxed)
        };
        keep_running("as-run", pause, || self.write());
    }

    fn write(&mut self) {
        let now = SystemTime::now().into();
        let (mut ledger, lines) = Ledger::resume(self.files.last_entry(), self.files.alive(), now);
        self.files.append(&lines);
        self.files.expire(now);
        let mut saved = Instant::now();
        loop {
            // Read before the queue: an event that precedes the stop is written.
            let stopping = self.stop.load(Ordering::Relaxed);
            let event = self.events.next(if stopping { Duration::ZERO } else { ALIVE_EVERY / 4 });
            let lost = self.events.take_lost();
            if lost > 0 {
                log::warn!(
                    "the as-run log misses {lost} events: {} is too slow",
                    self.files.path().display()
                );
            }
            match event {
                Some(event) => {
                    let lines = ledger.apply(&event);
                    self.files.append(&lines);
                }
                None if stopping => return,
                None => {}
            }
            if saved.elapsed() >= ALIVE_EVERY {
                saved = Instant::now();
                self.files.retry();
                self.save_alive(ledger.open());
            }
        }
    }

    fn save_alive(&mut self, open: Option<&AsRunEntry>) {
        let Some(open) = open else { return };
        let now = SystemTime::now();
        let at = match open.kind {
            AsRunKind::Item | AsRunKind::Filler => {
                let silent = self.status.read().sent_at.map(|at| at.elapsed()).unwrap_or_default();
                now.checked_sub(silent).unwrap_or(now)
            }
            // The next run continues an entry without a broadcast.
            AsRunKind::OffAir | AsRunKind::Unknown => return,
            AsRunKind::Outage => now,
        };
        self.files.set_alive(open.n, at.into());
    }
}

#[cfg(test)]
mod tests;
