//! The line to Telegram: opens the stream with the session that `.env` holds now, looks whether it still lives, and lets
//! the standby session approve a new one. Decides nothing; retries nothing.

use std::{
    env, fmt,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tgs_core::{
    cancel::Cancel,
    files,
    flood_wait::FloodWaits,
    process, remedy,
    session_lock::SessionLock,
    session_string::SessionString,
    settings::{ChatId, Settings},
};
use tgs_telegram::{App, Call, Chat, Class, Connection, Ingest, Live, Me, TelegramError};

use super::{
    state_machine::{CheckOutcome, LossCause, RenewalOutcome, StartError, WaitReason},
    status::{METRICS, SharedTelegramStatus},
};

/// The longest a renewal takes: some calls of 15 s.
const RENEWAL: Duration = Duration::from_secs(150);

/// The standby session is used this often, so that it does not expire.
const STANDBY_EVERY: Duration = Duration::from_hours(24);

/// A standby session of which nothing could be found out is looked at again after this long; so are the settings, for a
/// new one.
const STANDBY_AGAIN: Duration = Duration::from_mins(10);

/// A connection that is signed in, and to whom it belongs.
#[derive(Debug)]
struct SignedInSession {
    connection: Connection,
    me: Me,
    /// The session's short hash.
    name: String,
    app: App,
}

/// The stream on Telegram's side.
#[derive(Debug)]
struct CallStream {
    chat: Chat,
    call: Call,
    ingest: Ingest,
}

/// A failure, in words for the log and as what it means for the broadcast.
#[derive(Debug, Clone)]
pub(crate) struct SessionFailure {
    pub(crate) error: StartError,
    /// What failed and what it means, as it stands behind "failed to".
    pub(crate) message: String,
    /// What the operator does about it.
    pub(crate) remedy: String,
}

/// The line, open or not.
pub(crate) struct LiveSession<'a> {
    /// Reads the settings as they are now.
    reload: Box<dyn Fn() -> Option<Settings> + 'a>,
    pub(crate) settings: Settings,
    env_file: PathBuf,
    cancel: Cancel,
    status: SharedTelegramStatus,
    flood: FloodWaits,
    signed: Option<SignedInSession>,
    /// The chat that was found last: for this account, by this CHAT_ID.
    found: Option<(i64, ChatId, Chat)>,
    stream: Option<CallStream>,
    /// What the live stream is called in the place of CALL_TITLE.
    pub(crate) title: Option<String>,
    lock: Option<(String, SessionLock)>,
    /// The last session that was found dead, and why.
    dead: Option<(String, LossCause)>,
    /// When the standby session is due to be used next; `None` before it was looked up.
    standby_due: Option<Instant>,
}

impl<'a> LiveSession<'a> {
    pub(crate) fn new(
        reload: Box<dyn Fn() -> Option<Settings> + 'a>,
        settings: Settings,
        env_file: PathBuf,
        cancel: Cancel,
        desk: SharedTelegramStatus,
    ) -> Self {
        let flood = FloodWaits::new(&settings.state_dir);
        Self {
            reload,
            settings,
            env_file,
            cancel,
            status: desk,
            flood,
            signed: None,
            found: None,
            stream: None,
            title: None,
            lock: None,
            dead: None,
            standby_due: None,
        }
    }

    /// Where the picture goes.
    pub(crate) fn ingest(&self) -> Option<&Ingest> {
        self.stream.as_ref().map(|stream| &stream.ingest)
    }

    /// Opens the stream with what `.env` says now. A connection that is signed in, and a chat that was found, are used
    /// again: looking a chat up is what Telegram limits most.
    pub(crate) fn open(&mut self, unless_same: bool) -> Result<(), SessionFailure> {
        self.read_settings();
        let session = self.session()?;
        let name = session.fingerprint();
        if let Some((_, cause)) = self.dead.as_ref().filter(|(dead, _)| unless_same && *dead == name) {
            return Err(SessionFailure::same(*cause));
        }
        if let Some(left) = self.flood.left(&name, SystemTime::now()) {
            return Err(SessionFailure::flood(left, SystemTime::now()));
        }
        let (app, id) = self.app()?;
        let opened = self.sign_in(app, &session, &name).and_then(|()| {
            let stream = self.open_stream(&id);
            stream.map_err(|error| self.failed(&error, &name))
        });
        match opened {
            Ok(stream) => {
                self.stream = Some(stream);
                Ok(())
            }
            Err(failed) => {
                // Somebody has to mend this, perhaps with a tool that needs the session.
                if matches!(
                    failed.error,
                    StartError::Wait(WaitReason::Chat | WaitReason::Rights | WaitReason::App)
                ) {
                    (self.signed, self.lock) = (None, None);
                }
                Err(failed)
            }
        }
    }

