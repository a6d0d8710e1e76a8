//! By phone number and login code.

use std::{fmt, time::Duration};

use grammers_tl_types as tl;
use tgs_core::secret::Secret;

use super::{SignIn, Step, step};
use crate::TelegramError;

/// How a login code travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// As a message from Telegram to the account's other devices.
    App,
    /// By SMS.
    Sms,
    /// Spoken on the phone.
    Call,
    /// In the number that calls, which matches this pattern.
    FlashCall(String),
    /// In the last digits of the number that calls, which begins so.
    MissedCall(String),
    /// To the login e-mail address, shown in part.
    Email(String),
    /// To no place yet: the account has to be given a login e-mail address first.
    SetUpEmail,
    /// As a message at fragment.com, at this address.
    Fragment(String),
    /// By a way that only Telegram's own apps can take.
    Firebase,
    /// A word by SMS, which begins so.
    Word(Option<String>),
    /// A phrase by SMS, which begins so.
    Phrase(Option<String>),
}

impl fmt::Display for Way {
    /// To be read behind "Telegram sends the code ".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App => f.write_str("in the Telegram app, to the devices that are signed in to the account"),
            Self::Sms => f.write_str("by SMS"),
            Self::Call => f.write_str("by a phone call that speaks it"),
            Self::FlashCall(pattern) => {
                write!(f, "by a phone call from a number like {pattern}; the code is that number")
            }
            Self::MissedCall(prefix) => {
                write!(
                    f,
                    "by a phone call from a number that begins with {prefix}; the code is the last digits of it"
                )
            }
            Self::Email(pattern) => write!(f, "by e-mail to {pattern}"),
            Self::SetUpEmail => {
                f.write_str("only after a login e-mail address is set up in the Telegram app")
            }
            Self::Fragment(url) => write!(f, "as a message at {url}"),
            Self::Firebase => f.write_str("by a way that only Telegram's own apps can take"),
            Self::Word(beginning) => write!(f, "as a word by SMS{}", Beginning(beginning.as_deref())),
            Self::Phrase(beginning) => write!(f, "as a phrase by SMS{}", Beginning(beginning.as_deref())),
        }
    }
}

struct Beginning<'a>(Option<&'a str>);

impl fmt::Display for Beginning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |beginning| write!(f, ", beginning with {beginning}"))
    }
}

/// A login code that is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// How it travels.
    pub way: Way,
    /// How many characters it has, where that is said.
    pub length: Option<u32>,
    /// How it can be sent again, where it can.
    pub next: Option<Way>,
    /// How long to wait before it is sent again.
    pub wait: Option<Duration>,
}

/// What the sign-in has to remember of a code.
#[derive(Debug)]
pub(super) struct Sent {
    phone: String,
    hash: Secret<String>,
    by_email: bool,
}

impl SignIn {
    /// Asks Telegram to send a login code to the account with this number (`+491701234567`).
    pub fn send_code(&mut self, phone: &str) -> Result<Code, TelegramError> {
        let doing = "ask for a login code";
        let request = tl::functions::auth::SendCode {
            phone_number: phone.to_owned(),
            api_id: self.connection.app.api_id,
            api_hash: self.connection.app.api_hash.expose().clone(),
            settings: tl::types::CodeSettings {
                allow_flashcall: false,
                current_number: false,
                allow_app_hash: false,
                allow_missed_call: false,
                allow_firebase: false,
                unknown_number: false,
                logout_tokens: None,
                token: None,
                app_sandbox: None,
            }
            .into(),
        };
        let answer = self.call(doing, &request)?;
        self.sent(doing, phone, answer)
    }

    /// Asks for the code again, by the way that [`Code::next`] names.
    pub fn resend_code(&mut self) -> Result<Code, TelegramError> {
        let doing = "ask for the login code again";
        let sent = self.sent.as_ref().ok_or_else(|| TelegramError::named("PHONE_CODE_EXPIRED", doing))?;
        let phone = sent.phone.clone();
        let request = tl::functions::auth::ResendCode {
            phone_number: phone.clone(),
            phone_code_hash: sent.hash.expose().clone(),
            reason: None,
        };
        let answer = self.call(doing, &request)?;
        self.sent(doing, &phone, answer)
    }

