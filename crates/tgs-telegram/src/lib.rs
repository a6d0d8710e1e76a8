//! The only crate that speaks to Telegram: a blocking client for one session, sign-in, the chat,
//! its group call and RTMP ingest. It retries within a single call only.
//!
//! # Theory of operation
//!
//! A [`TelegramClient`] owns a grammers `SenderPool` with one connection, to the session's home DC,
//! and a single-threaded runtime that turns only while a call is under way. Nothing runs in the
//! background. Every call has a time limit, ends within 100 ms of the stop flag, and survives a
//! panic of the client library as a lost connection. The next call opens a lost connection again.
//!
//! On transport error 404 the pool makes a new key and stores it over the signed-in one. The
//! session that it is given here (`PinnedSession`) refuses that, and the call fails with error 404.

mod account;
mod chat;
mod client;
mod dc;
mod error;
mod group_call;
mod pinned_session;
mod pool;
pub mod sign_in;
#[cfg(feature = "test-dc")]
mod test_dc;

pub use account::{ActiveSession, SelfUser};
pub use chat::{Chat, ChatKind};
pub use client::{App, TelegramClient};
pub use error::{ErrorClass, TelegramError};
pub use group_call::{GroupCall, GroupCallState, Ingest};

/// The time limit of a call, connecting included.
pub const CALL_LIMIT: std::time::Duration = std::time::Duration::from_secs(15);
