//! The handle of one host. The driver's thread serves it; nobody who uses it waits for etcd, except
//! where a method says so.

use std::{
    fmt, fs,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};
use tgs_core::{permit::boot_time, supervise::contain, tls::TlsFiles};

use crate::{
    driver::HaDriver,
    error::{HaError, HandOverError},
    hosts::HostInfo,
    record::{Offer, StateRecord},
    shared::{HaConfig, HaView, OnAirTerm, Shared, SharedState, Wish, successor},
};

/// How long the end of a member waits for etcd.
const LEAVE: Duration = Duration::from_secs(3);

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
        let shared = Arc::new(Shared::new(config.info.clone()));
        let driven = shared.clone();
        let run = move || {
            // A panic ends the permit with the driver; the tool finds the member ended.
            let _ = contain(|| HaDriver::new(config, options, driven.clone()).run());
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
    pub fn set_record(&self, record: StateRecord) {
        self.shared.update(|state| {
            let old = &state.record;
            if old.standing != record.standing || old.queue != record.queue {
                self.shared.wake.notify_one();
            }
            state.record = record;
        });
    }

    /// The host that would take over at a planned hand-over.
    pub fn successor(&self) -> Result<HostInfo, HandOverError> {
        let state = self.shared.lock();
        if let Some(why) = &state.view.etcd_failure {
            return Err(HandOverError::Etcd(why.clone()));
        }
        successor(&state.view, &state.info.host).ok_or(HandOverError::NoStandby)
    }

    /// Announces that this host will hand over, and that the broadcast will continue as `record`
    /// says. Returns the number of the offer; `None` if no host is ready.
    #[must_use]
    pub fn announce(&self, record: StateRecord) -> Option<String> {
        let to = self.successor().ok()?.host;
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
        let leaves = self.shared.update(|state| {
            state.handed_over = None;
            if state.wish == Wish::Take {
                state.wish = Wish::HandOver;
            }
            state.wish == Wish::Leave
        });
        if leaves {
            return Err(HandOverError::NotActive);
        }
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
    /// Leaves the air to another host that is ready, or releases it, and ends. Waits for etcd, at
    /// most 3 s.
    pub fn leave(&self) {
        self.shared.update(|state| state.wish = Wish::Leave);
        self.shared.wake.notify_one();
        let _ = self.shared.wait_for(LEAVE, |state| state.ended.then_some(()));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_handed_over_without_etcd() {
        // A port that nobody listens on: it was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let member = Member::start(HaConfig {
            endpoints: vec![format!("http://127.0.0.1:{port}")],
            ttl: Duration::from_secs(5),
            ..HaConfig::default()
        })
        .unwrap();
        let failed = |state: &mut SharedState| state.view.etcd_failure.clone();
        let why = member.shared.wait_for(Duration::from_secs(30), failed).unwrap();
        assert_eq!(member.successor(), Err(HandOverError::Etcd(why)));
        assert_eq!(member.announce(StateRecord::default()), None);
    }
}