    /// Signs in with the code. After `PHONE_CODE_INVALID` another can be tried; after `PHONE_CODE_EXPIRED` a new one has
    /// to be sent.
    pub fn code(&mut self, code: &Secret<String>) -> Result<Step, TelegramError> {
        let doing = "sign in with the code";
        let sent = self.sent.as_ref().ok_or_else(|| TelegramError::named("PHONE_CODE_EXPIRED", doing))?;
        let code = code.expose().clone();
        let (phone_code, email_verification) = if sent.by_email {
            (None, Some(tl::types::EmailVerificationCode { code }.into()))
        } else {
            (Some(code), None)
        };
        let request = tl::functions::auth::SignIn {
            phone_number: sent.phone.clone(),
            phone_code_hash: sent.hash.expose().clone(),
            phone_code,
            email_verification,
        };
        let answer = self.call(doing, &request);
        step(doing, answer)
    }

    fn sent(
        &mut self,
        doing: &'static str,
        phone: &str,
        answer: tl::enums::auth::SentCode,
    ) -> Result<Code, TelegramError> {
        let sent = match answer {
            tl::enums::auth::SentCode::Code(sent) => sent,
            tl::enums::auth::SentCode::PaymentRequired(_) => {
                return Err(TelegramError::named("sentCodePaymentRequired", doing));
            }
            tl::enums::auth::SentCode::Success(_) => {
                return Err(TelegramError::named("sentCodeSuccess", doing));
            }
        };
        let (way, length) = way(sent.r#type);
        let by_email = matches!(way, Way::Email(_));
        self.sent = Some(Sent { phone: phone.to_owned(), hash: Secret::new(sent.phone_code_hash), by_email });
        let positive = |number: i32| u32::try_from(number).ok().filter(|number| *number > 0);
        Ok(Code {
            way,
            length: length.and_then(positive),
            next: sent.next_type.as_ref().map(next),
            wait: sent.timeout.and_then(positive).map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

fn way(kind: tl::enums::auth::SentCodeType) -> (Way, Option<i32>) {
    use tl::enums::auth::SentCodeType as Kind;
    match kind {
        Kind::App(it) => (Way::App, Some(it.length)),
        Kind::Sms(it) => (Way::Sms, Some(it.length)),
        Kind::Call(it) => (Way::Call, Some(it.length)),
        Kind::FlashCall(it) => (Way::FlashCall(it.pattern), None),
        Kind::MissedCall(it) => (Way::MissedCall(it.prefix), Some(it.length)),
        Kind::EmailCode(it) => (Way::Email(it.email_pattern), Some(it.length)),
        Kind::SetUpEmailRequired(_) => (Way::SetUpEmail, None),
        Kind::FragmentSms(it) => (Way::Fragment(it.url), Some(it.length)),
        Kind::FirebaseSms(it) => (Way::Firebase, Some(it.length)),
        Kind::SmsWord(it) => (Way::Word(it.beginning), None),
        Kind::SmsPhrase(it) => (Way::Phrase(it.beginning), None),
    }
}

fn next(kind: &tl::enums::auth::CodeType) -> Way {
    use tl::enums::auth::CodeType as Kind;
    match kind {
        Kind::Sms => Way::Sms,
        Kind::Call => Way::Call,
        Kind::FlashCall => Way::FlashCall("*".into()),
        Kind::MissedCall => Way::MissedCall("*".into()),
        Kind::FragmentSms => Way::Fragment("https://fragment.com".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_in_words() {
        let cases = [
            (Way::App, "in the Telegram app, to the devices that are signed in to the account"),
            (Way::Email("a***@b.c".into()), "by e-mail to a***@b.c"),
            (Way::Word(Some("bl".into())), "as a word by SMS, beginning with bl"),
            (Way::Phrase(None), "as a phrase by SMS"),
        ];
        for (way, words) in cases {
            assert_eq!(way.to_string(), words);
        }
    }
}
