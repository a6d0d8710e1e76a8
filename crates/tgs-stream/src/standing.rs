//! The commands that outlive a restart: pause, title, stop and paused outputs, kept in
//! `STATE_DIR/control.json`.
//!
//! A stopped broadcast has no engine: [`Standing::run_gated`] starts one only while the broadcast
//! is not stopped. Each change is on the disk before the command takes effect.

use std::{
    collections::BTreeSet,
    fs, io, mem,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime},
};

use prometheus::{IntGauge, register_int_gauge};
use serde::{Deserialize, Serialize};
use tgs_control::CommandSender;
use tgs_core::{cancel::Cancel, files, supervise::keep_running, time::hours_and_minutes};
use tgs_playout::{
    command::{Command, CommandRefused},
    engine::Control,
    outputs::UnknownOutput,
};

use crate::setup::send;

/// Explains the silence to alerts.
static STOPPED: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!("tgs_stopped", "1 while an operator has stopped the broadcast, else 0.")
        .expect("the name is valid and registered here only")
});

/// How often a wait looks at the stop flag of the tool.
const POLL_EVERY: Duration = Duration::from_millis(200);

/// Longer than any file that this tool writes.
const LONGEST_FILE: u64 = 64 << 10;

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    /// Whether the broadcast is stopped.
    stopped: bool,
    /// When the pause began, in seconds since the epoch.
    paused_at: Option<u64>,
    /// The broadcast's title.
    title: Option<String>,
    /// The further outputs that are paused, also those that the settings do not name at present.
    paused_outputs: BTreeSet<String>,
}

/// The standing commands of a broadcast. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Standing(Arc<SharedStanding>);

#[derive(Debug)]
struct SharedStanding {
    /// `None` if nothing is kept.
    path: Option<PathBuf>,
    pause_max: Duration,
    control: Control,
    /// Held by one change at a time, while it is written and sent to the engine; taken before
    /// `state`. A disk that hangs delays other changes only.
    changing: Mutex<()>,
    /// Never locked during disk access: the status and the watchdog's thread read it.
    state: Mutex<StandingState>,
    /// Signals each change of `state`.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct StandingState {
    kept: Kept,
    /// The engine that publishes at present.
    engine: Option<Control>,
    /// Whether the engine is being ended by a stop, which a start may follow at once.
    ends_by_stop: bool,
}

