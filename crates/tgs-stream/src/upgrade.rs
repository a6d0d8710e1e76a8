//! An upgrade without a gap: this process starts the program that is installed now beside itself,
//! hands the broadcast over to it at a picture, and ends.
//!
//! # Theory of operation
//!
//! ```text
//! this process                                     its successor
//! starts it ────────────────────────────────────>  reads the settings
//! <──────────────────────────────────────── hello
//! start: position, ingest, locks, listeners ─────> reads its first item ahead, held
//! <──────────────────────────────────────── ready
//! leaves the air at the position, closes its connection
//! go ────────────────────────────────────────────> publishes
//! <───────────────────────────────────────── live
//! MAINPID= to systemd; leaves Telegram; ends ────> opens the session, the sockets and the log
//! ```
//!
//! Until `go` the successor touches nothing that is shared; if it fails, it is killed and the
//! broadcast goes on. If it fails between `go` and `live`, this process publishes again, from the
//! same picture. Commands are refused meanwhile: the successor has read the files that they change.

mod attempt;
mod channel;
mod messages;
pub(crate) mod successor;

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tgs_core::cancel::Cancel;
use tgs_playout::{
    command::Command,
    engine::Control,
    outputs::{RunningOutputs, RunningRecorder},
};

pub(crate) use self::messages::{HandedDescriptor, HandedIngest};
use crate::{playlist::Bookmarks, position::Position, queue::PlayQueue, setup::send, standing::Standing};

/// How long the engine that has left waits for the outcome: longer than the attempt does.
const OUTCOME: Duration = Duration::from_secs(40);

/// The upgrade of a broadcast. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Upgrade(Arc<SharedUpgrade>);

struct SharedUpgrade {
    control: Control,
    standing: Standing,
    queue: PlayQueue,
    /// Why this broadcast cannot be handed over at all.
    refusal: Option<&'static str>,
    state: Mutex<UpgradeState>,
    decided: Condvar,
    /// Set once the successor has the broadcast: its files and sockets are left alone.
    handed_over: Cancel,
}

impl std::fmt::Debug for SharedUpgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedUpgrade")
    }
}

#[derive(Default)]
struct UpgradeState {
    running: bool,
    outcome: Option<UpgradeOutcome>,
    /// Where the successor continues.
    position: Option<Position>,
    descriptors: BTreeMap<HandedDescriptor, OwnedFd>,
    ingest: Option<HandedIngest>,
    bookmarks: Option<Bookmarks>,
    start_media: Option<StartMedia>,
    media: Option<(Option<RunningOutputs>, Option<RunningRecorder>)>,
}

/// Starts the further outputs and the recording.
pub(crate) type StartMedia = Box<dyn Fn() -> (Option<RunningOutputs>, Option<RunningRecorder>) + Send + Sync>;

/// How an upgrade has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpgradeOutcome {
    HandedOver,
    /// This process goes on.
    Failed,
}

/// Why the broadcast was not handed over. It goes on as before.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    /// This kind of broadcast never is.
    #[error("this broadcast cannot be handed over: {0}; restart it: systemctl restart tg_video_streamer")]
    Impossible(&'static str),
    /// Another upgrade is under way.
    #[error("another upgrade is under way")]
    Busy,
    /// The broadcast is being stopped.
    #[error("the broadcast is being stopped")]
    Stopping,
    /// The successor cannot be started.
    #[error("the new program cannot be started, and the old one goes on: {0}")]
    Start(#[source] std::io::Error),
    /// The successor was not ready in time, or has failed.
    #[error("the new program {doing}, and the old one goes on: {why}; see the log of the unit")]
    Successor {
        /// What it was to do.
        doing: &'static str,
        /// What it did instead.
        why: String,
    },
    /// No picture was found at which to hand over.
    #[error(
        "the broadcast did not reach a picture at which it can be handed over, and the old program goes on; try again"
    )]
    NoPoint,
}

/// The result of an upgrade.
#[derive(Debug)]
pub(crate) struct Takeover {
    /// The successor.
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// From the end of this process's connection to the first media of the successor; `None` if
    /// nothing was on air.
    pub(crate) gap: Option<Duration>,
}

