//! Executes the actions of the state machine and reports their results to it.
//!
//! The caller's thread calls Telegram; the engine runs in a thread of its own, unaffected by what
//! happens here. A stop ends every wait and every call at once.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, Scope, ScopedJoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tgs_control::{PublisherState, TelegramState};
use tgs_core::{
    cancel::Cancel,
    error::CliError,
    exit::Code,
    proxy::KeptProxies,
    remedy,
    supervise::{Panic, contain},
    systemd::Heartbeat,
};
use tgs_playout::{
    command::Command,
    engine::Control,
    output::{Output, OutputSlot},
    status::SharedStatus,
};
use tgs_telegram::Ingest;

use super::{
    handed::{HandedStream, handed},
    now_playing::{NowPlayingTitle, TitlePace},
    renewal::{self, RenewalError},
    session::LiveSession,
    session_failure::SessionFailure,
    standby::StandbySession,
    state_machine::{
        Action, BroadcastState, CheckOutcome, Policy, RenewalOutcome, SessionHealth, StartError, StateEvent,
        WaitReason, step,
    },
    status::{METRICS, SharedTelegramStatus},
};
use crate::{settings_source::ReloadableSettings, setup::send, upgrade::Upgrade};

/// How often a wait checks whether the broadcast has ended.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// The longest action, with a margin: a renewal may take 150 s, each call of Telegram 15 s.
const LONGEST_ACTION: Duration = Duration::from_mins(5);

/// How often an unchanged failure is logged again.
const REPEAT_EVERY: Duration = Duration::from_mins(10);

/// The line of degraded mode; operators and alerts match its beginning.
fn degraded_line() -> String {
    format!("Degraded mode; SESSION_STRING invalid; run: {}", remedy::command("tgs-session --write-env"))
}

/// The inputs of a broadcast into Telegram.
pub(crate) struct TelegramConfig {
    pub(crate) settings: ReloadableSettings,
    /// The `.env` file that a renewal writes to.
    pub(crate) env_file: PathBuf,
    /// Read by /status and /healthz.
    pub(crate) status: SharedTelegramStatus,
    /// The proxies that worked before.
    pub(crate) proxies: KeptProxies,
    /// The tool's own: its commands reach the engine, and stopping it ends everything.
    pub(crate) control: Control,
    /// Divides every wait; 1 except in tests.
    pub(crate) time_scale: u32,
    /// What another process hands over.
    pub(crate) handed: Option<HandedStream>,
    /// Gets to know each ingest.
    pub(crate) upgrade: Upgrade,
}

/// How the engine is run.
pub(crate) struct EngineRunner<'a> {
    /// Plays to an output until its control is stopped.
    pub(crate) play: &'a (dyn Fn(&Output, &Control) -> Code + Sync),
    /// The output for an ingest that Telegram has named.
    pub(crate) output: &'a dyn Fn(&Ingest) -> Result<Output, CliError>,
    /// With further outputs: the engine runs from the start on, also without an ingest.
    pub(crate) has_further_outputs: bool,
}

/// Broadcasts until the tool is stopped or the engine ends by itself.
pub(crate) fn run(config: TelegramConfig, runner: &EngineRunner<'_>) -> Code {
    std::sync::LazyLock::force(&METRICS);
    let (ended, ends) = mpsc::channel();
    let TelegramConfig { settings, env_file, status, proxies, control, time_scale, handed, upgrade } = config;
    let (engine_status, watchdog, cancel) =
        (control.status.clone(), control.watchdog.clone(), control.stopped());
    thread::scope(|scope| {
        let mut driver = Driver {
            scope,
            play: runner.play,
            output: runner.output,
            slot: runner.has_further_outputs.then(OutputSlot::default),
            session: LiveSession::new(&settings.state_dir, cancel.clone(), status.clone(), proxies),
            standby: StandbySession::new(cancel.clone(), status.clone()),
            now_playing: NowPlayingTitle::of(&settings, &cancel),
            title_pace: TitlePace::default(),
            settings,
            settings_used: false,
            env_file,
            control,
            engine_status,
            heartbeat: watchdog.watch("telegram", LONGEST_ACTION),
            status,
            cancel,
            time_scale,
            state: BroadcastState::Starting,
            engine: None,
            ingest: None,
            upgrade,
            ended,
            ends,
            due: None,
            remind: None,
            last_failure: None,
            logged: None,
        };
        contain(|| driver.run(handed)).unwrap_or_else(|_| {
            // Actions contain their panics. After this one the driver's state is unknown.
            driver.end_engine();
            Code::Failure
        })
    })
}

/// The running engine.
struct RunningEngine<'scope> {
    control: Control,
    /// Set before the driver stops the engine: its end is then no event.
    halted: Arc<AtomicBool>,
    thread: ScopedJoinHandle<'scope, ()>,
}

