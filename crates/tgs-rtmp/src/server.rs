//! The server's side: accepts one publisher per connection and hands out what it sends.
//!
//! [`ServerSession`] does no I/O; [`ServerConnection`] runs one on a socket. There is no TLS and no
//! playback: put stunnel or nginx in front for `rtmps`.

mod connection;
mod error;
mod session;

pub use self::{
    connection::ServerConnection,
    error::ServerError,
    session::{KeyCheck, ServerConfig, ServerEvent, ServerLimits, ServerSession},
};
pub use crate::limits::{Excess, Rate};
