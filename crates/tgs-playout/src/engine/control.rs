//! The other threads' hold on a broadcast, and the router that takes commands to the running
//! engine.
//!
//! Sending waits for nothing. Nothing here knows a signal, a socket or a playlist.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
};

use tgs_core::{
    cancel::Cancel,
    supervise::{Panic, contain},
    systemd::Watchdog,
};

use crate::{
    command::{Command, CommandRefused},
    item::JumpTarget,
    read_ahead::{Discard, ReadAhead, TargetItem},
    status::{METRICS, SharedStatus},
};

/// How many commands may wait for an engine.
const MOST_WAITING: usize = 64;

/// What the prepare thread is asked.
#[derive(Debug)]
pub(crate) enum PlaylistRequest {
    /// What to encode now.
    Next,
    /// To go on elsewhere.
    Jump(TargetItem, JumpTarget),
    /// To play this after the item that is meant.
    Queue(TargetItem, String),
    /// To read the list anew.
    Reload,
}

/// The other threads' hold on a broadcast. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Control {
    pub(crate) cancel: Cancel,
    /// What it tells about itself.
    pub status: SharedStatus,
    /// Where its pacing loop shows that it turns.
    pub watchdog: Watchdog,
    router: Arc<Mutex<CommandRouter>>,
}

/// Takes commands to the engine, or keeps them until there is one.
///
/// Its lock is the outermost: the locks of the read-ahead and the status are taken under it, and
/// neither of those two is held while another lock is taken.
#[derive(Debug, Default)]
struct CommandRouter {
    engine: Option<AttachedEngine>,
    /// Commands for the next engine.
    waiting: Vec<Command>,
}

/// A running engine.
#[derive(Debug)]
struct AttachedEngine {
    read_ahead: Arc<ReadAhead>,
    requests: mpsc::Sender<PlaylistRequest>,
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
    /// The hold on a further broadcast with the same snapshot, that the same commands reach.
    /// [`Command::Stop`] is each one's own.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { cancel: Cancel::new(), ..self.clone() }
    }

    /// Set once the broadcast is stopped or over. Setting it stops nothing.
    #[must_use]
    pub fn stopped(&self) -> Cancel {
        self.cancel.child()
    }

    /// Tells the broadcast a command. Does not wait for what comes of it.
    pub fn send(&self, command: Command) -> Result<(), CommandRefused> {
        let mut router = lock(&self.router);
        if command == Command::Stop {
            self.cancel.cancel();
            return Ok(());
        }
        if self.cancel.is_cancelled() {
            return Err(CommandRefused::Stopped);
        }
        // The playlist watch sends it often; its effect is logged.
        let level = if command == Command::Reload { log::Level::Debug } else { log::Level::Info };
        let shown = command.to_string();
        router.take(command, &self.status)?;
        log::log!(level, "command: {shown}");
        Ok(())
    }

    /// Runs `work`, the whole life of the thread `name`, without which there is no broadcast. Where
    /// it panics the broadcast ends: /healthz says so, the watchdog gets no ping any more, and
    /// `engine::run` fails.
    pub(crate) fn guard<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> Option<T> {
        contain(work).map_err(|panic| self.died(name, &panic)).ok()
    }

    /// The thread `name` has died of `panic`.
    fn died(&self, name: &'static str, panic: &Panic) {
        self.watchdog.died(name);
        self.status.update(|state| state.dead_thread = Some((name, panic.to_string())));
        self.cancel.cancel();
    }

    /// Commands go to these from now on, first those that waited.
    pub(crate) fn attach(
        &self,
        read_ahead: Arc<ReadAhead>,
        asks: mpsc::Sender<PlaylistRequest>,
    ) -> EngineGuard {
        let mut router = lock(&self.router);
        if self.status.standing().stops_after_current() {
            read_ahead.end_with_current();
        }
        router.engine = Some(AttachedEngine { read_ahead, requests: asks });
        for command in mem::take(&mut router.waiting) {
            if let Err(refused) = router.take(command, &self.status) {
                log::warn!("a command was not taken: {refused}");
            }
        }
        EngineGuard(Arc::clone(&self.router))
    }

    /// Whether the list was to end with the item that was current.
    pub(crate) fn is_ending(&self) -> bool {
        self.status.standing().stops_after_current()
    }
}

fn lock(router: &Mutex<CommandRouter>) -> MutexGuard<'_, CommandRouter> {
    router.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CommandRouter {
    fn take(&mut self, command: Command, status: &SharedStatus) -> Result<(), CommandRefused> {
        match command {
            Command::Next => self.engine()?.read_ahead.skip(),
            Command::Previous => self.engine()?.jump(JumpTarget::Before)?,
            Command::Seek(to) => self.engine()?.jump(JumpTarget::Again(to))?,
            Command::Reload if self.waiting.contains(&command) => {}
            Command::Queue(_) | Command::Reload if self.engine.is_none() => {
                if self.waiting.len() >= MOST_WAITING {
                    return Err(CommandRefused::Busy);
                }
                self.waiting.push(command);
            }
            Command::Queue(line) => self.engine()?.queue(line)?,
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
                    engine.read_ahead.end_with_current();
                }
            }
            Command::Stop => {}
        }
        Ok(())
    }

    fn engine(&self) -> Result<&AttachedEngine, CommandRefused> {
        self.engine.as_ref().ok_or(CommandRefused::NothingPlays)
    }
}

impl AttachedEngine {
    /// Leaves what is on its way and goes on elsewhere.
    fn jump(&self, to: JumpTarget) -> Result<(), CommandRefused> {
        let meant = self.read_ahead.jump(Discard::All, matches!(to, JumpTarget::Again(_)))?;
        self.send_request(PlaylistRequest::Jump(meant, to));
        Ok(())
    }

    fn queue(&self, line: String) -> Result<(), CommandRefused> {
        let meant = self.read_ahead.jump(Discard::Later, false)?;
        self.send_request(PlaylistRequest::Queue(meant, line));
        Ok(())
    }

    /// The read-ahead has counted it, so that the queue stays short.
    fn send_request(&self, ask: PlaylistRequest) {
        // Without a thread the broadcast is over.
        let _ = self.requests.send(ask);
    }
}
