//! The state that all connections of the proxy share: its clients, parked responses, and busy
//! servers.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    account::ClientAccount,
    parked::{ParkedResponses, RequestKey},
};

/// Limit of known clients. Beyond it the client idle for longest is forgotten.
const MAX_CLIENTS: usize = 256;

/// Limit of remembered busy servers. Beyond it the oldest entry is dropped early.
const MAX_BUSY: usize = 64;

/// Upper limit for `Retry-After`.
const MAX_WAIT: Duration = Duration::from_mins(10);

/// The proxy of this process.
#[derive(Debug)]
pub(super) struct LoopbackProxy {
    pub(super) address: SocketAddr,
    clients: Mutex<VecDeque<Arc<ClientAccount>>>,
    pub(super) parked: ParkedResponses,
    /// Requests that servers refuse until this time.
    busy: Mutex<VecDeque<(RequestKey, Instant)>>,
}

impl LoopbackProxy {
    /// A proxy that listens at `address`, without clients.
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            clients: Mutex::default(),
            parked: ParkedResponses::default(),
            busy: Mutex::default(),
        }
    }

    pub(super) fn add(&self, account: &Arc<ClientAccount>) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MAX_CLIENTS
            && let Some(idle) = clients.iter().position(|one| one.connections.load(Ordering::SeqCst) == 0)
        {
            clients.remove(idle);
        }
        clients.push_back(Arc::clone(account));
    }

    /// Finds the client with this `Proxy-Authorization` and makes it the last to be forgotten.
    pub(super) fn client(&self, authorization: &str) -> Option<Arc<ClientAccount>> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let at = clients.iter().position(|one| one.is_authorized_by(authorization))?;
        let account = clients.remove(at)?;
        clients.push_back(Arc::clone(&account));
        Some(account)
    }

    /// Refuses `key` for `seconds`, as its server requests.
    pub(super) fn note_busy(&self, key: &RequestKey, seconds: u64) {
        let until = Instant::now() + Duration::from_secs(seconds).min(MAX_WAIT);
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|(other, _)| other != key);
        if busy.len() >= MAX_BUSY {
            busy.pop_front();
        }
        busy.push_back((key.clone(), until));
    }

    /// Seconds until the server of `key` accepts requests again.
    pub(super) fn busy_for(&self, key: &RequestKey) -> Option<u64> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        busy.retain(|(_, until)| *until > now);
        busy.iter().find(|(other, _)| other == key).map(|(_, until)| (*until - now).as_secs() + 1)
    }
}