struct Driver<'scope, 'env: 'scope> {
    scope: &'scope Scope<'scope, 'env>,
    play: &'env (dyn Fn(&Output, &Control) -> Code + Sync),
    output: &'env dyn Fn(&Ingest) -> Result<Output, CliError>,
    /// Where the engine finds its output, if it runs without an ingest, too.
    slot: Option<OutputSlot>,
    session: LiveSession,
    standby: StandbySession,
    now_playing: Option<NowPlayingTitle>,
    title_pace: TitlePace,
    settings: ReloadableSettings,
    /// Whether an attempt has used the settings that the start has read; the next one reloads them.
    settings_used: bool,
    env_file: PathBuf,
    control: Control,
    engine_status: SharedStatus,
    heartbeat: Heartbeat,
    status: SharedTelegramStatus,
    cancel: Cancel,
    time_scale: u32,
    state: BroadcastState,
    engine: Option<RunningEngine<'scope>>,
    /// The ingest that the engine publishes to.
    ingest: Option<Ingest>,
    upgrade: Upgrade,
    ended: mpsc::Sender<Code>,
    ends: mpsc::Receiver<Code>,
    due: Option<Instant>,
    remind: Option<Instant>,
    last_failure: Option<SessionFailure>,
    /// The failure logged last, and when.
    logged: Option<(String, Instant)>,
}

impl Driver<'_, '_> {
    fn run(&mut self, handed_stream: Option<HandedStream>) -> Code {
        if let Some(slot) = self.slot.clone() {
            self.start_engine(Output::Later(slot));
        }
        let begin = handed_stream.map_or(StateEvent::Begin, |stream| self.take_over(stream));
        let mut events = VecDeque::from([begin]);
        loop {
            let event = events.pop_front().unwrap_or_else(|| self.wait());
            let (next, actions) = step(self.state, event, Policy::of(&self.settings.telegram));
            if std::mem::discriminant(&next) != std::mem::discriminant(&self.state) {
                (self.due, self.remind) = (None, None);
            }
            self.state = next;
            // Before the actions, which may take long, and after them.
            self.update_status();
            for action in actions {
                self.heartbeat.beat();
                // A panic over Telegram's answer is a failed attempt: the state machine retries it.
                let event = contain(|| self.execute(action))
                    .unwrap_or_else(|panic| self.event_of_panic(action, &panic));
                events.extend(event);
            }
            self.update_status();
            if let BroadcastState::Stopping(code) = self.state {
                self.end_engine();
                return code;
            }
        }
    }

    /// Publishes to the ingest, and waits until the session is free.
    fn take_over(&mut self, stream: HandedStream) -> StateEvent {
        let begin = match stream.ingest {
            Some(ingest) => {
                self.publish_to(ingest);
                StateEvent::TakenOver
            }
            None => StateEvent::Begin,
        };
        while stream.gone.as_ref().is_some_and(|gone| !gone.is_cancelled()) {
            self.heartbeat.beat();
            if let Ok(code) = self.ends.try_recv() {
                return StateEvent::Ended(code);
            }
            if self.cancel.wait(POLL_EVERY) {
                return StateEvent::Stop;
            }
        }
        begin
    }

    fn set_ingest(&mut self, ingest: Option<Ingest>) {
        self.upgrade.set_ingest(ingest.as_ref().map(handed));
        self.ingest = ingest;
    }

    /// Waits for the next event.
    fn wait(&mut self) -> StateEvent {
        loop {
            self.heartbeat.beat();
            // In this order: the broadcast sends its end before it cancels.
            let cancelled = self.cancel.is_cancelled();
            if let Ok(code) = self.ends.try_recv() {
                return StateEvent::Ended(code);
            }
            if cancelled {
                return StateEvent::Stop;
            }
            self.retitle();
            let now = Instant::now();
            for (timer, event) in [(&mut self.due, StateEvent::Due), (&mut self.remind, StateEvent::Remind)] {
                if timer.is_some_and(|at| at <= now) {
                    *timer = None;
                    return event;
                }
            }
            let _ = self.cancel.wait(POLL_EVERY);
        }
    }

    /// Sets the title that a command has asked for, or else that of the item on air, once there is
    /// a live stream.
    fn retitle(&mut self) {
        let state = self.engine_status.read();
        let asked = state.status.title;
        let by_item = asked.is_none() && self.now_playing.is_some();
        let wanted = asked.or_else(|| self.now_playing.as_mut()?.text(state.item));
        if wanted == self.session.title {
            return;
        }
        match self.state {
            BroadcastState::Live(SessionHealth::Good { .. }) => {
                if !by_item || self.title_pace.is_due(Instant::now()) {
                    self.set_title(wanted, by_item);
                }
            }
            BroadcastState::Live(SessionHealth::Lost(_)) | BroadcastState::Stopping(_) => {}
            BroadcastState::Starting | BroadcastState::Waiting { .. } | BroadcastState::Degraded(_) => {
                self.session.title = wanted;
            }
        }
    }

