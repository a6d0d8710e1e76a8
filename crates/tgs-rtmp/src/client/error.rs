//! Errors of opening and of losing a connection, in words. None holds the stream key.

use std::io;

use crate::{limits::Excess, url::UrlError};

/// How far opening a connection had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenStage {
    /// The name is looked up.
    Resolve,
    /// TCP.
    Connect,
    /// TLS.
    Tls,
    /// RTMP's handshake.
    Handshake,
    /// The `connect` command, which names the application.
    Application,
    /// `createStream` and `publish`, which name the stream.
    Publish,
}

impl OpenStage {
    /// What a server that falls silent or goes away at this point leaves undone.
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

    /// What most likely is the matter where the server just closes.
    fn advice(self) -> &'static str {
        match self {
            Self::Resolve | Self::Connect | Self::Tls => "",
            Self::Handshake => " (does it expect TLS, rtmps://?)",
            Self::Application => " (is the application in the address right?)",
            Self::Publish => " (is the stream key right, and does nobody else publish with it?)",
        }
    }
}

/// Why no connection could be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The caller cancelled.
    #[error("interrupted")]
    Cancelled,
    /// The host name has no address.
    #[error("cannot look up {host}: {reason}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's words.
        reason: String,
    },
    /// Nothing listens on the port.
    #[error("{host}:{port} refuses connections")]
    Refused {
        /// The server's name.
        host: String,
        /// Its port.
        port: u16,
    },
    /// The network says no (no route, no permission).
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect {
        /// The server's name.
        host: String,
        /// Its port.
        port: u16,
        /// The kernel's words.
        source: io::Error,
    },
    /// The server did not answer in time.
    #[error("no answer from the server: timed out while {}", .0.undone())]
    Timeout(OpenStage),
    /// The server's certificate, or the lack of authorities to check it against.
    #[error("the server's TLS certificate cannot be trusted: {0}")]
    Certificate(String),
    /// TLS failed for another reason.
    #[error("cannot set up TLS with the server: {0}")]
    Tls(String),
    /// Something answers that does not speak RTMP.
    #[error("the server does not speak RTMP: {0}")]
    Handshake(String),
    /// The server closed or reset the connection.
    #[error("the server closed the connection while {}{}", .0.undone(), .0.advice())]
    Closed(OpenStage),
    /// The server sends the publisher elsewhere, and it was not followed.
    #[error("the server redirects to {to}, which is not followed: {reason}")]
    Redirect {
        /// The new address without its key.
        to: String,
        /// Why not.
        reason: &'static str,
    },
    /// The server asks for a user name and password (`authmod` of adobe or llnw).
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
        /// When.
        stage: OpenStage,
        /// How.
        broken: ConnectionLost,
    },
    /// A redirect that cannot be read as an address.
    #[error("the server redirects to an address that cannot be used: {0}")]
    RedirectTarget(UrlError),
}

impl OpenError {
    /// Whether a retry is unlikely to help before the configuration changes. Only a hint: a refusal
    /// does not count, because servers also refuse a key while they still hold the last connection.
    #[must_use]
    pub fn permanent(&self) -> bool {
        matches!(
            self,
            Self::Certificate(_) | Self::Authentication | Self::Redirect { .. } | Self::RedirectTarget(_)
        )
    }
}

/// Why a connection that had been opened is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionLost {
    /// The caller cancelled during a blocked write. [`super::RtmpConnection::goodbye`] may still
    /// work.
    #[error("interrupted")]
    Cancelled,
    /// The server reset it.
    #[error("the server reset the connection")]
    Reset,
    /// The server closed it.
    #[error("the server closed the connection")]
    Closed,
    /// Nothing came back for 5 s (`TCP_USER_TIMEOUT`).
    #[error("no answer from the server for 5 s")]
    NoAnswer,
    /// The network took nothing, or next to nothing, for 10 s.
    #[error("the connection took no data for 10 s")]
    Stalled,
    /// The network did not take what was due within 45 s.
    #[error("the connection is too slow: what was due was not sent within 45 s")]
    Slow,
    /// The server said so.
    #[error("the server ended the stream: {0}")]
    Refused(String),
    /// The server sent what is not RTMP.
    #[error("the server sent what is not RTMP: {0}")]
    Malformed(crate::chunk::Malformed),
    /// The server sends without an end.
    #[error("the server sends too much: {0}")]
    Excess(Excess),
    /// TLS failed.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// Anything else the kernel says.
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
            // rustls wraps its own errors so.
            io::ErrorKind::InvalidData => Self::Tls(error.to_string()),
            _ => Self::Io(error),
        }
    }
}
