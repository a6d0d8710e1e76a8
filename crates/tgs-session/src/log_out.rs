//! `--log-out`: ends the session at Telegram and clears it in `.env`.

use tgs_core::{env_file, exit::Code, secret::Secret};
use tgs_telegram::{Class, Connection};

use crate::{
    context::{Context, Use},
    failed::Failed,
    keep,
    terminal::{plain, say},
};

/// Ends it. A session that is dead already is only cleared; one that cannot be ended now is kept.
pub(crate) fn run(context: &Context) -> Result<Code, Failed> {
    let which = context.which();
    let variable = which.variable();
    let file = keep::lock(context)?;
    let session = context.session(which)?;
    let _ours = match context.claim(&session)? {
        Use::Ours(lock) => lock,
        Use::Theirs(holder) => {
            return Err(Failed::new(format!("end the session: it is in use by {holder}; stop that first"))
                .with_code(Code::Busy));
        }
    };
    let opened = Connection::open(context.app()?, &session, &context.cancel);
    match opened.and_then(|(connection, me)| connection.log_out().map(|()| me)) {
        Ok(me) => say(&format!("The session of {} is ended.", plain(&me.to_string()))),
        Err(error) if matches!(error.class, Class::Session | Class::Account) => {
            say(&format!("The session was dead already: {}.", error.meaning()));
        }
        Err(error) => return Err(error.into()),
    }
    let bytes = file.read().map_err(|error| Failed::new(format!("clear {variable}: {error}")))?;
    let text = context.text(which).map(Secret::expose);
    let there = env_file::parse(bytes.expose())
        .entries
        .iter()
        .any(|entry| entry.name == variable && Some(&entry.value) == text);
    if !there {
        let path = file.path();
        say(&format!("{variable} did not come from {}: clear it where it is set.", path.display()));
        return Ok(Code::Ok);
    }
    file.replace(variable, &Secret::new(String::new()))
        .map_err(|error| Failed::new(format!("clear {variable}: {error}")))?;
    say(&format!("{variable} in {} is empty now.", file.path().display()));
    Ok(Code::Ok)
}
