//! The server side: accepts one publisher per connection and returns its stream as events.
//!
//! [`ServerSession`] does no I/O; [`ServerConnection`] runs a session on a socket. No TLS and no
//! playback: use stunnel or nginx in front for `rtmps`.

mod connection;
mod error;
mod session;

pub use self::{
    connection::ServerConnection,
    error::ServerError,
    session::{KeyCheck, ServerConfig, ServerEvent, ServerLimits, ServerSession},
};
pub use crate::limits::{Excess, Rate};
