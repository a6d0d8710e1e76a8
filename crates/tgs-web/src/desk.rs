//! What the requests share: users, sessions, channels, library and limits.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use crate::{
    channel::WatchedChannels, demo_link::DemoLink, library::Library, sessions::BrowserSessions,
    tries::SignInTries, users::UserStore,
};

/// Passwords that are verified at once: each takes 19 MiB.
const HASHING: usize = 2;
/// Browsers that follow the channels.
const FOLLOWERS: usize = 64;
/// Pictures that are shown.
const PICTURES: usize = 16;
/// Searches of the library at once.
const SEARCHES: usize = 2;

/// The state of the desk.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The users.
    pub(crate) users: UserStore,
    /// The signed-in browsers.
    pub(crate) sessions: BrowserSessions,
    /// The tries to sign in.
    pub(crate) tries: SignInTries,
    /// The channels.
    pub(crate) channels: Arc<WatchedChannels>,
    /// The library.
    pub(crate) library: Library,
    /// The demo's link.
    pub(crate) demo: Option<DemoLink>,
    /// Whether loopback peers state the client in `X-Forwarded-*`.
    pub(crate) behind_proxy: bool,
    /// The limits.
    pub(crate) limits: Limits,
}

/// What may happen at once.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Passwords.
    pub(crate) hashing: Arc<Semaphore>,
    /// Event streams.
    pub(crate) followers: Arc<Semaphore>,
    /// Pictures.
    pub(crate) pictures: Arc<Semaphore>,
    /// Searches.
    pub(crate) searches: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Self {
        let limit = |permits| Arc::new(Semaphore::new(permits));
        Self {
            hashing: limit(HASHING),
            followers: limit(FOLLOWERS),
            pictures: limit(PICTURES),
            searches: limit(SEARCHES),
        }
    }
}

/// How long a browser may take to accept a piece of a stream.
pub(crate) const SLOWEST_BROWSER: Duration = Duration::from_secs(30);
