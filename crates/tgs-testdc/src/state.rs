//! The state of a running test DC: keys and their sign-ins, calls, codes, QR tokens, faults, and
//! the log of requests. One lock guards all of it; no I/O.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::{Instant, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    crypt::{AuthKey, key_id, random, random_id, sha256},
    error::RpcError,
    fault::{Fault, Faults},
    files::FileStore,
    mailbox::Mailbox,
    message::{Kind, now},
    srp::{Challenge, Verifier},
    world::{Account, CallKind, Chat, CodeBy, World},
};

/// The state, its lock, and the notification of new requests.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Notified after each request.
    pub(crate) requested: Condvar,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), requested: Condvar::new() }
    }

    /// Locks the state, also after a panic in another thread.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All data that changes while the DC runs.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) dcs: BTreeMap<i32, SocketAddr>,
    pub(crate) keys: HashMap<i64, Key>,
    pub(crate) calls: Vec<Call>,
    /// The secret part of each chat's stream key.
    stream_secrets: HashMap<i64, String>,
    pub(crate) codes: Vec<SentCode>,
    pub(crate) verifiers: HashMap<i64, Verifier>,
    /// The unanswered SRP challenges, by key id.
    pub(crate) challenges: HashMap<i64, Challenge>,
    pub(crate) tokens: HashMap<Vec<u8>, LoginToken>,
    /// The tokens that `auth.exportAuthorization` returned, with their user ids.
    pub(crate) exported: HashMap<Vec<u8>, i64>,
    pub(crate) ttl_days: HashMap<i64, i32>,
    pub(crate) faults: Faults,
    /// The fault of the next list of dialogs.
    pub(crate) dialogs: Option<Fault>,
    pub(crate) requests: Vec<Request>,
    pub(crate) connections: HashMap<u64, Connection>,
    /// The messages of each account.
    pub(crate) mail: HashMap<i64, Mailbox>,
    /// The photos and documents of all accounts.
    pub(crate) files: FileStore,
    /// The pressed buttons that a bot has not answered, by query id.
    pub(crate) callbacks: HashMap<i64, PendingCallback>,
    /// Whether pushed updates are lost: clients see a gap.
    pub(crate) loses_updates: bool,
    /// The commands that each bot has announced: language, and the commands' names.
    pub(crate) bot_commands: HashMap<(i64, String), Vec<String>>,
    /// Makes access hashes differ between runs.
    secret: [u8; 16],
}

/// An authorization key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) bytes: AuthKey,
    pub(crate) dc_id: i32,
    /// The accepted salts; the first is the current one.
    pub(crate) salts: Vec<i64>,
    /// The MTProto sessions seen with this key.
    pub(crate) sessions: HashSet<i64>,
    /// The sessions that have sent `initConnection`.
    pub(crate) initialised: HashSet<i64>,
    pub(crate) login: Login,
    /// The hash in `account.getAuthorizations`.
    pub(crate) hash: i64,
    pub(crate) created: i32,
    pub(crate) active: i32,
    pub(crate) client: Client,
}

/// The sign-in state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    Nobody,
    /// The code or QR token was accepted; the password is missing.
    PasswordDue(i64),
    User(i64),
    /// Signed in by `auth.importAuthorization`, on a DC that is not the user's home.
    Guest(i64),
}

/// The client's data from `initConnection`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    pub(crate) api_id: i32,
    pub(crate) device_model: String,
    pub(crate) system_version: String,
    pub(crate) app_version: String,
}

/// A call in a chat, live or ended.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) id: i64,
    pub(crate) access_hash: i64,
    pub(crate) chat_id: i64,
    pub(crate) kind: CallKind,
    pub(crate) title: Option<String>,
    pub(crate) started: i32,
    pub(crate) live: bool,
    /// When it is to start, while it is only scheduled.
    pub(crate) scheduled: Option<i32>,
    /// Time in ms of the last frame that viewers can see; `None` while nothing is published.
    pub(crate) last_frame_ms: Option<i64>,
    /// A second of the stream as viewers get it, whichever they ask for.
    pub(crate) part: Option<Vec<u8>>,
    /// The accounts that have joined the call.
    pub(crate) joined: HashSet<i64>,
    /// Further participants.
    pub(crate) viewers: usize,
}

