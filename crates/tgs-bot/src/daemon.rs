//! The thread that owns the connection to Telegram: receives, asks the conversation, and sends.
//! Nothing that Telegram or a broadcast does ends it but a refused token.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tgs_control::channels::Channel;
use tgs_core::{
    backoff::Backoff,
    cancel::Cancel,
    error::CliError,
    exit::Code,
    supervise::contain,
    systemd::{Heartbeat, Reporter, Watchdog},
};
use tgs_telegram::{
    App, ErrorClass, TelegramError,
    bot::{BotClient, BotState, BotUpdate, BotWake},
};

use crate::{
    broadcasts::{Broadcasts, ChannelRequest},
    conversation::{BotAction, Conversation},
    outbox::Outbox,
    session_file::SessionFile,
    settings::BotSettings,
    watch::ChannelWatch,
};

/// The loop must turn within this time: a call that is repeated takes up to four limits of a call.
const STUCK: Duration = Duration::from_mins(2);
/// Longest wait for updates.
const TURN: Duration = Duration::from_secs(10);
/// Shortest time between two sign-ins. The first comes at once.
const SIGN_IN_EVERY: Duration = Duration::from_mins(10);

/// The daemon.
pub(crate) struct BotDaemon {
    settings: BotSettings,
    app: App,
    broadcasts: Broadcasts,
    wake: BotWake,
    file: SessionFile,
    cancel: Cancel,
    conversation: Conversation,
    outbox: Outbox,
    watchdog: Watchdog,
    heartbeat: Heartbeat,
    /// The newest session and state of updates.
    state: Option<BotState>,
    signed_in_at: Option<Instant>,
    line: Arc<Mutex<String>>,
    watch: ChannelWatch,
}

impl BotDaemon {
    pub(crate) fn new(
        settings: BotSettings,
        broadcasts: Broadcasts,
        wake: BotWake,
        file: SessionFile,
        cancel: Cancel,
    ) -> Self {
        let (api_id, api_hash) = (settings.api_id, settings.api_hash.clone());
        let conversation = Conversation::new(settings.access.clone());
        let watchdog = Watchdog::default();
        let heartbeat = watchdog.watch("bot", STUCK);
        Self {
            settings,
            app: App { api_id, api_hash, device: "tgs-bot", proxies: ProxyList::default() },
            broadcasts,
            wake,
            file,
            cancel,
            conversation,
            outbox: Outbox::default(),
            watchdog,
            heartbeat,
            state: None,
            signed_in_at: None,
            line: Arc::new(Mutex::new("connecting to Telegram".to_owned())),
            watch: ChannelWatch::default(),
        }
    }

    /// Reports incidents from now on, and keeps them in `dir`.
    pub(crate) fn watch(&mut self, dir: &Path, time_scale: u32) {
        self.watch = ChannelWatch::start(dir, time_scale);
    }

    /// The line in `systemctl status`, and the watchdog's pings.
    pub(crate) fn report(&self) -> Reporter {
        let line = Arc::clone(&self.line);
        Reporter::start(self.watchdog.clone(), move || {
            line.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }

    fn show(&self, line: String) {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }

    /// Runs until it is stopped. Fails only if Telegram refuses token or application.
    pub(crate) fn run(&mut self) -> Result<(), CliError> {
        let mut backoff = Backoff::reconnecting();
        self.state = self.file.read(self.settings.bot_id);
        while !self.cancel.is_cancelled() {
            let error = match contain(|| self.connected(&mut backoff)) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(panic) => {
                    log::error!("the connection to Telegram panicked: {panic}; connecting again");
                    self.pause(backoff.next_delay());
                    continue;
                }
            };
            match error.class {
                ErrorClass::Stopped => return Ok(()),
                ErrorClass::SignIn | ErrorClass::App => {
                    let remedy = error.remedy();
                    let error = anyhow::anyhow!("{error} -> {remedy}");
                    return Err(CliError::new(Code::Config, error));
                }
                ErrorClass::Session => {
                    log::warn!("failed to {error}; signing in again");
                    self.state = None;
                    self.file.remove();
                }
                _ => log::warn!("failed to {error}; trying again"),
            }
            self.show(format!("waiting for Telegram: {}", error.name));
            self.pause(error.wait.unwrap_or_else(|| backoff.next_delay()));
        }
        Ok(())
    }

    /// Waits, and keeps the heartbeat.
    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.cancel.wait(until.saturating_duration_since(Instant::now()).min(TURN)) {
            self.heartbeat.beat();
            if Instant::now() >= until {
                return;
            }
        }
    }