impl Upgrade {
    pub(crate) fn new(
        control: &Control,
        standing: &Standing,
        queue: PlayQueue,
        refusal: Option<&'static str>,
    ) -> Self {
        Self(Arc::new(SharedUpgrade {
            control: control.clone(),
            standing: standing.clone(),
            queue,
            refusal,
            state: Mutex::default(),
            decided: Condvar::new(),
            handed_over: Cancel::new(),
        }))
    }

    /// Whether an upgrade is under way.
    pub(crate) fn is_running(&self) -> bool {
        self.lock().running
    }

    /// Set once the successor has the broadcast.
    pub(crate) fn handed_over(&self) -> Cancel {
        self.0.handed_over.clone()
    }

    /// Keeps a copy of a descriptor for the successor.
    pub(crate) fn keep(&self, what: HandedDescriptor, descriptor: BorrowedFd<'_>) {
        match descriptor.try_clone_to_owned() {
            Ok(copy) => drop(self.lock().descriptors.insert(what, copy)),
            Err(error) => log::debug!("{what:?} will not be handed over: {error}"),
        }
    }

    /// The ingest that is published to at present.
    pub(crate) fn set_ingest(&self, ingest: Option<HandedIngest>) {
        self.lock().ingest = ingest;
    }

    /// The list that plays at present.
    pub(crate) fn set_list(&self, bookmarks: Bookmarks) {
        self.lock().bookmarks = Some(bookmarks);
    }

    /// How the further outputs and the recording are started.
    pub(crate) fn set_media(&self, start: StartMedia) {
        self.lock().start_media = Some(start);
    }

    /// Starts the further outputs and the recording. They end with the broadcast or a hand-over.
    pub(crate) fn start_media(&self) {
        let mut state = self.lock();
        state.media = state.start_media.as_ref().map(|start| start());
    }

    /// Ends the further outputs and the recording.
    pub(crate) fn end_media(&self) {
        let media = self.lock().media.take();
        drop(media);
    }

    /// Where the successor continues, for an engine that has left for it.
    pub(crate) fn position(&self) -> Option<Position> {
        self.lock().position.clone()
    }

    /// Hands the broadcast over; it goes on if that fails. After success [`Upgrade::finish`] ends
    /// this process.
    pub(crate) fn run(&self) -> Result<Takeover, UpgradeError> {
        if let Some(why) = self.0.refusal {
            return Err(UpgradeError::Impossible(why));
        }
        if self.0.control.stopped().is_cancelled() {
            return Err(UpgradeError::Stopping);
        }
        {
            let mut state = self.lock();
            if std::mem::replace(&mut state.running, true) {
                return Err(UpgradeError::Busy);
            }
            (state.outcome, state.position) = (None, None);
        }
        log::info!("upgrade: starting the program that is installed now");
        let done = attempt::upgrade(self);
        match &done {
            Ok(taken) => {
                self.0.handed_over.cancel();
                log::info!("upgrade: handed over to tgs-stream {}, pid {}", taken.version, taken.pid);
            }
            Err(error) => {
                log::error!("upgrade: {error}");
                if self.lock().media.is_none() {
                    self.start_media();
                }
                self.decide(UpgradeOutcome::Failed);
            }
        }
        done
    }

    /// Ends this process after the broadcast was handed over.
    pub(crate) fn finish(&self) {
        self.decide(UpgradeOutcome::HandedOver);
        send(&self.0.control, Command::Stop);
    }

    fn decide(&self, outcome: UpgradeOutcome) {
        let mut state = self.lock();
        state.outcome = Some(outcome);
        state.running = outcome == UpgradeOutcome::HandedOver;
        self.0.decided.notify_all();
    }

    /// For an engine that has left the air: whether it is to publish again. Waits for the outcome.
    pub(crate) fn is_to_return(&self) -> bool {
        let undecided = |state: &mut UpgradeState| state.outcome.is_none();
        let waited = self.0.decided.wait_timeout_while(self.lock(), OUTCOME, undecided);
        waited.unwrap_or_else(PoisonError::into_inner).0.outcome != Some(UpgradeOutcome::HandedOver)
    }

    fn lock(&self) -> MutexGuard<'_, UpgradeState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The descriptors to hand over, as copies.
    fn descriptors(&self) -> Vec<(HandedDescriptor, OwnedFd)> {
        let state = self.lock();
        let copies =
            state.descriptors.iter().map(|(what, fd)| Some((*what, fd.as_fd().try_clone_to_owned().ok()?)));
        copies.flatten().collect()
    }
}

/// The time left until `deadline`.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
