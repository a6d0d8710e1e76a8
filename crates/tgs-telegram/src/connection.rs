//! One blocking connection to one DC with one key: every call has a time-out, heeds the stop flag, and outlives a panic
//! of the client library. A lost connection is opened anew by the next call.

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use grammers_mtproto::{mtp::Encrypted, transport::Full};
use grammers_mtsender::{InvocationError, Sender, ServerAddr, connect, connect_with_auth};
use grammers_tl_types::{self as tl, RemoteCall};
use tgs_core::{
    cancel::Cancel,
    secret::Secret,
    session_string::{AuthKey, SessionString},
};
use tokio::{runtime::Runtime, time};

use crate::{CALL_LIMIT, Me, TelegramError, dc};

/// Waits between the looks at a key that Telegram says it does not know.
const NO_KEY_LOOKS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// How often a call looks at the stop flag.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The application the account owner registered at <https://my.telegram.org>.
#[derive(Debug, Clone)]
pub struct App {
    /// `API_ID`
    pub api_id: i32,
    /// `API_HASH`
    pub api_hash: Secret<String>,
    /// What the list of devices in the account's settings shows: the tool's name.
    pub device: &'static str,
}

/// A connection to the home DC of a session, which is signed in or about to be.
pub struct Connection {
    pub(crate) app: App,
    dc: u8,
    address: SocketAddr,
    /// `None` until the first connection has made one.
    key: Option<AuthKey>,
    /// What the server listed of its DCs, for a sign-in that has to move.
    pub(crate) table: dc::Table,
    link: Option<Sender<Full, Encrypted>>,
    runtime: Runtime,
    cancel: Cancel,
    limit: Duration,
    /// See [`Connection::clock_offset`].
    clock_offset: Option<i64>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("dc", &self.dc)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects with `session` and asks who it is. An error of [`crate::Class::Session`] means that the session is
    /// dead.
    pub fn open(app: App, session: &SessionString, cancel: &Cancel) -> Result<(Self, Me), TelegramError> {
        let doing = "sign in with the session";
        if session.is_bot == Some(true) {
            return Err(TelegramError::bot(doing));
        }
        let table = dc::Table::for_session(session);
        let address = table.address(session.dc).ok_or_else(|| TelegramError::no_dc(doing))?;
        let mut connection = Self::new(app, session.dc, address, Some(session.key.clone()), table, cancel)?;
        let me = connection.me()?;
        Ok((connection, me))
    }

    /// A connection with a key of its own, made by the first call and signed in by nobody yet. `like` names the
    /// session whose DC and addresses are used; without one, `dc` is where Telegram lets a sign-in begin.
    pub fn unsigned(app: App, like: Option<&SessionString>, cancel: &Cancel) -> Result<Self, TelegramError> {
        let table = like.map_or_else(dc::Table::production, dc::Table::for_session);
        let dc = like.map_or(dc::FIRST, |session| session.dc);
        let address = table.address(dc).ok_or_else(|| TelegramError::no_dc("connect"))?;
        Self::new(app, dc, address, None, table, cancel)
    }

