//! Sign-in by phone number and login code.

use std::{fmt, time::Duration};

use grammers_tl_types as tl;
use tgs_core::secret::Secret;

use super::{
    answer::{SignInStep, step},
    attempt::{PendingCode, SignIn},
};
use crate::error::TelegramError;

/// How Telegram delivers a login code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeDelivery {
    /// As a message from Telegram to the account's other devices.
    App,
    /// By SMS.
    Sms,
    /// Spoken in a phone call.
    Call,
    /// The code is the calling number, which matches this pattern.
    FlashCall(String),
    /// The code is the last digits of the calling number, which has this prefix.
    MissedCall(String),
    /// By e-mail to this address, partly masked.
    Email(String),
    /// Not delivered: the account first needs a login e-mail address.
    SetUpEmail,
    /// As a message on Fragment, at this URL.
    Fragment(String),
    /// Through Firebase, which only Telegram's official apps support.
    Firebase,
    /// As a word by SMS; the value is the word's beginning.
    Word(Option<String>),
    /// As a phrase by SMS; the value is the phrase's beginning.
    Phrase(Option<String>),
}

impl fmt::Display for CodeDelivery {
    /// Follows "Telegram sends the code ".
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
            Self::Firebase => f.write_str("in a way that only Telegram's own apps support"),
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

/// A login code that Telegram has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentCode {
    /// The delivery type.
    pub delivery: CodeDelivery,
    /// The code's length in characters, if known.
    pub length: Option<u32>,
    /// The delivery type of [`SignIn::resend_code`].
    pub next: Option<CodeDelivery>,
    /// The minimum delay before a resend.
    pub wait: Option<Duration>,
}

impl SignIn {
    /// Requests a login code for this phone number (`+491701234567`).
    pub fn send_code(&mut self, phone: &str) -> Result<SentCode, TelegramError> {
        let doing = "request a login code";
        let request = tl::functions::auth::SendCode {
            phone_number: phone.to_owned(),
            api_id: self.client.app.api_id,
            api_hash: self.client.app.api_hash.expose().clone(),
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
        self.on_sent(doing, phone, answer)
    }

    /// Requests the code again by the delivery type [`SentCode::next`].
    pub fn resend_code(&mut self) -> Result<SentCode, TelegramError> {
        let doing = "request the login code again";
        let pending =
            self.pending.as_ref().ok_or_else(|| TelegramError::named("PHONE_CODE_EXPIRED", doing))?;
        let phone = pending.phone.clone();
        let request = tl::functions::auth::ResendCode {
            phone_number: phone.clone(),
            phone_code_hash: pending.hash.expose().clone(),
            reason: None,
        };
        let answer = self.call(doing, &request)?;
        self.on_sent(doing, &phone, answer)
    }

    /// Signs in with the code. `PHONE_CODE_INVALID` permits another attempt; `PHONE_CODE_EXPIRED`
    /// requires a new code.
    pub fn submit_code(&mut self, code: &Secret<String>) -> Result<SignInStep, TelegramError> {
        let doing = "sign in with the code";
        let pending =
            self.pending.as_ref().ok_or_else(|| TelegramError::named("PHONE_CODE_EXPIRED", doing))?;
        let code = code.expose().clone();
        let (phone_code, email_verification) = if pending.by_email {
            (None, Some(tl::types::EmailVerificationCode { code }.into()))
        } else {
            (Some(code), None)
        };
        let request = tl::functions::auth::SignIn {
            phone_number: pending.phone.clone(),
            phone_code_hash: pending.hash.expose().clone(),
            phone_code,
            email_verification,
        };
        let answer = self.call(doing, &request);
        step(doing, answer)
    }

    fn on_sent(
        &mut self,
        doing: &'static str,
        phone: &str,
        answer: tl::enums::auth::SentCode,
    ) -> Result<SentCode, TelegramError> {
        let sent = match answer {
            tl::enums::auth::SentCode::Code(sent) => sent,
            tl::enums::auth::SentCode::PaymentRequired(_) => {
                return Err(TelegramError::named("sentCodePaymentRequired", doing));
            }
            tl::enums::auth::SentCode::Success(_) => {
                return Err(TelegramError::named("sentCodeSuccess", doing));
            }
        };
        let (delivery, length) = delivery(sent.r#type);
        let by_email = matches!(delivery, CodeDelivery::Email(_));
        self.pending =
            Some(PendingCode { phone: phone.to_owned(), hash: Secret::new(sent.phone_code_hash), by_email });
        let positive = |number: i32| u32::try_from(number).ok().filter(|number| *number > 0);
        Ok(SentCode {
            delivery,
            length: length.and_then(positive),
            next: sent.next_type.as_ref().map(next),
            wait: sent.timeout.and_then(positive).map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

fn delivery(kind: tl::enums::auth::SentCodeType) -> (CodeDelivery, Option<i32>) {
    use tl::enums::auth::SentCodeType as Kind;
    match kind {
        Kind::App(it) => (CodeDelivery::App, Some(it.length)),
        Kind::Sms(it) => (CodeDelivery::Sms, Some(it.length)),
        Kind::Call(it) => (CodeDelivery::Call, Some(it.length)),
        Kind::FlashCall(it) => (CodeDelivery::FlashCall(it.pattern), None),
        Kind::MissedCall(it) => (CodeDelivery::MissedCall(it.prefix), Some(it.length)),
        Kind::EmailCode(it) => (CodeDelivery::Email(it.email_pattern), Some(it.length)),
        Kind::SetUpEmailRequired(_) => (CodeDelivery::SetUpEmail, None),
        Kind::FragmentSms(it) => (CodeDelivery::Fragment(it.url), Some(it.length)),
        Kind::FirebaseSms(it) => (CodeDelivery::Firebase, Some(it.length)),
        Kind::SmsWord(it) => (CodeDelivery::Word(it.beginning), None),
        Kind::SmsPhrase(it) => (CodeDelivery::Phrase(it.beginning), None),
    }
}

fn next(kind: &tl::enums::auth::CodeType) -> CodeDelivery {
    use tl::enums::auth::CodeType as Kind;
    match kind {
        Kind::Sms => CodeDelivery::Sms,
        Kind::Call => CodeDelivery::Call,
        Kind::FlashCall => CodeDelivery::FlashCall("*".into()),
        Kind::MissedCall => CodeDelivery::MissedCall("*".into()),
        Kind::FragmentSms => CodeDelivery::Fragment("https://fragment.com".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_in_words() {
        let cases = [
            (CodeDelivery::App, "in the Telegram app, to the devices that are signed in to the account"),
            (CodeDelivery::Email("a***@b.c".into()), "by e-mail to a***@b.c"),
            (CodeDelivery::Word(Some("bl".into())), "as a word by SMS, beginning with bl"),
            (CodeDelivery::Phrase(None), "as a phrase by SMS"),
        ];
        for (delivery, words) in cases {
            assert_eq!(delivery.to_string(), words);
        }
    }
}
