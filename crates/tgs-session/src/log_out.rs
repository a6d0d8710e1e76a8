//! `--log-out`: ends sessions at Telegram and clears them in `.env`.

use std::path::Path;

use anyhow::Context as _;
use tgs_core::{
    env_file::{self, writer},
    error::CliError,
    exit::Code,
    secret::Secret,
};
use tgs_telegram::{
    App, ErrorClass, TelegramClient,
    session::{lock::SessionLock, string::SessionString},
};

use crate::{
    context::{Claim, Context, SessionRole},
    error::of_telegram,
    session_sink,
    terminal::{plain, say},
};

/// A locked session and the variables that hold it.
struct ClaimedSession {
    session: SessionString,
    variables: Vec<SessionRole>,
    _lock: SessionLock,
}

/// Ends both sessions, or with `--standby` only the standby session. Clears a session that is
/// already dead; keeps one that Telegram cannot end now and continues with the other.
pub(crate) fn run(context: &Context) -> Result<Code, CliError> {
    let wanted = if context.cli.standby {
        &[SessionRole::Standby][..]
    } else {
        &[SessionRole::Primary, SessionRole::Standby]
    };
    let set: Vec<SessionRole> =
        wanted.iter().copied().filter(|which| context.text(*which).is_some()).collect();
    if set.is_empty() {
        let names: Vec<_> = wanted.iter().map(|which| which.variable()).collect();
        return Err(CliError::failure(format!(
            "find a session to end: {} is not set",
            names.join(" is not set, and ")
        )));
    }
    let in_env = set.iter().any(|which| mounted_file(context, *which).is_none());
    let file = in_env.then(|| session_sink::lock(context)).transpose()?;
    let app = context.app()?;
    let (held, mut failures) = claim(context, &set)?;
    for ClaimedSession { session, variables, .. } in &held {
        let names: Vec<_> = variables.iter().map(|which| which.variable()).collect();
        let names = names.join(" and ");
        let ended = end(context, app.clone(), session, &names)
            .and_then(|()| variables.iter().try_for_each(|which| clear(context, file.as_ref(), *which)));
        failures.extend(ended.err());
    }
    // `run` returns the last error and prints the earlier ones.
    let Some(last) = failures.pop() else { return Ok(Code::Ok) };
    for failed in failures {
        say(&format!("tgs-session: failed to {failed}"));
    }
    Err(last)
}

/// Locks every session before the first is ended; also returns the errors of unreadable ones.
fn claim(context: &Context, set: &[SessionRole]) -> Result<(Vec<ClaimedSession>, Vec<CliError>), CliError> {
    let (mut all, mut failures): (Vec<ClaimedSession>, Vec<CliError>) = (Vec::new(), Vec::new());
    for which in set.iter().copied() {
        let session = match context.session(which) {
            Ok(session) => session,
            Err(failed) => {
                failures.push(failed);
                continue;
            }
        };
        if let Some(same) = all.iter_mut().find(|held| held.session.key == session.key) {
            same.variables.push(which);
            continue;
        }
        let lock = match context.claim(&session)? {
            Claim::Granted(lock) => lock,
            Claim::InUse(holder) => {
                let variable = which.variable();
                let why = format!("end the session in {variable}: it is in use by {holder}; stop that first");
                return Err(CliError::failure(why).with_code(Code::Busy));
            }
        };
        all.push(ClaimedSession { session, variables: vec![which], _lock: lock });
    }
    Ok((all, failures))
}

fn end(context: &Context, app: App, session: &SessionString, names: &str) -> Result<(), CliError> {
    let opened = TelegramClient::connect(app, session, &context.cancel);
    match opened.and_then(|(client, me)| client.log_out().map(|()| me)) {
        Ok(me) => say(&format!("The session of {} is ended ({names}).", plain(&me.to_string()))),
        Err(error) if matches!(error.class, ErrorClass::Session | ErrorClass::Account) => {
            say(&format!("The session was dead already ({names}): {}.", error.meaning()));
        }
        Err(error) => {
            return Err(of_telegram(error).context(format!("end the session in {names}, which stays")));
        }
    }
    Ok(())
}

/// The mounted file that holds the session, and is not written.
fn mounted_file(context: &Context, which: SessionRole) -> Option<&Path> {
    let telegram = &context.settings.telegram;
    match which {
        SessionRole::Primary => telegram.mounted_session.as_ref().map(|mounted| &*mounted.file),
        SessionRole::Standby => telegram.standby_file.as_deref(),
    }
}

/// Clears the ended session in `.env`, which is locked as `file`, or in STATE_DIR.
fn clear(context: &Context, file: Option<&writer::Locked>, which: SessionRole) -> Result<(), CliError> {
    let variable = which.variable();
    if let (SessionRole::Primary, Some(mounted)) = (which, &context.settings.telegram.mounted_session) {
        let renewed = mounted.renewed_file.display();
        mounted.forget().with_context(|| format!("delete {renewed}"))?;
        if mounted.is_renewed {
            say(&format!("{renewed} is deleted."));
        }
    }
    if let Some(file) = mounted_file(context, which) {
        say(&format!("{} is not written: clear {variable} there.", file.display()));
        return Ok(());
    }
    let Some(file) = file else { return Ok(()) };
    let bytes = file.read().with_context(|| format!("clear {variable}"))?;
    let text = context.text(which).map(Secret::expose);
    let there = env_file::parse(bytes.expose())
        .entries
        .iter()
        .any(|entry| entry.name == variable && Some(&entry.value) == text);
    let path = file.path();
    if !there {
        say(&format!("{variable} is not set in {}: clear it where it is set.", path.display()));
        return Ok(());
    }
    file.replace(variable, &Secret::new(String::new())).with_context(|| format!("clear {variable}"))?;
    say(&format!("{variable} in {} is empty now.", path.display()));
    Ok(())
}
