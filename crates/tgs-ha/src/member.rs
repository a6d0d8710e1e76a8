//! The handle of one host. The driver's thread serves it; nobody who uses it waits for etcd, except
//! where a method says so.

use std::{
    fmt, fs,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};
use tgs_core::{
    permit::{Permit, boot_time},
    secret::Secret,
    supervise::contain,
    tls::TlsFiles,
};
use tokio::sync::Notify;

use crate::{
    driver::Driver,
    error::{HaError, HandOverError},
    hosts::HostInfo,
    record::{Offer, Record},
};

/// How long the end of a member waits for etcd.
const LEAVE: Duration = Duration::from_secs(3);

/// User and password at etcd.
pub type EtcdLogin = (String, Secret<String>);

/// What a host needs to know.
#[derive(Debug, Clone)]
pub struct HaConfig {
    /// The URLs of etcd; at least one.
    pub endpoints: Vec<String>,
    /// User and password at etcd.
    pub login: Option<EtcdLogin>,
    /// Who certifies etcd's certificates, else the authorities of the system.
    pub authority: Option<PathBuf>,
    /// The client's certificate.
    pub certificate: Option<TlsFiles>,
    /// The beginning of all keys.
    pub key: String,
    /// How long a lease lasts, at least 3 s.
    pub ttl: Duration,
    /// Whether this host stays on air without etcd.
    pub stays: bool,
    /// What the host says of itself; `lease` and `instance` are the driver's.
    pub info: HostInfo,
}

/// One term on air.
#[derive(Debug, Clone)]
pub struct OnAirTerm {
    /// Under which the broadcast sends.
    pub permit: Permit,
    /// The number of the term in this process, from 1.
    pub number: u64,
    /// From where the broadcast continues; `None` if no host has been on air before.
    pub record: Option<Record>,
    /// The number of the offer, if the host on air has announced that it will hand over: the permit is
    /// pending, and the broadcast is to be held ready until it begins.
    pub offer: Option<String>,
}

/// What a host knows of the hot standby.
#[derive(Debug, Clone, Default)]
pub struct HaView {
    /// Whether this host may publish.
    pub active: bool,
    /// The host that may, as far as this one knows.
    pub holder: Option<String>,
    /// The hosts that were present when etcd was last read, this one included.
    pub hosts: Vec<HostInfo>,
    /// Whether etcd has been read at all.
    pub looked: bool,
    /// The time until this host's lease may have run out; `None` without a lease.
    pub lease_left: Option<Duration>,
    /// Why etcd does not answer; `None` while it does.
    pub etcd_failure: Option<String>,
    /// What keeps this host from taking over.
    pub problem: Option<String>,
    /// How often this host has taken the air.
    pub takeovers: u64,
    /// The newest record of another host.
    pub record: Option<Record>,
}

/// What the driver is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Take over when the air is free.
    Take,
    /// Give the air to another host that is ready, then be a standby.
    HandOver,
    /// Give the air away if a host is ready, else release it, and end.
    Leave,
}

pub(crate) struct Shared {
    state: Mutex<SharedState>,
    changed: Condvar,
    pub(crate) wake: Arc<Notify>,
}

#[derive(Debug)]
pub(crate) struct SharedState {
    pub(crate) view: HaView,
    pub(crate) info: HostInfo,
    /// The term that runs.
    pub(crate) term: Option<OnAirTerm>,
    /// What is to be written while this host is on air.
    pub(crate) record: Record,
    /// The hand-over to be announced.
    pub(crate) offer: Option<Offer>,
    pub(crate) wish: Wish,
    /// The result of the last hand-over.
    pub(crate) handed_over: Option<Result<String, HandOverError>>,
    pub(crate) ended: bool,
}

impl Shared {
    /// Changes the state, and wakes those who wait for a change.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut SharedState) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        changed
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for<T>(
        &self,
        limit: Duration,
        mut found: impl FnMut(&mut SharedState) -> Option<T>,
    ) -> Option<T> {
        let mut result = None;
        let waiting = self.changed.wait_timeout_while(self.lock(), limit, |state| {
            result = found(state);
            result.is_none()
        });
        drop(waiting);
        result
    }
}

/// This host among the others. Dropping it leaves.
pub struct Member {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").finish_non_exhaustive()
    }
}