    fn new(
        app: App,
        dc: u8,
        address: SocketAddr,
        key: Option<AuthKey>,
        table: dc::Table,
        cancel: &Cancel,
    ) -> Result<Self, TelegramError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| TelegramError::of(&InvocationError::Io(error), "start the runtime"))?;
        Ok(Self {
            app,
            dc,
            address,
            key,
            table,
            link: None,
            runtime,
            cancel: cancel.clone(),
            limit: limit(),
            clock_offset: None,
        })
    }

    /// How many seconds this machine's clock is ahead of Telegram's (negative: behind), as the server said when it was
    /// connected to: right to the time an answer takes. `None` before that.
    #[must_use]
    pub fn clock_offset(&self) -> Option<i64> {
        self.clock_offset
    }

    /// The session, to be kept; its key is signed in only after a sign-in or [`Connection::open`]. `None` before the
    /// first call of a connection that was opened without a key.
    #[must_use]
    pub fn session(&self) -> Option<SessionString> {
        SessionString::new(self.dc, self.address, self.key.clone()?).ok()
    }

    /// Whether the connection has not been found lost.
    pub(crate) fn is_open(&self) -> bool {
        self.link.is_some()
    }

    /// Moves to another DC, with a new key there: the account lives on `dc`.
    pub(crate) fn move_to(&mut self, dc: u8, doing: &'static str) -> Result<(), TelegramError> {
        self.address = self.table.address(dc).ok_or_else(|| TelegramError::no_dc(doing))?;
        self.dc = dc;
        self.key = None;
        self.link = None;
        Ok(())
    }

    /// Calls `request`, within [`CALL_LIMIT`] an attempt, connecting first where it must. One that fails because the
    /// connection had been lost since the last call is sent again, once. A key that Telegram does not know is told
    /// several times before it is believed: transport error 404 also comes from a DC that is being restarted.
    pub(crate) fn call<R: RemoteCall>(
        &mut self,
        doing: &'static str,
        request: &R,
    ) -> Result<R::Return, TelegramError> {
        let was_open = self.link.is_some();
        let mut answer = self.call_once(doing, request);
        if was_open && matches!(&answer, Err(error) if error.is_lost_connection()) {
            answer = self.call_once(doing, request);
        }
        for wait in NO_KEY_LOOKS {
            match &answer {
                Err(error) if error.is_no_key() && self.key.is_some() => {}
                _ => break,
            }
            if self.cancel.wait(wait) {
                return Err(TelegramError::stopped(doing));
            }
            answer = self.call_once(doing, request);
        }
        answer
    }

    /// [`Connection::call`] for what must not be sent twice.
    pub(crate) fn call_once<R: RemoteCall>(
        &mut self,
        doing: &'static str,
        request: &R,
    ) -> Result<R::Return, TelegramError> {
        let deadline = Instant::now() + self.limit;
        if self.link.is_none() {
            self.connect(doing)?;
        }
        let Some(mut link) = self.link.take() else { return Err(TelegramError::timeout(doing)) };
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = self.bounded(doing, left, async { Ok((link.invoke(request).await, link)) });
        let (answer, link) = answer?;
        // After an answer, a refusal included, the connection is good for the next call.
        if matches!(&answer, Ok(_) | Err(InvocationError::Rpc(_))) {
            self.link = Some(link);
        }
        answer.map_err(|error| TelegramError::of(&error, doing))
    }

    /// Opens the TCP connection, makes a key where there is none, and introduces the application.
    fn connect(&mut self, doing: &'static str) -> Result<(), TelegramError> {
        let address = ServerAddr::Tcp { address: self.address };
        let key = self.key.as_ref().map(|key| *key.expose());
        let hello = self.hello();
        let (link, tl::enums::Config::Config(config)) = self.bounded(doing, self.limit, async {
            let mut link = match key {
                Some(key) => connect_with_auth(Full::new(), address, key).await?,
                #[cfg(feature = "test-dc")]
                None if self.address.ip().is_loopback() => crate::test_dc::connect(self.address).await?,
                None => connect(Full::new(), address).await?,
            };
            let config = link.invoke(&hello).await?;
            Ok((link, config))
        })?;
        self.key = Some(AuthKey::new(link.auth_key()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.clock_offset = Some(now as i64 - i64::from(config.date));
        self.table.learn(&config);
        self.link = Some(link);
        Ok(())
    }

    fn hello(
        &self,
    ) -> tl::functions::InvokeWithLayer<tl::functions::InitConnection<tl::functions::help::GetConfig>> {
        tl::functions::InvokeWithLayer {
            layer: tl::LAYER,
            query: tl::functions::InitConnection {
                api_id: self.app.api_id,
                device_model: self.app.device.to_owned(),
                system_version: "Linux".to_owned(),
                app_version: env!("CARGO_PKG_VERSION").to_owned(),
                system_lang_code: "en".to_owned(),
                lang_pack: String::new(),
                lang_code: "en".to_owned(),
                proxy: None,
                params: None,
                query: tl::functions::help::GetConfig {},
            },
        }
    }

    /// Waits up to `limit` for something the server says by itself; answers whether `wanted` was among it.
    pub(crate) fn listen(
        &mut self,
        doing: &'static str,
        limit: Duration,
        wanted: impl Fn(&tl::enums::Update) -> bool,
    ) -> Result<bool, TelegramError> {
        let Some(mut link) = self.link.take() else { return Ok(false) };
        let heard = self.bounded(doing, limit + LOOK_EVERY, async {
            let deadline = time::Instant::now() + limit;
            loop {
                match time::timeout_at(deadline, link.step()).await {
                    Err(_) => return Ok((false, Some(link))),
                    Ok(Ok(updates)) if updates.iter().any(|update| contains(update, &wanted)) => {
                        return Ok((true, Some(link)));
                    }
                    Ok(Ok(_)) => {}
                    // The next call connects again.
                    Ok(Err(_)) => return Ok((false, None)),
                }
            }
        });
        let (heard, link) = heard?;
        self.link = link;
        Ok(heard)
    }

    /// Runs `work` until it ends, the time is up, or the tool is told to stop. Whatever `work` owns is dropped then.
    fn bounded<T>(
        &self,
        doing: &'static str,
        limit: Duration,
        work: impl Future<Output = Result<T, InvocationError>>,
    ) -> Result<T, TelegramError> {
        let stopped = async {
            while !self.cancel.is_cancelled() {
                time::sleep(LOOK_EVERY).await;
            }
        };
        let bounded = async {
            tokio::select! {
                biased;
                () = stopped => Err(TelegramError::stopped(doing)),
                done = time::timeout(limit, work) => match done {
                    Ok(done) => done.map_err(|error| TelegramError::of(&error, doing)),
                    Err(_) => Err(TelegramError::timeout(doing)),
                },
            }
        };
        // The library panics on some answers; what it was working on is dropped with it.
        catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(bounded)))
            .unwrap_or_else(|_| Err(TelegramError::panicked(doing)))
    }
}

/// [`CALL_LIMIT`]; in builds with the feature `test-dc`, the milliseconds that `TGS_TEST_LIMIT` says.
fn limit() -> Duration {
    #[cfg(feature = "test-dc")]
    if let Some(limit) = std::env::var_os("TGS_TEST_LIMIT").and_then(|text| text.to_str()?.parse().ok()) {
        return Duration::from_millis(limit);
    }
    CALL_LIMIT
}

fn contains(
    updates: &grammers_session::updates::UpdatesLike,
    wanted: &impl Fn(&tl::enums::Update) -> bool,
) -> bool {
    use grammers_session::updates::UpdatesLike;
    use tl::enums::Updates;
    match updates {
        UpdatesLike::Updates(Updates::UpdateShort(short)) => wanted(&short.update),
        UpdatesLike::Updates(Updates::Updates(all)) => all.updates.iter().any(wanted),
        UpdatesLike::Updates(Updates::Combined(all)) => all.updates.iter().any(wanted),
        _ => false,
    }
}
