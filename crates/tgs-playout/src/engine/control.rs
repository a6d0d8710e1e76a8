//! The handle by which other threads control a broadcast, and the router that passes commands to
//! the running engine.
//!
//! Sending never blocks. This module knows no signals, sockets or playlists.

use std::{
    mem,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use tgs_control::{BroadcastEvent, CommandSender, ItemEnd, OnAir, OutputStatus, RecorderStatus};
use tgs_core::{
    cancel::Cancel,
    permit::Permit,
    supervise::{Panic, contain},
    systemd::Watchdog,
};

use super::{
    opened_lane::{OpenLanes, OpenedLane},
    requests::PlaylistRequest,
};
use crate::{
    command::{Command, CommandRefused},
    events::{EventSubscription, Events, TooManySubscriptions},
    handover::{HeldStart, LeavePoint, Leaving},
    item::JumpTarget,
    item_notes::ItemNotes,
    lane::{Lane, LaneHandle, LaneRefused},
    monitor::{Monitor, Monitors, TooManyMonitors},
    outputs::{OutputConfig, Outputs, RecorderConfig, RunningOutputs, RunningRecorder, UnknownOutput},
    profile::Profile,
    read_ahead::{Discard, ReadAhead},
    status::{METRICS, SharedStatus},
};

/// Limit of commands that wait for an engine.
const MOST_WAITING: usize = 64;

/// Events that may wait for the recorder, which a slow disk delays.
const RECORDER_EVENTS: usize = 1024;

/// Handle by which other threads control a broadcast. Clones share its state.
#[derive(Debug, Clone, Default)]
pub struct Control {
    pub(crate) cancel: Cancel,
    /// All connections of the broadcast send under it.
    pub(crate) permit: Permit,
    /// State and snapshot of the broadcast.
    pub status: SharedStatus,
    /// Watchdog that the pacing loop reports to.
    pub watchdog: Watchdog,
    router: Arc<Mutex<CommandRouter>>,
    pub(crate) monitors: Monitors,
    pub(crate) outputs: Outputs,
    pub(crate) events: Events,
    pub(crate) notes: ItemNotes,
    pub(crate) leaving: Leaving,
    pub(crate) held: HeldStart,
}

/// Passes commands to the engine, or keeps them until an engine is attached.
///
/// Decision 0007 has the order of its lock and those that are taken inside.
#[derive(Debug, Default)]
struct CommandRouter {
    engine: Option<AttachedEngine>,
    /// Commands for the next engine.
    waiting: Vec<Command>,
    /// Where the current item continues by the last command, and the turn published at that
    /// command: valid until another turn is published.
    continues: Option<(Option<u64>, Duration)>,
}

/// A running engine.
#[derive(Debug)]
struct AttachedEngine {
    read_ahead: Arc<ReadAhead>,
    requests: mpsc::Sender<PlaylistRequest>,
    opener: Box<dyn OpenLanes>,
    /// The lanes opened in this run.
    lanes: Vec<OpenedLane>,
}

/// Dropping this detaches the engine from the router.
#[derive(Debug)]
pub(crate) struct EngineGuard(Arc<Mutex<CommandRouter>>);

impl Drop for EngineGuard {
    fn drop(&mut self) {
        lock(&self.0).engine = None;
    }
}

impl Control {
    /// A new broadcast that sends under `permit`, and is stopped once `stopped` is set.
    #[must_use]
    pub fn under(permit: Permit, stopped: &Cancel) -> Self {
        Self { cancel: stopped.child(), permit, ..Self::default() }
    }

    /// A handle to a further broadcast that shares the snapshot and the commands, except
    /// [`Command::Stop`], which each handle has for itself.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { cancel: Cancel::new(), ..self.clone() }
    }

    /// A handle to one of several engines that follow each other in this broadcast:
    /// [`Command::Stop`] sent to it ends that engine only.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { cancel: self.cancel.child(), ..self.clone() }
    }

    /// Shows that no engine publishes, after one has ended by a command; the next one may follow.
    pub fn rest(&self) {
        self.status.standing().clear_stop();
        self.status.update(|state| {
            *state = state.for_next_run();
            state.status.on_air = OnAir::Stopped;
        });
    }

    /// Set once the broadcast is stopped or over. Cancelling this child does not stop the
    /// broadcast.
    #[must_use]
    pub fn stopped(&self) -> Cancel {
        self.cancel.child()
    }

    /// Sends a command of the tool itself; see [`Control::send_as`].
    pub fn send(&self, command: Command) -> Result<(), CommandRefused> {
        self.send_as(command, &CommandSender::internal())
    }

    /// Sends a command to the broadcast without waiting for its effect. The log, the events and the
    /// as-run log name the sender.
    pub fn send_as(&self, command: Command, by: &CommandSender) -> Result<(), CommandRefused> {
        let mut router = lock(&self.router);
        if command == Command::Stop {
            self.notes.stopped(by);
            self.cancel.cancel();
            return Ok(());
        }
        if self.cancel.is_cancelled() {
            return Err(CommandRefused::Stopped);
        }
        // The playlist watch sends Reload often, and the effect of a reload is logged anyway; so is
        // the change that causes a Replan.
        let quiet = matches!(command, Command::Reload | Command::Replan);
        let level = if quiet { log::Level::Debug } else { log::Level::Info };
        let shown = command.to_string();
        // Noted before the playout thread can see the effect.
        let left = router.engine.as_ref().filter(|_| command.leaves_current());
        let left = left.map(|engine| engine.target(&command).0.current_seq());
        if let Some(seq) = left {
            self.notes.set(seq, ItemEnd::Skipped { by: by.clone(), command: shown.clone() });
        }
        let taken = router.take(command, &self.status);
        if let (Err(_), Some(seq)) = (&taken, left) {
            self.notes.forget(seq);
        }
        taken?;
        if *by == CommandSender::internal() {
            log::log!(level, "command: {shown}");
        } else {
            log::log!(level, "command: {shown} (from {by})");
        }
        Ok(())
    }

    /// Opens a lane beside the list of the running engine. It ends with that engine.
    pub fn open_lane(&self, lane: Lane) -> Result<LaneHandle, LaneRefused> {
        let mut router = lock(&self.router);
        if self.cancel.is_cancelled() {
            return Err(LaneRefused::NotRunning);
        }
        let engine = router.engine.as_mut().ok_or(LaneRefused::NotRunning)?;
        engine.lanes.retain(|opened| !opened.lane.cancel.is_cancelled());
        let opened = engine.opener.open(lane)?;
        let handle = LaneHandle(opened.lane.clone());
        engine.lanes.push(opened);
        Ok(handle)
    }

    /// The coming keyframes of the list at which another engine can continue, nearest first; none
    /// while no engine runs or nothing of the list is encoded. Those that are not encoded yet are
    /// expected where the encoder's groups end.
    #[must_use]
    pub fn leave_points(&self) -> Vec<LeavePoint> {
        let read_ahead = lock(&self.router).engine.as_ref().map(|engine| engine.read_ahead.clone());
        read_ahead.map(|read_ahead| read_ahead.leave_points()).unwrap_or_default()
    }

    /// Asks the engine to leave the air before `point`: it sends what comes before, closes its
    /// connection, and ends with [`super::RunEnd::Left`]. A point that is never reached
    /// has no effect.
    pub fn leave_at(&self, point: &LeavePoint) {
        self.leaving.before(point.key);
    }

    /// The same while the list waits: where the filler may end, or before a keyframe of the lane on
    /// air. The list continues at the first of [`Control::leave_points`].
    pub fn leave_at_rest(&self) {
        self.leaving.at_rest();
    }

    /// Withdraws the request to leave. `false` if the engine is leaving already, or has left.
    #[must_use]
    pub fn stay(&self) -> bool {
        self.leaving.stay()
    }

    /// Waits up to `limit` until the engine has left the air and closed its connection.
    #[must_use]
    pub fn wait_left(&self, limit: Duration) -> bool {
        self.leaving.wait_left(limit)
    }

    /// Whether the last engine run has left the air for another engine.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.leaving.has_left()
    }

    /// Whether a held engine runs, so that lanes can be opened.
    #[must_use]
    pub fn is_getting_ready(&self) -> bool {
        self.held.is_held() && lock(&self.router).engine.is_some()
    }

    /// Holds the next engine run before it connects, until [`Control::release`]. It reads its first
    /// item ahead meanwhile, from exactly where the item starts.
    pub fn hold(&self) {
        self.held.hold();
    }

    /// Whether the held engine can begin at once: enough of its first item is encoded, and of the
    /// lanes that are due.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.held.is_ready()
    }

    /// Ends the hold: the engine connects and sends.
    pub fn release(&self) {
        self.held.release();
    }

    /// Attaches a monitor: a receiver of the broadcast as FLV, also across engine runs.
    pub fn monitor(&self) -> Result<Monitor, TooManyMonitors> {
        self.monitors.attach()
    }

    /// Starts the further outputs, for all engine runs; once in a process. They end with the
    /// result, or with the broadcast.
    #[must_use]
    pub fn start_outputs(&self, outputs: Vec<OutputConfig>, profile: &Profile) -> RunningOutputs {
        self.outputs.start(outputs, profile, self.stopped(), &self.permit)
    }

    /// Starts to record what is aired, for all engine runs; once in a process, and before the first
    /// run. The recording ends with the result, after all that was sent.
    #[must_use]
    pub fn start_recorder(&self, config: RecorderConfig) -> RunningRecorder {
        let events = self.subscribe(RECORDER_EVENTS);
        if let Err(error) = &events {
            log::warn!("the recordings have no titles: {error}");
        }
        // Not with the broadcast, which sends its last frames after it is stopped.
        self.outputs.start_recorder(config, events.ok(), Cancel::new())
    }

    /// The state of the recording; `None` if the broadcast is not recorded.
    #[must_use]
    pub fn recording(&self) -> Option<RecorderStatus> {
        self.outputs.recorder.status()
    }

    /// The directory of the recordings.
    #[must_use]
    pub fn recording_dir(&self) -> Option<&Path> {
        self.outputs.recorder.dir()
    }

    /// The state of the further outputs.
    #[must_use]
    pub fn outputs(&self) -> Vec<OutputStatus> {
        self.outputs.list()
    }

    /// Checks that a further output has the name.
    pub fn check_output(&self, name: &str) -> Result<(), UnknownOutput> {
        self.outputs.find(name).map(drop)
    }

    /// Pauses or resumes the further output `name`, if there is one.
    pub fn set_output_paused(&self, name: &str, paused: bool) {
        if let Ok(output) = self.outputs.find(name) {
            output.set_paused(paused);
        }
    }

    /// Subscribes to the events of what is on air, also across engine runs. `depth` events may
    /// wait; later ones are lost and counted.
    pub fn subscribe(&self, depth: usize) -> Result<EventSubscription, TooManySubscriptions> {
        self.events.subscribe(depth)
    }

    /// Hands an event to the subscribers.
    pub fn report(&self, event: BroadcastEvent) {
        self.events.report(event);
    }

    /// Runs `work`, the body of the required thread `name`. A panic ends the broadcast: /healthz
    /// names it, the watchdog ping stops, and `engine::run` fails.
    pub(crate) fn guard<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> Option<T> {
        contain(work).map_err(|panic| self.died(name, &panic)).ok()
    }

    /// Records that the thread `name` died of `panic`, and cancels the broadcast.
    fn died(&self, name: &'static str, panic: &Panic) {
        self.watchdog.died(name);
        self.status.update(|state| state.dead_thread = Some((name, panic.to_string())));
        self.cancel.cancel();
    }

    /// Attaches an engine to the router. The waiting commands reach it first.
    pub(crate) fn attach(
        &self,
        read_ahead: Arc<ReadAhead>,
        requests: mpsc::Sender<PlaylistRequest>,
        opener: Box<dyn OpenLanes>,
    ) -> EngineGuard {
        let mut router = lock(&self.router);
        if self.status.standing().stops_after_current() {
            read_ahead.end_with_current();
        }
        router.engine = Some(AttachedEngine { read_ahead, requests, opener, lanes: Vec::new() });
        router.continues = None;
        for command in mem::take(&mut router.waiting) {
            if let Err(refused) = router.take(command, &self.status) {
                log::warn!("a command was not taken: {refused}");
            }
        }
        EngineGuard(Arc::clone(&self.router))
    }

    /// Whether the broadcast ends after the current item.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.status.standing().stops_after_current()
    }
}

