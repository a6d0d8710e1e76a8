//! The session in use: connects with SESSION_STRING, opens the chat's stream, and checks that both
//! still exist. Neither retries nor reads settings: the driver passes those in force.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tgs_control::ViewerCheckStatus;
use tgs_core::{
    cancel::Cancel,
    proxy::{KeptProxies, ProxyList},
    settings::{ChatId, Settings},
};
use tgs_playout::engine::Control;
use tgs_telegram::{
    App, Chat, GroupCall, GroupCallState, Ingest, SelfUser, TelegramClient, TelegramError,
    session::{flood_wait::FloodWaits, lock::SessionLock, string::SessionString},
};

use super::{
    session_failure::SessionFailure,
    state_machine::{CheckOutcome, LossCause, StartError, WaitReason},
    status::{METRICS, SharedTelegramStatus},
    viewer_check::ViewerCheck,
    viewer_picture::Examiner,
};

/// A signed-in connection and its account.
#[derive(Debug)]
struct SignedInSession {
    client: TelegramClient,
    me: SelfUser,
    fingerprint: String,
    app: App,
}

/// The live stream in the chat.
#[derive(Debug)]
struct CallStream {
    chat: Chat,
    call: GroupCall,
    ingest: Ingest,
    /// The viewers at the last check.
    viewers: Option<u32>,
}

/// Why a stream was not opened.
enum OpenRefusal {
    Error(TelegramError),
    /// It is scheduled, and due after this long.
    NotDue(Duration),
}

impl From<TelegramError> for OpenRefusal {
    fn from(error: TelegramError) -> Self {
        Self::Error(error)
    }
}

/// The session and the stream that it has opened.
pub(crate) struct LiveSession {
    state_dir: PathBuf,
    cancel: Cancel,
    status: SharedTelegramStatus,
    flood_waits: FloodWaits,
    signed_in: Option<SignedInSession>,
    /// The last chat found, with the account and the CHAT_ID that it was found for.
    found_chat: Option<(i64, ChatId, Chat)>,
    stream: Option<CallStream>,
    viewer_check: ViewerCheck,
    /// The title that a command has set; replaces CALL_TITLE.
    pub(crate) title: Option<String>,
    lock: Option<(String, SessionLock)>,
    /// The fingerprint of the last dead session, and the cause.
    dead: Option<(String, LossCause)>,
    /// TELEGRAM_PROXY, with the one that works.
    proxies: ProxyList,
    kept_proxies: KeptProxies,
}

