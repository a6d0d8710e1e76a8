//! The server side: accepts one publisher per connection and returns its stream as events.
//!
//! [`ServerSession`] does no I/O; [`ServerConnection`] runs a session on a socket, also over TLS
//! (`rtmps`). No playback.

mod config;
mod connection;
mod error;
mod handed_session;
mod session;

pub use self::{
    config::{KeyCheck, PublishRefusal, ServerConfig, ServerLimits},
    connection::ServerConnection,
    error::ServerError,
    handed_session::HandedSession,
    session::{ServerEvent, ServerSession},
};
pub use crate::limits::{Excess, Rate};