    fn read_settings(&mut self) {
        if let Some(fresh) = (self.reload)() {
            self.settings = fresh;
        }
    }

    /// Has a connection that is signed in with `session`.
    fn sign_in(&mut self, app: App, session: &SessionString, name: &str) -> Result<(), SessionFailure> {
        let same = |signed: &SignedInSession| {
            signed.name == name
                && signed.app.api_id == app.api_id
                && signed.app.api_hash.expose() == app.api_hash.expose()
        };
        if let Some(signed) = self.signed.as_mut().filter(|signed| same(signed)) {
            return match signed.connection.me() {
                Ok(_) => Ok(()),
                Err(error) => Err(self.failed(&error, name)),
            };
        }
        self.signed = None;
        self.hold(session, name)?;
        match Connection::open(app.clone(), session, &self.cancel) {
            Ok((connection, me)) => {
                self.dead = None;
                self.told_valid(true);
                self.status.update(|desk| {
                    desk.session = Some(name.to_owned());
                    desk.account = Some(me.to_string());
                });
                log::info!("signed in as {me}");
                self.signed = Some(SignedInSession { connection, me, name: name.to_owned(), app });
                Ok(())
            }
            Err(error) => Err(self.failed(&error, name)),
        }
    }

    fn open_stream(&mut self, id: &ChatId) -> Result<CallStream, TelegramError> {
        let Some(SignedInSession { connection, me, .. }) = &mut self.signed else {
            return Err(TelegramError::not_signed_in());
        };
        let chat = match &self.found {
            Some((account, known, chat)) if *account == me.id && known == id => chat.clone(),
            _ => connection.chat(id)?,
        };
        self.found = Some((me.id, id.clone(), chat.clone()));
        let title = format!("{} ({})", chat.title, chat.id);
        self.status.update(|desk| desk.chat = Some(title));
        // Before the call: who may not have the key shall not have announced a stream.
        let ingest = connection.ingest(&chat)?;
        let (call, how) = match connection.live(&chat)? {
            Live::Rtmp(call) => (call, "joining its live stream"),
            Live::Nothing => {
                let title = self.title.as_deref().or(self.settings.telegram.call_title.as_deref());
                (connection.create_call(&chat, title)?, "live stream started")
            }
            Live::People => return Err(TelegramError::people()),
            Live::Scheduled => return Err(TelegramError::scheduled()),
        };
        log::info!("{} “{}” ({}): {how}", chat.kind.name(), chat.title, chat.id);
        Ok(CallStream { chat, call, ingest })
    }

    /// Looks whether session and call are as they were; where the server refuses the picture (`refused`), also whether
    /// the stream key was replaced.
    pub(crate) fn check(&mut self, refused: bool) -> (CheckOutcome, Option<SessionFailure>) {
        let (Some(signed), Some(stream)) = (&mut self.signed, &mut self.stream) else {
            return (CheckOutcome::CallOver, None);
        };
        let name = signed.name.clone();
        let connection = &mut signed.connection;
        // The account first: a dead session is never taken for a call that is over.
        let looked = connection.me().and_then(|_| {
            let live = connection.still_live(&stream.call)?;
            Ok((live, if refused { Some(connection.ingest(&stream.chat)?) } else { None }))
        });
        match looked {
            Ok((Live::Rtmp(_), ingest)) => {
                let moved = ingest.is_some_and(|ingest| {
                    let moved = ingest != stream.ingest;
                    stream.ingest = ingest;
                    moved
                });
                self.told_valid(true);
                (if moved { CheckOutcome::Moved } else { CheckOutcome::Good }, None)
            }
            Ok(_) => (CheckOutcome::CallOver, None),
            Err(error) => {
                let failed = self.failed(&error, &name);
                (CheckOutcome::Failed(failed.error), Some(failed))
            }
        }
    }

    /// Gives the live stream the title that is wanted now.
    pub(crate) fn retitle(&mut self) -> Result<(), SessionFailure> {
        let (Some(signed), Some(stream)) = (&mut self.signed, &self.stream) else { return Ok(()) };
        let name = signed.name.clone();
        let wanted = self.title.as_deref().or(self.settings.telegram.call_title.as_deref());
        let told = signed.connection.edit_title(&stream.call, wanted.unwrap_or_default());
        told.map_err(|error| self.failed(&error, &name))
    }

    /// Runs `tgs-session --write-env --non-interactive` beside this program.
    pub(crate) fn renew(&mut self) -> (RenewalOutcome, String) {
        let result = self.run_tgs_session().and_then(|words| self.read_renewed(words));
        let (label, renewal, words) = match result {
            Ok(words) => ("success", RenewalOutcome::Done, words),
            Err(words) => ("failure", RenewalOutcome::Failed, words),
        };
        METRICS.regen_attempts.with_label_values(&[label]).inc();
        (renewal, words)
    }

