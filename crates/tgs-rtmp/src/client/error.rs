//! Errors of opening a connection and of losing one. No error contains the stream key.

use std::{error::Error, io};

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
    /// The dialler's fence forbids to send.
    #[error("this host must not publish at present: another one may")]
    Fenced,
    /// The host name has no address.
    #[error("cannot look up {host}: {problem}")]
    Resolve {
        /// The host name.
        host: String,
        /// The cause.
        problem: LookupProblem,
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
    /// A dialler of the caller's found no way to the server.
    #[error(transparent)]
    Dial(Box<dyn Error + Send + Sync>),
    /// The server did not answer in time.
    #[error("no answer from the server: timed out while {}", .0.undone())]
    Timeout(OpenStage),
    /// The server's certificate is not trusted, or no certificate authorities are available.
    #[error("the server's TLS certificate cannot be trusted: {0}")]
    Certificate(CertificateProblem),
    /// TLS failed for another reason.
    #[error("cannot set up TLS with the server: {0}")]
    Tls(TlsError),
    /// The peer does not speak RTMP.
    #[error("the server does not speak RTMP: {0}")]
    Handshake(NotRtmp),
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

impl From<rustls::Error> for OpenError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(problem) => Self::Certificate(problem.into()),
            other => Self::Tls(TlsError::Failed(other)),
        }
    }
}

/// Why a host name has no address.
#[derive(Debug, thiserror::Error)]
pub enum LookupProblem {
    /// The name exists, and has no address.
    #[error("it has no address")]
    NoAddress,
    /// The resolver knows no address, or fails.
    #[error("{0}")]
    Failed(io::Error),
    /// Earlier look-ups have no answer yet, and no more are begun.
    #[error("the resolver has not answered {0} questions before this one")]
    Busy(usize),
    /// No thread can be started for the look-up.
    #[error("no thread can be started: {0}")]
    Thread(io::Error),
    /// The look-up panicked.
    #[error("the resolver died")]
    Died,
}

/// Why a server's certificate is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum CertificateProblem {
    /// This machine knows no authorities.
    #[error(
        "this machine has no certificate authorities (install ca-certificates, or name a file of them in \
         SSL_CERT_FILE){}",
        .0.as_ref().map_or(String::new(), |error| format!("; {error}"))
    )]
    NoAuthorities(Option<rustls_native_certs::Error>),
    /// The certificate has expired.
    #[error("it has expired (or the clock here is wrong)")]
    Expired,
    /// The certificate is not valid yet.
    #[error("it is not valid yet (or the clock here is wrong)")]
    NotValidYet,
    /// The signature is wrong.
    #[error("it is not signed by the authority it names")]
    Signature,
    /// The issuer is unknown.
    #[error("its issuer is not known here (SSL_CERT_FILE names the authorities that are)")]
    Issuer,
    /// The certificate names other hosts.
    #[error("it is for another host name")]
    HostName,
    /// Any other problem.
    #[error("{0}")]
    Other(rustls::CertificateError),
}

impl From<rustls::CertificateError> for CertificateProblem {
    fn from(error: rustls::CertificateError) -> Self {
        use rustls::CertificateError as E;
        match error {
            E::Expired | E::ExpiredContext { .. } => Self::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => Self::NotValidYet,
            E::BadSignature => Self::Signature,
            E::UnknownIssuer => Self::Issuer,
            E::NotValidForName | E::NotValidForNameContext { .. } => Self::HostName,
            other => Self::Other(other),
        }
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate can be for the host.
    #[error("{host} is no name a certificate can be for")]
    Name {
        /// The host.
        host: String,
    },
    /// The handshake failed.
    #[error("{0}")]
    Failed(rustls::Error),
}

/// What a server speaks instead of RTMP, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRtmp {
    /// The server closed the connection within its answer.
    #[error("its answer is cut short")]
    CutShort,
    /// TLS.
    #[error("it expects TLS; try rtmps://")]
    Tls,
    /// HTTP.
    #[error("it answers like a web server")]
    Http,
    /// RTMPE.
    #[error("it wants RTMP's own encryption (RTMPE), which is not supported")]
    Rtmpe,
    /// Another protocol, with its first byte.
    #[error("its answer begins with byte {0} instead of 3")]
    Other(u8),
}

impl NotRtmp {
    pub(super) fn of(first: u8) -> Self {
        match first {
            0x15 | 0x16 => Self::Tls,
            b'H' => Self::Http,
            6 | 8 | 9 => Self::Rtmpe,
            other => Self::Other(other),
        }
    }
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
    /// The dialler's fence forbids to send.
    #[error("this host must not publish any more: another one may")]
    Fenced,
    /// The server reset the connection.
    #[error("the server reset the connection")]
    Reset,
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The server's TCP did not answer for 5 s, or for the shorter time of the dialler's fence.
    #[error("no answer from the server (TCP_USER_TIMEOUT of at most 5 s)")]
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
    #[error("the TLS session failed: {0}")]
    Tls(io::Error),
    /// Any other error of the kernel.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for ConnectionLost {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Only the fence has this kind: a connected socket needs no permission.
            io::ErrorKind::PermissionDenied => Self::Fenced,
            io::ErrorKind::ConnectionReset => Self::Reset,
            io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof | io::ErrorKind::NotConnected => {
                Self::Closed
            }
            io::ErrorKind::TimedOut => Self::NoAnswer,
            // rustls wraps its errors in `InvalidData`.
            io::ErrorKind::InvalidData => Self::Tls(error),
            _ => Self::Io(error),
        }
    }
}
