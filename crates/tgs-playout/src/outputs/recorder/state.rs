//! What is known of the recorder, shared by its thread and those that ask.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tgs_control::{RecorderState, RecorderStatus};

use super::metrics::METRICS;
use crate::quiet_log::QuietLog;

/// A thread that has not turned for this time waits for the disk.
const STUCK: Duration = Duration::from_secs(7);

/// The same message is logged again after this time at the earliest.
const SILENCE: Duration = Duration::from_mins(10);

/// The recorder of a broadcast, once it is started. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecorderView(Arc<OnceLock<SharedRecorder>>);

impl RecorderView {
    pub(super) fn set(&self, recorder: SharedRecorder) {
        let _ = self.0.set(recorder);
    }

    /// Whether the broadcast is recorded.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.get().is_some()
    }

    /// The state; `None` if the broadcast is not recorded.
    pub(crate) fn status(&self) -> Option<RecorderStatus> {
        self.0.get().map(SharedRecorder::status)
    }

    /// The directory of the recordings.
    pub(crate) fn dir(&self) -> Option<&Path> {
        self.0.get().map(|recorder| &*recorder.0.dir)
    }
}

/// The state of the recorder. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct SharedRecorder(Arc<RecorderShown>);

#[derive(Debug)]
struct RecorderShown {
    dir: PathBuf,
    created: Instant,
    /// Milliseconds from `created` to the last turn of the thread.
    beat: AtomicU64,
    changing: Mutex<RecorderChanging>,
}

#[derive(Debug, Default)]
struct RecorderChanging {
    state: RecorderState,
    file: Option<String>,
    written: u64,
    lost: f64,
    logged: QuietLog,
}

impl SharedRecorder {
    pub(super) fn new(dir: &Path) -> Self {
        METRICS.active.set(0);
        Self(Arc::new(RecorderShown {
            dir: dir.to_owned(),
            created: Instant::now(),
            beat: AtomicU64::new(0),
            changing: Mutex::default(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, RecorderChanging> {
        self.0.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread turns.
    pub(super) fn beat(&self) {
        self.0.beat.store(self.0.created.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    pub(super) fn show(&self, state: RecorderState) {
        METRICS.active.set((state == RecorderState::Recording).into());
        self.lock().state = state;
    }

    pub(super) fn begin_file(&self, name: String) {
        self.lock().file = Some(name);
    }

    pub(super) fn end_file(&self) {
        self.lock().file = None;
    }

    pub(super) fn add_written(&self, bytes: u64) {
        METRICS.written_bytes.inc_by(bytes);
        self.lock().written += bytes;
    }

    pub(super) fn add_lost(&self, lost: Duration) {
        METRICS.lost_seconds.inc_by(lost.as_secs_f64());
        self.lock().lost += lost.as_secs_f64();
    }

    /// Whether a message about `what` is new, or was logged long ago.
    pub(super) fn is_due(&self, what: &str) -> bool {
        self.lock().logged.is_due(what, Instant::now(), SILENCE)
    }

    fn status(&self) -> RecorderStatus {
        let turned = Duration::from_millis(self.0.beat.load(Ordering::Relaxed));
        let changing = self.lock();
        let recorder = if self.0.created.elapsed() > turned + STUCK {
            RecorderState::Failing { cause: "the disk does not answer".to_owned() }
        } else {
            changing.state.clone()
        };
        RecorderStatus {
            dir: self.0.dir.display().to_string(),
            recorder,
            file: changing.file.clone(),
            written_bytes: changing.written,
            lost_seconds: changing.lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_turn_waits_for_the_disk() {
        let state = |idle: Duration| {
            let created = Instant::now().checked_sub(idle).unwrap();
            let changing =
                RecorderChanging { state: RecorderState::Recording, ..RecorderChanging::default() };
            let shown = RecorderShown {
                dir: "/r".into(),
                created,
                beat: AtomicU64::new(1000),
                changing: Mutex::new(changing),
            };
            SharedRecorder(Arc::new(shown)).status().recorder
        };
        assert_eq!(state(Duration::from_secs(5)), RecorderState::Recording);
        let cause = "the disk does not answer".to_owned();
        assert_eq!(state(Duration::from_secs(10)), RecorderState::Failing { cause });
    }
}
