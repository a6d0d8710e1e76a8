//! A child's account with the proxy: its credentials, its permitted networks, and the cause of a
//! failed request. Opens no connection.

use std::{
    fmt::Write as _,
    net::IpAddr,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom, SystemRandom};

use super::{bridge::BridgedSource, error::ProxyError, policy, protocols};
use crate::{
    item::{MediaSource, Trust},
    network::Network,
};

/// Whether the proxy keeps what a client reads for the next client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPurpose {
    /// The client plays what it reads.
    Playback,
    /// Another client will read the same from the beginning.
    Probe,
}

/// One child that uses the proxy.
#[derive(Debug)]
pub(super) struct ClientAccount {
    /// Name and password as in a URL. ffmpeg's limit is 200 bytes for them and the server's name.
    pub(super) credentials: String,
    trust: Trust,
    /// The host of the URL that the child opens.
    host: String,
    pub(super) purpose: ReadPurpose,
    pub(super) is_proxied: bool,
    /// The source that an ffmpeg of the proxy reads for the child.
    pub(super) bridged: Option<BridgedSource>,
    pub(super) connections: AtomicUsize,
    /// Whether the child may have received an answer from the network.
    may_be_answered: AtomicBool,
    record: Mutex<ClientRecord>,
}

/// The history of a client.
#[derive(Debug, Default)]
pub(super) struct ClientRecord {
    /// The network in which its host was reached.
    network: Option<Network>,
    pub(super) gets: u32,
    pub(super) error: Option<ProxyError>,
}

impl ClientAccount {
    /// An account for a child that opens `source`, with the `ffmpeg` of a bridge.
    pub(super) fn new(source: &MediaSource, purpose: ReadPurpose, ffmpeg: &Path) -> Self {
        let bridged = protocols::is_bridged(source)
            .then(|| BridgedSource { source: source.clone(), ffmpeg: ffmpeg.to_owned() });
        Self {
            credentials: format!("t:{}", random()),
            trust: source.trust,
            host: protocols::server_of(&source.url).map_or(String::new(), |server| server.host),
            purpose,
            is_proxied: protocols::is_proxied(source),
            bridged,
            connections: AtomicUsize::new(0),
            may_be_answered: AtomicBool::new(false),
            record: Mutex::default(),
        }
    }

    pub(super) fn record(&self) -> MutexGuard<'_, ClientRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The trust in addresses that the child's answer names: the operator's, unless the network may
    /// have answered.
    pub(super) fn trust_in_answer(&self) -> Trust {
        if self.may_be_answered.load(Ordering::SeqCst) { Trust::Found(self.network()) } else { self.trust }
    }

    /// The network in which the host was reached, or that of a numeric host.
    fn network(&self) -> Network {
        let numeric = || self.host.parse().map(Network::of).unwrap_or_default();
        self.record().network.unwrap_or_else(numeric)
    }

    /// Notes that the network may have answered the child.
    pub(super) fn note_answer(&self) {
        self.may_be_answered.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_authorized_by(&self, authorization: &str) -> bool {
        authorization.strip_prefix("Basic ").is_some_and(|shown| STANDARD.encode(&self.credentials) == shown)
    }

    /// Whether `host` may be reached at `address`.
    pub(super) fn permits(&self, host: &str, address: IpAddr) -> bool {
        let (network, known) = (Network::of(address), self.record().network);
        if host != self.host {
            return policy::permits(Trust::Found(known.unwrap_or_default()), network);
        }
        // DNS rebinding: a name must not lead to another network later.
        policy::permits(self.trust, network) && known.is_none_or(|known| known == network)
    }

    /// Notes that `host` was reached at `address`.
    pub(super) fn reached(&self, host: &str, address: IpAddr) {
        if host == self.host {
            self.record().network.get_or_insert(Network::of(address));
        }
    }
}

/// Counts a client's connection until it is dropped.
pub(super) struct CountedConnection<'a>(&'a ClientAccount);

impl<'a> CountedConnection<'a> {
    pub(super) fn new(account: &'a ClientAccount) -> Self {
        account.connections.fetch_add(1, Ordering::SeqCst);
        Self(account)
    }
}

impl Drop for CountedConnection<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

/// 72 random bits as text.
fn random() -> String {
    let mut bytes = [0; 9];
    // Without a random source TLS fails too, and 256 accounts are too few to guess.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        fastrand::fill(&mut bytes);
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
