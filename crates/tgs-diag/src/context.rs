//! The facts that all checks share: settings, unit, environment. If the unit reads the checked
//! `.env`, its PATH, directories and variables replace those of the caller's shell.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;
use tgs_core::{
    env_file::{self, EnvFile},
    files, process,
    process::confine::{self, Confinement},
    settings::{self, Problems, Settings},
};
use tgs_telegram::SelfUser;

use crate::{
    cli::{Cli, UNIT},
    redact::Redactor,
    unit_properties::{SystemctlError, UnitProperties},
};

/// The `.env` to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvPath {
    /// The path of the file.
    pub(crate) path: PathBuf,
    /// Whether the file overrides the environment, as with `--env-file`.
    pub(crate) named: bool,
}

/// A program that cannot be executed, or is not in this context's PATH.
#[derive(Debug, thiserror::Error)]
#[error("{}{} {error}", .program.display(), if .program.as_encoded_bytes().contains(&b'/') { ":" } else { " is" })]
pub(crate) struct ProgramNotFound {
    program: OsString,
    error: io::Error,
}

/// Facts collected before the checks run.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct DiagContext {
    /// The settings file, if any.
    pub(crate) env: Option<EnvPath>,
    /// The file's text and parsed lines, or the read error.
    pub(crate) text: io::Result<(String, EnvFile)>,
    /// The unit's properties, or why systemctl failed.
    pub(crate) unit: Result<UnitProperties, SystemctlError>,
    /// The unit's name.
    pub(crate) unit_name: String,
    /// Whether `--unit` gives the name.
    pub(crate) unit_named: bool,
    /// Whether the unit reads this `.env`.
    pub(crate) as_unit: bool,
    /// The PATH for children.
    pub(crate) path: OsString,
    /// The unit's working directory.
    pub(crate) directory: Option<PathBuf>,
    /// The settings, if valid.
    pub(crate) settings: Option<Settings>,
    /// The problems of the settings.
    pub(crate) problems: Problems,
    /// Removes secrets from findings.
    pub(crate) redactor: Redactor,
    /// Whether checks that require the network are skipped.
    pub(crate) offline: bool,
    /// Whether the unit's running program was replaced on disk; only root can determine that.
    pub(crate) replaced: bool,
    /// The directory that children may write to; `None` if its creation failed.
    pub(crate) scratch: Option<PathBuf>,
    /// The accounts of the primary and the standby session, once known.
    pub(crate) accounts: [OnceLock<SelfUser>; 2],
}

impl DiagContext {
    /// Queries systemd and reads the settings.
    pub(crate) fn new(cli: &Cli) -> Self {
        let unit_name = cli.unit.clone().unwrap_or_else(|| UNIT.to_owned());
        let unit = UnitProperties::ask(&unit_name);
        let of_unit = unit.as_ref().ok().and_then(UnitProperties::env_file);
        let env = choose(cli.env_file.clone(), of_unit.clone().filter(|_| cli.unit.is_some()), Path::new(""));
        let same = |a: &Path, b: &Path| {
            a == b || fs::canonicalize(a).is_ok_and(|a| fs::canonicalize(b).is_ok_and(|b| a == b))
        };
        let as_unit = env.as_ref().zip(of_unit).is_some_and(|(env, of_unit)| same(&env.path, &of_unit));
        let env = env.map(|env| EnvPath { named: env.named || as_unit, ..env });
        let vars = unit.as_ref().ok().filter(|_| as_unit).map(UnitProperties::variables);
        let lookup = |name: &str| variable(vars.as_ref(), name);
        let (settings, problems) =
            Settings::examine(env.as_ref().filter(|env| env.named).map(|env| &*env.path), &lookup, &[]);
        let directory = unit.as_ref().ok().filter(|_| as_unit).and_then(UnitProperties::directory);
        let settings =
            settings.map(|settings| settings.absolute(directory.as_deref().unwrap_or(Path::new(""))));
        let text = match &env {
            Some(env) => files::read(&env.path)
                .map(|bytes| (String::from_utf8_lossy(&bytes).into_owned(), env_file::parse(&bytes))),
            None => Ok(<_>::default()),
        };
        let redactor = match &text {
            Ok((text, file)) => Redactor::new(text, file, settings.as_ref()),
            Err(_) => Redactor::new("", &EnvFile::default(), settings.as_ref()),
        };
        let path = lookup("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        Self {
            env,
            text,
            unit,
            unit_name,
            unit_named: cli.unit.is_some(),
            as_unit,
            path,
            directory: directory.filter(|dir| dir.is_dir()),
            settings,
            problems,
            redactor,
            offline: cli.offline,
            replaced: cli.replaced,
            scratch: None,
            accounts: <_>::default(),
        }
    }

