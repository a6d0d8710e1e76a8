//! Unattended sign-in: the standby session approves the new session.

use std::{path::Path, time::SystemTime};

use tgs_core::{error::CliError, exit::Code, remedy, time::moment};
use tgs_telegram::{
    ErrorClass, TelegramClient,
    session::{
        flood_wait::FloodWaits,
        limits::{self, SignInLimit},
        string::SessionString,
    },
    sign_in::{LimitQuery, RenewError, renew},
};

use crate::{
    context::{Claim, Context, SessionRole},
    error::{self, of_telegram},
    session_sink::SessionSink,
    terminal::{plain, say},
};

/// Signs in and stores the session.
pub(crate) fn run(context: Context) -> Result<Code, CliError> {
    if context.text(SessionRole::Standby).is_none() {
        return Err(no_standby());
    }
    let target = SessionSink::open(&context)?;
    // Reload under the lock: its previous holder may have renewed the session.
    let settings = Context::load(&context.cli)?;
    let context = Context { settings, ..context };
    let app = context.app()?;
    if !matches!(target, SessionSink::Stdout)
        && let Some(words) = still_good(&context)?
    {
        say(&words);
        return Ok(Code::Ok);
    }
    let standby = context.session(SessionRole::Standby)?;
    let _ours = match context.claim_soon(&standby)? {
        Claim::Granted(lock) => lock,
        Claim::InUse(holder) => {
            return Err(CliError::failure(format!(
                "sign in: the standby session is in use by {holder}; try again when that has ended"
            )));
        }
    };
    let (state_dir, name, now) = (&context.settings.state_dir, standby.fingerprint(), SystemTime::now());
    let flood = FloodWaits::new(state_dir);
    if let Some(left) = flood.left(&name, now) {
        return Err(CliError::failure(format!(
            "sign in: Telegram accepts no request until {}",
            moment(now + left)
        )));
    }
    // Count in both directories: all instances share the cache, but an operator may empty it.
    let limit = |me: &tgs_telegram::SelfUser, ask| {
        for dir in [&context.settings.cache_dir, state_dir] {
            let limit = SignInLimit::open(dir, me.id.unsigned_abs())?;
            match ask {
                LimitQuery::Check if limit.left(SystemTime::now()) > 0 => {}
                // At the limit, `try_take` counts nothing and returns the time of the next attempt.
                LimitQuery::Check | LimitQuery::Consume => limit.try_take(SystemTime::now())?,
            }
        }
        Ok(())
    };
    let password = context.settings.telegram.password.as_ref();
    let renewed = renew(&app, &standby, password, limit, &context.cancel);
    if let Err(RenewError::Standby(error) | RenewError::New(error)) = &renewed
        && let Some(wait) = error.wait
    {
        // Stored so that the next attempt does not call Telegram before that time.
        flood.set(&name, wait, SystemTime::now());
    }
    let (session, me) = renewed.map_err(failed)?;
    target.store(&context, SessionRole::Primary, &session, &me)?;
    Ok(Code::Ok)
}

fn no_standby() -> CliError {
    CliError::failure(format!(
        "sign in without a prompt: STANDBY_SESSION_STRING is not set; make a standby session once, at a terminal: {}",
        SessionRole::Standby.maker()
    ))
}

/// The message for a session in `.env` that is still valid; `None` if a new one is needed.
fn still_good(context: &Context) -> Result<Option<String>, CliError> {
    let Ok(session) = context.session(SessionRole::Primary) else { return Ok(None) };
    match context.claim(&session)? {
        Claim::InUse(holder) => Ok(in_good_use(context, &session).then(|| {
            format!(
                "The session in {} is good and in use by {holder}: it stays.",
                context.session_file().display()
            )
        })),
        Claim::Granted(_lock) => match TelegramClient::connect(context.app()?, &session, &context.cancel) {
            Ok((_, me)) => Ok(Some(format!(
                "The session in {} is good, of {}: it stays.",
                context.session_file().display(),
                plain(&me.to_string())
            ))),
            Err(error) if matches!(error.class, ErrorClass::Session | ErrorClass::Account) => {
                log::info!("replacing the session in {}: {error}", context.session_file().display());
                Ok(None)
            }
            // The error does not concern the session, and a sign-in would fail with it too.
            Err(error) => Err(of_telegram(error)),
        },
    }
}

/// Whether the process that uses the session reports it valid.
fn in_good_use(context: &Context, session: &SessionString) -> bool {
    let stream = context.stream(session);
    stream.is_some_and(|stream| stream.session.is_some() && stream.session_valid)
}

fn failed(error: RenewError<limits::SignInLimitError>) -> CliError {
    match error {
        RenewError::Standby(error) if error.class == ErrorClass::Session => {
            let remedy = format!("make a new one: {}", SessionRole::Standby.maker());
            error::telegram(error, &remedy).context("use the standby session")
        }
        RenewError::Standby(error) | RenewError::New(error) => of_telegram(error),
        RenewError::Limit(limits::SignInLimitError::Exhausted { until, .. }) => CliError::failure(format!(
            "sign in: there were 5 sign-ins of this account within 24 hours, and with more Telegram may lock it; the \
             next may be after {}",
            moment(until)
        )),
        RenewError::Limit(error) => anyhow::Error::new(error).context("sign in").into(),
        error @ (RenewError::NoPassword | RenewError::WrongPassword) => {
            let file = remedy::env_file().unwrap_or(Path::new(".env"));
            let text = format!("{error}; put the right one into {}", file.display());
            anyhow::Error::new(error).context(text).into()
        }
    }
}
