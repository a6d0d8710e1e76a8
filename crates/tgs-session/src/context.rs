//! The context of all tasks: settings, the selected session, and the claim to it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tgs_control::{RunningStatus, TelegramStatus};
use tgs_core::{
    cancel::Cancel,
    error::CliError,
    exit::Code,
    files::lock::Holder,
    proxy::ProxyList,
    remedy,
    secret::Secret,
    settings::{MountedSession, Settings},
};
use tgs_telegram::{
    App, TelegramClient,
    session::{
        lock::{self, SessionLock},
        string::SessionString,
    },
};

use crate::{
    cli::Cli,
    error,
    terminal::{plain, say},
};

/// Timeout for the lock of the standby session or of `.env` while another process holds it.
pub(crate) const WAIT: Duration = Duration::from_secs(10);
const TURN: Duration = Duration::from_millis(100);

/// A session that `.env` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionRole {
    /// The session that starts the live stream.
    Primary,
    /// The session that approves new logins.
    Standby,
}

impl SessionRole {
    /// The variable in `.env` that holds the session string.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::Primary => "SESSION_STRING",
            Self::Standby => "STANDBY_SESSION_STRING",
        }
    }

    /// The command that creates such a session.
    pub(crate) fn maker(self) -> String {
        remedy::command(match self {
            Self::Primary => "tgs-session --write-env",
            Self::Standby => "tgs-session --standby --write-env",
        })
    }
}

/// Result of claiming a session.
#[derive(Debug)]
pub(crate) enum Claim {
    /// This process may use the session while it holds the lock.
    Granted(SessionLock),
    /// Another process uses the session.
    InUse(Holder),
}

/// One run of the tool.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) cli: Cli,
    pub(crate) settings: Settings,
    pub(crate) cancel: Cancel,
    /// TELEGRAM_PROXY, with the one that works.
    pub(crate) proxies: ProxyList,
}

impl Context {
    /// Loads the settings from `.env` and the environment.
    pub(crate) fn load(cli: &Cli) -> Result<Settings, CliError> {
        Settings::load(cli.env_file.as_deref(), &|name| std::env::var_os(name), &[]).map_err(|problems| {
            CliError::failure(format!("read the settings: {}", problems.0.join("; "))).with_code(Code::Config)
        })
    }

    /// The file that receives a new session.
    pub(crate) fn env_file(&self) -> &Path {
        self.cli.env_file.as_deref().unwrap_or(Path::new(".env"))
    }

    /// The file that holds the session in force.
    pub(crate) fn session_file(&self) -> &Path {
        let mounted = self.settings.telegram.mounted_session.as_ref();
        mounted.map_or_else(|| self.env_file(), MountedSession::in_force)
    }

    /// Whether the process environment overrides `variable` of the settings file.
    pub(crate) fn is_hidden(&self, variable: &str) -> bool {
        self.cli.env_file.is_none() && std::env::var_os(variable).is_some_and(|value| !value.is_empty())
    }

    /// The session that the command line selects.
    pub(crate) fn which(&self) -> SessionRole {
        if self.cli.standby { SessionRole::Standby } else { SessionRole::Primary }
    }

    /// The application's API_ID and API_HASH.
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
                let proxies = self.proxies.clone();
                Ok(App { api_id, api_hash: api_hash.clone(), device: "tgs-session", proxies })
            }
            (None, Some(_)) => Err(missing("API_ID is")),
            (Some(_), None) => Err(missing("API_HASH is")),
            (None, None) => Err(missing("API_ID and API_HASH are")),
        }
    }

    /// The session string, still encoded.
    pub(crate) fn text(&self, which: SessionRole) -> Option<&Secret<String>> {
        match which {
            SessionRole::Primary => self.settings.telegram.session.as_ref(),
            SessionRole::Standby => self.settings.telegram.standby.as_ref(),
        }
    }

    /// The decoded session.
    pub(crate) fn session(&self, which: SessionRole) -> Result<SessionString, CliError> {
        let (variable, maker) = (which.variable(), which.maker());
        let Some(text) = self.text(which) else {
            return Err(CliError::failure(format!("find the session: {variable} is not set; run: {maker}")));
        };
        SessionString::decode(text.expose()).map_err(|refused| {
            let text = format!("read the session: {variable} {refused}; run: {maker}");
            anyhow::Error::new(refused).context(text).into()
        })
    }

    /// Locks `session` for this process, or names the holder of the lock.
    pub(crate) fn claim(&self, session: &SessionString) -> Result<Claim, CliError> {
        match SessionLock::take(&session.key, Some(&self.settings.state_dir)) {
            Ok(lock) => Ok(Claim::Granted(lock)),
            Err(lock::SessionLockError::Held(holder)) => Ok(Claim::InUse(holder)),
            Err(error) => Err(anyhow::Error::new(error).context("use the session").into()),
        }
    }

    /// Claims `session`; retries for up to `WAIT` while another process holds the lock.
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

    /// The Telegram status of the `tgs-stream` that uses `session`; `None` without one.
    pub(crate) fn stream(&self, session: &SessionString) -> Option<TelegramStatus> {
        let settings = &self.settings;
        let running =
            RunningStatus::ask(settings.control_socket.as_deref(), &settings.state_dir, "tgs-session")?;
        let telegram = running.status.telegram?;
        // The status of another session does not describe this one.
        let same = telegram.session.as_ref().is_none_or(|fingerprint| *fingerprint == session.fingerprint());
        same.then_some(telegram)
    }

    /// Logs out a new session that cannot be stored, if Telegram is reachable; prints the outcome.
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

/// The lines to print about a session that another process uses.
pub(crate) fn in_use(holder: &Holder, stream: Option<&TelegramStatus>) -> Vec<String> {
    let mut lines = vec![format!(
        "In use:   by {holder}; not connecting, because Telegram ends a session that is used twice"
    )];
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
