//! A blocking client of the session's home DC. Applies the time limit, the stop flag and the
//! retries of every call; does not interpret the answers.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use grammers_client::Client;
use grammers_mtsender::InvocationError;
use grammers_session::updates::UpdatesLike;
use grammers_tl_types::{self as tl, RemoteCall};
use tgs_core::cancel::Cancel;
use tokio::{sync::Notify, time};

use crate::{
    app::App,
    dc,
    error::{ErrorClass, TelegramError},
    pinned_session::PinnedSession,
    pool::{CallAborted, CallHandles, ClientPool, STOP_CHECK},
    session::string::SessionString,
    user::SelfUser,
};

/// Time limit of a call, including the connect.
pub const CALL_LIMIT: Duration = Duration::from_secs(15);

/// Capacity of the queue of updates of a user's session: only a QR sign-in waits for updates, and
/// reads them at once.
const FEW_UPDATES: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// Delays before the second, third and fourth attempt with an auth key that Telegram does not know.
const NO_KEY_WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// A failed request that concerns another DC than the session's own.
pub(crate) enum ElsewhereError {
    /// The session's own DC has failed.
    AtHome(InvocationError),
    /// The other DC has.
    There(InvocationError),
}

/// A client of a session's home DC. The session is signed in, or a sign-in is under way.
pub struct TelegramClient {
    pub(crate) app: App,
    session: Arc<PinnedSession>,
    /// `None` before the first call and after an aborted call.
    pool: Option<ClientPool>,
    /// Whether Telegram answered the last call; the connection is then expected to be open.
    answered: bool,
    cancel: Cancel,
    limit: Duration,
    updates: UpdateQueue,
    /// How many pools there were; each begins with an empty queue of updates.
    pools: u64,
}

/// The queue of updates of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpdateQueue {
    /// Updates that arrive between calls are discarded.
    Discarded,
    /// Updates are kept for [`TelegramClient::take_updates`], up to this number.
    Kept(NonZeroUsize),
}

impl std::fmt::Debug for TelegramClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TelegramClient").field("session", &self.session).finish_non_exhaustive()
    }
}

impl TelegramClient {
    /// Connects with `session` and requests its account. An error of [`crate::ErrorClass::Session`]
    /// means that the session is dead.
    pub fn connect(
        app: App,
        session: &SessionString,
        cancel: &Cancel,
    ) -> Result<(Self, SelfUser), TelegramError> {
        let doing = "sign in with the session";
        if session.is_bot == Some(true) {
            return Err(TelegramError::bot(doing));
        }
        let table = dc::DcTable::for_session(session);
        let pinned = PinnedSession::new(session.dc, Some(session.key.clone()), table)
            .ok_or_else(|| TelegramError::no_dc(doing))?;
        let mut client = Self::new(app, pinned, cancel);
        let me = match client.self_user() {
            // Where IPv4 does not answer, IPv6 may.
            Err(error) if error.class == ErrorClass::Network && client.change_address() => {
                client.self_user().map_err(|other| if other.class == error.class { error } else { other })?
            }
            answer => answer?,
        };
        Ok((client, me))
    }

    /// Requests the account of the session.
    pub fn self_user(&mut self) -> Result<SelfUser, TelegramError> {
        let doing = "ask Telegram for the account";
        let request = tl::functions::users::GetUsers { id: vec![tl::enums::InputUser::UserSelf] };
        match self.call(doing, &request)?.into_iter().next() {
            Some(tl::enums::User::User(user)) if user.bot => Err(TelegramError::bot(doing)),
            Some(tl::enums::User::User(user)) => Ok(SelfUser::of(user)),
            _ => Err(TelegramError::garbage(doing)),
        }
    }

    /// A client for a sign-in: its first call creates a new auth key. Uses the DC and addresses of
    /// the session `like`; without one, the DC at which a sign-in begins.
    pub fn unsigned(app: App, like: Option<&SessionString>, cancel: &Cancel) -> Result<Self, TelegramError> {
        let table = like.map_or_else(dc::DcTable::production, dc::DcTable::for_session);
        let dc = like.map_or(dc::FIRST, |session| session.dc);
        let pinned = PinnedSession::new(dc, None, table).ok_or_else(|| TelegramError::no_dc("connect"))?;
        Ok(Self::new(app, pinned, cancel))
    }

