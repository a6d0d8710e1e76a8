//! By a QR code: the new session shows a token, a device that is signed in to the account scans and approves it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use grammers_tl_types as tl;
use tgs_core::secret::Secret;

use super::{SignIn, Step, signed_in, step};
use crate::TelegramError;

/// Between what a token's life is taken for, whatever the clocks of both sides say.
const LIFE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));
/// After a lost connection, before the next token is asked for.
const PAUSE: Duration = Duration::from_secs(1);

/// What a device of the account scans. Whoever has it can put this sign-in into his own account; it is shown to the
/// person in front of the screen and to nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginToken {
    token: Secret<Vec<u8>>,
    expires: SystemTime,
}

impl LoginToken {
    /// What the QR code says: `tg://login?token=…`.
    #[must_use]
    pub fn link(&self) -> Secret<String> {
        Secret::new(format!("tg://login?token={}", URL_SAFE_NO_PAD.encode(self.token.expose())))
    }

    /// The token, for [`crate::Connection::accept_login_token`].
    #[must_use]
    pub fn token(&self) -> &Secret<Vec<u8>> {
        &self.token
    }

    /// How long it is good for.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.expires.duration_since(SystemTime::now()).unwrap_or_default().clamp(LIFE.0, LIFE.1)
    }
}

/// How far the scanning has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scan {
    /// This is to be shown.
    Show(LoginToken),
    /// It was scanned.
    Over(Step),
}

impl SignIn {
    /// A token to show, or what came of the one that was shown.
    pub fn scan(&mut self) -> Result<Scan, TelegramError> {
        let doing = "ask for a QR code to sign in by";
        let request = tl::functions::auth::ExportLoginToken {
            api_id: self.connection.app.api_id,
            api_hash: self.connection.app.api_hash.expose().clone(),
            except_ids: Vec::new(),
        };
        match self.call(doing, &request) {
            Ok(answer) => self.scanned(doing, answer),
            Err(error) => step(doing, Err(error)).map(Scan::Over),
        }
    }

    fn scanned(
        &mut self,
        doing: &'static str,
        answer: tl::enums::auth::LoginToken,
    ) -> Result<Scan, TelegramError> {
        use tl::enums::auth::LoginToken as Answer;
        match answer {
            Answer::Token(it) => Ok(Scan::Show(LoginToken {
                token: Secret::new(it.token),
                expires: UNIX_EPOCH + Duration::from_secs(it.expires.max(0) as u64),
            })),
            Answer::Success(it) => signed_in(doing, it.authorization).map(|me| Scan::Over(Step::Done(me))),
            Answer::MigrateTo(it) => {
                let dc = u8::try_from(it.dc_id).map_err(|_| TelegramError::no_dc(doing))?;
                self.connection.move_to(dc, doing)?;
                let request = tl::functions::auth::ImportLoginToken { token: it.token };
                match self.connection.call(doing, &request) {
                    Ok(Answer::Success(it)) => {
                        signed_in(doing, it.authorization).map(|me| Scan::Over(Step::Done(me)))
                    }
                    Ok(Answer::Token(_) | Answer::MigrateTo(_)) => Err(TelegramError::garbage(doing)),
                    Err(error) => step(doing, Err(error)).map(Scan::Over),
                }
            }
        }
    }

    /// Waits until the token has been scanned or has expired: either way, [`SignIn::scan`] is next.
    pub fn wait_for_scan(&mut self, token: &LoginToken) -> Result<(), TelegramError> {
        let doing = "wait for the QR code to be scanned";
        let wanted = |update: &tl::enums::Update| matches!(update, tl::enums::Update::LoginToken);
        let heard = self.connection.listen(doing, token.left(), wanted)?;
        // Nothing heard before the time is up: the connection is gone.
        if !heard && !self.connection.is_open() && self.cancel.wait(PAUSE) {
            return Err(TelegramError::stopped(doing));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_for_urls() {
        let cases: [(&[u8], &str); 6] = [
            (b"", ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xfb, 0xff, 0xfe], "-__-"),
        ];
        for (bytes, text) in cases {
            assert_eq!(URL_SAFE_NO_PAD.encode(bytes), text);
        }
    }

    #[test]
    fn a_token_is_shown_by_its_link_alone() {
        let token = LoginToken { token: Secret::new(b"foobar".to_vec()), expires: UNIX_EPOCH };
        assert_eq!(token.link().expose(), "tg://login?token=Zm9vYmFy");
        assert!(!format!("{token:?}").contains("102"), "{token:?}");
        assert_eq!(token.left(), LIFE.0);
    }
}
