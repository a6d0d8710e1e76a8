//! A handle of the DCs: starts them on loopback ports, changes and queries their state. They run in
//! separate threads, never on the caller's runtime, and end when the handle is dropped.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};

use crate::{
    connection,
    crypt::{random, random_id},
    fault::{Fault, When},
    numbers::{RSA_EXPONENT, RSA_FINGERPRINT, RSA_MODULUS},
    session_string::SessionInfo,
    state::{Login, Request, SentCode, Shared, State},
    world::{CallKind, World},
};

/// The DC ids.
const DCS: [i32; 2] = [1, 2];
/// Stack size in bytes: the schema's types nest as deep as a call is long; see `rpc::MAX_CALL`.
const STACK: usize = 64 << 20;

/// Two test DCs, 1 and 2, that run until this value is dropped.
#[derive(Debug)]
pub struct TestDc {
    shared: Arc<Shared>,
    /// `None` only while the value is dropped.
    runtime: Option<Runtime>,
}

/// A call in a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallInfo {
    /// The call id.
    pub id: i64,
    /// RTMP live stream or video chat.
    pub kind: CallKind,
    /// The title, if set.
    pub title: Option<String>,
    /// Whether the call is live.
    pub live: bool,
    /// Start time in Unix seconds.
    pub started: i32,
}

/// A session of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The auth key's id.
    pub key_id: i64,
    /// The auth key.
    pub auth_key: [u8; 256],
    /// The DC that knows the key.
    pub dc_id: i32,
    /// The hash for `account.resetAuthorization`.
    pub hash: i64,
    /// `device_model` of `initConnection`.
    pub device_model: String,
    /// `app_version` of `initConnection`.
    pub app_version: String,
    /// Time of the sign-in in Unix seconds.
    pub created: i32,
}

impl TestDc {
    /// Starts both DCs on free loopback ports.
    pub fn start(world: World) -> io::Result<Self> {
        Self::start_on(world, [0, 0])
    }

