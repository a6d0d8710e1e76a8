//! Reads this run's settings from `--env-file`, the environment and the command line.
//!
//! A start reads them once. Only a broadcast into Telegram reads them again, for a new session.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
};

use tgs_core::settings::{Problems, Settings};

use crate::cli::Cli;

/// The inputs that the settings are read from.
#[derive(Debug, Clone)]
pub(crate) struct SettingsSource {
    env_file: Option<PathBuf>,
    overrides: Vec<(&'static str, String)>,
}

/// What one read has found: the usable settings, and everything that is wrong.
pub(crate) struct ReadSettings {
    /// With relative paths, and defaults in the place of wrong values.
    pub(crate) settings: Option<Settings>,
    pub(crate) problems: Problems,
}

impl SettingsSource {
    pub(crate) fn new(cli: &Cli) -> Self {
        let overrides = [("OUTPUT_URL", &cli.output), ("PLAYLIST", &cli.playlist)];
        let overrides = overrides.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        Self { env_file: cli.env_file.clone(), overrides: overrides.collect() }
    }

    pub(crate) fn read(&self) -> ReadSettings {
        let overrides: Vec<_> = self.overrides.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let environment = |name: &str| std::env::var_os(name);
        let (settings, problems) = Settings::examine(self.env_file.as_deref(), &environment, &overrides);
        ReadSettings { settings, problems }
    }
}

impl ReadSettings {
    /// The settings with absolute paths, or every problem.
    pub(crate) fn accept(self) -> Result<Settings, Problems> {
        match self.settings {
            Some(settings) if self.problems.0.is_empty() => Ok(settings.absolute(Path::new(""))),
            _ => Err(self.problems),
        }
    }
}

/// The settings in force. They are replaced by a later read that has no problem.
pub(crate) struct ReloadableSettings {
    current: Settings,
    source: SettingsSource,
}

impl ReloadableSettings {
    pub(crate) fn new(current: Settings, source: SettingsSource) -> Self {
        Self { current, source }
    }

    /// Reads the settings again. With a problem, logs it and keeps those in force.
    pub(crate) fn reload(&mut self) {
        match self.source.read().accept() {
            Ok(settings) => self.current = settings,
            Err(problems) => log::error!("failed to read the settings again: {problems}"),
        }
    }
}

impl Deref for ReloadableSettings {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.current
    }
}
