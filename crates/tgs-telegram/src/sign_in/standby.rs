//! With nobody present: another session of the account, the standby, approves the new one.

use tgs_core::{cancel::Cancel, secret::Secret, session_string::SessionString};

use super::{Scan, SignIn, Step, password};
use crate::{App, Connection, Me, TelegramError};

/// How often the approved token is asked for again, and how long each time.
const LOOKS: usize = 5;
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Why there is no new session. `L` is what keeps the count of sign-ins.
#[derive(Debug, thiserror::Error)]
pub enum RenewError<L: std::error::Error + 'static> {
    /// The standby session does not work.
    #[error("use the standby session: {0}")]
    Standby(#[source] TelegramError),
    /// There have been enough sign-ins.
    #[error(transparent)]
    Limit(L),
    /// The account has a password that is not known here.
    #[error("sign in: the account has a password (two-step verification) and TWO_FA_PASSWORD is not set")]
    NoPassword,
    /// The password that is known here is another.
    #[error("sign in: TWO_FA_PASSWORD is not the account's password")]
    WrongPassword,
    /// The new session does not come about.
    #[error(transparent)]
    New(#[from] TelegramError),
}

/// What the keeper of the daily limit is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Whether there is a sign-in left. Asked before a key is made for one.
    Left,
    /// To count one: the standby is about to approve it, and that counts whatever comes of it.
    Take,
}

/// Makes a new session of the account that `standby` belongs to, and proves it. `limit` is asked twice (see [`Ask`]).
///
/// The caller holds the lock of the standby session.
pub fn renew<L: std::error::Error>(
    app: &App,
    standby: &SessionString,
    password: Option<&Secret<String>>,
    limit: impl Fn(&Me, Ask) -> Result<(), L>,
    cancel: &Cancel,
) -> Result<(SessionString, Me), RenewError<L>> {
    let (mut approver, me) = Connection::open(app.clone(), standby, cancel).map_err(RenewError::Standby)?;
    if password.is_none() && password::is_set(&mut approver).map_err(RenewError::Standby)? {
        return Err(RenewError::NoPassword);
    }
    limit(&me, Ask::Left).map_err(RenewError::Limit)?;
    let mut new = SignIn::begin(app, Some(standby), cancel)?;
    let token = match new.scan()? {
        Scan::Show(token) => token,
        Scan::Over(_) => return Err(TelegramError::garbage("ask for a token to approve").into()),
    };
    limit(&me, Ask::Take).map_err(RenewError::Limit)?;
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
    for _ in 0..LOOKS {
        match new.scan()? {
            Scan::Over(Step::Done(_)) => return Ok(()),
            Scan::Over(Step::PasswordNeeded) => {
                let password = password.ok_or(RenewError::NoPassword)?;
                return match new.password(password) {
                    Ok(_) => Ok(()),
                    Err(error) if error.name == "PASSWORD_HASH_INVALID" => Err(RenewError::WrongPassword),
                    Err(error) => Err(error.into()),
                };
            }
            // The approval has not reached this DC yet.
            Scan::Show(_) if cancel.wait(LOOK_EVERY) => return Err(TelegramError::stopped(doing).into()),
            Scan::Show(_) => {}
        }
    }
    Err(TelegramError::timeout(doing).into())
}
