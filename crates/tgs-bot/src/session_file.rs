//! The bot's session in its state directory, so that a start does not sign in again. Each sign-in
//! counts towards a limit of Telegram's.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tgs_core::files;
use tgs_telegram::bot::BotState;

/// The file's name.
const NAME: &str = "session";
/// Longest accepted file in bytes.
const LONGEST: u64 = 4096;

/// The file with the session.
#[derive(Debug)]
pub(crate) struct SessionFile {
    path: PathBuf,
    /// What the file contains, as far as known.
    written: Option<BotState>,
}

impl SessionFile {
    /// The file in `dir`, which is created if missing.
    pub(crate) fn in_dir(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        Ok(Self { path: dir.join(NAME), written: None })
    }

    /// Reads the session of the bot `bot_id`. `None` if the file is missing, foreign or damaged.
    pub(crate) fn read(&mut self, bot_id: i64) -> Option<BotState> {
        let shown = self.path.display();
        let bytes = match files::read_regular(&self.path, LONGEST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                log::warn!("{shown} cannot be read: {error}; signing in again");
                return None;
            }
        };
        match BotState::parse(&String::from_utf8_lossy(&bytes)) {
            Ok(state) if state.bot_id() == bot_id => {
                self.written = Some(state.clone());
                Some(state)
            }
            Ok(_) => {
                log::info!("{shown} belongs to another bot; signing in");
                None
            }
            Err(error) => {
                log::warn!("{shown} {error}; signing in again");
                None
            }
        }
    }

    /// Writes the session, if it has changed, durably and readable to its owner only.
    pub(crate) fn write(&mut self, state: &BotState) -> anyhow::Result<()> {
        if self.written.as_ref() == Some(state) {
            return Ok(());
        }
        let text = state.to_text().context("write the session: it has no address")?;
        files::replace(&self.path, text.expose().as_bytes(), 0o600)
            .with_context(|| format!("write {}", self.path.display()))?;
        self.written = Some(state.clone());
        Ok(())
    }

    /// Forgets a session that Telegram has ended.
    pub(crate) fn remove(&mut self) {
        self.written = None;
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("{} cannot be removed: {error}", self.path.display());
        }
    }
}
