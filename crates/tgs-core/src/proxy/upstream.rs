//! One proxy. Its texts show scheme, host and port, and nothing that gives access.

use std::fmt;

use super::mtproxy_secret::MtProxySecret;
use crate::secret::Secret;

/// User name and password at a proxy; each at most 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyLogin {
    /// The user name.
    pub user: Secret<String>,
    /// The password; may be empty.
    pub password: Secret<String>,
}

/// The protocol of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// SOCKS5 (RFC 1928, RFC 1929).
    Socks5(Option<ProxyLogin>),
    /// HTTP CONNECT (RFC 9110, section 9.3.6).
    Http(Option<ProxyLogin>),
    /// MTProxy, which carries MTProto only.
    MtProxy(MtProxySecret),
}

/// A proxy that a setting names.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamProxy {
    /// Host name in ASCII, or IP address without brackets.
    pub host: String,
    /// The port, from 1.
    pub port: u16,
    /// The protocol, with what it needs.
    pub protocol: ProxyProtocol,
    /// What must appear in no output, as it is written in the setting.
    pub(super) written: Vec<Secret<String>>,
}

impl UpstreamProxy {
    /// The texts to redact from output of unknown origin: the whole address and its parts that give
    /// access, as the setting has them.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(|text| text.expose().as_str())
    }

    /// Whether connections other than MTProto can pass.
    #[must_use]
    pub fn carries_rtmp(&self) -> bool {
        !matches!(self.protocol, ProxyProtocol::MtProxy(_))
    }

    /// The host with brackets around an IPv6 address, and the port.
    #[must_use]
    pub fn address(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for UpstreamProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            ProxyProtocol::Socks5(_) => "socks5",
            ProxyProtocol::Http(_) => "http",
            ProxyProtocol::MtProxy(_) => "mtproxy",
        };
        write!(f, "{scheme}://{}", self.address())
    }
}

impl fmt::Debug for UpstreamProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamProxy({self})")
    }
}
