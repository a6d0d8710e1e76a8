//! What every task shares: settings, the selected session, and the claim to use it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tgs_control::{StatusClient, TelegramStatus};
use tgs_core::{
    cancel::Cancel,
    error::CliError,
    exit::Code,
    files::lock::Holder,
    remedy,
    secret::Secret,
    session_lock::{self, SessionLock},
    session_string::SessionString,
    settings::{Problems, Settings},
};
use tgs_telegram::{App, TelegramClient};

use crate::{
    cli::Cli,
    error,
    terminal::{plain, say},
};

/// How long another process may need to be done with the standby session, or with `.env`.
pub(crate) const WAIT: Duration = Duration::from_secs(10);
const TURN: Duration = Duration::from_millis(100);

/// SessionRole session of `.env`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionRole {
    /// The session that broadcasts.
    Primary,
    /// The session that approves new ones.
    Standby,
}

impl SessionRole {
    /// Its variable in `.env`.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::Primary => "SESSION_STRING",
            Self::Standby => "STANDBY_SESSION_STRING",
        }
    }

    /// The command that makes a new one.
    pub(crate) fn maker(self) -> String {
        remedy::command(match self {
            Self::Primary => "tgs-session --write-env",
            Self::Standby => "tgs-session --standby --write-env",
        })
    }
}

/// The claim to a session.
#[derive(Debug)]
pub(crate) enum Claim {
    /// This process may use it while the lock lives.
    Granted(SessionLock),
    /// Another process uses it.
    InUse(Holder),
}

/// One run of the tool.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) cli: Cli,
    pub(crate) settings: Settings,
    pub(crate) cancel: Cancel,
}

impl Context {
    /// Reads the settings.
    pub(crate) fn load(cli: &Cli) -> Result<Settings, Problems> {
        Settings::load(cli.env_file.as_deref(), &|name| std::env::var_os(name), &[])
    }

    /// The file that a new session is written to.
    pub(crate) fn env_file(&self) -> &Path {
        self.cli.env_file.as_deref().unwrap_or(Path::new(".env"))
    }

    /// Whether the environment hides what the file says of this variable.
    pub(crate) fn is_hidden(&self, variable: &str) -> bool {
        self.cli.env_file.is_none() && std::env::var_os(variable).is_some_and(|value| !value.is_empty())
    }

    /// The session that the command line selects.
    pub(crate) fn which(&self) -> SessionRole {
        if self.cli.standby { SessionRole::Standby } else { SessionRole::Primary }
    }

    /// The application.
    pub(crate) fn app(&self) -> Result<App, CliError> {
        let telegram = &self.settings.telegram;
        let missing = |what: &str| {
            let env_file = self.env_file().display();
            CliError::failure(format!(
                "find the application: {what} not set; copy API_ID and API_HASH from https://my.telegram.org into {env_file}"
            ))
            .with_code(Code::Config)
        };
        match (telegram.api_id, &telegram.api_hash) {
            (Some(api_id), Some(api_hash)) => {
                Ok(App { api_id, api_hash: api_hash.clone(), device: "tgs-session" })
            }
            (None, Some(_)) => Err(missing("API_ID is")),
            (Some(_), None) => Err(missing("API_HASH is")),
            (None, None) => Err(missing("API_ID and API_HASH are")),
        }
    }

    /// The session string.
    pub(crate) fn text(&self, which: SessionRole) -> Option<&Secret<String>> {
        match which {
            SessionRole::Primary => self.settings.telegram.session.as_ref(),
            SessionRole::Standby => self.settings.telegram.standby.as_ref(),
        }
    }

    /// The session, decoded.
    pub(crate) fn session(&self, which: SessionRole) -> Result<SessionString, CliError> {
        let (variable, maker) = (which.variable(), which.maker());
        let Some(text) = self.text(which) else {
            return Err(CliError::failure(format!("find the session: {variable} is not set; run: {maker}")));
        };
        SessionString::decode(text.expose()).map_err(|refused| {
            CliError::failure(format!("read the session: {variable} {refused}; run: {maker}"))
        })
    }

    /// Claims `session`, or names its holder.
    pub(crate) fn claim(&self, session: &SessionString) -> Result<Claim, CliError> {
        match SessionLock::take(&session.key, Some(&self.settings.state_dir)) {
            Ok(lock) => Ok(Claim::Granted(lock)),
            Err(session_lock::SessionLockError::Held(holder)) => Ok(Claim::InUse(holder)),
            Err(error) => Err(CliError::failure(format!("use the session: {error}"))),
        }
    }

    /// Claims `session`, and waits a while for another process to release it.
    pub(crate) fn claim_soon(&self, session: &SessionString) -> Result<Claim, CliError> {
        let until = Instant::now() + WAIT;
        loop {
            match self.claim(session)? {
                Claim::InUse(_) if Instant::now() < until => {
                    if self.cancel.wait(TURN) {
                        return Err(error::stopped());
                    }
                }
                done => return Ok(done),
            }
        }
    }

    /// The Telegram status of the `tgs-stream` that uses `session`, if one does.
    pub(crate) fn stream(&self, session: &SessionString) -> Option<TelegramStatus> {
        let client = StatusClient::of_state_dir(&self.settings.state_dir).ok()?;
        let status = client.status().inspect_err(|error| log::debug!("failed to ask tgs-stream: {error}"));
        let telegram = status.ok()?.telegram?;
        // The status of another session says nothing about this one.
        let same = telegram.session.as_ref().is_none_or(|fingerprint| *fingerprint == session.fingerprint());
        same.then_some(telegram)
    }

    /// Logs out a new session that cannot be stored, if Telegram can be reached.
    pub(crate) fn discard(&self, session: &SessionString) {
        let ended = self.app().ok().map(|app| {
            TelegramClient::connect(app, session, &self.cancel).and_then(|(client, _)| client.log_out())
        });
        match ended {
            Some(Ok(())) => say("The new session was ended again."),
            _ => say("The new session could not be ended; end it in Telegram: Settings > Devices."),
        }
    }
}

/// What to tell of a session that somebody else uses.
pub(crate) fn in_use(holder: &Holder, stream: Option<&TelegramStatus>) -> Vec<String> {
    let mut lines =
        vec![format!("In use:   by {holder}; it is not used from here too, which would end it for good")];
    if let Some(stream) = stream {
        let parts = [
            ("Account:", stream.account.as_deref()),
            ("Chat:", stream.chat.as_deref()),
            ("State:", Some(stream.state.name())),
            ("Because:", stream.why.as_deref()),
        ];
        for (label, value) in parts {
            lines.extend(value.map(|value| format!("{label:<9} {}", plain(value))));
        }
    }
    lines
}
