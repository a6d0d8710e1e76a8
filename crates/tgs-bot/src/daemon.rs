//! The thread that owns the connection to Telegram: receives, asks the conversation, and sends.
//! Nothing that Telegram or a broadcast does ends it but a refused token.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use jiff::Zoned;
use tgs_control::{channels::Channel, method::Call};
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
    bot::{BotClient, BotState, BotText, BotUpdate, BotWake, Keyboard},
};

use crate::{
    broadcasts::{Broadcasts, ChannelRequest},
    conversation::{BotAction, Conversation},
    digest::DailyDigest,
    fetch::{FetchMessage, FetchStep, Fetcher},
    kept_files::KeptFiles,
    outbox::Outbox,
    session_file::SessionFile,
    settings::{BotAccount, BotSettings},
    watch::ChannelWatch,
};

/// The loop must turn within this time: some calls follow each other, and one that is repeated
/// takes up to four limits of a call.
const STUCK: Duration = Duration::from_mins(5);
/// Longest wait for updates.
const TURN: Duration = Duration::from_secs(10);
/// How often the channels are looked at without a connection to Telegram.
const PAUSE_TURN: Duration = Duration::from_millis(500);
/// A connection that has lasted this long makes the next one come at once.
const STEADY: Duration = Duration::from_secs(30);
/// Shortest time between two sign-ins. The first comes at once.
const SIGN_IN_EVERY: Duration = Duration::from_mins(10);

/// The daemon.
pub(crate) struct BotDaemon {
    settings: BotSettings,
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
    /// The state of a session that Telegram has ended.
    ended: Option<BotState>,
    signed_in_at: Option<Instant>,
    line: Arc<Mutex<String>>,
    watch: ChannelWatch,
    digest: Option<DailyDigest>,
    fetcher: Fetcher,
    /// `None` without `BOT_MEDIA_DIR`.
    kept: Option<KeptFiles>,
}

impl BotDaemon {
    pub(crate) fn new(
        settings: BotSettings,
        broadcasts: Broadcasts,
        wake: BotWake,
        file: SessionFile,
        cancel: Cancel,
    ) -> Self {
        let conversation = Conversation::new(settings.access.clone(), settings.media.is_some());
        let fetcher = Fetcher::new(settings.media.clone());
        let watchdog = Watchdog::default();
        let heartbeat = watchdog.watch("bot", STUCK);
        Self {
            settings,
            broadcasts,
            wake,
            file,
            cancel,
            conversation,
            outbox: Outbox::default(),
            watchdog,
            heartbeat,
            state: None,
            ended: None,
            signed_in_at: None,
            line: Arc::new(Mutex::new("connecting to Telegram".to_owned())),
            watch: ChannelWatch::default(),
            digest: None,
            fetcher,
            kept: None,
        }
    }

    /// Reports incidents from now on, sends digests, and removes files that were played.
    pub(crate) fn watch(&mut self, watch: ChannelWatch, digest: DailyDigest, kept: Option<KeptFiles>) {
        (self.watch, self.digest, self.kept) = (watch, Some(digest), kept);
        let unfinished = self.kept.as_mut().map(KeptFiles::take_unfinished).unwrap_or_default();
        for FetchMessage { user_id, message_id } in unfinished {
            let language = self.watch.language(user_id, None);
            let text = BotText::plain(language.texts().interrupted);
            self.edit(user_id, message_id, text);
        }
    }

