//! Interactive sign-in at a terminal, by QR code or phone number.

use tgs_core::{error::CliError, exit::Code, secret::Secret};
use tgs_telegram::{
    TelegramClient, TelegramError,
    sign_in::{CodeDelivery, LoginToken, QrStep, SentCode, SignIn, SignInStep},
};

use crate::{
    context::{Claim, Context, SessionRole},
    error::of_telegram,
    qr::Drawn,
    session_sink::SessionSink,
    terminal::{Terminal, plain, say},
};

/// Attempts at the password, and at the login code.
const TRIES: usize = 3;
/// Login codes requested per run.
const CODES: usize = 3;
/// QR codes shown per run, each for at most 30 s.
const TOKENS: usize = 20;

/// Signs in and stores the session.
pub(crate) fn run(context: &Context) -> Result<Code, CliError> {
    let which = context.which();
    let mut terminal = Terminal::open(&context.cancel)?;
    let app = context.app()?;
    let target = SessionSink::open(context)?;
    let account = (which == SessionRole::Standby).then(|| primary_account(context)).transpose()?.flatten();
    let by_phone = choose(context, &mut terminal)?;
    let mut sign_in = SignIn::begin(&app, None, &context.cancel).map_err(of_telegram)?;
    let step = match by_phone {
        Some(phone) => with_code(&mut terminal, &mut sign_in, &phone)?,
        None => with_qr(&mut sign_in)?,
    };
    if step == SignInStep::PasswordNeeded
        && let Err(failed) = with_password(context, &mut terminal, &mut sign_in)
    {
        sign_in.abandon();
        return Err(failed);
    }
    let (session, me) = sign_in.finish().map_err(of_telegram)?;
    if let Some(account) = account
        && account != me.id
    {
        context.discard(&session);
        let me = plain(&me.to_string());
        return Err(CliError::failure(format!(
            "make a standby session: {me} is another account than that of SESSION_STRING ({account}); sign in with that"
        )));
    }
    target.store(context, which, &session, &me)?;
    if which == SessionRole::Standby {
        say(
            "\"Terminate all other sessions\" in Telegram ends it together with the session it is to replace.",
        );
    }
    Ok(Code::Ok)
}

/// The phone number; `None` selects the QR code.
fn choose(context: &Context, terminal: &mut Terminal<'_>) -> Result<Option<String>, CliError> {
    let given = context.cli.phone.as_ref();
    if context.cli.qr {
        return Ok(None);
    }
    if given.is_none() {
        say(
            "How do you want to sign in?\n  1  by a QR code that your phone scans\n  2  by phone number and login code",
        );
        loop {
            match terminal.ask("1 or 2 [1]: ")?.as_str() {
                "" | "1" => return Ok(None),
                "2" => break,
                _ => {}
            }
        }
    }
    let phone = match given.or(context.settings.telegram.phone.as_ref()) {
        Some(phone) => phone.clone(),
        None => terminal.ask("Phone number with country code, as in +491701234567: ")?,
    };
    number(&phone).map(Some)
}

/// The phone number in international form, without spaces and punctuation.
fn number(text: &str) -> Result<String, CliError> {
    let number: String = text.chars().filter(|c| !" -()./".contains(*c)).collect();
    let digits = number.strip_prefix('+').unwrap_or_default();
    if (5..=17).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(number);
    }
    Err(CliError::failure("use the phone number: write it with + and the country code, as in +491701234567"))
}

fn with_qr(sign_in: &mut SignIn) -> Result<SignInStep, CliError> {
    say("In Telegram on your phone: Settings > Devices > Link Desktop Device; then point the camera here.");
    for _ in 0..TOKENS {
        match sign_in.qr_step().map_err(of_telegram)? {
            QrStep::Scanned(step) => return Ok(step),
            QrStep::Show(token) => show(sign_in, &token)?,
        }
    }
    Err(CliError::failure("sign in: nobody scanned the QR code"))
}

fn show(sign_in: &mut SignIn, token: &LoginToken) -> Result<(), CliError> {
    let _drawn = Drawn::draw(&token.link())?;
    sign_in.wait_for_scan(token).map_err(of_telegram)
}

fn with_code(terminal: &mut Terminal<'_>, sign_in: &mut SignIn, phone: &str) -> Result<SignInStep, CliError> {
    let (mut sent, mut wrong) = (1, 0);
    let mut code = sign_in.send_code(phone).map_err(of_telegram)?;
    loop {
        say(&format!("Telegram sends the code {}.", code.delivery));
        let impossible = matches!(code.delivery, CodeDelivery::SetUpEmail | CodeDelivery::Firebase);
        if impossible && (code.next.is_none() || sent == CODES) {
            return Err(CliError::failure(format!(
                "get a login code: Telegram sends it {}; sign in with --qr instead",
                code.delivery
            )));
        }
        let entered = if impossible { String::new() } else { terminal.ask(&question(&code))? };
        if entered.is_empty() {
            code = again(sign_in, code, &mut sent)?;
            continue;
        }
        match sign_in.submit_code(&Secret::new(entered)) {
            Ok(step) => return Ok(step),
            Err(error) if error.name == "PHONE_CODE_EXPIRED" && sent < CODES => {
                say("The code has expired; a new one is on its way.");
                sent += 1;
                code = sign_in.send_code(phone).map_err(of_telegram)?;
            }
            Err(error) if is_wrong_code(&error) && wrong + 1 < TRIES => {
                say("The code is wrong.");
                wrong += 1;
            }
            Err(error) => return Err(of_telegram(error)),
        }
    }
}

