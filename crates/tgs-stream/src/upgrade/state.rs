//! What an upgrade needs of the broadcast, and its outcome. Decides nothing.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tgs_core::cancel::Cancel;
use tgs_playout::{
    command::Command,
    engine::Control,
    outputs::{RunningOutputs, RunningRecorder},
};

use super::messages::{HandedDescriptor, HandedIngest};
use crate::{
    live_takeover::LiveTakeover, playlist::Bookmarks, position::Position, queue::PlayQueue, setup::send,
    standing::Standing,
};

/// How long the engine that has left waits for the outcome: longer than the attempt does.
const OUTCOME: Duration = Duration::from_secs(40);

/// The upgrade of a broadcast. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Upgrade(pub(super) Arc<SharedUpgrade>);

pub(super) struct SharedUpgrade {
    pub(super) control: Control,
    pub(super) standing: Standing,
    pub(super) queue: PlayQueue,
    /// Why this broadcast cannot be handed over at all.
    pub(super) refusal: Option<&'static str>,
    state: Mutex<UpgradeState>,
    decided: Condvar,
    /// Set once the successor has the broadcast: its files and sockets are left alone.
    pub(super) handed_over: Cancel,
}

impl std::fmt::Debug for SharedUpgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedUpgrade")
    }
}

#[derive(Default)]
pub(super) struct UpgradeState {
    pub(super) running: bool,
    pub(super) outcome: Option<UpgradeOutcome>,
    /// Where the successor continues.
    pub(super) position: Option<Position>,
    descriptors: BTreeMap<HandedDescriptor, OwnedFd>,
    pub(super) ingest: Option<HandedIngest>,
    pub(super) bookmarks: Option<Bookmarks>,
    start_media: Option<StartMedia>,
    pub(super) live: Weak<LiveTakeover>,
    pub(super) media: Option<(Option<RunningOutputs>, Option<RunningRecorder>)>,
}

/// Starts the further outputs and the recording.
pub(crate) type StartMedia = Box<dyn Fn() -> (Option<RunningOutputs>, Option<RunningRecorder>) + Send + Sync>;

/// How an upgrade has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UpgradeOutcome {
    HandedOver,
    /// This process goes on.
    Failed,
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

    /// Keeps a copy of a descriptor for the successor, if there can be one. A host of a hot standby
    /// closes its listeners and opens them again.
    pub(crate) fn keep(&self, what: HandedDescriptor, descriptor: BorrowedFd<'_>) {
        if self.0.refusal.is_some() {
            return;
        }
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

    /// The live input, whose publisher goes over.
    pub(crate) fn set_live(&self, live: Weak<LiveTakeover>) {
        self.lock().live = live;
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

    /// Ends this process after the broadcast was handed over.
    pub(crate) fn finish(&self) {
        self.decide(UpgradeOutcome::HandedOver);
        send(&self.0.control, Command::Stop);
    }

    pub(super) fn decide(&self, outcome: UpgradeOutcome) {
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

    pub(super) fn lock(&self) -> MutexGuard<'_, UpgradeState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The descriptors to hand over, as copies.
    pub(super) fn descriptors(&self) -> Vec<(HandedDescriptor, OwnedFd)> {
        let state = self.lock();
        let copies =
            state.descriptors.iter().map(|(what, fd)| Some((*what, fd.as_fd().try_clone_to_owned().ok()?)));
        copies.flatten().collect()
    }
}