/// Why a standing command was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StandingError {
    /// The engine refuses the command.
    #[error(transparent)]
    Refused(#[from] CommandRefused),
    /// No output has the name.
    #[error(transparent)]
    UnknownOutput(#[from] UnknownOutput),
    /// The command could not be kept, so that a restart would undo it.
    #[error("the command cannot be kept in {}: {source}", .path.display())]
    NotKept { path: PathBuf, source: io::Error },
}

impl Standing {
    /// Reads what is kept in `state_dir`, and applies it to the broadcast of `control`. Without
    /// `state_dir` nothing is kept.
    pub(crate) fn open(state_dir: Option<&Path>, pause_max: Duration, control: &Control) -> Self {
        let path = state_dir.map(|dir| dir.join("control.json"));
        let kept = path.as_deref().map(read).unwrap_or_default();
        STOPPED.set(kept.stopped.into());
        if kept.stopped {
            log::warn!("the broadcast is stopped since an operator stopped it; `tgs-ctl start` starts it");
        }
        let standing = Self(Arc::new(SharedStanding {
            path,
            pause_max,
            control: control.clone(),
            changing: Mutex::default(),
            state: Mutex::new(StandingState { kept: kept.clone(), ..StandingState::default() }),
            changed: Condvar::new(),
        }));
        if let Some(title) = kept.title {
            send(control, Command::Title(title));
        }
        if kept.paused_at.is_some() {
            send(control, Command::Pause);
        }
        standing.limit_pauses();
        standing
    }

    /// Whether the broadcast is stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().kept.stopped
    }

    /// Whether an engine runs.
    pub(crate) fn is_playing(&self) -> bool {
        self.lock().engine.is_some()
    }

    /// When the pause ends by itself; `None` without a pause.
    pub(crate) fn pause_ends(&self) -> Option<SystemTime> {
        self.ends(&self.lock().kept)
    }

    fn ends(&self, kept: &Kept) -> Option<SystemTime> {
        let began = Duration::from_secs(kept.paused_at?.min(seconds_now()));
        Some(SystemTime::UNIX_EPOCH + began + self.0.pause_max)
    }

    pub(crate) fn pause(&self, by: &CommandSender) -> Result<(), StandingError> {
        let now = seconds_now();
        self.keep(
            |kept| kept.paused_at = kept.paused_at.or(Some(now)),
            || self.0.control.send_as(Command::Pause, by),
        )
    }

    pub(crate) fn resume(&self, by: &CommandSender) -> Result<(), StandingError> {
        self.keep(|kept| kept.paused_at = None, || self.0.control.send_as(Command::Resume, by))
    }

    pub(crate) fn set_title(&self, title: String, by: &CommandSender) -> Result<(), StandingError> {
        let kept_title = Some(title.clone()).filter(|title| !title.is_empty());
        self.keep(|kept| kept.title = kept_title, || self.0.control.send_as(Command::Title(title), by))
    }

    /// The further outputs that start paused.
    pub(crate) fn paused_outputs(&self) -> BTreeSet<String> {
        self.lock().kept.paused_outputs.clone()
    }

    /// Pauses or resumes the further output `name`.
    pub(crate) fn set_output_paused(&self, name: &str, paused: bool) -> Result<(), StandingError> {
        // Nothing is kept of a name that is not an output's.
        self.0.control.check_output(name)?;
        self.keep(
            |kept| {
                if paused {
                    kept.paused_outputs.insert(name.to_owned());
                } else {
                    kept.paused_outputs.remove(name);
                }
            },
            || {
                self.0.control.set_output_paused(name, paused);
                Ok(())
            },
        )
    }

    /// Stops the broadcast at once.
    pub(crate) fn stop(&self, by: &CommandSender) -> Result<(), StandingError> {
        self.keep(
            |kept| kept.stopped = true,
            || {
                // The gate registers an engine under the same lock, and only while not stopped.
                let mut state = self.lock();
                if let Some(engine) = &state.engine {
                    engine.send_as(Command::Stop, by)?;
                    state.ends_by_stop = true;
                }
                Ok(())
            },
        )
    }

    /// Stops the broadcast once the current item ends.
    pub(crate) fn stop_after_current(&self, by: &CommandSender) -> Result<(), StandingError> {
        let state = self.lock();
        let Some(engine) = &state.engine else { return Err(CommandRefused::NothingPlays.into()) };
        Ok(engine.send_as(Command::StopAfterCurrent, by)?)
    }

    /// Starts a stopped broadcast.
    pub(crate) fn start(&self) -> Result<(), StandingError> {
        self.keep(|kept| kept.stopped = false, || Ok(()))
    }

    /// Waits until the broadcast is not stopped. `false` if `cancel` was set meanwhile.
    pub(crate) fn await_start(&self, cancel: &Cancel) -> bool {
        let mut state = self.lock();
        while state.kept.stopped && !cancel.is_cancelled() {
            state = self.wait(state, POLL_EVERY);
        }
        !cancel.is_cancelled()
    }

    /// Runs the engine through `run`, again after each stop and start, until it ends by itself or
    /// `control` is stopped. `None` if `control` was stopped while no engine ran.
    pub(crate) fn run_gated<T>(&self, control: &Control, mut run: impl FnMut(&Control) -> T) -> Option<T> {
        let cancel = control.stopped();
        loop {
            if !self.await_start(&cancel) {
                return None;
            }
            let engine = control.part();
            {
                let mut state = self.lock();
                if state.kept.stopped {
                    continue;
                }
                state.engine = Some(engine.clone());
            }
            let ended = run(&engine);
            let mut state = self.lock();
            state.engine = None;
            let by_stop = mem::take(&mut state.ends_by_stop);
            if cancel.is_cancelled() {
                // A stop after the current item holds for the engine of the next ingest, too.
                return Some(ended);
            }
            drop(state);
            let after_current = control.is_ending();
            if !by_stop && !after_current {
                return Some(ended);
            }
            if after_current && let Err(error) = self.keep(|kept| kept.stopped = true, || Ok(())) {
                log::warn!("{error}");
            }
            control.rest();
            if self.is_stopped() {
                log::info!("the broadcast is stopped; `tgs-ctl start` starts it");
            }
        }
    }

    /// Changes what is kept: on the disk first, then in memory; then `send`s the command. Changes
    /// reach disk and engine in the same order.
    fn keep(
        &self,
        change: impl FnOnce(&mut Kept),
        send: impl FnOnce() -> Result<(), CommandRefused>,
    ) -> Result<(), StandingError> {
        let _changing = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.lock().kept.clone();
        let mut kept = before.clone();
        change(&mut kept);
        if kept != before {
            if let Some(path) = &self.0.path {
                write(path, &kept).map_err(|source| StandingError::NotKept { path: path.clone(), source })?;
            }
            STOPPED.set(kept.stopped.into());
            self.lock().kept = kept;
            self.0.changed.notify_all();
        }
        Ok(send()?)
    }

    /// Ends pauses that last too long, until the tool stops.
    fn limit_pauses(&self) {
        let (standing, stopped) = (self.clone(), self.0.control.stopped());
        let run = move || {
            keep_running(
                "pause-limit",
                |delay| stopped.wait(delay),
                || {
                    while !stopped.is_cancelled() {
                        standing.end_pause_when_due();
                    }
                },
            );
        };
        if let Err(error) = thread::Builder::new().name("pause-limit".into()).spawn(run) {
            log::warn!("PAUSE_MAX has no effect: failed to start a thread: {error}");
        }
    }

    fn end_pause_when_due(&self) {
        let mut state = self.lock();
        // A clock that was set back would prolong the pause by the whole step.
        state.kept.paused_at = state.kept.paused_at.map(|at| at.min(seconds_now()));
        let left = self.ends(&state.kept).map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
        match left {
            Some(Duration::ZERO) => {
                drop(state);
                log::warn!(
                    "the pause has lasted PAUSE_MAX ({}); the broadcast continues",
                    hours_and_minutes(self.0.pause_max)
                );
                if let Err(error) = self.resume(&CommandSender::internal()) {
                    log::warn!("{error}");
                    // The disk refuses; the viewers shall not wait for it.
                    self.lock().kept.paused_at = None;
                    send(&self.0.control, Command::Resume);
                }
            }
            left => {
                let limit = Duration::from_secs(1);
                drop(self.wait(state, left.unwrap_or(limit).min(limit)));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, StandingState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, StandingState>,
        limit: Duration,
    ) -> MutexGuard<'a, StandingState> {
        self.0.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0
    }
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Reads the file. A damaged one is set aside: the broadcast then runs, which is the safe state.
fn read(path: &Path) -> Kept {
    let text = match files::read_regular(path, LONGEST_FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Kept::default(),
        Err(error) => {
            log::warn!("pause, title and stop are not restored: cannot read {}: {error}", path.display());
            return Kept::default();
        }
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        let aside = path.with_extension("json.damaged");
        log::warn!(
            "pause, title and stop are not restored: {} is damaged ({error}); it is kept as {}",
            path.display(),
            aside.display()
        );
        let _ = fs::rename(path, aside);
        Kept::default()
    })
}

fn write(path: &Path, kept: &Kept) -> io::Result<()> {
    files::replace(path, format!("{}\n", serde_json::to_string(kept)?).as_bytes(), 0o640)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn operator() -> CommandSender {
        CommandSender { user: "root".into(), client: None }
    }

    fn open(dir: &Path) -> Standing {
        Standing::open(Some(dir), Duration::from_hours(1), &Control::default())
    }

    #[test]
    fn pause_title_and_stop_outlive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path());
        first.pause(&operator()).unwrap();
        first.set_title("Night".into(), &operator()).unwrap();
        first.stop(&operator()).unwrap();
        let ends = first.pause_ends().unwrap();

        let second = open(dir.path());
        assert!(second.is_stopped());
        assert_eq!(second.pause_ends(), Some(ends));
        let status = second.0.control.status.read().status;
        assert_eq!((status.paused, status.title.as_deref()), (true, Some("Night")));
        second.start().unwrap();
        second.resume(&operator()).unwrap();
        second.set_title(String::new(), &operator()).unwrap();

        let third = open(dir.path());
        assert!(!third.is_stopped() && third.pause_ends().is_none());
        let status = third.0.control.status.read().status;
        assert_eq!((status.paused, status.title), (false, None));
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_the_broadcast_runs() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("control.json"), "{\"stopped\":tr").unwrap();
        assert!(!open(dir.path()).is_stopped());
        assert!(dir.path().join("control.json.damaged").exists());
    }

    #[test]
    fn a_command_that_cannot_be_kept_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let standing = open(&dir.path().join("missing"));
        let error = standing.stop(&operator()).unwrap_err().to_string();
        assert!(error.contains("cannot be kept in") && !standing.is_stopped(), "{error}");
    }

    #[test]
    fn a_forgotten_pause_ends() {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::default();
        let standing = Standing::open(Some(dir.path()), Duration::from_millis(50), &control);
        standing.pause(&operator()).unwrap();
        while control.status.read().status.paused {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(standing.pause_ends(), None);
        control.send(Command::Stop).unwrap();
    }

    #[test]
    fn an_engine_runs_only_while_the_broadcast_is_not_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::default();
        let standing = Standing::open(Some(dir.path()), Duration::from_hours(1), &control);
        let (began, runs) = mpsc::channel();
        let gated = {
            let (standing, control) = (standing.clone(), control.clone());
            thread::spawn(move || {
                standing.run_gated(&control, |engine| {
                    began.send(()).unwrap();
                    while !engine.stopped().wait(Duration::from_secs(1)) {}
                })
            })
        };
        runs.recv().unwrap();
        standing.stop(&operator()).unwrap();
        standing.start().unwrap();
        runs.recv().unwrap();
        standing.stop(&operator()).unwrap();
        assert!(runs.recv_timeout(Duration::from_millis(300)).is_err(), "an engine of a stopped broadcast");
        control.send(Command::Stop).unwrap();
        assert_eq!(gated.join().unwrap(), None);
    }
}