    fn edit(&mut self, user_id: i64, message_id: i32, text: BotText) {
        let keyboard = Keyboard::default();
        let edit = BotAction::Edit { user_id, message_id, text, keyboard, picture: None };
        self.outbox.push(edit, Instant::now());
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
        let Some(account) = self.settings.account.clone() else {
            self.show("no bot, only NOTIFY_WEBHOOK".to_owned());
            while !self.cancel.is_cancelled() {
                self.pause(TURN);
            }
            return Ok(());
        };
        let mut backoff = Backoff::reconnecting();
        self.state = self.file.read(account.bot_id);
        while !self.cancel.is_cancelled() {
            let error = match contain(|| self.connected(&account, &mut backoff)) {
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
                    self.ended = self.state.take();
                    self.file.remove();
                }
                _ => log::warn!("failed to {error}; trying again"),
            }
            self.show(format!("waiting for Telegram: {}", error.name));
            self.pause(error.wait.unwrap_or_else(|| backoff.next_delay()));
        }
        Ok(())
    }

    /// Waits without a connection to Telegram: the channels are watched meanwhile.
    fn pause(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            self.heartbeat.beat();
            self.act(Vec::new());
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.cancel.wait(left.min(PAUSE_TURN)) {
                return;
            }
        }
    }

    /// Signs in, at most once in [`SIGN_IN_EVERY`], and keeps the session before its first use.
    fn sign_in(&mut self, account: &BotAccount) -> Result<BotState, TelegramError> {
        if let Some(before) = self.signed_in_at {
            self.pause(SIGN_IN_EVERY.saturating_sub(before.elapsed()));
        }
        let state = BotClient::sign_in(&app(account), &account.token, &self.cancel)?;
        let state = match self.ended.take() {
            Some(ended) => state.continuing(&ended),
            None => state,
        };
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
    fn connected(&mut self, account: &BotAccount, backoff: &mut Backoff) -> Result<(), TelegramError> {
        self.heartbeat.beat();
        let state = match self.state.clone() {
            Some(state) => state,
            None => self.sign_in(account)?,
        };
        let mut client = BotClient::resume(app(account), &state, &self.cancel)?;
        log::info!("connected to Telegram as bot {}", client.id());
        let (id, began) = (client.id(), Instant::now());
        while !self.cancel.is_cancelled() {
            self.heartbeat.beat();
            let channels = self.broadcasts.channels();
            self.show(format!("connected as bot {id}, {} channel(s)", channels.len()));
            let updates = client.receive(self.turn(Instant::now()), &self.wake)?;
            // Before the updates are acted on: what was executed is not received again.
            if let Some(state) = client.state() {
                self.keep(state);
            }
            if began.elapsed() > STEADY {
                backoff.reset();
            }
            self.act(updates);
            let (outbox, heartbeat) = (&mut self.outbox, &self.heartbeat);
            outbox.flush(&mut client, &mut self.conversation, || heartbeat.beat())?;
            let admins = &self.settings.access.admins;
            self.watch.send_due(&mut client, admins, outbox, &self.conversation, || heartbeat.beat())?;
            self.fetch(&mut client)?;
        }
        Ok(())
    }

    /// Receives a piece of a file, if one is due.
    fn fetch(&mut self, client: &mut BotClient) -> Result<(), TelegramError> {
        let now = Instant::now();
        if self.outbox.is_quiet(now) {
            return Ok(());
        }
        match self.fetcher.step(client, now)? {
            FetchStep::Idle => return Ok(()),
            FetchStep::More => {}
            FetchStep::Received(request) => {
                if let (Some(kept), Some(Call::QueueAdd(params))) = (&mut self.kept, &request.call) {
                    kept.received(Path::new(&params.source), &request.channel.name, SystemTime::now());
                }
                self.ask(*request, now);
            }
        }
        if let Some(kept) = &mut self.kept {
            kept.unfinished(self.fetcher.messages());
        }
        Ok(())
    }

    /// How long to wait for updates at most.
    fn turn(&self, now: Instant) -> Duration {
        let fetch = self.fetcher.due(now);
        let due = [self.conversation.next_tick(), self.outbox.due(now), Some(self.watch.next_round()), fetch];
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
        while let Some(mut report) = self.broadcasts.report() {
            let time = SystemTime::now();
            self.watch.on_report(&report, time);
            if let Some(kept) = &mut self.kept {
                kept.on_report(&report, time);
            }
            if let Some(digest) = &mut self.digest {
                digest.on_report(&report, time);
            }
            let actions = self.conversation.on_report(&mut report, &channels, now, time);
            self.take(actions, now);
        }
        self.tick(&channels, now);
        if let Some(kept) = &mut self.kept {
            kept.round(&self.broadcasts, &channels, SystemTime::now());
        }
        self.watch.round(&self.broadcasts, &channels, now, SystemTime::now());
        self.watch.call_webhook(now);
    }

    fn tick(&mut self, channels: &[Channel], now: Instant) {
        let actions = self.conversation.tick(channels, now);
        self.take(actions, now);
        let digest = self.digest.as_mut();
        let digest = digest.and_then(|digest| digest.round(&self.broadcasts, channels, now, &Zoned::now()));
        for user_id in self.settings.access.admins.clone().into_iter().filter(|_| digest.is_some()) {
            let language = self.watch.language(user_id, self.conversation.language(user_id));
            if let Some(text) = digest.as_ref().map(|digest| digest.text(language.texts())) {
                let (keyboard, picture) = (Keyboard::default(), None);
                self.outbox.push(BotAction::Send { user_id, text, keyboard, picture, is_panel: false }, now);
            }
        }
    }

    fn take(&mut self, actions: Vec<BotAction>, now: Instant) {
        for action in actions {
            match action {
                BotAction::Ask(request) => self.ask(request, now),
                BotAction::Fetch(request) => {
                    let (user_id, texts) = (request.user_id, request.language.texts());
                    if !self.fetcher.add(request, now) {
                        let (text, keyboard) = (BotText::plain(texts.too_many_files), Keyboard::default());
                        let refusal =
                            BotAction::Send { user_id, text, keyboard, picture: None, is_panel: false };
                        self.outbox.push(refusal, now);
                    }
                }
                BotAction::CancelFetch(id) => {
                    if let Some((message, language, name)) = self.fetcher.cancel(id) {
                        let text = BotText::plain(language.texts().cancelled).foreign(&name);
                        self.edit(message.user_id, message.message_id, text);
                    }
                }
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

/// The application in whose name the bot connects.
fn app(account: &BotAccount) -> App {
    App {
        api_id: account.api_id,
        api_hash: account.api_hash.clone(),
        device: "tgs-bot",
        proxies: account.proxies.clone(),
    }
}
