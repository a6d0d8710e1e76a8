//! The account of a session, and its other sessions.

use std::time::{Duration, SystemTime};

use grammers_tl_types as tl;

use crate::{TelegramClient, TelegramError};

/// The account that a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfUser {
    /// The user id.
    pub id: i64,
    /// First and last name.
    pub name: String,
    /// The public name, without `@`.
    pub username: Option<String>,
}

/// A session of the account, as its list of devices shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveSession {
    /// The program that opened it.
    pub app: String,
    /// The device it runs on.
    pub device: String,
    /// The country it was last used from.
    pub country: String,
    /// When it was last used.
    pub active: SystemTime,
    /// When it was created.
    pub created: SystemTime,
    /// Whether it is the session of this client.
    pub current: bool,
}

impl TelegramClient {
    /// The account that the session belongs to.
    pub fn self_user(&mut self) -> Result<SelfUser, TelegramError> {
        let doing = "ask Telegram for the account";
        let request = tl::functions::users::GetUsers { id: vec![tl::enums::InputUser::UserSelf] };
        match self.call(doing, &request)?.into_iter().next() {
            Some(tl::enums::User::User(user)) if user.bot => Err(TelegramError::bot(doing)),
            Some(tl::enums::User::User(user)) => Ok(SelfUser::of(user)),
            _ => Err(TelegramError::garbage(doing)),
        }
    }

    /// The account's sessions, this one included.
    pub fn active_sessions(&mut self) -> Result<Vec<ActiveSession>, TelegramError> {
        let request = tl::functions::account::GetAuthorizations {};
        let tl::enums::account::Authorizations::Authorizations(all) =
            self.call("list the account's sessions", &request)?;
        let session = |tl::enums::Authorization::Authorization(it)| ActiveSession {
            app: it.app_name,
            device: it.device_model,
            country: it.country,
            active: at(it.date_active),
            created: at(it.date_created),
            current: it.current,
        };
        Ok(all.authorizations.into_iter().map(session).collect())
    }

    /// Ends the session at Telegram.
    pub fn log_out(mut self) -> Result<(), TelegramError> {
        self.call_client("end the session", async |client| client.sign_out().await).map(drop)
    }

    /// Approves the sign-in that shows `token` (see [`crate::sign_in`]) to this session's account.
    pub fn accept_login_token(&mut self, token: &[u8]) -> Result<(), TelegramError> {
        let request = tl::functions::auth::AcceptLoginToken { token: token.to_vec() };
        match self.call("approve the sign-in with the standby session", &request) {
            // The connection was lost after the first request, which was sent again.
            Err(error) if error.name == "AUTH_TOKEN_ALREADY_ACCEPTED" => Ok(()),
            answer => answer.map(drop),
        }
    }
}

impl SelfUser {
    pub(crate) fn of(user: tl::types::User) -> Self {
        let names = [user.first_name, user.last_name];
        let name = names.into_iter().flatten().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ");
        Self { id: user.id, name, username: user.username }
    }
}

impl std::fmt::Display for SelfUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.username {
            Some(username) => write!(f, "{} (@{username}, {})", self.name, self.id),
            None => write!(f, "{} ({})", self.name, self.id),
        }
    }
}

/// Telegram counts in seconds since 1970.
fn at(seconds: i32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.max(0) as u64)
}
