//! A child's account with the proxy: its credentials, its permitted networks, and the cause of a
//! failed request. Opens no connection.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom, SystemRandom};

use super::{Network, bridge::BridgedSource, error::ProxyError, policy, protocols, rtsp_relay, start};
use crate::item::{ItemFailure, MediaSource, Trust};

/// The variables that name an operator's proxy for https.
const HTTPS_PROXY: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];

/// Whether the proxy keeps what a client reads for the next client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPurpose {
    /// The client plays what it reads.
    Playback,
    /// Another client will read the same from the beginning.
    Probe,
}

/// A child's account with the proxy.
#[derive(Debug, Clone)]
pub struct ProxyClient(Arc<ClientAccount>);

#[derive(Debug)]
pub(super) struct ClientAccount {
    /// Name and password as in a URL. ffmpeg's limit is 200 bytes for them and the server's name.
    credentials: String,
    trust: Trust,
    /// The host of the URL that the child opens.
    host: String,
    pub(super) purpose: ReadPurpose,
    is_proxied: bool,
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

impl ProxyClient {
    /// An account for a child that opens `source`.
    #[must_use]
    pub fn new(source: &MediaSource, purpose: ReadPurpose) -> Self {
        Self::with_ffmpeg(source, purpose, Path::new("ffmpeg"))
    }

    /// Like [`ProxyClient::new`], with the `ffmpeg` that reads protocols which the proxy does not
    /// speak.
    #[must_use]
    pub fn with_ffmpeg(source: &MediaSource, purpose: ReadPurpose, ffmpeg: &Path) -> Self {
        let bridged = protocols::is_bridged(source)
            .then(|| BridgedSource { source: source.clone(), ffmpeg: ffmpeg.to_owned() });
        let account = ClientAccount {
            credentials: format!("t:{}", random()),
            trust: source.trust,
            host: protocols::server_of(&source.url).map_or(String::new(), |server| server.host),
            purpose,
            is_proxied: protocols::is_proxied(source),
            bridged,
            connections: AtomicUsize::new(0),
            may_be_answered: AtomicBool::new(false),
            record: Mutex::default(),
        };
        Self(Arc::new(account))
    }

    /// Makes `command` use the proxy, if its protocol supports one. An operator's proxy stays in
    /// force for its scheme, and judges the addresses there.
    pub fn apply(&self, command: &mut Command) {
        // An empty value sets no proxy.
        let is_own = |command: &Command, names: [&str; 2]| {
            let mut set = command.get_envs().filter(|(_, value)| value.is_some_and(|it| !it.is_empty()));
            set.any(|(name, _)| names.iter().any(|one| name == *one))
        };
        // ffmpeg reads only this name, for https too.
        let is_http_own = is_own(command, ["http_proxy"; 2]);
        if !self.0.is_proxied || (is_http_own && self.0.bridged.is_none()) {
            self.note_bypass();
            return;
        }
        let url = self.url();
        for names in [["http_proxy", "HTTP_PROXY"], HTTPS_PROXY, ["ftp_proxy", "FTP_PROXY"]] {
            if names == HTTPS_PROXY && self.0.bridged.is_none() && is_own(command, names) {
                self.note_bypass();
                continue;
            }
            for name in names {
                command.env(name, &url);
            }
        }
        // Hosts exempt from the operator's proxy would be exempt from this one.
        for name in ["no_proxy", "NO_PROXY"] {
            command.env_remove(name);
        }
    }

    /// The proxy's URL for a request of this process for `url`; `None` if an operator's proxy is in
    /// force.
    #[must_use]
    pub fn proxy_url(&self, url: &str) -> Option<String> {
        let is_own = |name: &str| std::env::var_os(name).is_some_and(|own| !own.is_empty());
        let is_https = url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
        if is_own("http_proxy") || (is_https && HTTPS_PROXY.into_iter().any(is_own)) {
            self.note_bypass();
            return None;
        }
        Some(self.url())
    }

    /// The proxy's URL with this client's credentials.
    fn url(&self) -> String {
        let address = match start() {
            Ok(proxy) => {
                proxy.add(&self.0);
                proxy.address
            }
            Err(error) => {
                log::error!("nothing can be fetched from the network: cannot listen on 127.0.0.1: {error}");
                // A port without a listener: nothing may be reached without the proxy.
                SocketAddr::from((Ipv4Addr::LOCALHOST, 1))
            }
        };
        format!("http://{}@{address}", self.0.credentials)
    }

    /// The URL by which the child opens `source`, once. For RTSP of an untrusted source this starts
    /// a relay, which waits for the child's connection and ends with it.
    #[must_use]
    pub fn input_url(&self, source: &MediaSource) -> String {
        if !protocols::is_relayed(source) {
            return protocols::input_url(source);
        }
        let port = rtsp_relay::start(source, &self.0).unwrap_or_else(|error| {
            log::error!("nothing can be fetched over RTSP: cannot listen on 127.0.0.1: {error}");
            // A port without a listener: nothing may be reached without the relay.
            1
        });
        protocols::relayed_url(source, port)
    }

    /// Notes that the child may reach the network past this proxy.
    pub fn note_bypass(&self) {
        self.0.note_answer();
    }

    /// The trust in addresses that the child's answer names: the operator's, unless the network may
    /// have answered.
    #[must_use]
    pub fn trust_in_answer(&self) -> Trust {
        if self.0.may_be_answered.load(Ordering::SeqCst) {
            Trust::Found(self.network())
        } else {
            self.0.trust
        }
    }

    /// The network in which the host was reached, or that of a numeric host.
    fn network(&self) -> Network {
        let numeric = || self.0.host.parse().map(Network::of).unwrap_or_default();
        self.0.record().network.unwrap_or_else(numeric)
    }

    /// The cause of a failed request, if the proxy knows it.
    #[must_use]
    pub fn failure(&self) -> Option<ItemFailure> {
        self.0.record().error.as_ref().map(ProxyError::failure)
    }
}

impl ClientAccount {
    pub(super) fn record(&self) -> MutexGuard<'_, ClientRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
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
