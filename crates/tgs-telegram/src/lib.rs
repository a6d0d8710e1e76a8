//! The only crate that speaks to Telegram: one blocking connection, sign-in, the chat and its RTMP ingest.
//!
//! # Theory of operation
//!
//! A [`Connection`] owns one TCP connection to the session's home DC and a single-threaded runtime that turns only
//! while a call is under way. There is no background task: nothing can hang unseen, nothing makes keys behind our
//! back. Every call has a time-out, ends at once when the tool is told to stop, and survives a panic of the client
//! library, which is told as a broken connection. A lost connection is opened anew by the next call.
//!
//! The library's own pool of connections is not used: on transport error 404 it makes a new key and puts it in the
//! place of the signed-in one.

mod account;
mod call;
mod chat;
mod connection;
mod dc;
mod error;
pub mod sign_in;
#[cfg(feature = "test-dc")]
mod test_dc;

pub use account::{Me, OtherSession};
pub use call::{Call, Ingest, Live};
pub use chat::{Chat, ChatKind};
pub use connection::{App, Connection};
pub use error::{Class, TelegramError};

/// The longest a call may take, connecting included.
pub const CALL_LIMIT: std::time::Duration = std::time::Duration::from_secs(15);
