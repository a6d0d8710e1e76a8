//! Sign-in: authorizes a new auth key for an account by login code, by QR code, or with the
//! approval of another session ([`renew`]). The caller does all terminal I/O.
//!
//! A sign-in ends with [`SignIn::finish`], which verifies the new session over a separate
//! connection. No log line and no error contains a login token or a password.

mod answer;
mod attempt;
mod code;
mod password;
mod qr;
mod standby;

pub use self::{
    answer::SignInStep,
    attempt::SignIn,
    code::{CodeDelivery, SentCode},
    qr::{LoginToken, QrStep},
    standby::{LimitQuery, RenewError, renew},
};
