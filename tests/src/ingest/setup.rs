//! How the ingest treats connections.

use std::{sync::mpsc::Sender, time::Duration};

use super::record::Message;

/// The server's answer to `connect`.
#[derive(Debug, Clone, Default)]
pub enum Welcome {
    /// Accept.
    #[default]
    Accept,
    /// An error that redirects the publisher to this address.
    Redirect(String),
    /// An error that requires a user name and password of this mode (`adobe`, `llnw`).
    Authenticate(&'static str),
    /// An error with this code and description.
    Reject(&'static str, &'static str),
    /// Close the connection without an answer.
    Close,
    /// No answer.
    Silence,
}

/// The treatment of connections.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The answer to `connect`.
    pub welcome: Welcome,
    /// The answer to `publish`: `None` accepts; otherwise the code of an error whose description
    /// repeats the stream's name.
    pub refuse_key: Option<&'static str>,
    /// Size of the server's chunks in bytes; `None` keeps the default of 128 and sends no message.
    pub chunk_size: Option<u32>,
    /// Send a bandwidth check (`onBWDone`), as Adobe's servers do.
    pub check_bandwidth: bool,
    /// Interval of ping requests.
    pub ping: Option<Duration>,
    /// Reset the connection after this many messages of any type.
    pub reset_after: Option<usize>,
    /// Stop reading after this many messages of any type.
    pub silent_after: Option<usize>,
    /// Also store the bytes after the handshake.
    pub keep_bytes: bool,
    /// Pass each message on with its connection number (from 0) instead of storing it: for runs of
    /// any length.
    pub pass_on: Option<Sender<(usize, Message)>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            welcome: Welcome::Accept,
            refuse_key: None,
            chunk_size: Some(4096),
            check_bandwidth: false,
            ping: None,
            reset_after: None,
            silent_after: None,
            keep_bytes: false,
            pass_on: None,
        }
    }
}