    /// Starts DC 1 and DC 2 on these loopback ports; 0 takes a free one.
    pub fn start_on(world: World, ports: [u16; 2]) -> io::Result<Self> {
        Self::start_at(world, ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }

    /// Starts DC 1 and DC 2 at these addresses, for a network of a test's own.
    pub fn start_at(world: World, addresses: [SocketAddr; 2]) -> io::Result<Self> {
        let mut listeners = Vec::new();
        let mut dcs = BTreeMap::new();
        for (dc_id, address) in DCS.into_iter().zip(addresses) {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            dcs.insert(dc_id, listener.local_addr()?);
            listeners.push((dc_id, listener));
        }
        let shared = Arc::new(Shared::new(State::new(world, dcs)));
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("testdc")
            .thread_stack_size(STACK)
            .enable_all()
            .build()?;
        for (dc_id, listener) in listeners {
            let _in_runtime = runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            runtime.spawn(accept(listener, dc_id, Arc::clone(&shared)));
        }
        Ok(Self { shared, runtime: Some(runtime) })
    }

    /// The address of DC 1 or DC 2.
    ///
    /// # Panics
    ///
    /// If the DC does not exist.
    #[must_use]
    pub fn addr(&self, dc_id: i32) -> SocketAddr {
        *self
            .shared
            .lock()
            .dcs
            .get(&dc_id)
            .unwrap_or_else(|| panic!("there is no DC {dc_id}: there are 1 and 2"))
    }

    /// The RSA key that clients need for a key exchange: modulus in decimal (617 digits), exponent,
    /// fingerprint.
    #[must_use]
    pub fn rsa_public(&self) -> (&'static str, u32, i64) {
        (RSA_MODULUS, RSA_EXPONENT, RSA_FINGERPRINT)
    }

    /// The `api_id` that clients must send.
    #[must_use]
    pub fn api_id(&self) -> i32 {
        self.shared.lock().world.api_id
    }

    /// The `api_hash` of that application.
    #[must_use]
    pub fn api_hash(&self) -> String {
        self.shared.lock().world.api_hash.clone()
    }

    /// A copy of the current world.
    #[must_use]
    pub fn world(&self) -> World {
        self.shared.lock().world.clone()
    }

    /// Changes the world while it runs: rights removed, a password set, a chat deleted.
    pub fn change(&self, change: impl FnOnce(&mut World)) {
        let mut state = self.shared.lock();
        change(&mut state.world);
        // A password may have changed.
        state.verifiers.clear();
    }

    /// Creates a signed-in session without a key exchange. On a DC that is not the account's home,
    /// calls answer `USER_MIGRATE_X`.
    #[must_use]
    pub fn new_session(&self, user_id: i64, dc_id: i32) -> SessionInfo {
        let auth_key = random();
        let key_id = self.shared.lock().add_key(auth_key, dc_id, random_id(), Login::User(user_id));
        SessionInfo { user_id, dc_id, addr: self.addr(dc_id), auth_key, key_id }
    }

    /// Creates a key that is not signed in, as after a key exchange.
    #[must_use]
    pub fn new_key(&self, dc_id: i32) -> SessionInfo {
        let auth_key = random();
        let key_id = self.shared.lock().add_key(auth_key, dc_id, random_id(), Login::Nobody);
        SessionInfo { user_id: 0, dc_id, addr: self.addr(dc_id), auth_key, key_id }
    }

    /// The access hash that an account must send for a user, channel or supergroup; it differs per
    /// account.
    #[must_use]
    pub fn access_hash(&self, user_id: i64, id: i64) -> i64 {
        self.shared.lock().access_hash(user_id, id)
    }

    /// Sets the URL that `phone.getGroupCallStreamRtmpUrl` returns.
    pub fn set_ingest(&self, url: &str) {
        url.clone_into(&mut self.shared.lock().world.ingest);
    }

    /// URL and key of a chat's stream, as clients receive them.
    #[must_use]
    pub fn stream(&self, chat_id: i64) -> (String, String) {
        let mut state = self.shared.lock();
        (state.stream_url(), state.stream_key(chat_id, false))
    }

    /// Adds a fault. Returns its number, for [`TestDc::clear_fault`].
    pub fn fault(&self, fault: Fault, when: When) -> u32 {
        self.shared.lock().faults.add(fault, when)
    }

    /// Removes a fault. Returns whether it was pending.
    pub fn clear_fault(&self, id: u32) -> bool {
        self.shared.lock().faults.clear(Some(id))
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear(None);
    }

    /// The pending faults with their numbers.
    #[must_use]
    pub fn faults(&self) -> Vec<(u32, Fault, When)> {
        self.shared.lock().faults.waiting().to_vec()
    }

    /// Ends a session as "terminate" in another client does: its calls then answer
    /// `AUTH_KEY_UNREGISTERED`. Returns whether the key was signed in.
    pub fn revoke(&self, key_id: i64) -> bool {
        self.shared.lock().sign_out(key_id)
    }

    /// Deletes a key: its messages then get transport error −404.
    pub fn forget_key(&self, key_id: i64) -> bool {
        self.shared.lock().keys.remove(&key_id).is_some()
    }

    /// Closes the connections that use a key, or all connections.
    pub fn hang_up(&self, key_id: Option<i64>) {
        self.shared.lock().hang_up(key_id);
    }

    /// Number of open connections that have used a key.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().connections.len()
    }

    /// The signed-in sessions of an account, oldest first.
    #[must_use]
    pub fn sessions(&self, user_id: i64) -> Vec<Session> {
        let state = self.shared.lock();
        let signed_in = state.keys.iter().filter(|(_, key)| key.login == Login::User(user_id));
        let mut sessions: Vec<_> = signed_in
            .map(|(&key_id, key)| Session {
                key_id,
                auth_key: key.bytes,
                dc_id: key.dc_id,
                hash: key.hash,
                device_model: key.client.device_model.clone(),
                app_version: key.client.app_version.clone(),
                created: key.created,
            })
            .collect();
        sessions.sort_by_key(|session| (session.created, session.key_id));
        sessions
    }

    /// The live and ended calls of a chat, oldest first.
    #[must_use]
    pub fn calls(&self, chat_id: i64) -> Vec<CallInfo> {
        let state = self.shared.lock();
        let calls = state.calls.iter().filter(|call| call.chat_id == chat_id);
        calls
            .map(|call| CallInfo {
                id: call.id,
                kind: call.kind,
                title: call.title.clone(),
                live: call.live,
                started: call.started,
            })
            .collect()
    }

    /// Ends the live call, as an administrator would. Returns whether there was one.
    pub fn end_call(&self, chat_id: i64) -> bool {
        self.shared.lock().end_call(chat_id)
    }