/// A login code that was "sent".
#[derive(Debug, Clone)]
pub struct SentCode {
    /// The recipient's phone number.
    pub phone: String,
    /// The code.
    pub code: String,
    /// The delivery type.
    pub by: CodeBy,
    /// The hash that `auth.signIn` must repeat.
    pub phone_code_hash: String,
}

/// A QR login token.
#[derive(Debug)]
pub(crate) struct LoginToken {
    /// The key that is to be signed in.
    pub(crate) key: i64,
    pub(crate) expires: Instant,
    /// The user id of the account that accepted the token.
    pub(crate) accepted: Option<i64>,
}

/// A received request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The time of arrival.
    pub at: SystemTime,
    /// The auth key's id; 0 in a key exchange.
    pub session: i64,
    /// The DC that received the request.
    pub dc_id: i32,
    /// The method's TL name, without wrappers.
    pub method: String,
}

/// A connection that has used a key.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) key: i64,
    pub(crate) session: i64,
    pub(crate) out: UnboundedSender<Outgoing>,
}

/// A pressed button that waits for the bot's answer.
#[derive(Debug)]
pub(crate) struct PendingCallback {
    /// The bot that must answer.
    pub(crate) bot: i64,
    /// Whether the user has an answer; an error after a time counts.
    pub(crate) answered: Arc<AtomicBool>,
    /// The request of the user who pressed it.
    pub(crate) later: ReplyLater,
}

/// Where an answer goes that is given later.
#[derive(Debug, Clone)]
pub(crate) struct ReplyLater {
    pub(crate) key: i64,
    pub(crate) session: i64,
    /// The message id of the request.
    pub(crate) request: i64,
    pub(crate) out: UnboundedSender<Outgoing>,
}

/// An instruction to a connection's thread.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Message { key: i64, session: i64, kind: Kind, body: Vec<u8> },
    Close,
}

impl State {
    pub(crate) fn new(world: World, dcs: BTreeMap<i32, SocketAddr>) -> Self {
        let mut state = Self {
            dcs,
            keys: HashMap::new(),
            calls: Vec::new(),
            stream_secrets: HashMap::new(),
            codes: Vec::new(),
            verifiers: HashMap::new(),
            challenges: HashMap::new(),
            tokens: HashMap::new(),
            exported: HashMap::new(),
            ttl_days: HashMap::new(),
            faults: Faults::default(),
            dialogs: None,
            requests: Vec::new(),
            connections: HashMap::new(),
            mail: HashMap::new(),
            files: FileStore::default(),
            callbacks: HashMap::new(),
            loses_updates: false,
            bot_commands: HashMap::new(),
            secret: random(),
            world,
        };
        let live: Vec<_> = state.world.chats.iter().filter_map(|chat| Some((chat.id, chat.call?))).collect();
        for (chat_id, kind) in live {
            state.start_call(chat_id, kind, None);
        }
        state
    }

    pub(crate) fn account(&self, user_id: i64) -> Option<&Account> {
        self.world.accounts.iter().find(|account| account.user_id == user_id)
    }

    /// The account of a phone number; `+` and spaces are optional.
    pub(crate) fn account_by_phone(&self, phone: &str) -> Option<&Account> {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let wanted = digits(phone);
        let mut people = self.world.accounts.iter().filter(|account| !account.bot);
        people.find(|account| digits(&account.phone) == wanted)
    }

    pub(crate) fn chat(&self, id: i64) -> Option<&Chat> {
        self.world.chats.iter().find(|chat| chat.id == id)
    }

    /// The access hash that `viewer` must send for a user, chat or channel; it differs per viewer.
    pub(crate) fn access_hash(&self, viewer: i64, id: i64) -> i64 {
        let hash = sha256(&[&self.secret, &viewer.to_le_bytes(), &id.to_le_bytes()]);
        let mut number = [0; 8];
        number.copy_from_slice(&hash[..8]);
        i64::from_le_bytes(number)
    }

    /// Adds a key. Returns its id.
    pub(crate) fn add_key(&mut self, bytes: AuthKey, dc_id: i32, salt: i64, login: Login) -> i64 {
        let id = key_id(&bytes);
        let now = now();
        let key = Key {
            bytes,
            dc_id,
            salts: vec![salt, random_id()],
            sessions: HashSet::new(),
            initialised: HashSet::new(),
            login,
            hash: random_id(),
            created: now,
            active: now,
            client: Client::default(),
        };
        self.keys.insert(id, key);
        id
    }