    /// Confines children as tgs-stream does: ffmpeg and yt-dlp cannot read `.env`. The returned
    /// directory is removed on drop, even while a check hangs.
    pub(crate) fn confine(&mut self) -> Option<TempDir> {
        let dir = tempfile::tempdir().ok()?;
        let scratch = dir.path().to_owned();
        // Without cache directories children are only slower.
        let _ = confine::make_scratch(&scratch);
        self.scratch = Some(scratch.clone());
        let hidden = self.env.iter().map(|env| env.path.clone()).collect();
        confine::children(&Confinement { hidden, writable: Vec::new(), scratch });
        Some(dir)
    }

    /// A command with this context's PATH; an error if the program is not found.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Result<Command, ProgramNotFound> {
        let program = self.find(program.as_ref())?;
        let mut command = process::command(program);
        command.env("PATH", &self.path);
        Ok(command)
    }

    /// Looks up the executable `program` in this context's PATH.
    pub(crate) fn find(&self, program: &OsStr) -> Result<PathBuf, ProgramNotFound> {
        find_in(&self.path, program)
    }

    /// The path of the settings file, for messages.
    pub(crate) fn env_shown(&self) -> String {
        self.env.as_ref().map_or(".env".to_owned(), |env| env.path.display().to_string())
    }
}

fn find_in(path: &OsStr, program: &OsStr) -> Result<PathBuf, ProgramNotFound> {
    process::find_in(program, Path::new(""), path)
        .map_err(|error| ProgramNotFound { program: program.to_owned(), error })
}

/// The settings file: `--env-file`, else that of `--unit`, the installed one, or `./.env`.
fn choose(named: Option<PathBuf>, of_unit: Option<PathBuf>, dir: &Path) -> Option<EnvPath> {
    if let Some(path) = named.or(of_unit) {
        return Some(EnvPath { path, named: true });
    }
    if let Some(path) = settings::installed(dir) {
        return Some(EnvPath { path, named: true });
    }
    let here = dir.join(".env");
    here.try_exists().unwrap_or(true).then_some(EnvPath { path: here, named: false })
}

/// A variable of the unit, or without a unit of this process.
fn variable(unit: Option<&BTreeMap<String, String>>, name: &str) -> Option<OsString> {
    match unit {
        // systemd derives HOME from User=, and this process runs as that user.
        Some(vars) if name == "HOME" => vars.get(name).map(OsString::from).or_else(|| env::var_os(name)),
        Some(vars) => vars.get(name).map(OsString::from),
        None => env::var_os(name),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn which_env_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| PathBuf::from(name);
        let named = |name: &str| Some(EnvPath { path: path(name), named: true });
        assert_eq!(choose(Some(path("a")), Some(path("b")), dir.path()), named("a"));
        assert_eq!(choose(None, Some(path("b")), dir.path()), named("b"));
        fs::write(dir.path().join(".env"), "").unwrap();
        let here = EnvPath { path: dir.path().join(".env"), named: false };
        assert_eq!(choose(None, None, dir.path()), Some(here));
    }

    #[test]
    fn programs_are_looked_for_in_the_views_own_path() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tool");
        let path = env::join_paths(["/nowhere".into(), dir.path().to_owned()]).unwrap();
        let found = || find_in(&path, OsStr::new("tool"));
        assert_eq!(found().unwrap_err().to_string(), "tool is not found in PATH");
        fs::write(&file, "").unwrap();
        assert!(found().is_err());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(found().unwrap(), file);
        assert_eq!(find_in(OsStr::new(""), file.as_os_str()).unwrap(), file);
    }
}