    /// Starts a live stream, as another client would.
    pub fn start_rtmp(&self, chat_id: i64) {
        self.shared.lock().start_call(chat_id, CallKind::Rtmp, None);
    }

    /// Schedules a live stream for `in_seconds` from now, as another client would.
    pub fn schedule_rtmp(&self, chat_id: i64, in_seconds: i32) {
        let due = crate::message::now() + in_seconds;
        self.shared.lock().start_call(chat_id, CallKind::Rtmp, None).scheduled = Some(due);
    }

    /// Starts a video chat.
    pub fn start_webrtc(&self, chat_id: i64) {
        self.shared.lock().start_call(chat_id, CallKind::WebRtc, None);
    }

    /// Sets the time of the last frame that viewers of the live call see; `None` while nothing is
    /// published.
    pub fn set_last_frame(&self, chat_id: i64, ms: Option<i64>) {
        let mut state = self.shared.lock();
        for call in state.calls.iter_mut().filter(|call| call.chat_id == chat_id && call.live) {
            call.last_frame_ms = ms;
        }
    }

    /// Sets the second of the live call that viewers get, whichever they ask for.
    pub fn set_part(&self, chat_id: i64, part: &[u8]) {
        let mut state = self.shared.lock();
        for call in state.calls.iter_mut().filter(|call| call.chat_id == chat_id && call.live) {
            call.part = Some(part.to_vec());
        }
    }

    /// Sets the number of viewers of the live call, besides the sessions that have joined it.
    pub fn set_viewers(&self, chat_id: i64, viewers: usize) {
        let mut state = self.shared.lock();
        for call in state.calls.iter_mut().filter(|call| call.chat_id == chat_id && call.live) {
            call.viewers = viewers;
        }
    }

    /// Loses the updates that are pushed to clients, or pushes them again: a gap, as after a broken
    /// connection.
    pub fn lose_updates(&self, lose: bool) {
        self.shared.lock().loses_updates = lose;
    }

    /// Lets the references of all photos and documents expire that clients have received so far.
    pub fn expire_references(&self) {
        self.shared.lock().files.expire_references();
    }

    /// The text of the last message in the private chat, in the mailbox of `user_id`.
    #[must_use]
    pub fn last_message(&self, user_id: i64, other: i64) -> Option<String> {
        let state = self.shared.lock();
        state.mail.get(&user_id)?.chat(other).next().map(|message| message.text.clone())
    }

    /// The commands that a bot has announced for a language; an empty code is the default.
    #[must_use]
    pub fn bot_commands(&self, bot: i64, lang_code: &str) -> Vec<String> {
        let state = self.shared.lock();
        state.bot_commands.get(&(bot, lang_code.to_owned())).cloned().unwrap_or_default()
    }

    /// The login codes that were "sent", oldest first.
    #[must_use]
    pub fn codes(&self) -> Vec<SentCode> {
        self.shared.lock().codes.clone()
    }

    /// The QR login tokens that are not accepted yet, oldest first.
    #[must_use]
    pub fn login_tokens(&self) -> Vec<Vec<u8>> {
        let state = self.shared.lock();
        let mut waiting: Vec<_> = state.tokens.iter().filter(|(_, token)| token.accepted.is_none()).collect();
        waiting.sort_by_key(|(_, token)| token.expires);
        waiting.into_iter().map(|(token, _)| token.clone()).collect()
    }

    /// All requests so far, including service messages and key exchanges.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Number of requests of a method, regardless of the result.
    #[must_use]
    pub fn count(&self, method: &str) -> usize {
        count(&self.shared.lock(), method)
    }

    /// Waits until a method has been requested `times` times since the start and, unless a fault
    /// prevented it, executed; its answer may still be in transit. Returns false on a timeout.
    pub fn wait_for(&self, method: &str, times: usize, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.lock();
        while count(&state, method) < times {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.requested.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for TestDc {
    fn drop(&mut self) {
        // Does not wait: the drop may happen inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn count(state: &State, method: &str) -> usize {
    state.requests.iter().filter(|request| request.method == method).count()
}

async fn accept(listener: tokio::net::TcpListener, dc_id: i32, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let id = random_id().cast_unsigned();
                tokio::spawn(connection::serve(stream, peer, id, dc_id, Arc::clone(&shared)));
            }
            Err(error) => {
                // For example out of file descriptors, which may be temporary.
                log::warn!("DC {dc_id} cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
