//! Stores a new session in `.env` or prints it to stdout.

use anyhow::Context as _;
use tgs_core::{env_file::writer, error::CliError, secret::Secret};
use tgs_telegram::{SelfUser, session::string::SessionString};

use crate::{
    context::{Context, SessionRole, WAIT},
    error,
    terminal::{plain, print, say},
};

/// The destination. Opened before the sign-in, so that a sign-in is not wasted on an unwritable
/// file.
#[derive(Debug)]
pub(crate) enum SessionSink {
    /// Stdout.
    Stdout,
    /// The settings file, locked.
    File(Box<writer::Locked>),
}

impl SessionSink {
    /// Opens the sink that the command line selects.
    pub(crate) fn open(context: &Context) -> Result<Self, CliError> {
        if context.cli.write_env { Ok(Self::File(Box::new(lock(context)?))) } else { Ok(Self::Stdout) }
    }

    /// Stores a verified session; logs it out if that fails.
    pub(crate) fn store(
        &self,
        context: &Context,
        which: SessionRole,
        session: &SessionString,
        me: &SelfUser,
    ) -> Result<(), CliError> {
        let text = telethon(session)?;
        let kept = match self {
            Self::Stdout => print(text.expose()),
            Self::File(file) => {
                file.replace(which.variable(), &text).context("write the new session").map_err(CliError::from)
            }
        };
        if kept.is_err() {
            context.discard(session);
            return kept;
        }
        let (variable, me) = (which.variable(), plain(&me.to_string()));
        if matches!(self, Self::File(_)) && context.is_hidden(variable) {
            say(&format!(
                "{variable} is set in the environment too, which wins over ./.env: unset it there, or use --env-file."
            ));
        }
        say(&match self {
            Self::Stdout => format!(
                "Signed in as {me}. The line on stdout is for {variable}; it gives full access to the account."
            ),
            Self::File(file) => format!("{variable} in {} is new: signed in as {me}.", file.path().display()),
        });
        Ok(())
    }
}

/// Locks `.env` against other tgs tools.
pub(crate) fn lock(context: &Context) -> Result<writer::Locked, CliError> {
    writer::lock(context.env_file(), WAIT, &context.cancel).map_err(|error| match error {
        writer::EnvWriteError::Cancelled { .. } => error::stopped(),
        error => anyhow::Error::new(error).context("use the settings file").into(),
    })
}

/// The session string in Telethon's format.
pub(crate) fn telethon(session: &SessionString) -> Result<Secret<String>, CliError> {
    let address = session.socket_addr().ok_or_else(|| {
        CliError::failure(format!("write the session: the address of test DC {} is unknown", session.dc))
    })?;
    Ok(session.to_telethon(address))
}