fn lock(router: &Mutex<CommandRouter>) -> MutexGuard<'_, CommandRouter> {
    router.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CommandRouter {
    fn take(&mut self, command: Command, status: &SharedStatus) -> Result<(), CommandRefused> {
        match command {
            Command::Next => {
                self.engine()?.target(&command).0.skip()?;
                self.continue_at(Duration::ZERO, status);
            }
            Command::Previous => self.jump(JumpTarget::Before, status)?,
            Command::Seek(to) => self.jump(JumpTarget::Again(to), status)?,
            Command::SeekBy(by) => self.jump(JumpTarget::Again(self.moved_by(by, status)), status)?,
            Command::Goto(entry) => self.jump(JumpTarget::Entry(entry), status)?,
            Command::Reload | Command::Replan if self.waiting.contains(&command) => {}
            Command::Reload | Command::Replan if self.engine.is_none() => {
                if self.waiting.len() >= MOST_WAITING {
                    return Err(CommandRefused::Busy);
                }
                self.waiting.push(command);
            }
            Command::Replan => {
                let engine = self.engine()?;
                let meant = engine.read_ahead.jump(Discard::Later, false)?;
                engine.send_request(PlaylistRequest::Replan(meant));
            }
            Command::Reload => {
                let engine = self.engine()?;
                engine.read_ahead.reserve_request()?;
                engine.send_request(PlaylistRequest::Reload);
            }
            Command::Pause | Command::Resume => {
                let paused = command == Command::Pause;
                status.standing().set_paused(paused);
                if let Some(engine) = &self.engine {
                    engine.read_ahead.wake();
                }
                METRICS.paused.set(paused.into());
            }
            Command::Title(title) => {
                status.show(|status| status.title = Some(title).filter(|title| !title.is_empty()));
            }
            Command::StopAfterCurrent => {
                let again = status.standing().stop_after_current();
                if let Some(engine) = self.engine.as_ref().filter(|_| !again) {
                    engine.end_with_current();
                }
            }
            Command::Stop => {}
        }
        Ok(())
    }

    fn engine(&self) -> Result<&AttachedEngine, CommandRefused> {
        self.engine.as_ref().ok_or(CommandRefused::NothingPlays)
    }

    /// Discards the read-ahead and continues at `to`.
    fn jump(&mut self, to: JumpTarget, status: &SharedStatus) -> Result<(), CommandRefused> {
        let (read_ahead, requests) = self.engine()?.target_of_jump(to);
        let meant = read_ahead.jump(Discard::All, matches!(to, JumpTarget::Again(_)))?;
        // Fails only after the prepare thread has ended: the broadcast, or the lane, is over.
        let _ = requests.send(PlaylistRequest::Jump(meant, to));
        let at = if let JumpTarget::Again(at) = to { at } else { Duration::ZERO };
        self.continue_at(at, status);
        Ok(())
    }

    /// Records that the current item continues at `at`.
    fn continue_at(&mut self, at: Duration, status: &SharedStatus) {
        self.continues = Some((status.position().map(|position| position.turn), at));
    }

    /// The position in the current item, moved by `by` milliseconds.
    fn moved_by(&self, by: i64, status: &SharedStatus) -> Duration {
        let published = status.position();
        let turn = published.as_ref().map(|published| published.turn);
        let at = match self.continues {
            Some((then, at)) if then == turn => at,
            _ => published.map_or(Duration::ZERO, |published| published.offset),
        };
        let by_ms = Duration::from_millis(by.unsigned_abs());
        if by < 0 { at.saturating_sub(by_ms) } else { at.saturating_add(by_ms) }
    }
}

