//! Why a proxy does not lead to Telegram. No text shows more of a proxy than scheme, host and port.

use std::{fmt, io};

use tgs_core::proxy::TunnelError;

/// Why a proxy does not lead to Telegram.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyProblem {
    /// The proxy's host name has no address.
    #[error("its host name cannot be looked up ({0})")]
    Lookup(io::ErrorKind),
    /// No TCP connection to the proxy.
    #[error("it accepts no connection ({0})")]
    Connect(io::ErrorKind),
    /// No TCP connection within the limit.
    #[error("it accepts no connection in time")]
    ConnectTimeout,
    /// The proxy accepts and says nothing.
    #[error("it accepts the connection and does not answer")]
    Silent,
    /// The proxy closes without an answer.
    #[error("it closes the connection without an answer")]
    Closed,
    /// SOCKS5 or HTTP CONNECT failed.
    #[error("{0}")]
    Tunnel(TunnelError),
    /// An MTProxy does not answer, as most do to a wrong secret.
    #[error("it does not answer: the secret is wrong, or it does not reach Telegram")]
    MtProxySilent,
    /// An MTProxy closes, as some do to a wrong secret.
    #[error("it closes the connection: the secret is wrong, or it does not reach Telegram")]
    MtProxyClosed,
    /// Another server answers the hello of a secret with `ee`.
    #[error(
        "it answers as a web server: the secret is wrong, it is no MTProxy, or this machine's clock is minutes off"
    )]
    NotMtProxy,
    /// The connection is open, and Telegram does not answer.
    #[error("it opens connections, but no answer of Telegram arrives")]
    NoTelegram,
    /// What arrives is not Telegram's.
    #[error("what arrives through it does not come from Telegram")]
    NotTelegram,
    /// A direct connection to the DC.
    #[error("Telegram's server accepts no connection ({0})")]
    Direct(io::ErrorKind),
    /// This machine lacks something.
    #[error("this machine fails: {0}")]
    Local(io::ErrorKind),
    /// The stop flag was set.
    #[error("interrupted")]
    Stopped,
}

impl From<TunnelError> for ProxyProblem {
    fn from(error: TunnelError) -> Self {
        Self::Tunnel(error)
    }
}

/// A proxy that does not lead to Telegram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyFailure {
    /// The proxy as scheme, host and port.
    pub proxy: String,
    /// The reason.
    pub problem: ProxyProblem,
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {}: {}", self.proxy, self.problem)
    }
}
