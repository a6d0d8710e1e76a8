//! The line to Telegram: opens the stream with the session that `.env` holds now, looks whether it still lives, and lets
//! the standby session approve a new one. Decides nothing; retries nothing.

use std::{
    env,
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tgs_core::{
    cancel::Cancel,
    files, logging, process,
    session_lock::SessionLock,
    session_string::SessionString,
    settings::{ChatId, Settings},
};
use tgs_telegram::{App, Call, Chat, Class, Connection, Ingest, Live, Me, TelegramError};

use super::{
    desk::{Desk, METRICS},
    flood::Flood,
    machine::{Cause, Look, Reason, Renewal, Trouble},
};

/// The longest a renewal takes: some calls of 15 s.
const RENEWAL: Duration = Duration::from_secs(150);

/// The standby session is used this often, so that it does not expire.
const STANDBY_EVERY: Duration = Duration::from_hours(24);

/// What keeps the stream open on Telegram's side.
#[derive(Debug)]
struct Opened {
    connection: Connection,
    me: Me,
    chat: Chat,
    call: Call,
    ingest: Ingest,
}

/// A failure, in words for the log and as what it means for the broadcast.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) trouble: Trouble,
    /// What failed and what it means, as it stands behind "failed to".
    pub(crate) words: String,
    /// What the operator does about it.
    pub(crate) remedy: String,
}

/// The line, open or not.
pub(crate) struct Line<'a> {
    /// Reads the settings as they are now.
    reload: Box<dyn Fn() -> Option<Settings> + 'a>,
    pub(crate) settings: Settings,
    env_file: PathBuf,
    cancel: Cancel,
    desk: Desk,
    flood: Flood,
    opened: Option<Opened>,
    lock: Option<(String, SessionLock)>,
    /// The last session that was found dead, by its short hash.
    dead: Option<String>,
}

impl<'a> Line<'a> {
    pub(crate) fn new(
        reload: Box<dyn Fn() -> Option<Settings> + 'a>,
        settings: Settings,
        env_file: PathBuf,
        cancel: Cancel,
        desk: Desk,
    ) -> Self {
        let flood = Flood::new(&settings.state_dir);
        Self { reload, settings, env_file, cancel, desk, flood, opened: None, lock: None, dead: None }
    }

    /// Where the picture goes.
    pub(crate) fn ingest(&self) -> Option<&Ingest> {
        self.opened.as_ref().map(|opened| &opened.ingest)
    }

    /// Opens the stream. Every part is asked for anew: each may have changed since the last time.
    pub(crate) fn open(&mut self, unless_same: bool) -> Result<(), Failed> {
        if let Some(fresh) = (self.reload)() {
            self.settings = fresh;
        }
        if let Some(left) = self.flood.left(SystemTime::now()) {
            return Err(Failed::flood(left, SystemTime::now()));
        }
        let session = self.session()?;
        let name = session.fingerprint();
        if unless_same && self.dead.as_ref() == Some(&name) {
            return Err(Failed::same());
        }
        self.opened = None;
        self.hold(&session, &name)?;
        let (app, chat) = self.app()?;
        let opened = self.open_with(app, &session, &chat);
        match opened {
            Ok(opened) => {
                self.dead = None;
                self.told_valid(true);
                let title = format!("{} ({})", opened.chat.title, opened.chat.id);
                let account = opened.me.to_string();
                self.desk.update(|desk| {
                    desk.session = Some(name);
                    desk.account = Some(account);
                    desk.chat = Some(title);
                });
                self.opened = Some(opened);
                Ok(())
            }
            Err(error) => Err(self.failed(&error, Some(name))),
        }
    }

