//! Errors of opening a connection and of losing one. No error contains the stream key.

use std::io;

use crate::{limits::Excess, url::UrlError};

/// The stage that opening a connection had reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenStage {
    /// DNS look-up of the host.
    Resolve,
    /// TCP connection.
    Connect,
    /// TLS handshake.
    Tls,
    /// RTMP handshake.
    Handshake,
    /// The `connect` command, which names the application.
    Application,
    /// `createStream` and `publish`, which name the stream.
    Publish,
}

impl OpenStage {
    /// The unfinished step if the server stops answering or closes at this stage.
    fn undone(self) -> &'static str {
        match self {
            Self::Resolve => "looking up its name",
            Self::Connect => "connecting",
            Self::Tls => "setting up TLS",
            Self::Handshake => "the RTMP handshake",
            Self::Application => "naming the application",
            Self::Publish => "asking to publish",
        }
    }

    /// The most likely cause if the server closes at this stage without a reason.
    fn advice(self) -> &'static str {
        match self {
            Self::Resolve | Self::Connect | Self::Tls => "",
            Self::Handshake => " (does it expect TLS, rtmps://?)",
            Self::Application => " (is the application in the address right?)",
            Self::Publish => " (is the stream key right, and does nobody else publish with it?)",
        }
    }
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The caller cancelled.
    #[error("interrupted")]
    Cancelled,
    /// The host name has no address.
    #[error("cannot look up {host}: {reason}")]
    Resolve {
        /// The host name.
        host: String,
        /// The resolver's message.
        reason: String,
    },
    /// Nothing listens on the port.
    #[error("{host}:{port} refuses connections")]
    Refused {
        /// The server's host name.
        host: String,
        /// The server's port.
        port: u16,
    },
    /// The network refused (no route, no permission).
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect {
        /// The server's host name.
        host: String,
        /// The server's port.
        port: u16,
        /// The kernel's error.
        source: io::Error,
    },
    /// The server did not answer in time.
    #[error("no answer from the server: timed out while {}", .0.undone())]
    Timeout(OpenStage),
    /// The server's certificate is not trusted, or no certificate authorities are available.
    #[error("the server's TLS certificate cannot be trusted: {0}")]
    Certificate(String),
    /// TLS failed for another reason.
    #[error("cannot set up TLS with the server: {0}")]
    Tls(String),
    /// The peer does not speak RTMP.
    #[error("the server does not speak RTMP: {0}")]
    Handshake(String),
    /// The server closed or reset the connection.
    #[error("the server closed the connection while {}{}", .0.undone(), .0.advice())]
    Closed(OpenStage),
    /// The server redirects the publisher, and the redirect is not followed.
    #[error("the server redirects to {to}, which is not followed: {reason}")]
    Redirect {
        /// The new address without its key.
        to: String,
        /// The reason for not following.
        reason: &'static str,
    },
    /// The server requires a user name and password (`authmod` of adobe or llnw).
    #[error(
        "the server asks for a user name and password, which is not supported; use an address that needs only a key"
    )]
    Authentication,
    /// The server refuses the application or the key.
    #[error("the server refuses to take the stream: {0}")]
    Rejected(String),
    /// The connection broke.
    #[error("the connection broke while {}: {broken}", stage.undone())]
    Broken {
        /// The stage.
        stage: OpenStage,
        /// The cause.
        broken: ConnectionLost,
    },
    /// A redirect to an invalid address.
    #[error("the server redirects to an address that cannot be used: {0}")]
    RedirectTarget(UrlError),
}

impl OpenError {
    /// Whether a retry is unlikely to help before the configuration changes. A hint only: a refusal
    /// does not count, because servers also refuse a key while they still hold the last connection.
    #[must_use]
    pub fn permanent(&self) -> bool {
        matches!(
            self,
            Self::Certificate(_) | Self::Authentication | Self::Redirect { .. } | Self::RedirectTarget(_)
        )
    }
}

/// Why an open connection became unusable.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionLost {
    /// The caller cancelled during a blocked write. [`super::RtmpConnection::goodbye`] may still
    /// work.
    #[error("interrupted")]
    Cancelled,
    /// The server reset the connection.
    #[error("the server reset the connection")]
    Reset,
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The server's TCP did not answer for 5 s (`TCP_USER_TIMEOUT`).
    #[error("no answer from the server for 5 s")]
    NoAnswer,
    /// The network accepted almost no data for 10 s.
    #[error("the connection took no data for 10 s")]
    Stalled,
    /// The network did not accept the due data within 45 s.
    #[error("the connection is too slow: what was due was not sent within 45 s")]
    Slow,
    /// The server ended the stream with a message.
    #[error("the server ended the stream: {0}")]
    Refused(String),
    /// The server sent invalid RTMP.
    #[error("the server sent what is not RTMP: {0}")]
    Malformed(crate::chunk::Malformed),
    /// The server exceeded a limit of received data.
    #[error("the server sends too much: {0}")]
    Excess(Excess),
    /// TLS failed.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// Any other error of the kernel.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for ConnectionLost {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset => Self::Reset,
            io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof | io::ErrorKind::NotConnected => {
                Self::Closed
            }
            io::ErrorKind::TimedOut => Self::NoAnswer,
            // rustls wraps its errors in `InvalidData`.
            io::ErrorKind::InvalidData => Self::Tls(error.to_string()),
            _ => Self::Io(error),
        }
    }
}
