//! Errors that end a publisher's connection. No error contains the stream key.

use std::{io, time::Duration};

use crate::{chunk::Malformed, limits::Excess};

/// The reason why a publisher's connection ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The first byte is not 3, RTMP's version.
    #[error("the client does not speak RTMP: its first byte is {0} instead of 3{hint}", hint = hint(*.0))]
    Handshake(u8),
    /// TLS failed.
    #[error("the TLS session failed: {0}")]
    Tls(rustls::Error),
    /// The client sent bytes that are not RTMP.
    #[error("the client does not speak RTMP: {0}")]
    Malformed(#[from] Malformed),
    /// The client exceeded a limit of [`super::ServerLimits`].
    #[error("the client sends too much: {0}")]
    Excess(#[from] Excess),
    /// The client did not publish in time.
    #[error("the client did not publish within {} s", .0.as_secs())]
    NotPublished(Duration),
    /// The publisher sent no audio or video.
    #[error("the publisher sent no media for {} s", .0.as_secs())]
    Idle(Duration),
    /// The client named an application that the server does not serve.
    #[error("the client named an application that does not exist here")]
    Application,
    /// The client gave a wrong stream key.
    #[error("the client gave a wrong stream key")]
    Key,
    /// Another client publishes.
    #[error("another client publishes already")]
    Busy,
    /// The client sent a message that its state does not permit.
    #[error("the client sent {0}")]
    Sequence(&'static str),
    /// The client closed the connection.
    #[error("the client closed the connection")]
    Closed,
    /// The caller cancelled.
    #[error("interrupted")]
    Cancelled,
    /// The socket failed.
    #[error("the connection to the client failed: {0}")]
    Io(io::Error),
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> Self {
        // The transport wraps errors of TLS.
        match error.downcast::<rustls::Error>() {
            Ok(tls) => Self::Tls(tls),
            Err(error) => Self::Io(error),
        }
    }
}

/// What a wrong first byte suggests.
fn hint(first: u8) -> &'static str {
    match first {
        0x16 => " (TLS: the client's URL begins with rtmps:// instead of rtmp://)",
        _ => "",
    }
}
