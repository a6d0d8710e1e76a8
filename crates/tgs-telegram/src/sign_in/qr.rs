//! Sign-in by QR code: the code contains a login token, which a signed-in device of the account
//! scans and approves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use grammers_tl_types as tl;
use tgs_core::secret::Secret;

use super::{
    answer::{SignInStep, signed_in, step},
    attempt::SignIn,
};
use crate::TelegramError;

/// Minimum and maximum lifetime of a token, because the clocks of the two sides may differ.
const LIFE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));
/// The delay after a lost connection.
const PAUSE: Duration = Duration::from_secs(1);

/// The login token in the QR code. A reader could sign this session in to another account, so the
/// token is displayed but never logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginToken {
    token: Secret<Vec<u8>>,
    expires: SystemTime,
}

impl LoginToken {
    /// The content of the QR code: `tg://login?token=…`.
    #[must_use]
    pub fn link(&self) -> Secret<String> {
        Secret::new(format!("tg://login?token={}", URL_SAFE_NO_PAD.encode(self.token.expose())))
    }

    /// The token, for [`crate::TelegramClient::accept_login_token`].
    #[must_use]
    pub fn token(&self) -> &Secret<Vec<u8>> {
        &self.token
    }

    /// The remaining lifetime.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.expires.duration_since(SystemTime::now()).unwrap_or_default().clamp(LIFE.0, LIFE.1)
    }
}

/// The next step of a QR sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QrStep {
    /// Display this token.
    Show(LoginToken),
    /// A device has approved the token.
    Scanned(SignInStep),
}

impl SignIn {
    /// Requests a token, or the result of the displayed one.
    pub fn qr_step(&mut self) -> Result<QrStep, TelegramError> {
        let doing = "request a QR code";
        let request = tl::functions::auth::ExportLoginToken {
            api_id: self.client.app.api_id,
            api_hash: self.client.app.api_hash.expose().clone(),
            except_ids: Vec::new(),
        };
        match self.call(doing, &request) {
            Ok(answer) => self.scanned(doing, answer),
            Err(error) => step(doing, Err(error)).map(QrStep::Scanned),
        }
    }

    fn scanned(
        &mut self,
        doing: &'static str,
        answer: tl::enums::auth::LoginToken,
    ) -> Result<QrStep, TelegramError> {
        use tl::enums::auth::LoginToken as Answer;
        match answer {
            Answer::Token(it) => Ok(QrStep::Show(LoginToken {
                token: Secret::new(it.token),
                expires: UNIX_EPOCH + Duration::from_secs(it.expires.max(0) as u64),
            })),
            Answer::Success(it) => {
                signed_in(doing, it.authorization).map(|me| QrStep::Scanned(SignInStep::Done(me)))
            }
            Answer::MigrateTo(it) => {
                let dc = u8::try_from(it.dc_id).map_err(|_| TelegramError::no_dc(doing))?;
                self.client.move_to(dc, doing)?;
                let request = tl::functions::auth::ImportLoginToken { token: it.token };
                match self.client.call(doing, &request) {
                    Ok(Answer::Success(it)) => {
                        signed_in(doing, it.authorization).map(|me| QrStep::Scanned(SignInStep::Done(me)))
                    }
                    Ok(Answer::Token(_) | Answer::MigrateTo(_)) => Err(TelegramError::garbage(doing)),
                    Err(error) => step(doing, Err(error)).map(QrStep::Scanned),
                }
            }
        }
    }

    /// Waits until the token is scanned or expires; call [`SignIn::qr_step`] in both cases.
    pub fn wait_for_scan(&mut self, token: &LoginToken) -> Result<(), TelegramError> {
        let doing = "wait for the QR code to be scanned";
        let wanted = |update: &tl::enums::Update| matches!(update, tl::enums::Update::LoginToken);
        let heard = self.client.listen(doing, token.left(), wanted)?;
        // The connection was lost before the token expired.
        if !heard && !self.client.is_open() && self.cancel.wait(PAUSE) {
            return Err(TelegramError::stopped(doing));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_base64_for_urls() {
        let cases: [(&[u8], &str); 6] = [
            (b"", ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xfb, 0xff, 0xfe], "-__-"),
        ];
        for (bytes, text) in cases {
            let token = LoginToken { token: Secret::new(bytes.to_vec()), expires: UNIX_EPOCH };
            assert_eq!(*token.link().expose(), format!("tg://login?token={text}"));
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