impl AttachedEngine {
    /// The read-ahead and the playlist that a command refers to: those of the lane on air, else the
    /// list's. [`Command::Goto`] names an entry of the list.
    fn target(&self, command: &Command) -> (&ReadAhead, &mpsc::Sender<PlaylistRequest>) {
        let lane = self.opener.lanes().on_air().filter(|_| !matches!(command, Command::Goto(_)));
        let opened = lane.and_then(|lane| self.lanes.iter().find(|opened| opened.lane.id == lane.id));
        opened.map_or((&*self.read_ahead, &self.requests), |opened| {
            (&*opened.lane.read_ahead, &opened.requests)
        })
    }

    fn target_of_jump(&self, to: JumpTarget) -> (&ReadAhead, &mpsc::Sender<PlaylistRequest>) {
        let of_list = matches!(to, JumpTarget::Entry(_));
        self.target(if of_list { &Command::Goto(0) } else { &Command::Previous })
    }

    /// Ends the broadcast with the current item. A list that a lane has interrupted continues
    /// there in the next run.
    fn end_with_current(&self) {
        match self.opener.lanes().on_air() {
            None => self.read_ahead.end_with_current(),
            Some(lane) => {
                lane.end_broadcast();
                lane.read_ahead.end_with_current();
            }
        }
    }

    /// Sends a request that the read-ahead has already counted, which bounds the queue.
    fn send_request(&self, request: PlaylistRequest) {
        // Fails only after the prepare thread has ended: the broadcast is over.
        let _ = self.requests.send(request);
    }
}