    /// Signs a key out. Returns whether it was signed in.
    pub(crate) fn sign_out(&mut self, key: i64) -> bool {
        let Some(key) = self.keys.get_mut(&key) else { return false };
        std::mem::replace(&mut key.login, Login::Nobody) != Login::Nobody
    }

    /// The live call of a chat.
    pub(crate) fn live_call(&self, chat_id: i64) -> Option<&Call> {
        self.calls.iter().find(|call| call.chat_id == chat_id && call.live)
    }

    /// Starts a call and ends the live one, as the real server does.
    pub(crate) fn start_call(&mut self, chat_id: i64, kind: CallKind, title: Option<String>) -> &mut Call {
        self.end_call(chat_id);
        self.calls.push(Call {
            id: random_id(),
            access_hash: random_id(),
            chat_id,
            kind,
            title,
            started: now(),
            live: true,
            scheduled: None,
            last_frame_ms: None,
            part: None,
            joined: HashSet::new(),
            viewers: 0,
        });
        let last = self.calls.len() - 1;
        &mut self.calls[last]
    }

    /// Ends the live call. Returns whether there was one.
    pub(crate) fn end_call(&mut self, chat_id: i64) -> bool {
        let live = self.calls.iter_mut().find(|call| call.chat_id == chat_id && call.live);
        live.map(|call| call.live = false).is_some()
    }

    /// The chat's stream key, `<digits>:<secret>`; it changes only when revoked.
    pub(crate) fn stream_key(&mut self, chat_id: i64, revoke: bool) -> String {
        if revoke {
            self.stream_secrets.remove(&chat_id);
        }
        let secret =
            self.stream_secrets.entry(chat_id).or_insert_with(|| URL_SAFE_NO_PAD.encode(random::<16>()));
        format!("{chat_id}:{secret}")
    }

    /// The server URL for a stream key.
    pub(crate) fn stream_url(&self) -> String {
        format!("{}/", self.world.ingest.trim_end_matches('/'))
    }

    /// Pushes an update to every connection that uses the key.
    pub(crate) fn push(&self, key: i64, body: &[u8]) {
        for connection in self.connections.values().filter(|connection| connection.key == key) {
            let message =
                Outgoing::Message { key, session: connection.session, kind: Kind::Push, body: body.to_vec() };
            // The connection may have closed meanwhile.
            let _ = connection.out.send(message);
        }
    }

    /// Pushes an update to every session of an account, except that of the key `except`, which has
    /// it in its answer. Does nothing while updates are lost.
    pub(crate) fn push_to_account(&self, user_id: i64, except: Option<i64>, body: &[u8]) {
        if self.loses_updates {
            return;
        }
        let keys =
            self.keys.iter().filter(|(id, key)| key.login == Login::User(user_id) && Some(**id) != except);
        keys.for_each(|(id, _)| self.push(*id, body));
    }

    /// Closes the connections of one key, or all connections.
    pub(crate) fn hang_up(&self, key: Option<i64>) {
        for connection in self.connections.values() {
            if key.is_none_or(|key| key == connection.key) {
                let _ = connection.out.send(Outgoing::Close);
            }
        }
    }

    /// The account signed in with the key on its home DC, or the real server's error.
    pub(crate) fn signed_in(&self, key: i64, dc_id: i32) -> Result<&Account, RpcError> {
        let unregistered = || RpcError::named("AUTH_KEY_UNREGISTERED");
        match self.keys.get(&key).map(|key| key.login) {
            Some(Login::User(user_id)) => {
                let account = self.account(user_id).ok_or_else(unregistered)?;
                if account.dc_id == dc_id {
                    Ok(account)
                } else {
                    Err(RpcError::named(format!("USER_MIGRATE_{}", account.dc_id)))
                }
            }
            Some(Login::Guest(user_id)) => self.account(user_id).ok_or_else(unregistered),
            Some(Login::PasswordDue(_)) => Err(RpcError::named("SESSION_PASSWORD_NEEDED")),
            Some(Login::Nobody) | None => Err(unregistered()),
        }
    }
}
