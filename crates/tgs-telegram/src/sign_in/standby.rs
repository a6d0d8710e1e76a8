//! Unattended sign-in: the standby session of the account approves the new session.

use tgs_core::{cancel::Cancel, secret::Secret};

use super::{answer::SignInStep, attempt::SignIn, password, qr::QrStep};
use crate::{App, SelfUser, TelegramClient, TelegramError, session::string::SessionString};

/// Maximum requests for the result of the approval, and the delay between them.
const RESULT_TRIES: usize = 5;
const RESULT_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// Why a renewal failed. `L` is the error of the sign-in limit.
#[derive(Debug, thiserror::Error)]
pub enum RenewError<L: std::error::Error + 'static> {
    /// The standby session cannot be used.
    #[error("use the standby session: {0}")]
    Standby(#[source] TelegramError),
    /// The sign-in limit is exhausted.
    #[error(transparent)]
    Limit(L),
    /// The account has two-step verification, and TWO_FA_PASSWORD is not set.
    #[error("sign in: the account has a password (two-step verification) and TWO_FA_PASSWORD is not set")]
    NoPassword,
    /// TWO_FA_PASSWORD is wrong.
    #[error("sign in: TWO_FA_PASSWORD is not the account's password")]
    WrongPassword,
    /// The sign-in of the new session failed.
    #[error(transparent)]
    New(#[from] TelegramError),
}

/// A query to the daily sign-in limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitQuery {
    /// Checks whether a sign-in is allowed, before an auth key is created.
    Check,
    /// Counts a sign-in, before the approval: an approval counts even if the sign-in fails later.
    Consume,
}

/// Creates and verifies a new session of the account of `standby`. Calls `limit` twice (see
/// [`LimitQuery`]).
///
/// The caller must hold the lock of the standby session.
pub fn renew<L: std::error::Error>(
    app: &App,
    standby: &SessionString,
    password: Option<&Secret<String>>,
    limit: impl Fn(&SelfUser, LimitQuery) -> Result<(), L>,
    cancel: &Cancel,
) -> Result<(SessionString, SelfUser), RenewError<L>> {
    let (mut approver, me) =
        TelegramClient::connect(app.clone(), standby, cancel).map_err(RenewError::Standby)?;
    if password.is_none() && password::is_set(&mut approver).map_err(RenewError::Standby)? {
        return Err(RenewError::NoPassword);
    }
    limit(&me, LimitQuery::Check).map_err(RenewError::Limit)?;
    let mut new = SignIn::begin(app, Some(standby), cancel)?;
    let token = match new.qr_step()? {
        QrStep::Show(token) => token,
        QrStep::Scanned(_) => return Err(TelegramError::garbage("request a login token to approve").into()),
    };
    limit(&me, LimitQuery::Consume).map_err(RenewError::Limit)?;
    approver.accept_login_token(token.token().expose()).map_err(RenewError::Standby)?;
    match approved(&mut new, password, cancel) {
        Ok(()) => Ok(new.finish()?),
        Err(error) => {
            new.abandon();
            Err(error)
        }
    }
}

fn approved<L: std::error::Error>(
    new: &mut SignIn,
    password: Option<&Secret<String>>,
    cancel: &Cancel,
) -> Result<(), RenewError<L>> {
    let doing = "sign in with the approved token";
    for _ in 0..RESULT_TRIES {
        match new.qr_step()? {
            QrStep::Scanned(SignInStep::Done(_)) => return Ok(()),
            QrStep::Scanned(SignInStep::PasswordNeeded) => {
                let password = password.ok_or(RenewError::NoPassword)?;
                return match new.submit_password(password) {
                    Ok(_) => Ok(()),
                    Err(error) if error.name == "PASSWORD_HASH_INVALID" => Err(RenewError::WrongPassword),
                    Err(error) => Err(error.into()),
                };
            }
            // The approval has not reached this DC yet.
            QrStep::Show(_) if cancel.wait(RESULT_WAIT) => return Err(TelegramError::stopped(doing).into()),
            QrStep::Show(_) => {}
        }
    }
    Err(TelegramError::timeout(doing).into())
}