    fn new(app: App, session: PinnedSession, cancel: &Cancel) -> Self {
        let session = Arc::new(session);
        Self {
            app,
            session,
            pool: None,
            answered: false,
            cancel: cancel.clone(),
            limit: limit(),
            updates: UpdateQueue::Discarded,
            pools: 0,
        }
    }

    /// A client of `session` that keeps up to `most` updates between calls. Sends nothing.
    pub(crate) fn keeping_updates(
        app: App,
        session: &SessionString,
        most: NonZeroUsize,
        cancel: &Cancel,
    ) -> Result<Self, TelegramError> {
        let table = dc::DcTable::for_session(session);
        let pinned = PinnedSession::new(session.dc, Some(session.key.clone()), table)
            .ok_or_else(|| TelegramError::no_dc("connect"))?;
        let client = Self::new(app, pinned, cancel);
        Ok(Self { updates: UpdateQueue::Kept(most), ..client })
    }

    /// The proxy that leads to Telegram, as scheme, host and port; `None` for a direct connection.
    #[must_use]
    pub fn proxy(&self) -> Option<String> {
        self.app.proxies.current().map(ToString::to_string)
    }

    /// Seconds by which this machine's clock is ahead of Telegram's (negative: behind). The error
    /// is up to one round trip.
    pub fn clock_offset(&mut self) -> Result<i64, TelegramError> {
        let tl::enums::Config::Config(config) =
            self.call("ask Telegram for the time", &tl::functions::help::GetConfig {})?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(now as i64 - i64::from(config.date))
    }

    /// Exports the session. Its key is authorized only after a sign-in or
    /// [`TelegramClient::connect`]. `None` before the first call of a client that began without a
    /// key.
    #[must_use]
    pub fn session(&self) -> Option<SessionString> {
        self.session.export()
    }

    fn change_address(&mut self) -> bool {
        self.close();
        self.session.change_address()
    }

    /// Whether the connection is believed to be open.
    pub(crate) fn is_open(&self) -> bool {
        self.answered
    }

    /// Moves to the account's DC `dc`, where a new auth key is created.
    pub(crate) fn move_to(&mut self, dc: u8, doing: &'static str) -> Result<(), TelegramError> {
        if !self.session.move_to(dc) {
            return Err(TelegramError::no_dc(doing));
        }
        self.close();
        Ok(())
    }

    /// Sends `request` and connects first if needed. Each attempt takes at most [`CALL_LIMIT`].
    /// Retries like [`TelegramClient::call_client`].
    pub(crate) fn call<R: RemoteCall>(
        &mut self,
        doing: &'static str,
        request: &R,
    ) -> Result<R::Return, TelegramError> {
        self.call_client(doing, async |client| client.invoke(request).await)
    }

    /// Like [`TelegramClient::call`], for a request that must not be sent twice. Transport error
    /// 404 counts as a lost connection: the next call finds out whether the key is dead.
    pub(crate) fn call_once<R: RemoteCall>(
        &mut self,
        doing: &'static str,
        request: &R,
    ) -> Result<R::Return, TelegramError> {
        let answer = self.attempt(doing, &mut async |client| client.invoke(request).await);
        match answer {
            Err(error) if error.is_no_key() && self.session.has_key() => {
                Err(TelegramError::lost(doing).through(self.app.proxies.current()))
            }
            answer => answer,
        }
    }

    /// Runs `work`, a grammers function that sends one request. Repeats `work` once if the
    /// connection was lost since the last call. Transport error 404 is final only after four
    /// attempts: a restarting DC sends it too.
    pub(crate) fn call_client<T>(
        &mut self,
        doing: &'static str,
        mut work: impl AsyncFnMut(&Client) -> Result<T, InvocationError>,
    ) -> Result<T, TelegramError> {
        let was_open = self.answered;
        let mut answer = self.attempt(doing, &mut work);
        if was_open && matches!(&answer, Err(error) if error.is_lost_connection()) {
            answer = self.attempt(doing, &mut work);
        }
        for wait in NO_KEY_WAITS {
            match &answer {
                Err(error) if error.is_no_key() && self.session.has_key() => {}
                _ => break,
            }
            if self.cancel.wait(wait) {
                return Err(TelegramError::stopped(doing));
            }
            answer = self.attempt(doing, &mut work);
        }
        answer
    }

    /// The session's own DC.
    pub(crate) fn home_dc(&self) -> i32 {
        self.session.dc()
    }