    fn run_tgs_session(&self) -> Result<String, String> {
        let beside = env::current_exe().map(|exe| exe.with_file_name("tgs-session"));
        let program = beside.ok().filter(|path| path.exists()).unwrap_or_else(|| "tgs-session".into());
        let mut command: Command = process::trusted(program);
        command.args(["--write-env", "--non-interactive", "--env-file"]).arg(&self.env_file);
        command.env("STATE_DIR", &self.settings.state_dir).env("CACHE_DIR", &self.settings.cache_dir);
        let output =
            process::output(command, RENEWAL, 1 << 16, &self.cancel).map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("").to_owned();
        if output.status.success() { Ok(last) } else { Err(last) }
    }

    /// Whether the settings hold another session than the dead one now.
    fn read_renewed(&mut self, words: String) -> Result<String, String> {
        self.read_settings();
        let text = self.settings.telegram.session.as_ref().map(|text| SessionString::decode(text.expose()));
        let name = text.and_then(Result::ok).map(|session| session.fingerprint());
        if name.is_some() && name.as_ref() == self.dead.as_ref().map(|(dead, _)| dead) {
            return Err(format!(
                "SESSION_STRING in the environment hides the new one in {}: unset it, or start tgs-stream with --env-file",
                self.env_file.display()
            ));
        }
        Ok(words)
    }

    /// Uses the standby session, if a day has gone by since the last time.
    pub(crate) fn touch_standby(&mut self) {
        if self.standby_due.is_some_and(|due| Instant::now() < due) {
            return;
        }
        // On air nothing else reads them: the operator may have made a standby since.
        self.read_settings();
        self.standby_due = Some(Instant::now() + STANDBY_AGAIN);
        let Some(text) = &self.settings.telegram.standby else { return };
        let session = match SessionString::decode(text.expose()) {
            Ok(session) => session,
            Err(refused) => return self.told_standby(false, &format!("it {refused}")),
        };
        let name = session.fingerprint();
        if self.signed.as_ref().is_some_and(|signed| signed.name == name) {
            return self.told_standby(false, "it is SESSION_STRING itself");
        }
        let path = self.settings.state_dir.join("standby-seen");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kept = files::read_text(&path).unwrap_or_default();
        if let Some((verdict, left)) = seen(&kept, &name, now) {
            self.standby_due = Some(Instant::now() + left);
            return self.told_standby(verdict == "good", "it was found dead before");
        }
        let (valid, why) = match self.use_standby(&session, &name) {
            // Neither good nor bad: asked again soon.
            Ok(false) => return,
            Ok(true) => (true, String::new()),
            Err(why) => (false, why),
        };
        self.told_standby(valid, &why);
        self.standby_due = Some(Instant::now() + STANDBY_EVERY);
        let line = format!("{name} {} {}\n", now.as_secs(), if valid { "good" } else { "bad" });
        if let Err(error) = files::replace(&path, line.as_bytes(), 0o600) {
            log::warn!("cannot write {}: {error}", path.display());
        }
    }

    /// Whether it is good; `Ok(false)` where that cannot be found out now.
    fn use_standby(&self, session: &SessionString, name: &str) -> Result<bool, String> {
        let Ok((app, _)) = self.app() else { return Ok(false) };
        if self.flood.left(name, SystemTime::now()).is_some() {
            return Ok(false);
        }
        let Ok(_held) = SessionLock::take(&session.key, Some(&self.settings.state_dir)) else {
            return Ok(false);
        };
        match Connection::open(app, session, &self.cancel) {
            Ok((_, me)) if self.signed.as_ref().is_some_and(|signed| signed.me.id != me.id) => {
                Err(format!("it belongs to another account, {me}"))
            }
            Ok(_) => Ok(true),
            Err(error) if matches!(error.class, Class::Session | Class::Account) => Err(error.to_string()),
            Err(error) => {
                METRICS.count(error.class);
                if let Some(wait) = error.wait {
                    self.flood.set(name, wait, SystemTime::now());
                }
                Ok(false)
            }
        }
    }

    fn told_standby(&self, valid: bool, why: &str) {
        if !valid {
            let run = remedy::command("tgs-session --standby --write-env");
            log::warn!("STANDBY_SESSION_STRING cannot be used: {why}; run: {run}");
        }
        METRICS.set_standby(valid);
        self.status.update(|desk| desk.standby_valid = Some(valid));
    }

