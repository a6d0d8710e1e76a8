//! The only crate that talks to Telegram: a blocking client for one session, sign-in, chat lookup,
//! group call and RTMP ingest. Retries only within a single call.
//!
//! # Theory of operation
//!
//! A [`TelegramClient`] owns a grammers `SenderPool` with one connection to the session's home DC,
//! and a single-threaded runtime that runs only during a call, so there is no background work.
//! Every call has a time limit, ends within 100 ms of the stop flag, and reports a panic of
//! grammers as an error. The next call reconnects after a lost connection.
//!
//! With proxies, the pool connects to a forwarder on loopback, which runs on the same runtime and
//! ends with it.
//!
//! On transport error 404 the pool creates a new auth key and overwrites the authorized one.
//! `PinnedSession` refuses that, and the call fails with error 404.

mod account;
mod app;
pub mod bot;
mod chat;
mod client;
mod dc;
mod error;
mod group_call;
mod pinned_session;
mod pool;
mod proxy;
pub mod session;
pub mod sign_in;
mod stream_part;
#[cfg(feature = "test-dc")]
mod test_dc;
mod user;
mod viewer;

pub use account::ActiveSession;
pub use app::App;
pub use chat::{Chat, ChatKind};
pub use client::{CALL_LIMIT, TelegramClient};
pub use error::{ErrorClass, TelegramError};
pub use group_call::{GroupCall, GroupCallState, Ingest};
pub use proxy::{ProxyFailure, ProxyProblem, check_route};
pub use stream_part::StreamPart;
pub use user::SelfUser;
