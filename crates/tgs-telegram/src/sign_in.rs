//! Signing in: a new key becomes a session of an account, by a login code, by a QR code, or approved by another session
//! of the account ([`renew`]). Whoever asks the person shows and reads what is needed; nothing is shown here.
//!
//! A sign-in ends with [`SignIn::finish`], which proves the new session by a connection of its own before it hands it
//! out. Login tokens and passwords are in no log and in no error.

mod code;
mod password;
mod qr;
mod standby;

use grammers_tl_types as tl;
use tgs_core::{cancel::Cancel, secret::Secret, session_string::SessionString};

pub use code::{Code, Way};
pub use qr::{LoginToken, Scan};
pub use standby::{Ask, RenewError, renew};

use crate::{App, Connection, Me, TelegramError};

/// How often a sign-in follows Telegram to another DC before that is taken for nonsense.
const MOVES: usize = 3;

/// How far a sign-in has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The account is open.
    Done(Me),
    /// The account has a password (two-step verification), which [`SignIn::password`] takes.
    PasswordNeeded,
}

/// A sign-in under way, on a connection with a new key.
#[derive(Debug)]
pub struct SignIn {
    connection: Connection,
    cancel: Cancel,
    sent: Option<code::Sent>,
}

impl SignIn {
    /// Begins one. Nothing is sent yet. Where the account's home is known, `like` is a session of it; otherwise Telegram
    /// says where to go on.
    pub fn begin(app: &App, like: Option<&SessionString>, cancel: &Cancel) -> Result<Self, TelegramError> {
        let connection = Connection::unsigned(app.clone(), like, cancel)?;
        Ok(Self { connection, cancel: cancel.clone(), sent: None })
    }

    /// What the account's owner wrote down to remember the password by, where there is something.
    pub fn password_hint(&mut self) -> Result<Option<String>, TelegramError> {
        Ok(password::ask(&mut self.connection)?.hint.filter(|hint| !hint.is_empty()))
    }

    /// Ends the sign-in with the account's password. After `PASSWORD_HASH_INVALID` it can be tried again.
    pub fn password(&mut self, password: &Secret<String>) -> Result<Me, TelegramError> {
        password::check(&mut self.connection, password)
    }

    /// The new session, once a step was [`Step::Done`]. It is looked at through a connection of its own, as everybody
    /// will who is given it.
    pub fn finish(self) -> Result<(SessionString, Me), TelegramError> {
        let doing = "look at the new session";
        let session = self.connection.session().ok_or_else(|| TelegramError::garbage(doing))?;
        let app = self.connection.app.clone();
        // First closed, then opened: a session is used in one place at a time.
        drop(self.connection);
        let (_, me) = Connection::open(app, &session, &self.cancel)?;
        Ok((session, me))
    }

    /// Ends at Telegram what was begun, as far as it can be reached: a sign-in that is given up must not stay in the
    /// account's list of devices.
    pub fn abandon(self) {
        if self.connection.session().is_some()
            && let Err(error) = self.connection.log_out()
        {
            log::debug!("failed to {error}");
        }
    }

    /// Calls `request`, and again wherever Telegram says that the account lives.
    fn call<R: tl::RemoteCall>(
        &mut self,
        doing: &'static str,
        request: &R,
    ) -> Result<R::Return, TelegramError> {
        for _ in 0..MOVES {
            match self.connection.call(doing, request) {
                Err(error) => match error.moved_to() {
                    Some(dc) if self.connection.move_to(dc, doing).is_ok() => {}
                    _ => return Err(error),
                },
                done => return done,
            }
        }
        Err(TelegramError::garbage(doing))
    }
}

/// A step that Telegram answered with an account, a refusal, or the wish for a password.
fn step(
    doing: &'static str,
    answer: Result<tl::enums::auth::Authorization, TelegramError>,
) -> Result<Step, TelegramError> {
    match answer {
        Ok(authorization) => signed_in(doing, authorization).map(Step::Done),
        Err(error) if error.name == "SESSION_PASSWORD_NEEDED" => Ok(Step::PasswordNeeded),
        Err(error) => Err(error),
    }
}

/// The account that has been opened.
fn signed_in(doing: &'static str, answer: tl::enums::auth::Authorization) -> Result<Me, TelegramError> {
    match answer {
        tl::enums::auth::Authorization::Authorization(it) => match it.user {
            tl::enums::User::User(user) => Ok(Me::of(user)),
            tl::enums::User::Empty(_) => Err(TelegramError::garbage(doing)),
        },
        tl::enums::auth::Authorization::SignUpRequired(_) => {
            Err(TelegramError::named("SIGN_UP_REQUIRED", doing))
        }
    }
}