    /// Signs in, at most once in [`SIGN_IN_EVERY`], and keeps the session before its first use.
    fn sign_in(&mut self) -> Result<BotState, TelegramError> {
        if let Some(before) = self.signed_in_at {
            self.pause(SIGN_IN_EVERY.saturating_sub(before.elapsed()));
        }
        let state = BotClient::sign_in(&self.app, &self.settings.token, &self.cancel)?;
        self.signed_in_at = Some(Instant::now());
        log::info!("signed in as bot {}", state.bot_id());
        self.keep(state.clone());
        Ok(state)
    }

    fn keep(&mut self, state: BotState) {
        if let Err(error) = self.file.write(&state) {
            log::error!("failed to {error:#}; the next start signs in again");
        }
        self.state = Some(state);
    }

    /// Serves over one connection, until it fails or the daemon is stopped.
    fn connected(&mut self, backoff: &mut Backoff) -> Result<(), TelegramError> {
        self.heartbeat.beat();
        let state = match self.state.clone() {
            Some(state) => state,
            None => self.sign_in()?,
        };
        let mut client = BotClient::resume(self.app.clone(), &state, &self.cancel)?;
        log::info!("connected to Telegram as bot {}", client.id());
        backoff.reset();
        let id = client.id();
        while !self.cancel.is_cancelled() {
            self.heartbeat.beat();
            let channels = self.broadcasts.channels();
            self.show(format!("connected as bot {id}, {} channel(s)", channels.len()));
            let updates = client.receive(self.turn(Instant::now()), &self.wake)?;
            // Before the updates are acted on: what was executed is not received again.
            if let Some(state) = client.state() {
                self.keep(state);
            }
            self.act(updates);
            let (outbox, heartbeat) = (&mut self.outbox, &self.heartbeat);
            outbox.flush(&mut client, &mut self.conversation, || heartbeat.beat())?;
            let admins = &self.settings.access.admins;
            self.watch.tell(&mut client, admins, outbox, &self.conversation, || heartbeat.beat())?;
        }
        Ok(())
    }

    /// How long to wait for updates at most.
    fn turn(&self, now: Instant) -> Duration {
        let due = [self.conversation.next_tick(), self.outbox.due(now), Some(self.watch.next_round())];
        let next = due.into_iter().flatten().min().map(|due| due.saturating_duration_since(now));
        next.unwrap_or(TURN).min(TURN)
    }

    fn act(&mut self, updates: Vec<BotUpdate>) {
        let channels = self.broadcasts.channels();
        let now = Instant::now();
        for update in updates {
            let actions = match update {
                BotUpdate::Message(message) => {
                    self.conversation.on_message(&message, &channels, now, SystemTime::now())
                }
                BotUpdate::Press(press) => self.conversation.on_press(&press, &channels, now),
            };
            self.take(actions, now);
        }
        while let Some(report) = self.broadcasts.report() {
            self.watch.on_report(&report, SystemTime::now());
            let actions = self.conversation.on_report(&report, &channels, now);
            self.take(actions, now);
        }
        self.tick(&channels, now);
        self.watch.round(&self.broadcasts, &channels, now, SystemTime::now());
    }

    fn tick(&mut self, channels: &[Channel], now: Instant) {
        let actions = self.conversation.tick(channels, now);
        self.take(actions, now);
    }

    fn take(&mut self, actions: Vec<BotAction>, now: Instant) {
        for action in actions {
            match action {
                BotAction::Ask(request) => self.ask(request, now),
                action => self.outbox.push(action, now),
            }
        }
    }

    fn ask(&mut self, request: ChannelRequest, now: Instant) {
        if let Some(call) = &request.call {
            log::info!("user {}: {} on {}", request.user_id, call.to_parts().0, request.channel.name);
        }
        if let Err(request) = self.broadcasts.ask(request) {
            // These are messages only.
            for action in self.conversation.not_asked(&request) {
                self.outbox.push(action, now);
            }
        }
    }
}
