//! A broadcast into a Telegram chat: does what the state machine asks for, and tells it how that went.
//!
//! One thread, the caller's, speaks to Telegram; the engine runs in a thread of its own and goes on whatever happens
//! here. Every wait ends at once when the tool is told to stop, and so does every call.

mod session;
mod state_machine;
mod status;

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

use tgs_core::{
    cancel::Cancel,
    exit::Code,
    remedy,
    settings::Settings,
    supervise::{Panic, contain},
    systemd::Beat,
};
use tgs_playout::{
    command::Command,
    engine::Control,
    status::{Connection, SharedStatus},
};
use tgs_telegram::Ingest;

use crate::broadcast::order;
use session::{LiveSession, SessionFailure};
use state_machine::{
    Action, BroadcastState, CheckOutcome, Policy, RenewalOutcome, SessionHealth, StartError, StateEvent,
    WaitReason, step,
};
use status::METRICS;
pub(crate) use status::{SharedTelegramStatus, TelegramStatus};

/// How often a wait looks whether the broadcast has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The longest that one action takes, with room: a renewal has 150 s, each call of Telegram 15 s.
const LONGEST_TURN: Duration = Duration::from_mins(5);

/// The same trouble is told again after this long.
const REPEAT: Duration = Duration::from_mins(10);

/// The line of degraded mode; operators and their alerts look for how it begins.
fn degraded() -> String {
    format!("Degraded mode; SESSION_STRING invalid; run: {}", remedy::command("tgs-session --write-env"))
}

/// What a broadcast into Telegram needs.
pub(crate) struct TelegramConfig<'a> {
    /// The settings as they were read.
    pub(crate) settings: Settings,
    /// Reads them again; `None` where they cannot be read any more, which has been said then.
    pub(crate) reload: Box<dyn Fn() -> Option<Settings> + 'a>,
    /// The `.env` file that a new session is written to.
    pub(crate) env_file: PathBuf,
    /// Where /status and /healthz read.
    pub(crate) status: SharedTelegramStatus,
    /// The tool's own: commands reach the engine through it, and stopping it ends everything.
    pub(crate) control: Control,
    /// Every wait is this many times shorter; 1 except in tests.
    pub(crate) time_scale: u32,
}

/// Broadcasts until the tool is told to stop, or `play` (which publishes to an ingest until its control is cancelled)
/// ends by itself.
pub(crate) fn run(config: TelegramConfig<'_>, play: &(dyn Fn(&Ingest, &Control) -> Code + Sync)) -> Code {
    std::sync::LazyLock::force(&METRICS);
    let (ended, ends) = mpsc::channel();
    let TelegramConfig { settings, reload, env_file, status: desk, control, time_scale: hurry } = config;
    let (board, pulse, cancel) = (control.board.clone(), control.pulse.clone(), control.stopped());
    let line = LiveSession::new(reload, settings, env_file, cancel.clone(), desk.clone());
    thread::scope(|scope| {
        let mut director = Director {
            scope,
            play,
            session: line,
            control,
            board,
            beat: pulse.watch("telegram", LONGEST_TURN),
            status: desk,
            cancel,
            time_scale: hurry,
            state: BroadcastState::Starting,
            engine: None,
            ended,
            ends,
            due: None,
            remind: None,
            trouble: None,
            told: None,
        };
        contain(|| director.run()).unwrap_or_else(|_| {
            // Its panics are contained action by action; with its own state in doubt the tool is started anew.
            director.halt();
            Code::Failure
        })
    })
}

/// The broadcast on air.
struct RunningEngine<'scope> {
    ingest: Ingest,
    control: Control,
    /// Whether its end was asked for.
    halted: Arc<AtomicBool>,
    thread: ScopedJoinHandle<'scope, ()>,
}

struct Director<'scope, 'env: 'scope, 'a> {
    scope: &'scope Scope<'scope, 'env>,
    play: &'env (dyn Fn(&Ingest, &Control) -> Code + Sync),
    session: LiveSession<'a>,
    control: Control,
    board: SharedStatus,
    beat: Beat,
    status: SharedTelegramStatus,
    cancel: Cancel,
    time_scale: u32,
    state: BroadcastState,
    engine: Option<RunningEngine<'scope>>,
    ended: mpsc::Sender<Code>,
    ends: mpsc::Receiver<Code>,
    due: Option<Instant>,
    remind: Option<Instant>,
    /// The last failure.
    trouble: Option<SessionFailure>,
    /// What was told of it last, and when.
    told: Option<(String, Instant)>,
}

