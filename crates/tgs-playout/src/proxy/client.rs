//! How a child, or this process, is led to the proxy and to its relays.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::Arc,
};

use super::{
    account::{ClientAccount, ReadPurpose},
    error::ProxyError,
    listener, protocols, rtsp_relay,
};
use crate::item::{ItemFailure, MediaSource, Trust};

/// The variables that name an operator's proxy for https.
const HTTPS_PROXY: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];

/// A child's account with the proxy.
#[derive(Debug, Clone)]
pub struct ProxyClient(Arc<ClientAccount>);

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
        Self(Arc::new(ClientAccount::new(source, purpose, ffmpeg)))
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
        let address = match listener::start() {
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
        self.0.trust_in_answer()
    }

    /// The cause of a failed request, if the proxy knows it.
    #[must_use]
    pub fn failure(&self) -> Option<ItemFailure> {
        self.0.record().error.as_ref().map(ProxyError::failure)
    }
}