fn is_wrong_code(error: &TelegramError) -> bool {
    matches!(error.name.as_str(), "PHONE_CODE_INVALID" | "PHONE_CODE_EMPTY" | "EMAIL_CODE_INVALID")
}

fn question(code: &SentCode) -> String {
    let length = code.length.map(|length| format!(" ({length} characters)")).unwrap_or_default();
    let next = code.next.as_ref().map(|next| match next {
        CodeDelivery::Sms => "by SMS".to_owned(),
        CodeDelivery::Call | CodeDelivery::FlashCall(_) | CodeDelivery::MissedCall(_) => {
            "by a phone call".to_owned()
        }
        other => other.to_string(),
    });
    let wait = code.wait.map(|wait| format!(", after {} s", wait.as_secs())).unwrap_or_default();
    let again = next.map(|next| format!("; press Enter to have it sent {next}{wait}")).unwrap_or_default();
    format!("Code{length}{again}: ")
}

/// Requests the code by the next delivery type. Without one, the sent code stays valid.
fn again(sign_in: &mut SignIn, code: SentCode, sent: &mut usize) -> Result<SentCode, CliError> {
    if code.next.is_none() {
        say("Telegram offers no other way to send it.");
        return Ok(code);
    }
    if *sent == CODES {
        return Err(CliError::failure(
            "get a login code: enough have been sent; try again later, or with --qr",
        ));
    }
    *sent += 1;
    match sign_in.resend_code() {
        Ok(code) => Ok(code),
        Err(error) if error.name == "SEND_CODE_UNAVAILABLE" => {
            say("Telegram offers no other way to send it.");
            Ok(code)
        }
        Err(error) => Err(of_telegram(error)),
    }
}

fn with_password(
    context: &Context,
    terminal: &mut Terminal<'_>,
    sign_in: &mut SignIn,
) -> Result<(), CliError> {
    let hint = sign_in
        .password_hint()
        .map_err(of_telegram)?
        .map(|hint| format!(" (hint: {hint})"))
        .unwrap_or_default();
    let (mut kept, mut wrong) = (context.settings.telegram.password.as_ref(), 0);
    loop {
        let (password, name) = match kept.take() {
            Some(password) => (password.clone(), "TWO_FA_PASSWORD"),
            None => (terminal.ask_secret(&format!("Password of the account{hint}, not shown: "))?, "This"),
        };
        match sign_in.submit_password(&password) {
            Ok(_) => return Ok(()),
            Err(error) if is_wrong_password(&error) && wrong + 1 < TRIES => {
                wrong += 1;
                say(&format!("{name} is not the password of the account."));
            }
            Err(error) => return Err(of_telegram(error)),
        }
    }
}

fn is_wrong_password(error: &TelegramError) -> bool {
    // The two SRP errors mean that the password challenge has changed.
    matches!(error.name.as_str(), "PASSWORD_HASH_INVALID" | "SRP_ID_INVALID" | "SRP_PASSWORD_CHANGED")
}

/// The account that the standby session must belong to, if known.
fn primary_account(context: &Context) -> Result<Option<i64>, CliError> {
    let unknown = |why: &str| {
        say(&format!("The account of SESSION_STRING is unknown ({why}): sign in to the same account."));
        Ok(None)
    };
    if context.text(SessionRole::Primary).is_none() {
        return unknown("it is not set");
    }
    let primary = match context.session(SessionRole::Primary) {
        Ok(primary) => primary,
        Err(failed) => return unknown(&failed.to_string()),
    };
    if let Some(id) = primary.user_id {
        return Ok(i64::try_from(id).ok());
    }
    let _ours = match context.claim(&primary)? {
        Claim::Granted(lock) => lock,
        Claim::InUse(holder) => {
            return match context.stream(&primary).and_then(|stream| stream.account_id()) {
                Some(id) => Ok(Some(id)),
                None => unknown(&format!("it is in use by {holder}")),
            };
        }
    };
    match TelegramClient::connect(context.app()?, &primary, &context.cancel) {
        Ok((_, me)) => Ok(Some(me.id)),
        Err(error) => unknown(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn numbers() {
        for text in ["+491701234567", "+49 (170) 123-45.67", " +49 170 1234567"] {
            assert_eq!(number(text).unwrap(), "+491701234567");
        }
        for text in ["", "+", "491701234567", "0170 1234567", "+49170x", "+1234", "+123456789012345678"] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn questions() {
        let code = |length, next, wait| SentCode { delivery: CodeDelivery::App, length, next, wait };
        assert_eq!(question(&code(None, None, Some(Duration::from_secs(9)))), "Code: ");
        assert_eq!(
            question(&code(Some(5), Some(CodeDelivery::Sms), Some(Duration::from_mins(1)))),
            "Code (5 characters); press Enter to have it sent by SMS, after 60 s: "
        );
    }
}
