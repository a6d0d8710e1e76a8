//! What a member and its driver share.

use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tgs_core::{permit::Permit, secret::Secret, tls::TlsFiles};
use tokio::sync::Notify;

use crate::{
    error::HandOverError,
    hosts::HostInfo,
    record::{Offer, StateRecord},
};

/// User and password at etcd.
pub type EtcdLogin = (String, Secret<String>);

/// What a host needs to know.
#[derive(Debug, Clone, Default)]
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
    pub record: Option<StateRecord>,
    /// The number of the offer, if the host on air has announced that it will hand over: the permit
    /// is pending, and the broadcast is to be held ready until it begins.
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
    pub record: Option<StateRecord>,
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
    pub(crate) record: StateRecord,
    /// The hand-over to be announced.
    pub(crate) offer: Option<Offer>,
    pub(crate) wish: Wish,
    /// The result of the last hand-over.
    pub(crate) handed_over: Option<Result<String, HandOverError>>,
    pub(crate) ended: bool,
}

impl Shared {
    /// A standby that is not ready.
    pub(crate) fn new(info: HostInfo) -> Self {
        Self {
            state: Mutex::new(SharedState {
                view: HaView::default(),
                info,
                term: None,
                record: StateRecord::default(),
                offer: None,
                wish: Wish::Take,
                handed_over: None,
                ended: false,
            }),
            changed: Condvar::new(),
            wake: Arc::new(Notify::new()),
        }
    }

    /// Changes the state, and wakes those who wait for a change.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut SharedState) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        changed
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait_for<T>(
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

/// The first host in order that is ready and not `own`.
pub(crate) fn successor(view: &HaView, own: &str) -> Option<HostInfo> {
    let ready = |info: &&HostInfo| info.ready && info.host != own;
    let first = |info: &&HostInfo| (std::cmp::Reverse(info.priority), info.host.clone());
    view.hosts.iter().filter(ready).min_by_key(first).cloned()
}