    /// Sets the title now. That of the item on air is tried again after a failure.
    fn set_title(&mut self, wanted: Option<String>, by_item: bool) {
        let before = std::mem::replace(&mut self.session.title, wanted);
        // A dead session is the regular check's to find. The panic hook logs a panic.
        let failure = contain(|| self.session.retitle(&self.settings)).ok().and_then(Result::err);
        let wait = match failure.as_ref().map(|failure| failure.error) {
            Some(StartError::Wait(WaitReason::Flood(wait))) => Some(wait),
            _ => None,
        };
        self.title_pace.note(Instant::now(), wait, if wait.is_some() { 1 } else { self.time_scale });
        let Some(failure) = failure.filter(|_| !self.cancel.is_cancelled()) else { return };
        log::warn!("{failure}");
        if by_item {
            self.session.title = before;
        }
    }

    fn event_of_panic(&mut self, action: Action, panic: &Panic) -> Option<StateEvent> {
        let failure = SessionFailure::of_panic(panic);
        match action {
            Action::Open { .. } => Some(StateEvent::Opened(Err(self.record(failure)))),
            Action::Check => Some(StateEvent::Checked(CheckOutcome::Failed(self.record(failure)))),
            Action::Renew => Some(StateEvent::Renewed(RenewalOutcome::Failed)),
            // The engine does not run, and nothing else would notice.
            Action::Publish => Some(StateEvent::Ended(Code::Failure)),
            _ => None,
        }
    }

    fn execute(&mut self, action: Action) -> Option<StateEvent> {
        match action {
            Action::Open { unless_same } => return Some(self.open(unless_same)),
            Action::Check => return Some(self.check()),
            Action::Renew => return self.renew(),
            Action::Publish => self.publish(),
            Action::Halt => self.halt(),
            Action::Wait(wait) => self.due = Some(Instant::now() + wait / self.time_scale),
            Action::RemindIn(wait) => self.remind = Some(Instant::now() + wait / self.time_scale),
            Action::LogLoss => {
                if let Some(failure) = &self.last_failure {
                    log::error!("failed to {}", failure.message);
                }
                if let BroadcastState::Live(_) = self.state {
                    log::warn!("broadcast continues without a session; renewing it in the background");
                }
            }
            Action::LogDegraded => log::warn!("{}", degraded_line()),
            Action::LogCycle => {
                let cycle = match self.state {
                    BroadcastState::Degraded(recovery)
                    | BroadcastState::Live(SessionHealth::Lost(recovery)) => recovery.cycle,
                    _ => 0,
                };
                let why = self.last_failure.as_ref().map_or("", |failure| failure.message.as_str());
                log::warn!("no session after cycle {cycle}: failed to {why}; next cycle in 60 s");
            }
        }
        None
    }

    fn open(&mut self, unless_same: bool) -> StateEvent {
        if std::mem::replace(&mut self.settings_used, true) {
            self.settings.reload();
        }
        let opened = self.session.open(&self.settings, unless_same);
        StateEvent::Opened(opened.map_err(|failure| self.record(failure)))
    }

    fn renew(&mut self) -> Option<StateEvent> {
        let renewed = renewal::run(&self.env_file, &self.settings, &self.cancel).and_then(|()| {
            self.settings.reload();
            if self.session.is_dead(&self.settings) {
                return Err(RenewalError::Hidden { env_file: self.env_file.clone() });
            }
            Ok(())
        });
        METRICS.count_renewal(renewed.is_ok());
        if self.cancel.is_cancelled() {
            // A stop has interrupted the attempt, which is no failure.
            return None;
        }
        Some(StateEvent::Renewed(match renewed {
            Ok(()) => {
                log::info!("signed in again with the standby session");
                RenewalOutcome::Done
            }
            Err(error) => {
                log::warn!("failed to sign in again: {error}");
                RenewalOutcome::Failed
            }
        }))
    }

    fn check(&mut self) -> StateEvent {
        self.standby.use_if_due(&mut self.settings, &self.session);
        let refused =
            matches!(self.engine_status.read().status.publisher, PublisherState::Reconnecting { .. });
        let (outcome, failure) = self.session.check(&self.settings, refused, &self.control);
        if let Some(failure) = failure {
            self.record(failure);
        } else {
            (self.last_failure, self.logged) = (None, None);
        }
        match outcome {
            CheckOutcome::CallOver => log::warn!("the live stream was ended in Telegram; starting it again"),
            CheckOutcome::Moved => {
                log::warn!("the stream key was replaced in Telegram; publishing with the new one");
            }
            CheckOutcome::Good | CheckOutcome::Failed(_) => {}
        }
        StateEvent::Checked(outcome)
    }

