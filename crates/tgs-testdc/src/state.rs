//! What a running test DC knows: keys and who is signed in with them, calls, codes, QR tokens,
//! faults, and the log of requests. One lock holds it all; no I/O.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    crypt::{AuthKey, key_id, random, random_id, sha256},
    error::RpcError,
    fault::{Fault, Faults},
    message::{Kind, now},
    srp::{Challenge, Verifier},
    world::{Account, CallKind, Chat, CodeBy, World},
};

/// The state, its lock, and word of what changes in it.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Something has been requested.
    pub(crate) requested: Condvar,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), requested: Condvar::new() }
    }

    /// The state. A panic elsewhere does not make it unreadable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that changes while the DC runs.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) dcs: BTreeMap<i32, SocketAddr>,
    pub(crate) keys: HashMap<i64, Key>,
    pub(crate) calls: Vec<Call>,
    /// The secret half of each chat's stream key.
    stream_secrets: HashMap<i64, String>,
    pub(crate) codes: Vec<SentCode>,
    pub(crate) verifiers: HashMap<i64, Verifier>,
    /// The questions that wait for their answer, by the key that asked.
    pub(crate) challenges: HashMap<i64, Challenge>,
    pub(crate) tokens: HashMap<Vec<u8>, LoginToken>,
    /// What `auth.exportAuthorization` gave out, and for whom.
    pub(crate) exported: HashMap<Vec<u8>, i64>,
    pub(crate) ttl_days: HashMap<i64, i32>,
    pub(crate) faults: Faults,
    /// What is wrong with the next list of dialogs.
    pub(crate) dialogs: Option<Fault>,
    pub(crate) requests: Vec<Request>,
    pub(crate) connections: HashMap<u64, Connection>,
    /// Makes access hashes differ from run to run.
    secret: [u8; 16],
}

/// An authorization key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) bytes: AuthKey,
    pub(crate) dc_id: i32,
    /// The salts that are accepted; the first is handed out.
    pub(crate) salts: Vec<i64>,
    /// The MTProto sessions seen with this key.
    pub(crate) sessions: HashSet<i64>,
    /// Those of them that have sent `initConnection`.
    pub(crate) initialised: HashSet<i64>,
    pub(crate) login: Login,
    /// How `account.getAuthorizations` names it.
    pub(crate) hash: i64,
    pub(crate) created: i32,
    pub(crate) active: i32,
    pub(crate) client: Client,
}

/// Who is signed in with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    Nobody,
    /// Code or QR token were right, the password is due.
    PasswordDue(i64),
    User(i64),
    /// By `auth.importAuthorization`: on a DC that is not the user's own.
    Guest(i64),
}

/// What `initConnection` said of the client.
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
    /// The last frame that viewers could see, in ms; `None` while nobody publishes.
    pub(crate) last_frame_ms: Option<i64>,
    /// The keys that have joined it.
    pub(crate) joined: HashSet<i64>,
}

/// A login code that was "sent".
#[derive(Debug, Clone)]
pub struct SentCode {
    /// Whom to.
    pub phone: String,
    /// The code.
    pub code: String,
    /// How.
    pub by: CodeBy,
    /// What `auth.signIn` must give with it.
    pub phone_code_hash: String,
}

/// A QR token.
#[derive(Debug)]
pub(crate) struct LoginToken {
    /// Who wants to sign in with it.
    pub(crate) key: i64,
    pub(crate) expires: Instant,
    /// Who has accepted it.
    pub(crate) accepted: Option<i64>,
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    /// When.
    pub at: SystemTime,
    /// With which auth key; 0 in a key exchange.
    pub session: i64,
    /// At which DC.
    pub dc_id: i32,
    /// The method's TL name, without the wrappers around it.
    pub method: String,
}

/// A connection that has shown a key.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) key: i64,
    pub(crate) session: i64,
    pub(crate) out: UnboundedSender<Outgoing>,
}

/// A request to a connection's thread.
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

    /// The account of a phone number, written with or without `+` and spaces.
    pub(crate) fn account_by_phone(&self, phone: &str) -> Option<&Account> {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let wanted = digits(phone);
        self.world.accounts.iter().find(|account| digits(&account.phone) == wanted)
    }

    pub(crate) fn chat(&self, id: i64) -> Option<&Chat> {
        self.world.chats.iter().find(|chat| chat.id == id)
    }

    /// What `viewer` must show to name a user, a chat or a channel; another one for each viewer.
    pub(crate) fn access_hash(&self, viewer: i64, id: i64) -> i64 {
        let hash = sha256(&[&self.secret, &viewer.to_le_bytes(), &id.to_le_bytes()]);
        let mut number = [0; 8];
        number.copy_from_slice(&hash[..8]);
        i64::from_le_bytes(number)
    }

    /// Makes a key known. Answers its id.
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

    /// Signs a key out. Answers whether anybody was signed in with it.
    pub(crate) fn sign_out(&mut self, key: i64) -> bool {
        let Some(key) = self.keys.get_mut(&key) else { return false };
        std::mem::replace(&mut key.login, Login::Nobody) != Login::Nobody
    }

    /// The call that is live in a chat.
    pub(crate) fn live_call(&self, chat_id: i64) -> Option<&Call> {
        self.calls.iter().find(|call| call.chat_id == chat_id && call.live)
    }

    /// Starts a call; the one that is live ends, as the real server has it.
    pub(crate) fn start_call(&mut self, chat_id: i64, kind: CallKind, title: Option<String>) -> &Call {
        self.end_call(chat_id);
        self.calls.push(Call {
            id: random_id(),
            access_hash: random_id(),
            chat_id,
            kind,
            title,
            started: now(),
            live: true,
            last_frame_ms: None,
            joined: HashSet::new(),
        });
        &self.calls[self.calls.len() - 1]
    }

    /// Ends the call that is live. Answers whether there was one.
    pub(crate) fn end_call(&mut self, chat_id: i64) -> bool {
        let live = self.calls.iter_mut().find(|call| call.chat_id == chat_id && call.live);
        live.map(|call| call.live = false).is_some()
    }

    /// The chat's stream key, `<digits>:<secret>`: the same one until it is revoked.
    pub(crate) fn stream_key(&mut self, chat_id: i64, revoke: bool) -> String {
        if revoke {
            self.stream_secrets.remove(&chat_id);
        }
        let secret =
            self.stream_secrets.entry(chat_id).or_insert_with(|| URL_SAFE_NO_PAD.encode(random::<16>()));
        format!("{chat_id}:{secret}")
    }

    /// The URL that goes before the key.
    pub(crate) fn stream_url(&self) -> String {
        format!("{}/", self.world.ingest.trim_end_matches('/'))
    }

    /// Sends something unasked to every connection that has shown the key.
    pub(crate) fn push(&self, key: i64, body: &[u8]) {
        for connection in self.connections.values().filter(|connection| connection.key == key) {
            let message =
                Outgoing::Message { key, session: connection.session, kind: Kind::Push, body: body.to_vec() };
            // A connection that has just closed has nobody to tell.
            let _ = connection.out.send(message);
        }
    }

    /// Closes the connections of one key, or all.
    pub(crate) fn hang_up(&self, key: Option<i64>) {
        for connection in self.connections.values() {
            if key.is_none_or(|key| key == connection.key) {
                let _ = connection.out.send(Outgoing::Close);
            }
        }
    }

    /// Who is signed in with the key on the user's own DC, or the error that the real server gives.
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