    /// Runs `work`, which speaks to the DC `dc` and perhaps to the session's own, once and within
    /// [`CALL_LIMIT`]. A trouble with the other DC leaves the connection to the session's own open,
    /// and says nothing about the session.
    pub(crate) fn call_in<T>(
        &mut self,
        doing: &'static str,
        dc: i32,
        work: impl AsyncFnOnce(&Client) -> Result<T, ElsewhereError>,
    ) -> Result<T, TelegramError> {
        let (cancel, limit) = (self.cancel.clone(), self.limit);
        #[cfg(feature = "test-dc")]
        let session = Arc::clone(&self.session);
        let pool = self.pool(doing)?;
        match pool.lead_to(dc) {
            Ok(true) => {}
            Ok(false) => return Err(TelegramError::no_address(doing)),
            Err(error) => return Err(TelegramError::of_other_dc(&InvocationError::Io(error), doing)),
        }
        let done = pool.run(&cancel, limit, async |handles: CallHandles<'_>| {
            #[cfg(feature = "test-dc")]
            if let Err(error) = crate::test_dc::provide_guest_key(&session, dc).await {
                return Ok(Err(error));
            }
            match work(handles.client).await {
                Ok(answer) => Ok(Ok(answer)),
                Err(ElsewhereError::There(error)) => Ok(Err(error)),
                Err(ElsewhereError::AtHome(error)) => Err(error),
            }
        });
        match done {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => {
                if !matches!(error, InvocationError::Rpc(_)) {
                    self.pool.iter().for_each(|pool| pool.disconnect(dc));
                }
                let failure = self.pool.as_ref().and_then(|pool| pool.take_failure_elsewhere(dc));
                let error = TelegramError::of_other_dc(&error, doing);
                Err(failure.into_iter().fold(error, TelegramError::because_of))
            }
            Ok(Err(error)) => Err(self.failed(doing, &error, true)),
            Err(aborted) => {
                let failure = self.pool.as_ref().and_then(|pool| pool.take_failure_elsewhere(dc));
                self.close();
                let failure = failure.filter(|_| aborted == CallAborted::TimedOut);
                let error = TelegramError::aborted(aborted, doing);
                Err(failure.into_iter().fold(error, TelegramError::because_of))
            }
        }
    }

    fn pool(&mut self, doing: &'static str) -> Result<&mut ClientPool, TelegramError> {
        let pool = if let Some(pool) = self.pool.take() {
            pool
        } else {
            let most = match self.updates {
                UpdateQueue::Discarded => FEW_UPDATES,
                UpdateQueue::Kept(most) => most,
            };
            self.pools += 1;
            ClientPool::new(&self.app, &self.session, most, self.limit)
                .map_err(|error| TelegramError::of(&InvocationError::Io(error), doing))?
        };
        Ok(self.pool.insert(pool))
    }

    fn close(&mut self) {
        self.pool = None;
        self.answered = false;
    }

    fn attempt<T>(
        &mut self,
        doing: &'static str,
        work: &mut impl AsyncFnMut(&Client) -> Result<T, InvocationError>,
    ) -> Result<T, TelegramError> {
        let (cancel, limit, session) = (self.cancel.clone(), self.limit, Arc::clone(&self.session));
        let (had_key, discards) = (session.has_key(), self.updates == UpdateQueue::Discarded);
        let done = self.pool(doing)?.run(&cancel, limit, async |handles: CallHandles<'_>| {
            // Discards updates that arrived before this call.
            while discards && handles.updates.try_recv().is_ok() {}
            #[cfg(feature = "test-dc")]
            crate::test_dc::provide_key(&session).await?;
            work(handles.client).await
        });
        match done {
            Ok(Ok(answer)) => {
                self.answered = true;
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.failed(doing, &error, had_key)),
            Err(aborted) => {
                let failure = self.pool.as_ref().and_then(ClientPool::take_failure);
                self.close();
                let error = TelegramError::aborted(aborted, doing);
                Err(match failure {
                    Some(failure) if aborted == CallAborted::TimedOut => error.because_of(failure),
                    _ => error.through(self.app.proxies.current()),
                })
            }
        }
    }

    /// Converts the error and closes the connection or pool that is no longer usable.
    fn failed(&mut self, doing: &'static str, error: &InvocationError, had_key: bool) -> TelegramError {
        let named = match error {
            // A session that has a key exchanges keys only after transport error 404; this error
            // hides that 404.
            InvocationError::Authentication(_) if had_key => TelegramError::no_key(doing),
            error => match self.pool.as_ref().and_then(ClientPool::take_failure) {
                Some(failure) => TelegramError::of(error, doing).because_of(failure),
                None => TelegramError::of(error, doing).through(self.app.proxies.current()),
            },
        };
        self.answered = matches!(error, InvocationError::Rpc(_));
        if named.is_lost_connection() || named.is_no_key() {
            let dc = self.session.dc();
            self.pool.iter().for_each(|pool| pool.disconnect(dc));
        } else if !self.answered {
            self.close();
        }
        named
    }

    /// Number of pools so far; updates are lost between two.
    pub(crate) fn pools(&self) -> u64 {
        self.pools
    }

    /// Waits up to `limit` for updates, at most until `wake`. Returns those in the queue, or
    /// nothing if the connection is lost.
    pub(crate) fn take_updates(
        &mut self,
        doing: &'static str,
        limit: Duration,
        wake: &Notify,
    ) -> Result<Vec<UpdatesLike>, TelegramError> {
        let Some(pool) = self.pool.as_mut().filter(|_| self.answered) else { return Ok(Vec::new()) };
        let heard = pool.run(&self.cancel, limit + STOP_CHECK, async |handles: CallHandles<'_>| {
            let first = tokio::select! {
                first = handles.updates.recv() => Some(first),
                () = wake.notified() => None,
                () = time::sleep(limit) => None,
            };
            let mut found = Vec::new();
            if let Some(first) = first {
                // A closed queue is a lost connection.
                found.push(first.unwrap_or(UpdatesLike::ConnectionClosed));
            }
            while let Ok(update) = handles.updates.try_recv() {
                found.push(update);
            }
            Ok(found)
        });
        match heard {
            Ok(Ok(found)) => {
                if found.iter().any(|update| matches!(update, UpdatesLike::ConnectionClosed)) {
                    self.answered = false;
                }
                Ok(found)
            }
            // The next call reconnects.
            Ok(Err(_)) => {
                self.close();
                Ok(Vec::new())
            }
            Err(aborted) => {
                self.close();
                Err(TelegramError::aborted(aborted, doing))
            }
        }
    }

    /// Waits up to `limit` for an update that matches `wanted`. Returns whether one arrived.
    pub(crate) fn listen(
        &mut self,
        doing: &'static str,
        limit: Duration,
        wanted: impl Fn(&tl::enums::Update) -> bool,
    ) -> Result<bool, TelegramError> {
        let Some(pool) = self.pool.as_mut().filter(|_| self.answered) else { return Ok(false) };
        let heard = pool.run(&self.cancel, limit + STOP_CHECK, async |handles: CallHandles<'_>| {
            let deadline = time::Instant::now() + limit;
            loop {
                match time::timeout_at(deadline, handles.updates.recv()).await {
                    Err(_) => return Ok((false, true)),
                    Ok(None | Some(UpdatesLike::ConnectionClosed)) => return Ok((false, false)),
                    Ok(Some(update)) if contains(&update, &wanted) => return Ok((true, true)),
                    Ok(Some(_)) => {}
                }
            }
        });
        match heard {
            Ok(Ok((heard, open))) => {
                self.answered = open;
                Ok(heard)
            }
            // The next call reconnects.
            Ok(Err(_)) => {
                self.close();
                Ok(false)
            }
            Err(aborted) => {
                self.close();
                Err(TelegramError::aborted(aborted, doing))
            }
        }
    }
}

/// [`CALL_LIMIT`]; with the feature `test-dc`, `TGS_TEST_LIMIT` in milliseconds.
fn limit() -> Duration {
    #[cfg(feature = "test-dc")]
    if let Some(limit) = std::env::var_os("TGS_TEST_LIMIT").and_then(|text| text.to_str()?.parse().ok()) {
        return Duration::from_millis(limit);
    }
    CALL_LIMIT
}

fn contains(updates: &UpdatesLike, wanted: &impl Fn(&tl::enums::Update) -> bool) -> bool {
    use tl::enums::Updates;
    match updates {
        UpdatesLike::Updates(Updates::UpdateShort(short)) => wanted(&short.update),
        UpdatesLike::Updates(Updates::Updates(all)) => all.updates.iter().any(wanted),
        UpdatesLike::Updates(Updates::Combined(all)) => all.updates.iter().any(wanted),
        _ => false,
    }
}
