//! What the requests share: users, sessions, channels, library and limits.

use std::sync::Arc;

use crate::{
    channel::WatchedChannels, demo_link::DemoLink, library::Library, limits::Limits,
    sessions::BrowserSessions, sign_in_tries::SignInTries, users::UserStore,
};

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
