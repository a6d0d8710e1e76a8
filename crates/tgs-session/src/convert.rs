//! `--convert`: prints the session string in another library's format.

use anyhow::Context as _;
use tgs_core::{error::CliError, exit::Code};
use tgs_telegram::{TelegramClient, session::string::SessionString};

use crate::{
    cli::Form,
    context::{Claim, Context},
    error::of_telegram,
    session_sink::telethon,
    terminal::{print, say},
};

/// Writes the converted string to stdout.
pub(crate) fn run(context: &Context, form: Form) -> Result<Code, CliError> {
    let mut session = context.session(context.which())?;
    let text = match form {
        Form::Telethon => telethon(&session)?,
        Form::Pyrogram => {
            if session.api_id.is_none() {
                session.api_id = Some(context.app()?.api_id);
            }
            if session.user_id.is_none() {
                session.user_id = Some(account(context, &session)?);
                session.is_bot = Some(false);
            }
            session.to_pyrogram().context("convert the session")?
        }
    };
    print(text.expose())?;
    say("It is the same session: use it in one place only, or Telegram ends it for good.");
    Ok(Code::Ok)
}

/// The user ID of the account; only Telegram, or a process connected to it, knows that ID.
fn account(context: &Context, session: &SessionString) -> Result<u64, CliError> {
    let id = match context.claim(session)? {
        Claim::Granted(_lock) => {
            TelegramClient::connect(context.app()?, session, &context.cancel).map_err(of_telegram)?.1.id
        }
        Claim::InUse(holder) => {
            let known = context.stream(session).and_then(|stream| stream.account_id());
            known.ok_or_else(|| {
                CliError::failure(format!(
                    "convert the session: Pyrogram's format requires the account's user ID, and {holder}, which uses the \
                     session, does not report it; stop that first"
                ))
                .with_code(Code::Busy)
            })?
        }
    };
    Ok(id.unsigned_abs())
}
