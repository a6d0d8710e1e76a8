//! One further output: what is known of it, shared by its thread and those that ask or pause it.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tgs_control::{OutputStatus, PublisherState};
use tgs_core::proxy::ProxyList;
use tgs_rtmp::url::RtmpUrl;

use super::metrics::OutputMetrics;

/// A further output to be started.
#[derive(Debug, Clone)]
pub struct OutputConfig {
    /// Its name in status, log and metrics.
    pub name: String,
    /// Its server and key.
    pub target: RtmpUrl,
    /// The proxies to its server; empty for a direct connection.
    pub proxies: ProxyList,
    /// Whether it starts paused.
    pub paused: bool,
}

/// A further output.
#[derive(Debug)]
pub(crate) struct FurtherOutput {
    pub(super) name: String,
    pub(super) target: RtmpUrl,
    pub(super) proxies: ProxyList,
    pub(super) metrics: OutputMetrics,
    paused: AtomicBool,
    publisher: Mutex<PublisherState>,
}

impl FurtherOutput {
    pub(super) fn new(config: OutputConfig) -> Self {
        let OutputConfig { name, target, proxies, paused } = config;
        let metrics = OutputMetrics::of(&name);
        metrics.paused.set(paused.into());
        Self { name, target, proxies, metrics, paused: paused.into(), publisher: Mutex::default() }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Within a quarter of a second.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
        self.metrics.paused.set(paused.into());
    }

    /// Shows the state of the connection.
    pub(super) fn show(&self, state: PublisherState) {
        self.metrics.connected.set((state == PublisherState::Connected).into());
        *self.publisher.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(super) fn is_connected(&self) -> bool {
        *self.publisher.lock().unwrap_or_else(PoisonError::into_inner) == PublisherState::Connected
    }

    pub(super) fn status(&self) -> OutputStatus {
        OutputStatus {
            name: self.name.clone(),
            url: self.target.to_string(),
            proxy: self.proxies.current().map(ToString::to_string),
            paused: self.is_paused(),
            publisher: self.publisher.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            sent_bytes: self.metrics.sent_bytes.get(),
            reconnects: self.metrics.reconnects.get(),
            dropped_seconds: self.metrics.dropped_seconds.get(),
            queue_seconds: self.metrics.queue_seconds.get(),
        }
    }
}
