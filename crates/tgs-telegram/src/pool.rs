//! A [`SenderPool`] on its own runtime, which runs only during a call: there is no background work
//! between calls. Knows no retries and no sessions.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use grammers_client::{Client, client::ClientConfiguration};
use grammers_mtsender::{ConnectionParams, InvocationError, NoRetries, SenderPool, SenderPoolHandle};
use grammers_session::updates::UpdatesLike;
use tgs_core::{cancel::Cancel, proxy::ProxyList};
use tokio::{runtime::Runtime, sync::mpsc, time};

use crate::{
    app::App,
    pinned_session::PinnedSession,
    proxy::{Forwarder, ProxyFailure},
};

/// Poll interval of the stop flag during a call.
pub(crate) const STOP_CHECK: Duration = Duration::from_millis(100);

/// Why a call was aborted. The pool may hang or be inconsistent, and must be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallAborted {
    /// The stop flag was set.
    Stopped,
    /// The time limit expired.
    TimedOut,
    /// grammers panicked.
    Panicked,
}

/// The handles that a call works with.
pub(crate) struct CallHandles<'a> {
    pub(crate) client: &'a Client,
    pub(crate) updates: &'a mut mpsc::Receiver<UpdatesLike>,
}

/// A pool of connections. Dropping it closes them at once.
pub(crate) struct ClientPool {
    client: Client,
    handle: SenderPoolHandle,
    updates: mpsc::Receiver<UpdatesLike>,
    /// Between the pool and the DC; `None` for direct connections.
    forwarder: Option<Forwarder>,
    /// Between the pool and other DCs.
    elsewhere: BTreeMap<i32, Forwarder>,
    session: Arc<PinnedSession>,
    proxies: ProxyList,
    limit: Duration,
    /// Polled together with each call instead of spawned, so that its panic ends the call.
    runner: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// The last field, so that it drops last: its tasks own the connections.
    runtime: Runtime,
}

impl ClientPool {
    /// Creates the pool for calls of at most `limit`; the first call connects. `updates` is the
    /// capacity of the queue of updates; a full queue loses the newest.
    pub(crate) fn new(
        app: &App,
        session: &Arc<PinnedSession>,
        updates: NonZeroUsize,
        limit: Duration,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let forwarder = if app.proxies.is_empty() {
            None
        } else {
            Some(Forwarder::start(&runtime, &app.proxies, session.target(), limit)?)
        };
        session.connect_through(forwarder.as_ref().map(Forwarder::address));
        let params = params(app, session.connect_address().is_ipv6(), updates);
        let pool = SenderPool::with_configuration(Arc::clone(session), app.api_id, params);
        let configuration = ClientConfiguration { auto_cache_peers: false };
        Ok(Self {
            handle: pool.handle.thin.clone(),
            client: Client::with_configuration(pool.handle, configuration),
            updates: pool.updates,
            forwarder,
            elsewhere: BTreeMap::new(),
            session: Arc::clone(session),
            proxies: app.proxies.clone(),
            limit,
            runner: Box::pin(pool.runner.run()),
            runtime,
        })
    }

    /// Why no proxy leads to the DC, if the last attempt to connect failed for that.
    pub(crate) fn take_failure(&self) -> Option<ProxyFailure> {
        self.forwarder.as_ref()?.take_failure()
    }

    /// Opens the way to another DC, if it leads through proxies. Returns `false` if the DC has no
    /// known address.
    pub(crate) fn lead_to(&mut self, dc: i32) -> std::io::Result<bool> {
        if self.proxies.is_empty() || self.elsewhere.contains_key(&dc) {
            return Ok(true);
        }
        let Some(target) = self.session.target_elsewhere(dc) else { return Ok(false) };
        // Another proxy may lead there; the session's own DC keeps the one that it has.
        let forwarder = Forwarder::start(&self.runtime, &self.proxies.apart(), target, self.limit)?;
        self.session.connect_elsewhere_through(dc, forwarder.address());
        self.elsewhere.insert(dc, forwarder);
        Ok(true)
    }

    /// Why no proxy leads to `dc`, as [`ClientPool::take_failure`].
    pub(crate) fn take_failure_elsewhere(&self, dc: i32) -> Option<ProxyFailure> {
        self.elsewhere.get(&dc)?.take_failure()
    }

    /// Drops the connection to `dc`; the next call opens a new one.
    pub(crate) fn disconnect(&self, dc: i32) {
        self.handle.disconnect_from_dc(dc);
    }

    /// Runs `work` until it ends, `limit` expires, or `cancel` is set.
    pub(crate) fn run<T>(
        &mut self,
        cancel: &Cancel,
        limit: Duration,
        work: impl AsyncFnOnce(CallHandles<'_>) -> Result<T, InvocationError>,
    ) -> Result<Result<T, InvocationError>, CallAborted> {
        let Self { client, updates, runner, runtime, .. } = self;
        let stopped = async {
            while !cancel.is_cancelled() {
                time::sleep(STOP_CHECK).await;
            }
        };
        let bounded = async {
            tokio::select! {
                biased;
                () = stopped => Err(CallAborted::Stopped),
                () = runner => Ok(Err(InvocationError::Dropped("the pool has ended"))),
                done = time::timeout(limit, work(CallHandles { client, updates })) => {
                    done.map_err(|_| CallAborted::TimedOut)
                }
            }
        };
        // grammers panics on some answers.
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(bounded))).unwrap_or(Err(CallAborted::Panicked))
    }
}

/// Sets every field: the library's defaults run lsb_release and getconf as children.
fn params(app: &App, use_ipv6: bool, updates: NonZeroUsize) -> ConnectionParams {
    ConnectionParams {
        device_model: app.device.to_owned(),
        system_version: "Linux".to_owned(),
        app_version: env!("CARGO_PKG_VERSION").to_owned(),
        system_lang_code: "en".to_owned(),
        lang_code: "en".to_owned(),
        use_ipv6,
        retry_policy: Box::new(NoRetries),
        updates_channel_capacity: updates,
        __non_exhaustive: (),
    }
}