    fn open_with(&self, app: App, session: &SessionString, id: &ChatId) -> Result<Opened, TelegramError> {
        let (mut connection, me) = Connection::open(app, session, &self.cancel)?;
        let chat = connection.chat(id)?;
        let (call, how) = match connection.live(&chat)? {
            Live::Rtmp(call) => (call, "joining its live stream"),
            Live::Nothing => {
                let title = self.settings.telegram.call_title.as_deref();
                (connection.create_call(&chat, title)?, "live stream started")
            }
            Live::People => return Err(TelegramError::people()),
        };
        let ingest = connection.ingest(&chat)?;
        log::info!("signed in as {me}; {} “{}” ({}): {how}", chat.kind.name(), chat.title, chat.id);
        Ok(Opened { connection, me, chat, call, ingest })
    }

    /// Looks whether session and call are as they were. The caller reopens a stream whose server refuses it: the key
    /// may have been replaced.
    pub(crate) fn check(&mut self) -> (Look, Option<Failed>) {
        let Some(opened) = &mut self.opened else { return (Look::CallOver, None) };
        // The account first: a dead session is never taken for a call that is over.
        let looked = opened.connection.me().and_then(|_| opened.connection.still_live(&opened.call));
        match looked {
            Ok(Live::Rtmp(_)) => {
                self.told_valid(true);
                (Look::Good, None)
            }
            Ok(Live::Nothing | Live::People) => (Look::CallOver, None),
            Err(error) => {
                let name = self.desk.read().session;
                let failed = self.failed(&error, name);
                (Look::Failed(failed.trouble), Some(failed))
            }
        }
    }

    /// Runs `tgs-session --write-env --non-interactive` beside this program.
    pub(crate) fn renew(&mut self) -> (Renewal, String) {
        let result = self.run_tgs_session();
        let (label, renewal, words) = match result {
            Ok(words) => ("success", Renewal::Done, words),
            Err(words) => ("failure", Renewal::Failed, words),
        };
        METRICS.regen_attempts.with_label_values(&[label]).inc();
        (renewal, words)
    }

    fn run_tgs_session(&self) -> Result<String, String> {
        let beside = env::current_exe().map(|exe| exe.with_file_name("tgs-session"));
        let program = beside.ok().filter(|path| path.exists()).unwrap_or_else(|| "tgs-session".into());
        let mut command: Command = process::command(program);
        command.args(["--write-env", "--non-interactive", "--env-file"]).arg(&self.env_file);
        command.env("STATE_DIR", &self.settings.state_dir);
        let output =
            process::output(command, RENEWAL, 1 << 16, &self.cancel).map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("").to_owned();
        if output.status.success() { Ok(last) } else { Err(last) }
    }

    /// Uses the standby session, if a day has gone by since the last time.
    pub(crate) fn touch_standby(&self) {
        let Some(text) = &self.settings.telegram.standby else { return };
        let path = self.settings.state_dir.join("standby-seen");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some((at, valid)) = kept.trim().split_once(' ')
            && let Ok(at) = at.parse().map(Duration::from_secs)
            && now.checked_sub(at).is_some_and(|since| since < STANDBY_EVERY)
        {
            self.told_standby(valid == "valid");
            return;
        }
        let used = SessionString::decode(text.expose())
            .map_err(|refused| refused.to_string())
            .and_then(|session| self.use_standby(&session));
        let valid = match used {
            // Neither good nor bad: asked again at the next look.
            Ok(None) => return,
            Ok(Some(())) => true,
            Err(why) => {
                log::warn!(
                    "STANDBY_SESSION_STRING cannot be used: {why}; run: tgs-session --standby --write-env"
                );
                false
            }
        };
        self.told_standby(valid);
        let line = format!("{} {}\n", now.as_secs(), if valid { "valid" } else { "invalid" });
        if let Err(error) = files::replace(&path, line.as_bytes(), 0o600) {
            log::warn!("cannot write {}: {error}", path.display());
        }
    }

    fn use_standby(&self, session: &SessionString) -> Result<Option<()>, String> {
        let Ok((app, _)) = self.app() else { return Ok(None) };
        let Ok(_held) = SessionLock::take(&session.key, Some(&self.settings.state_dir)) else {
            return Ok(None);
        };
        match Connection::open(app, session, &self.cancel) {
            Ok((_, me)) if self.opened.as_ref().is_some_and(|opened| opened.me.id != me.id) => {
                Err(format!("it belongs to another account, {me}"))
            }
            Ok(_) => Ok(Some(())),
            Err(error) if matches!(error.class, Class::Session | Class::Account) => Err(error.to_string()),
            Err(error) => {
                METRICS.count(error.class);
                Ok(None)
            }
        }
    }