    /// Records a failure. Logs one that is retried at once and then every ten minutes; a lost
    /// session has log actions of its own.
    fn record(&mut self, failure: SessionFailure) -> StartError {
        let error = failure.error;
        if let (StartError::Wait(reason), false) = (error, self.cancel.is_cancelled()) {
            let key = format!(
                "{}{}",
                reason.state().name(),
                failure.message.split(" (wait").next().unwrap_or_default()
            );
            if self.logged.as_ref().is_none_or(|(last, at)| *last != key || at.elapsed() >= REPEAT_EVERY) {
                log::warn!("{failure}; trying again");
                self.logged = Some((key, Instant::now()));
            }
        }
        self.last_failure = Some(failure);
        error
    }

    fn publish(&mut self) {
        let Some(ingest) = self.session.ingest().cloned() else { return };
        (self.last_failure, self.logged) = (None, None);
        self.publish_to(ingest);
    }

    fn publish_to(&mut self, ingest: Ingest) {
        if self.ingest.as_ref() == Some(&ingest) {
            return;
        }
        let output = match (self.output)(&ingest) {
            Ok(output) => output,
            Err(error) => return self.engine_ended(error.log()),
        };
        if let Some(slot) = &self.slot {
            slot.set(Some(output));
        } else {
            self.halt();
            self.start_engine(output);
        }
        self.set_ingest(Some(ingest));
    }

    fn start_engine(&mut self, output: Output) {
        let control = self.control.another();
        let halted = Arc::new(AtomicBool::new(false));
        let (play, ended, tool) = (self.play, self.ended.clone(), self.control.clone());
        let (engine_control, was_halted) = (control.clone(), halted.clone());
        let thread = self.scope.spawn(move || {
            // The panic hook logs a panic; the supervisor restarts the tool.
            let code = contain(|| play(&output, &engine_control)).unwrap_or(Code::Failure);
            if !was_halted.load(Ordering::SeqCst) {
                let _ = ended.send(code);
                // Ends a call of Telegram that is under way.
                send(&tool, Command::Stop);
            }
        });
        self.engine = Some(RunningEngine { control, halted, thread });
    }

    /// The engine's end by itself ends the tool.
    fn engine_ended(&self, code: Code) {
        let _ = self.ended.send(code);
        send(&self.control, Command::Stop);
    }

    /// Stops publishing to Telegram. Without further outputs, that is the engine's end.
    fn halt(&mut self) {
        self.set_ingest(None);
        match &self.slot {
            Some(slot) => slot.set(None),
            None => self.end_engine(),
        }
    }

    /// Stops the engine and waits for its end.
    fn end_engine(&mut self) {
        self.set_ingest(None);
        if let Some(engine) = self.engine.take() {
            engine.halted.store(true, Ordering::SeqCst);
            send(&engine.control, Command::Stop);
            let _ = engine.thread.join();
            self.engine_status.update(|state| *state = state.for_next_run());
        }
    }

    /// Updates what /status, /healthz and the metrics show.
    fn update_status(&self) {
        let state = match self.state {
            BroadcastState::Starting => TelegramState::Starting,
            // The engine publishes, but no viewer sees it.
            BroadcastState::Live(SessionHealth::Good { over: true, .. }) => TelegramState::WaitingCall,
            BroadcastState::Live(_) => TelegramState::Live,
            BroadcastState::Waiting { reason, .. } => reason.state(),
            BroadcastState::Degraded(_) => TelegramState::Degraded,
            BroadcastState::Stopping(_) => TelegramState::Stopping,
        };
        METRICS.degraded.set(matches!(self.state, BroadcastState::Degraded(_)).into());
        METRICS.set_state(state);
        let why = self.last_failure.as_ref().map(SessionFailure::to_string);
        let retry_at = self.due.filter(|_| why.is_some()).map(|due| {
            let at = SystemTime::now() + due.saturating_duration_since(Instant::now());
            at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
        });
        let good = matches!(self.state, BroadcastState::Live(SessionHealth::Good { over: false, .. }));
        let viewers = self.session.viewers().filter(|_| good);
        let viewer_check = self.session.viewer_check().filter(|_| good).cloned();
        METRICS.set_viewers(viewers);
        self.status.update(|status| {
            status.viewers = viewers;
            status.viewer_check = viewer_check;
            status.state = state;
            status.why = why;
            status.retry_at = retry_at;
        });
    }
}