impl Member {
    /// Joins the other hosts as a standby. etcd need not answer yet.
    pub fn start(config: HaConfig) -> Result<Self, HaError> {
        let options = connect_options(&config)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(SharedState {
                view: HaView::default(),
                info: config.info.clone(),
                term: None,
                record: Record::default(),
                offer: None,
                wish: Wish::Take,
                handed_over: None,
                ended: false,
            }),
            changed: Condvar::new(),
            wake: Arc::new(Notify::new()),
        });
        let driven = shared.clone();
        let run = move || {
            // A panic ends the permit with the driver; the tool finds the member ended.
            let _ = contain(|| Driver::new(config, options, driven.clone()).run());
            driven.update(|state| {
                if let Some(term) = state.term.take() {
                    term.permit.end();
                }
                state.view.active = false;
                state.ended = true;
            });
        };
        let thread = thread::Builder::new().name("ha".into()).spawn(run).map_err(HaError::Thread)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What this host knows.
    #[must_use]
    pub fn view(&self) -> HaView {
        self.shared.lock().view.clone()
    }

    /// Whether the driver has died, which is a fault of this program.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shared.lock().ended
    }

    /// Waits up to `limit` for a term on air that is not over, and has another number than `last`.
    #[must_use]
    pub fn next_term(&self, last: u64, limit: Duration) -> Option<OnAirTerm> {
        let new = |state: &mut SharedState| state.term.clone().filter(|term| term.number != last);
        self.shared.wait_for(limit, new)
    }

    /// Says whether this host could take over, and with which session (a hash).
    pub fn set_ready(&self, ready: bool, session: &str) {
        self.shared.update(|state| {
            if state.info.ready != ready || state.info.session != session {
                state.info.ready = ready;
                session.clone_into(&mut state.info.session);
                self.shared.wake.notify_one();
            }
        });
    }

    /// Sets what the successor would continue from. It is written within a second while this host
    /// is on air; a change of `standing` or `queue`, at once.
    pub fn set_record(&self, record: Record) {
        self.shared.update(|state| {
            let old = &state.record;
            if old.standing != record.standing || old.queue != record.queue {
                self.shared.wake.notify_one();
            }
            state.record = record;
        });
    }

    /// The host that would take over at a planned hand-over.
    #[must_use]
    pub fn successor(&self) -> Option<HostInfo> {
        let state = self.shared.lock();
        successor(&state.view, &state.info.host)
    }

    /// Announces that this host will hand over, and that the broadcast will continue as `record` says.
    /// Returns the number of the offer; `None` if no host is ready.
    #[must_use]
    pub fn announce(&self, record: Record) -> Option<String> {
        let to = self.successor()?.host;
        let id = format!("{:x}", boot_time().as_nanos());
        self.shared.update(|state| state.offer = Some(Offer { id: id.clone(), to, record }));
        self.shared.wake.notify_one();
        Some(id)
    }

    /// Whether a host holds a broadcast ready for the offer.
    #[must_use]
    pub fn is_held(&self, offer: &str) -> bool {
        self.shared.lock().view.hosts.iter().any(|host| host.holds == offer)
    }

    /// Withdraws an announced hand-over.
    pub fn withdraw(&self) {
        self.shared.update(|state| state.offer = None);
        self.shared.wake.notify_one();
    }

    /// Says that this host holds a broadcast ready for the offer.
    pub fn hold(&self, offer: &str) {
        self.shared.update(|state| offer.clone_into(&mut state.info.holds));
        self.shared.wake.notify_one();
    }

    /// Gives the air to another host that is ready. The broadcast must have ended: the permit ends.
    /// Returns the name of the host. Waits for etcd.
    pub fn hand_over(&self) -> Result<String, HandOverError> {
        self.shared.update(|state| {
            state.handed_over = None;
            state.wish = Wish::HandOver;
        });
        self.shared.wake.notify_one();
        let done = self.shared.wait_for(LEAVE, |state| state.handed_over.take());
        self.shared.update(|state| {
            if state.wish == Wish::HandOver {
                state.wish = Wish::Take;
            }
        });
        done.unwrap_or_else(|| Err(HandOverError::Etcd("no answer".to_owned())))
    }
}

impl Member {
    /// Leaves the air to another host that is ready, or releases it, and ends. Waits for etcd, at most
    /// 3 s.
    pub fn leave(&self) {
        self.shared.update(|state| state.wish = Wish::Leave);
        self.shared.wake.notify_one();
        let _ = self.shared.wait_for(LEAVE, |state| state.ended.then_some(()));
    }
}

/// The first host in order that is ready and not `own`.
pub(crate) fn successor(view: &HaView, own: &str) -> Option<HostInfo> {
    let ready = |info: &&HostInfo| info.ready && info.host != own;
    let first = |info: &&HostInfo| (std::cmp::Reverse(info.priority), info.host.clone());
    view.hosts.iter().filter(ready).min_by_key(first).cloned()
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

/// The options of each connection to etcd.
fn connect_options(config: &HaConfig) -> Result<ConnectOptions, HaError> {
    // rustls needs a default where several providers are linked in; a second call has no effect.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = ConnectOptions::new().with_connect_timeout(config.ttl / 4).with_require_leader(true);
    if let Some((user, password)) = &config.login {
        options = options.with_user(user.clone(), password.expose().clone());
    }
    if config.endpoints.iter().any(|endpoint| endpoint.starts_with("https://")) {
        let mut tls = TlsOptions::new();
        tls = match &config.authority {
            Some(path) => tls.ca_certificate(Certificate::from_pem(read("HA_CA", path)?)),
            None => tls.with_native_roots(),
        };
        if let Some(TlsFiles { cert, key }) = &config.certificate {
            tls = tls.identity(Identity::from_pem(read("HA_CERT", cert)?, read("HA_CERT_KEY", key)?));
        }
        options = options.with_tls(tls);
    }
    Ok(options)
}

fn read(name: &'static str, path: &PathBuf) -> Result<Vec<u8>, HaError> {
    fs::read(path).map_err(|source| HaError::File { name, path: path.clone(), source })
}