    fn told_valid(&self, valid: bool) {
        METRICS.session_valid.set(valid.into());
        self.status.update(|desk| desk.session_valid = valid);
    }

    fn session(&mut self) -> Result<SessionString, SessionFailure> {
        let remedy = format!("run: {}", remedy::command("tgs-session --write-env"));
        let lost = |words: String| SessionFailure {
            error: StartError::Lost(LossCause::Session),
            message: words,
            remedy,
        };
        let text = self.settings.telegram.session.as_ref();
        let session = match text.map(|text| SessionString::decode(text.expose())) {
            Some(Ok(session)) => return Ok(session),
            Some(Err(refused)) => Err(lost(format!("read SESSION_STRING: {refused}"))),
            None => Err(lost("find a session: SESSION_STRING is not set".to_owned())),
        };
        self.release();
        session
    }

    /// No session is held any more.
    fn release(&mut self) {
        self.told_valid(false);
        (self.signed, self.lock) = (None, None);
    }

    /// Claims the session for this process.
    fn hold(&mut self, session: &SessionString, name: &str) -> Result<(), SessionFailure> {
        if self.lock.as_ref().is_some_and(|(held, _)| held == name) {
            return Ok(());
        }
        self.lock = None;
        let lock = SessionLock::take(&session.key, Some(&self.settings.state_dir)).map_err(|held| {
            SessionFailure {
                error: StartError::Wait(WaitReason::InUse),
                message: format!("use the session {name}: {held}"),
                remedy: "one session is for one program: used twice, Telegram ends it; stop the other"
                    .to_owned(),
            }
        })?;
        self.lock = Some((name.to_owned(), lock));
        Ok(())
    }

    fn app(&self) -> Result<(App, ChatId), SessionFailure> {
        let telegram = &self.settings.telegram;
        let (Some(api_id), Some(api_hash), Some(chat)) =
            (telegram.api_id, &telegram.api_hash, &telegram.chat)
        else {
            return Err(SessionFailure {
                error: StartError::Wait(WaitReason::App),
                message: "read the settings: API_ID, API_HASH or CHAT_ID was taken out of them".to_owned(),
                remedy: "put it back".to_owned(),
            });
        };
        Ok((App { api_id, api_hash: api_hash.clone(), device: "tgs-stream" }, chat.clone()))
    }

    /// What `error` means for the broadcast.
    fn failed(&mut self, error: &TelegramError, session: &str) -> SessionFailure {
        METRICS.count(error.class);
        let trouble = match error.class {
            Class::Session => StartError::Lost(LossCause::Session),
            Class::Account => StartError::Lost(LossCause::Account),
            Class::Flood => {
                let wait = error.wait.unwrap_or(Duration::from_mins(1));
                self.flood.set(session, wait, SystemTime::now());
                StartError::Wait(WaitReason::Flood(wait + Duration::from_secs(1)))
            }
            Class::Network | Class::Stopped => StartError::Wait(WaitReason::Network),
            Class::Rights => StartError::Wait(WaitReason::Rights),
            Class::Chat => StartError::Wait(WaitReason::Chat),
            Class::People => StartError::Wait(WaitReason::People),
            Class::Call => StartError::Wait(WaitReason::Call),
            Class::App => StartError::Wait(WaitReason::App),
            Class::SignIn | Class::Other => StartError::Wait(WaitReason::Other),
        };
        if let StartError::Lost(cause) = trouble {
            self.dead = Some((session.to_owned(), cause));
            self.release();
        }
        if error.class == Class::Chat {
            self.found = None;
        }
        SessionFailure { error: trouble, message: error.to_string(), remedy: error.remedy().into_owned() }
    }
}

impl fmt::Display for SessionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}", self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

impl SessionFailure {
    fn flood(left: Duration, now: SystemTime) -> Self {
        Self {
            error: StartError::Wait(WaitReason::Flood(left)),
            message: format!(
                "ask Telegram, which wants silence until {}",
                tgs_core::time::moment(now + left)
            ),
            remedy: String::new(),
        }
    }

    fn same(cause: LossCause) -> Self {
        Self {
            error: StartError::Lost(cause),
            message: "find another session: SESSION_STRING is still the lost one".to_owned(),
            remedy: String::new(),
        }
    }
}

/// What `kept` (session, time, verdict) says of the session `name`, and for how long that holds yet.
fn seen<'k>(kept: &'k str, name: &str, now: Duration) -> Option<(&'k str, Duration)> {
    let mut words = kept.split_whitespace();
    let (known, at, verdict) = (words.next()?, words.next()?, words.next()?);
    let since = now.checked_sub(Duration::from_secs(at.parse().ok()?))?;
    let left = STANDBY_EVERY.checked_sub(since)?;
    (known == name).then_some((verdict, left))
}
