//! Reads the settings of a daemon that has a table and a file of its own, such as the desk.
//!
//! A value comes from the first of: a file named by `--env-file`; the environment; the daemon's
//! file; the default. An empty value counts as unset.

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

use super::{
    Setting, Visibility,
    secret_file::{self, Found},
};
use crate::{env_file, files};

/// All problems of the settings, by name and line. Contains no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsFaults(pub Vec<String>);

impl fmt::Display for SettingsFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("read the settings:")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// Where the settings of a daemon are.
#[derive(Debug, Clone, Copy)]
pub struct OwnTable {
    /// The daemon's name, for messages.
    pub tool: &'static str,
    /// All its settings.
    pub table: &'static [Setting],
    /// The file of its unit.
    pub file: &'static str,
}

/// Looks up values and collects faults.
pub struct OwnValues<'a> {
    own: OwnTable,
    env: &'a dyn Fn(&str) -> Option<OsString>,
    file: env_file::EnvFile,
    path: PathBuf,
    /// Whether `--env-file` names the file.
    named: bool,
    /// The files that `NAME_FILE` of secrets name.
    pub secret_files: Vec<PathBuf>,
    /// What makes the settings unusable.
    pub faults: Vec<String>,
    /// Warnings for the operator, to be logged once logging has started.
    pub warnings: Vec<String>,
}

impl fmt::Debug for OwnValues<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnValues").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'a> OwnValues<'a> {
    /// Reads `env_file`, else the daemon's own file if it exists.
    #[must_use]
    pub fn read(own: OwnTable, env_file: Option<&Path>, env: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        let path = env_file.unwrap_or(Path::new(own.file)).to_owned();
        let (mut faults, mut warnings) = (Vec::new(), Vec::new());
        let file = match files::read(&path) {
            Ok(bytes) => env_file::parse(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound && env_file.is_none() => {
                env_file::EnvFile::default()
            }
            Err(error) => {
                faults.push(format!("{} cannot be read: {error}", path.display()));
                env_file::EnvFile::default()
            }
        };
        let text = |note: &env_file::Note| {
            let name = note.name.as_deref().unwrap_or("the line");
            format!("{} line {}: {name} {}", path.display(), note.line, note.text)
        };
        faults.extend(file.refused.iter().map(text));
        warnings.extend(file.warnings.iter().map(text));
        for entry in &file.entries {
            let known = own.table.iter().any(|setting| setting.name == entry.name)
                || secret_file::is_variable(own.table, &entry.name);
            if !known {
                let (line, name, tool) = (entry.line, &entry.name, own.tool);
                warnings.push(format!("{} line {line}: {name} is not a setting of {tool}", path.display()));
            }
        }
        Self { own, env, file, path, named: env_file.is_some(), secret_files: Vec::new(), faults, warnings }
    }

    /// The value of `name`, or its default; `None` if it has neither, or is invalid. A fault that
    /// `parse` returns must not repeat the value of a secret.
    pub fn get<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let (value, shown) = match self.find(name) {
            Some(found) => found,
            None => (self.default(name)?.to_owned(), format!("{name} (default)")),
        };
        parse(&value).map_err(|fault| self.faults.push(format!("{shown} {fault}"))).ok()
    }

    /// The value of `name` that is set, or is in its file if it is a secret.
    fn find(&mut self, name: &str) -> Option<Found> {
        let value = self.lookup(name);
        if !secret_file::is_secret(self.own.table, name) {
            return value;
        }
        let file = self.lookup(&secret_file::variable(name));
        self.secret_files.extend(file.iter().map(|(path, _)| PathBuf::from(path)));
        let found = secret_file::resolve(value, file, Path::new(""));
        found.map_err(|fault| self.faults.push(fault)).ok().flatten()
    }

    fn lookup(&self, name: &str) -> Option<Found> {
        let in_file = self.file.entries.iter().find(|entry| entry.name == name);
        let in_file = in_file.map(|entry| {
            (entry.value.clone(), format!("{} line {}: {name}", self.path.display(), entry.line))
        });
        let in_env = (self.env)(name)
            .map(|value| (value.to_string_lossy().into_owned(), format!("{name} (in the environment)")));
        let found = if self.named { in_file.or(in_env) } else { in_env.or(in_file) };
        found.filter(|(value, _)| !value.is_empty())
    }

    /// The value of a setting that must be set.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let faults = self.faults.len();
        let value = self.get(name, parse);
        if value.is_none() && self.faults.len() == faults {
            self.faults.push(format!("{name} is not set: put it into {}", self.path.display()));
        }
        value
    }

    fn default(&self, name: &str) -> Option<&'static str> {
        match self.own.table.iter().find(|setting| setting.name == name)?.shown {
            Visibility::Default(value) => Some(value),
            Visibility::Example(_) => None,
        }
    }
}