    fn told_standby(&self, valid: bool) {
        METRICS.set_standby(valid);
        self.desk.update(|desk| desk.standby_valid = Some(valid));
    }

    fn told_valid(&self, valid: bool) {
        METRICS.session_valid.set(valid.into());
        self.desk.update(|desk| desk.session_valid = valid);
    }

    fn session(&mut self) -> Result<SessionString, Failed> {
        let remedy = "run: tgs-session --write-env".to_owned();
        let lost = |words: String| Failed { trouble: Trouble::Lost(Cause::Session), words, remedy };
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
        self.opened = None;
        self.lock = None;
    }

    /// Claims the session for this process.
    fn hold(&mut self, session: &SessionString, name: &str) -> Result<(), Failed> {
        if self.lock.as_ref().is_some_and(|(held, _)| held == name) {
            return Ok(());
        }
        self.lock = None;
        let lock =
            SessionLock::take(&session.key, Some(&self.settings.state_dir)).map_err(|held| Failed {
                trouble: Trouble::Wait(Reason::InUse),
                words: format!("use the session {name}: {held}"),
                remedy: "one session is for one program: used twice, Telegram ends it; stop the other"
                    .to_owned(),
            })?;
        self.lock = Some((name.to_owned(), lock));
        Ok(())
    }

    fn app(&self) -> Result<(App, ChatId), Failed> {
        let telegram = &self.settings.telegram;
        let (Some(api_id), Some(api_hash), Some(chat)) =
            (telegram.api_id, &telegram.api_hash, &telegram.chat)
        else {
            return Err(Failed {
                trouble: Trouble::Wait(Reason::App),
                words: "read the settings: API_ID, API_HASH or CHAT_ID was taken out of them".to_owned(),
                remedy: "put it back".to_owned(),
            });
        };
        Ok((App { api_id, api_hash: api_hash.clone(), device: "tgs-stream" }, chat.clone()))
    }

    /// What `error` means for the broadcast.
    fn failed(&mut self, error: &TelegramError, session: Option<String>) -> Failed {
        METRICS.count(error.class);
        let trouble = match error.class {
            Class::Session => Trouble::Lost(Cause::Session),
            Class::Account => Trouble::Lost(Cause::Account),
            Class::Flood => {
                let wait = error.wait.unwrap_or(Duration::from_mins(1));
                self.flood.set(wait, SystemTime::now());
                Trouble::Wait(Reason::Flood(wait + Duration::from_secs(1)))
            }
            Class::Network | Class::Stopped => Trouble::Wait(Reason::Network),
            Class::Rights => Trouble::Wait(Reason::Rights),
            Class::Chat => Trouble::Wait(Reason::Chat),
            Class::People => Trouble::Wait(Reason::People),
            Class::Call => Trouble::Wait(Reason::Call),
            Class::App => Trouble::Wait(Reason::App),
            Class::SignIn | Class::Other => Trouble::Wait(Reason::Other),
        };
        if let Trouble::Lost(_) = trouble {
            self.dead = session;
            self.release();
        }
        Failed { trouble, words: error.to_string(), remedy: error.remedy().to_owned() }
    }
}

impl Failed {
    fn flood(left: Duration, now: SystemTime) -> Self {
        Self {
            trouble: Trouble::Wait(Reason::Flood(left)),
            words: format!("ask Telegram, which wants silence until {}", logging::moment(now + left)),
            remedy: String::new(),
        }
    }

    fn same() -> Self {
        Self {
            trouble: Trouble::Lost(Cause::Account),
            words: "find another session: SESSION_STRING is still that of the lost account".to_owned(),
            remedy: String::new(),
        }
    }
}