impl LiveSession {
    pub(crate) fn new(
        state_dir: &Path,
        cancel: Cancel,
        status: SharedTelegramStatus,
        kept_proxies: KeptProxies,
    ) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
            cancel,
            status,
            flood_waits: FloodWaits::new(state_dir),
            signed_in: None,
            found_chat: None,
            stream: None,
            viewer_check: ViewerCheck::default(),
            title: None,
            lock: None,
            dead: None,
            proxies: ProxyList::default(),
            kept_proxies,
        }
    }

    pub(crate) fn ingest(&self) -> Option<&Ingest> {
        self.stream.as_ref().map(|stream| &stream.ingest)
    }

    /// The viewers of the stream when Telegram was last asked; only true while it is live.
    pub(super) fn viewers(&self) -> Option<u32> {
        self.stream.as_ref()?.viewers
    }

    /// What viewers of the stream get, when Telegram was last asked.
    pub(super) fn viewer_check(&self) -> Option<&ViewerCheckStatus> {
        self.viewer_check.status()
    }

    /// The fingerprint of the session that is signed in, and its account's number.
    pub(super) fn signed_in(&self) -> Option<(&str, i64)> {
        self.signed_in.as_ref().map(|signed_in| (signed_in.fingerprint.as_str(), signed_in.me.id))
    }

    pub(super) fn flood_waits(&self) -> &FloodWaits {
        &self.flood_waits
    }

    /// Opens the stream. Reuses a signed-in connection and a known chat: Telegram limits chat
    /// look-ups most. `unless_same` refuses a string that is still the dead one.
    pub(crate) fn open(&mut self, settings: &Settings, unless_same: bool) -> Result<(), SessionFailure> {
        let session = self.decode(settings)?;
        let fingerprint = session.fingerprint();
        let dead = self.dead.as_ref().filter(|(dead, _)| unless_same && *dead == fingerprint);
        if let Some((_, cause)) = dead {
            return Err(SessionFailure::still_dead(*cause));
        }
        if let Some(left) = self.flood_waits.left(&fingerprint, SystemTime::now()) {
            return Err(SessionFailure::flood_wait(left, SystemTime::now()));
        }
        let (app, chat) = self.app(settings)?;
        self.proxies = app.proxies.clone();
        let opened = self.sign_in(app, &session, &fingerprint).and_then(|()| {
            let stream = self.open_stream(&chat, settings);
            stream.map_err(|refusal| match refusal {
                OpenRefusal::Error(error) => self.failed(&error, &fingerprint),
                OpenRefusal::NotDue(left) => SessionFailure::scheduled(left, SystemTime::now()),
            })
        });
        match opened {
            Ok(stream) => {
                self.stream = Some(stream);
                Ok(())
            }
            Err(failure) => {
                // The operator has to act, perhaps with a tool that needs the session.
                if matches!(
                    failure.error,
                    StartError::Wait(WaitReason::Chat | WaitReason::Rights | WaitReason::App)
                ) {
                    (self.signed_in, self.lock) = (None, None);
                }
                Err(failure)
            }
        }
    }

    /// Signs in and finds the chat, but starts nothing: for a standby. Returns the ingest, if the
    /// chat has a live stream.
    pub(crate) fn look(&mut self, settings: &Settings) -> Result<Option<Ingest>, SessionFailure> {
        let session = self.decode(settings)?;
        let fingerprint = session.fingerprint();
        if let Some(left) = self.flood_waits.left(&fingerprint, SystemTime::now()) {
            return Err(SessionFailure::flood_wait(left, SystemTime::now()));
        }
        let (app, chat_id) = self.app(settings)?;
        self.proxies = app.proxies.clone();
        self.sign_in(app, &session, &fingerprint)?;
        let looked = self.look_at(&chat_id);
        looked.map_err(|error| self.failed(&error, &fingerprint))
    }

    fn look_at(&mut self, chat_id: &ChatId) -> Result<Option<Ingest>, TelegramError> {
        let (client, chat) = self.chat(chat_id)?;
        let live = matches!(client.group_call(&chat)?, GroupCallState::Rtmp { .. });
        Ok(if live { Some(client.ingest(&chat)?) } else { None })
    }

    /// The connection, and the chat, which is looked up once.
    fn chat(&mut self, chat_id: &ChatId) -> Result<(&mut TelegramClient, Chat), TelegramError> {
        let Some(SignedInSession { client, me, .. }) = &mut self.signed_in else {
            return Err(TelegramError::not_signed_in());
        };
        let chat = match &self.found_chat {
            Some((account, known, chat)) if *account == me.id && known == chat_id => chat.clone(),
            _ => client.chat(chat_id)?,
        };
        self.found_chat = Some((me.id, chat_id.clone(), chat.clone()));
        let title = format!("{} ({})", chat.title, chat.id);
        self.status.update(|status| status.chat = Some(title));
        Ok((client, chat))
    }

    /// Signs out of nothing, but leaves the session to others.
    pub(crate) fn leave(&mut self) {
        self.sign_out();
    }

    /// Signs in with `session`, unless that is signed in already and Telegram still accepts it.
    fn sign_in(
        &mut self,
        app: App,
        session: &SessionString,
        fingerprint: &str,
    ) -> Result<(), SessionFailure> {
        let same = |signed_in: &SignedInSession| {
            signed_in.fingerprint == fingerprint
                && signed_in.app.api_id == app.api_id
                && signed_in.app.api_hash.expose() == app.api_hash.expose()
                && signed_in.app.proxies == app.proxies
        };
        if let Some(signed_in) = self.signed_in.as_mut().filter(|signed_in| same(signed_in)) {
            return match signed_in.client.self_user() {
                Ok(_) => Ok(()),
                Err(error) => Err(self.failed(&error, fingerprint)),
            };
        }
        self.signed_in = None;
        self.take_lock(session, fingerprint)?;
        match TelegramClient::connect(app.clone(), session, &self.cancel) {
            Ok((client, me)) => {
                self.dead = None;
                self.set_valid(true);
                self.status.update(|status| {
                    status.session = Some(fingerprint.to_owned());
                    status.account = Some(me.to_string());
                });
                match client.proxy() {
                    Some(proxy) => log::info!("signed in as {me}, through the proxy {proxy}"),
                    None => log::info!("signed in as {me}"),
                }
                let fingerprint = fingerprint.to_owned();
                self.signed_in = Some(SignedInSession { client, me, fingerprint, app });
                Ok(())
            }
            Err(error) => Err(self.failed(&error, fingerprint)),
        }
    }

    fn open_stream(&mut self, chat_id: &ChatId, settings: &Settings) -> Result<CallStream, OpenRefusal> {
        let title = self.title.clone();
        let (client, chat) = self.chat(chat_id)?;
        // Before the call: without the right to the key, no live stream must be announced.
        let ingest = client.ingest(&chat)?;
        let (call, viewers, how) = match client.group_call(&chat)? {
            GroupCallState::Rtmp { call, viewers, .. } => (call, Some(viewers), "joining its live stream"),
            GroupCallState::Absent => {
                let title = title.as_deref().or(settings.telegram.call_title.as_deref());
                (client.create_group_call(&chat, title)?, None, "live stream started")
            }
            GroupCallState::Scheduled { call, is_rtmp: true, due } => {
                let left = due.duration_since(SystemTime::now()).unwrap_or_default();
                if !left.is_zero() {
                    return Err(OpenRefusal::NotDue(left));
                }
                client.start_scheduled(&call)?;
                (call, None, "scheduled live stream started")
            }
            GroupCallState::VideoChat => return Err(TelegramError::video_chat().into()),
            GroupCallState::Scheduled { .. } => return Err(TelegramError::scheduled().into()),
        };
        log::info!("{} “{}” ({}): {how}", chat.kind.name(), chat.title, chat.id);
        Ok(CallStream { chat, call, ingest, viewers })
    }

    /// Checks session and call, and what viewers get. `refused` (the ingest rejects the stream):
    /// the stream key as well.
    pub(crate) fn check(
        &mut self,
        settings: &Settings,
        refused: bool,
        control: &Control,
    ) -> (CheckOutcome, Option<SessionFailure>) {
        let (Some(signed_in), Some(stream)) = (&mut self.signed_in, &mut self.stream) else {
            return (CheckOutcome::CallOver, None);
        };
        let fingerprint = signed_in.fingerprint.clone();
        let client = &mut signed_in.client;
        // The account first: a dead session must not pass for a call that is over.
        let checked = client.self_user().and_then(|_| {
            let live = client.group_call_state(&stream.call)?;
            Ok((live, if refused { Some(client.ingest(&stream.chat)?) } else { None }))
        });
        match checked {
            Ok((GroupCallState::Rtmp { viewers, stream_dc, .. }, ingest)) => {
                stream.viewers = Some(viewers);
                let moved = ingest.is_some_and(|ingest| {
                    let moved = ingest != stream.ingest;
                    stream.ingest = ingest;
                    moved
                });
                if settings.telegram.viewer_check {
                    let scratch = self.state_dir.join("scratch");
                    let (ffmpeg, cancel) = (&settings.ffmpeg_path, &self.cancel);
                    let examiner = Examiner { ffmpeg, scratch: &scratch, cancel };
                    self.viewer_check.look(client, (&stream.call, stream_dc), &examiner, control);
                } else {
                    self.viewer_check.forget();
                }
                self.set_valid(true);
                (if moved { CheckOutcome::Moved } else { CheckOutcome::Good }, None)
            }
            Ok(_) => (CheckOutcome::CallOver, None),
            Err(error) => {
                let failure = self.failed(&error, &fingerprint);
                (CheckOutcome::Failed(failure.error), Some(failure))
            }
        }
    }

    /// Sets the live stream's title to the one wanted now.
    pub(crate) fn retitle(&mut self, settings: &Settings) -> Result<(), SessionFailure> {
        let (Some(signed_in), Some(stream)) = (&mut self.signed_in, &self.stream) else { return Ok(()) };
        let fingerprint = signed_in.fingerprint.clone();
        let title = self.title.as_deref().or(settings.telegram.call_title.as_deref());
        let edited = signed_in.client.set_title(&stream.call, title.unwrap_or_default());
        edited.map_err(|error| self.failed(&error, &fingerprint))
    }

    /// Whether SESSION_STRING is still the session that was found dead.
    pub(super) fn is_dead(&self, settings: &Settings) -> bool {
        let text = settings.telegram.session.as_ref().map(|text| SessionString::decode(text.expose()));
        let fingerprint = text.and_then(Result::ok).map(|session| session.fingerprint());
        fingerprint.is_some() && fingerprint.as_ref() == self.dead.as_ref().map(|(dead, _)| dead)
    }

    fn set_valid(&self, valid: bool) {
        METRICS.session_valid.set(valid.into());
        let proxy = self.proxies.current().map(ToString::to_string);
        self.status.update(|status| {
            status.session_valid = valid;
            status.proxy = proxy;
        });
    }

    fn decode(&mut self, settings: &Settings) -> Result<SessionString, SessionFailure> {
        let text = settings.telegram.session.as_ref();
        let failure = match text.map(|text| SessionString::decode(text.expose())) {
            Some(Ok(session)) => return Ok(session),
            Some(Err(refused)) => SessionFailure::no_session(format!("read SESSION_STRING: {refused}")),
            None => SessionFailure::no_session("find a session: SESSION_STRING is not set".to_owned()),
        };
        self.sign_out();
        Err(failure)
    }

    /// Drops connection and lock: no session is in use.
    fn sign_out(&mut self) {
        self.set_valid(false);
        (self.signed_in, self.lock) = (None, None);
    }

    fn take_lock(&mut self, session: &SessionString, fingerprint: &str) -> Result<(), SessionFailure> {
        if self.lock.as_ref().is_some_and(|(held, _)| held == fingerprint) {
            return Ok(());
        }
        self.lock = None;
        let lock = SessionLock::take(&session.key, Some(&self.state_dir))
            .map_err(|error| SessionFailure::in_use(fingerprint, &error))?;
        self.lock = Some((fingerprint.to_owned(), lock));
        Ok(())
    }

    /// Counts and classifies `error`; a dead session is signed out, a flood wait is saved.
    fn failed(&mut self, error: &TelegramError, fingerprint: &str) -> SessionFailure {
        METRICS.count(error.class);
        let failure = SessionFailure::of(error);
        match failure.error {
            StartError::Lost(cause) => {
                self.dead = Some((fingerprint.to_owned(), cause));
                self.sign_out();
            }
            StartError::Wait(WaitReason::Flood(_)) => {
                let wait = SessionFailure::requested_wait(error);
                self.flood_waits.set(fingerprint, wait, SystemTime::now());
            }
            StartError::Wait(WaitReason::Chat) => self.found_chat = None,
            StartError::Wait(_) => {}
        }
        failure
    }

    /// The application and the chat that the settings name.
    pub(super) fn app(&self, settings: &Settings) -> Result<(App, ChatId), SessionFailure> {
        let telegram = &settings.telegram;
        let (Some(api_id), Some(api_hash), Some(chat)) =
            (telegram.api_id, &telegram.api_hash, &telegram.chat)
        else {
            return Err(SessionFailure::incomplete_settings());
        };
        let proxies = self.kept_proxies.list("telegram", telegram.proxies.clone());
        Ok((App { api_id, api_hash: api_hash.clone(), device: "tgs-stream", proxies }, chat.clone()))
    }
}
