//! Sign-in: authorizes a new auth key for an account by login code, by QR code, or with the
//! approval of another session ([`renew`]). The caller does all terminal I/O.
//!
//! A sign-in ends with [`SignIn::finish`], which verifies the new session over a separate
//! connection. No log line and no error contains a login token or a password.

mod code;
mod password;
mod qr;
mod standby;

use grammers_tl_types as tl;
use tgs_core::{cancel::Cancel, secret::Secret, session_string::SessionString};

pub use code::{CodeDelivery, SentCode};
pub use qr::{LoginToken, QrStep};
pub use standby::{LimitQuery, RenewError, renew};

use crate::{App, SelfUser, TelegramClient, TelegramError};

/// Maximum DC redirects per request.
const MOVES: usize = 3;

/// The state after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInStep {
    /// The session is signed in.
    Done(SelfUser),
    /// The account has two-step verification: call [`SignIn::submit_password`].
    PasswordNeeded,
}

/// A sign-in in progress, with a new auth key.
#[derive(Debug)]
pub struct SignIn {
    client: TelegramClient,
    cancel: Cancel,
    pending: Option<code::PendingCode>,
}

impl SignIn {
    /// Begins a sign-in without sending anything. `like` is a session of the account, if there is
    /// one, and gives the account's DC.
    pub fn begin(app: &App, like: Option<&SessionString>, cancel: &Cancel) -> Result<Self, TelegramError> {
        let client = TelegramClient::unsigned(app.clone(), like, cancel)?;
        Ok(Self { client, cancel: cancel.clone(), pending: None })
    }

    /// The password hint that the account's owner has set.
    pub fn password_hint(&mut self) -> Result<Option<String>, TelegramError> {
        Ok(password::challenge(&mut self.client)?.hint.filter(|hint| !hint.is_empty()))
    }

    /// Completes the sign-in with the account's password. `PASSWORD_HASH_INVALID` permits another
    /// attempt.
    pub fn submit_password(&mut self, password: &Secret<String>) -> Result<SelfUser, TelegramError> {
        password::check(&mut self.client, password)
    }

    /// Verifies the new session over a new connection. Call only after [`SignInStep::Done`].
    pub fn finish(self) -> Result<(SessionString, SelfUser), TelegramError> {
        let doing = "verify the new session";
        let session = self.client.session().ok_or_else(|| TelegramError::garbage(doing))?;
        let app = self.client.app.clone();
        // Closed first, because a session may be in use only once at a time.
        drop(self.client);
        let (_, me) = TelegramClient::connect(app, &session, &self.cancel)?;
        Ok((session, me))
    }

    /// Logs the unfinished session out if Telegram is reachable, so that it does not stay in the
    /// account's list of devices.
    pub fn abandon(self) {
        if self.client.session().is_some()
            && let Err(error) = self.client.log_out()
        {
            log::debug!("failed to {error}");
        }
    }

    /// Sends `request` and follows redirects to the account's DC.
    fn call<R: tl::RemoteCall>(
        &mut self,
        doing: &'static str,
        request: &R,
    ) -> Result<R::Return, TelegramError> {
        for _ in 0..MOVES {
            match self.client.call(doing, request) {
                Err(error) => match error.moved_to() {
                    Some(dc) if self.client.move_to(dc, doing).is_ok() => {}
                    _ => return Err(error),
                },
                done => return done,
            }
        }
        Err(TelegramError::garbage(doing))
    }
}

/// The step after an authorization or a password request.
fn step(
    doing: &'static str,
    answer: Result<tl::enums::auth::Authorization, TelegramError>,
) -> Result<SignInStep, TelegramError> {
    match answer {
        Ok(authorization) => signed_in(doing, authorization).map(SignInStep::Done),
        Err(error) if error.name == "SESSION_PASSWORD_NEEDED" => Ok(SignInStep::PasswordNeeded),
        Err(error) => Err(error),
    }
}

/// The user of an authorization.
fn signed_in(doing: &'static str, answer: tl::enums::auth::Authorization) -> Result<SelfUser, TelegramError> {
    match answer {
        tl::enums::auth::Authorization::Authorization(it) => match it.user {
            tl::enums::User::User(user) => Ok(SelfUser::of(user)),
            tl::enums::User::Empty(_) => Err(TelegramError::garbage(doing)),
        },
        tl::enums::auth::Authorization::SignUpRequired(_) => {
            Err(TelegramError::named("SIGN_UP_REQUIRED", doing))
        }
    }
}
