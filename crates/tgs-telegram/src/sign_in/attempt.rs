//! A sign-in in progress: its client, and what is the same for all ways to sign in.

use grammers_tl_types as tl;
use tgs_core::{cancel::Cancel, secret::Secret};

use crate::{
    app::App, client::TelegramClient, error::TelegramError, session::string::SessionString, user::SelfUser,
};

/// Maximum DC redirects per request.
const MOVES: usize = 3;

/// A sign-in in progress, with a new auth key.
#[derive(Debug)]
pub struct SignIn {
    pub(super) client: TelegramClient,
    pub(super) cancel: Cancel,
    pub(super) pending: Option<PendingCode>,
}

impl SignIn {
    /// Begins a sign-in without sending anything. `like` is a session of the account, if there is
    /// one, and gives the account's DC.
    pub fn begin(app: &App, like: Option<&SessionString>, cancel: &Cancel) -> Result<Self, TelegramError> {
        let client = TelegramClient::unsigned(app.clone(), like, cancel)?;
        Ok(Self { client, cancel: cancel.clone(), pending: None })
    }

    /// Verifies the new session over a new connection. Call only after [`super::SignInStep::Done`].
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
    pub(super) fn call<R: tl::RemoteCall>(
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

/// The request that the login code belongs to.
#[derive(Debug)]
pub(super) struct PendingCode {
    pub(super) phone: String,
    pub(super) hash: Secret<String>,
    pub(super) by_email: bool,
}
