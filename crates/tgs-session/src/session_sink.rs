//! Stores a new session in `.env`, or in STATE_DIR if SESSION_STRING_FILE names a mounted file; or
//! prints it to stdout.

use std::{ffi::OsStr, fs};

use anyhow::Context as _;
use tgs_core::{
    env_file::writer,
    error::CliError,
    exit::Code,
    files::lock::{FileLock, LockError},
    secret::Secret,
};
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
    /// STATE_DIR, locked: SESSION_STRING comes from a mounted file.
    State { _lock: FileLock },
}

impl SessionSink {
    /// Opens the sink that the command line selects.
    pub(crate) fn open(context: &Context) -> Result<Self, CliError> {
        if !context.cli.write_env {
            return Ok(Self::Stdout);
        }
        let telegram = &context.settings.telegram;
        match (context.which(), &telegram.standby_file) {
            (SessionRole::Primary, _) if telegram.mounted_session.is_some() => {
                Ok(Self::State { _lock: lock_state(context)? })
            }
            (SessionRole::Standby, Some(file)) => Err(CliError::failure(format!(
                "write the standby session: STANDBY_SESSION_STRING_FILE names {}, which is not written; without \
                 --write-env the session is printed: put it there",
                file.display()
            ))
            .with_code(Code::Config)),
            _ => Ok(Self::File(Box::new(lock(context)?))),
        }
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
            Self::State { .. } => store_renewed(context, &text),
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
            Self::State { .. } => renewed_text(context, &me),
        });
        Ok(())
    }
}

/// Stores the session in STATE_DIR.
fn store_renewed(context: &Context, text: &Secret<String>) -> Result<(), CliError> {
    let Some(mounted) = &context.settings.telegram.mounted_session else {
        return Err(CliError::failure("store the new session: SESSION_STRING_FILE is not set any more"));
    };
    let file = mounted.renewed_file.display();
    mounted.store(text).with_context(|| format!("write the new session to {file}")).map_err(CliError::from)
}

fn renewed_text(context: &Context, me: &str) -> String {
    let mounted = context.settings.telegram.mounted_session.as_ref();
    let [file, of] = [mounted.map(|it| &it.renewed_file), mounted.map(|it| &it.file)]
        .map(|path| path.map(|it| it.display()));
    let (Some(file), Some(of)) = (file, of) else { return format!("signed in as {me}.") };
    format!("The new session is in {file}, and is used until {of} changes: signed in as {me}.")
}

/// Locks STATE_DIR against other sign-ins.
fn lock_state(context: &Context) -> Result<FileLock, CliError> {
    let dir = &context.settings.state_dir;
    fs::create_dir_all(dir).with_context(|| format!("make STATE_DIR {}", dir.display()))?;
    FileLock::take(dir, OsStr::new("sign-in.lock"), WAIT, &context.cancel).map_err(|error| match error {
        LockError::Cancelled => error::stopped(),
        LockError::Held(_) => CliError::new(Code::Busy, error).context("sign in"),
        LockError::Io(_) => {
            anyhow::Error::new(error).context(format!("lock STATE_DIR {}", dir.display())).into()
        }
    })
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
