//! What an answer of Telegram means for a sign-in.

use grammers_tl_types as tl;

use crate::{error::TelegramError, user::SelfUser};

/// The state after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInStep {
    /// The session is signed in.
    Done(SelfUser),
    /// The account has two-step verification: call [`super::SignIn::submit_password`].
    PasswordNeeded,
}

/// The step after an authorization or a password request.
pub(super) fn step(
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
pub(super) fn signed_in(
    doing: &'static str,
    answer: tl::enums::auth::Authorization,
) -> Result<SelfUser, TelegramError> {
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