impl Director<'_, '_, '_> {
    fn run(&mut self) -> Code {
        let mut events = VecDeque::from([StateEvent::Begin]);
        loop {
            let event = events.pop_front().unwrap_or_else(|| self.wait());
            let (next, actions) = step(self.state, event, self.policy());
            if std::mem::discriminant(&next) != std::mem::discriminant(&self.state) {
                (self.due, self.remind) = (None, None);
            }
            self.state = next;
            // Before what may take long, and after it.
            self.show();
            for action in actions {
                self.beat.turn();
                // A panic over what Telegram said is a failed attempt: the state machine waits, and tries again.
                let event =
                    contain(|| self.act(action)).unwrap_or_else(|panic| self.failed_at(action, &panic));
                events.extend(event);
            }
            self.show();
            if let BroadcastState::Stopping(code) = self.state {
                self.halt();
                return code;
            }
        }
    }

    fn policy(&self) -> Policy {
        let telegram = &self.session.settings.telegram;
        Policy { regen: telegram.regen, on_loss: telegram.on_loss, standby: telegram.standby.is_some() }
    }

    /// Waits for the next event.
    fn wait(&mut self) -> StateEvent {
        loop {
            self.beat.turn();
            // In this order: the end of the broadcast is sent before it cancels.
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
            let _ = self.cancel.wait(LOOK_EVERY);
        }
    }

    /// Passes on the title that was asked for, once there is a live stream to bear it.
    fn retitle(&mut self) {
        let wanted = self.board.read().title;
        if wanted == self.session.title {
            return;
        }
        match self.state {
            BroadcastState::Live(SessionHealth::Good { .. }) => {
                self.session.title = wanted;
                // Whether the session lives is found out by the check, which is made anyway. The hook logs a panic.
                if let Ok(Err(failed)) = contain(|| self.session.retitle())
                    && !self.cancel.is_cancelled()
                {
                    log::warn!("{failed}");
                }
            }
            BroadcastState::Live(SessionHealth::Lost(_)) | BroadcastState::Stopping(_) => {}
            BroadcastState::Starting | BroadcastState::Waiting { .. } | BroadcastState::Degraded(_) => {
                self.session.title = wanted;
            }
        }
    }

    /// What a panic over `action` means.
    fn failed_at(&mut self, action: Action, panic: &Panic) -> Option<StateEvent> {
        let trouble = StartError::Wait(WaitReason::Other);
        let words = format!("speak to Telegram, which is a fault of tgs-stream; please report it: {panic}");
        let failed = SessionFailure { error: trouble, message: words, remedy: String::new() };
        match action {
            Action::Open { .. } => Some(StateEvent::Opened(Err(self.tell(failed)))),
            Action::Check => Some(StateEvent::Checked(CheckOutcome::Failed(self.tell(failed)))),
            Action::Renew => Some(StateEvent::Renewed(RenewalOutcome::Failed)),
            // The stream cannot be opened, which nobody else would notice.
            Action::Publish => Some(StateEvent::Ended(Code::Failure)),
            _ => None,
        }
    }

    fn act(&mut self, action: Action) -> Option<StateEvent> {
        match action {
            Action::Open { unless_same } => {
                let opened = self.session.open(unless_same);
                Some(StateEvent::Opened(opened.map_err(|failed| self.tell(failed))))
            }
            Action::Check => Some(self.check()),
            Action::Renew => {
                let (renewal, words) = self.session.renew();
                if self.cancel.is_cancelled() {
                    // What a stop interrupts has not failed.
                    return None;
                }
                match renewal {
                    RenewalOutcome::Done => log::info!("signed in again with the standby session"),
                    RenewalOutcome::Failed => log::warn!("failed to sign in again: {words}"),
                }
                Some(StateEvent::Renewed(renewal))
            }
            Action::Publish => {
                self.publish();
                None
            }
            Action::Halt => {
                self.halt();
                None
            }
            Action::Wait(wait) => {
                self.due = Some(Instant::now() + wait / self.time_scale);
                None
            }
            Action::RemindIn(wait) => {
                self.remind = Some(Instant::now() + wait / self.time_scale);
                None
            }
            Action::TellLoss => {
                if let Some(failed) = &self.trouble {
                    log::error!("failed to {}", failed.message);
                }
                if let BroadcastState::Live(_) = self.state {
                    log::warn!("the broadcast goes on without a session; a new one is looked for behind it");
                }
                None
            }
            Action::TellDegraded => {
                log::warn!("{}", degraded());
                None
            }
            Action::TellCycle => {
                let cycle = match self.state {
                    BroadcastState::Degraded(recovery)
                    | BroadcastState::Live(SessionHealth::Lost(recovery)) => recovery.cycle,
                    _ => 0,
                };
                let why = self.trouble.as_ref().map_or("", |failed| failed.message.as_str());
                log::warn!("no session after cycle {cycle}: failed to {why}; the next in 60 s");
                None
            }
        }
    }

    fn check(&mut self) -> StateEvent {
        self.session.touch_standby();
        let refused = matches!(self.board.read().publisher, Connection::Reconnecting { .. });
        let (look, failed) = self.session.check(refused);
        if let Some(failed) = failed {
            self.tell(failed);
        } else {
            (self.trouble, self.told) = (None, None);
        }
        match look {
            CheckOutcome::CallOver => log::warn!("the live stream was ended in Telegram; starting it again"),
            CheckOutcome::Moved => {
                log::warn!("the stream key was replaced in Telegram; publishing with the new one");
            }
            CheckOutcome::Good | CheckOutcome::Failed(_) => {}
        }
        StateEvent::Checked(look)
    }

    /// Keeps a failure, and tells one that is not told otherwise: once, then every ten minutes.
    fn tell(&mut self, failed: SessionFailure) -> StartError {
        let trouble = failed.error;
        if let (StartError::Wait(reason), false) = (trouble, self.cancel.is_cancelled()) {
            let key =
                format!("{}{}", reason.name(), failed.message.split(" (wait").next().unwrap_or_default());
            if self.told.as_ref().is_none_or(|(last, at)| *last != key || at.elapsed() >= REPEAT) {
                log::warn!("{failed}; trying again");
                self.told = Some((key, Instant::now()));
            }
        }
        self.trouble = Some(failed);
        trouble
    }

    fn publish(&mut self) {
        let Some(ingest) = self.session.ingest().cloned() else { return };
        (self.trouble, self.told) = (None, None);
        if self.engine.as_ref().is_some_and(|stage| stage.ingest == ingest) {
            return;
        }
        self.halt();
        let control = self.control.another();
        let halted = Arc::new(AtomicBool::new(false));
        let (play, ended, all) = (self.play, self.ended.clone(), self.control.clone());
        let (given, own, asked) = (ingest.clone(), control.clone(), halted.clone());
        let thread = self.scope.spawn(move || {
            // The panic hook has logged it; whoever supervises the tool starts it anew.
            let code = contain(|| play(&given, &own)).unwrap_or(Code::Failure);
            if !asked.load(Ordering::SeqCst) {
                let _ = ended.send(code);
                // A call of Telegram that is under way has nothing to wait for any more.
                order(&all, Command::Stop);
            }
        });
        self.engine = Some(RunningEngine { ingest, control, halted, thread });
    }

    /// Ends the publishing and waits for its end.
    fn halt(&mut self) {
        if let Some(stage) = self.engine.take() {
            stage.halted.store(true, Ordering::SeqCst);
            order(&stage.control, Command::Stop);
            let _ = stage.thread.join();
            self.board.update(|status| *status = status.said());
        }
    }

    /// Renews what /status and /healthz show.
    fn show(&self) {
        let state = match self.state {
            BroadcastState::Starting => "starting",
            // The picture goes on, and nobody sees it.
            BroadcastState::Live(SessionHealth::Good { over: true, .. }) => "waiting_call",
            BroadcastState::Live(_) => "live",
            BroadcastState::Waiting { reason, .. } => reason.name(),
            BroadcastState::Degraded(_) => "degraded",
            BroadcastState::Stopping(_) => "stopping",
        };
        METRICS.degraded.set(matches!(self.state, BroadcastState::Degraded(_)).into());
        METRICS.set_state(state);
        let why = self.trouble.as_ref().map(SessionFailure::to_string);
        let retry_at = self.due.filter(|_| why.is_some()).map(|due| {
            let at = SystemTime::now() + due.saturating_duration_since(Instant::now());
            at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
        });
        self.status.update(|desk| {
            desk.state = state;
            desk.why = why;
            desk.retry_at = retry_at;
        });
    }
}
