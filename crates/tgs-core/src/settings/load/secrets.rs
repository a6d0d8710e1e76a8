//! Reads secrets, also from the files that `NAME_FILE` names.

use std::path::{Path, PathBuf};

use super::Reader;
use crate::{
    secret::Secret,
    settings::{
        MountedSession, TABLE,
        secret_file::{self, Found, is_secret},
    },
};

const SESSION: &str = "SESSION_STRING";
const STANDBY: &str = "STANDBY_SESSION_STRING";

impl Reader<'_> {
    /// The value of the secret `name`, or else of its file.
    pub(super) fn with_file(&mut self, name: &'static str, value: Option<Found>) -> Option<Found> {
        if !is_secret(TABLE, name) {
            return value;
        }
        let file = self.lookup(&secret_file::variable(name));
        if let Some((path, _)) = &file {
            let path = self.dir.join(path);
            if !self.secret_files.contains(&path) {
                self.secret_files.push(path);
            }
        }
        match secret_file::resolve(value.clone(), file, &self.dir) {
            Ok(found) => found,
            Err(problem) => {
                // A setting may be looked up twice.
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
                value
            }
        }
    }

    /// `SESSION_STRING`, and where it lies if `SESSION_STRING_FILE` names a file.
    pub(super) fn session(
        &mut self,
        state_dir: Option<&Path>,
    ) -> (Option<Secret<String>>, Option<MountedSession>) {
        let session = self.find(SESSION).map(|(session, _)| session);
        let (Some(file), Some(state_dir)) = (self.file_of(SESSION), state_dir) else {
            return (session.map(Secret::new), None);
        };
        let state_dir = self.dir.join(state_dir);
        let content = session.as_deref().unwrap_or_default();
        let (mounted, renewed) = MountedSession::find(file, content, &state_dir);
        let renewed = renewed.unwrap_or_else(|error| {
            let (renewed, file) = (mounted.renewed_file.display(), mounted.file.display());
            self.warnings.push(format!("{renewed} cannot be read: {error}; the session of {file} is used"));
            None
        });
        (renewed.or(session).map(Secret::new), Some(mounted))
    }

    /// The file that `STANDBY_SESSION_STRING_FILE` names.
    pub(super) fn standby_file(&mut self) -> Option<PathBuf> {
        self.file_of(STANDBY)
    }

    /// The file of a secret that is not set itself.
    fn file_of(&mut self, name: &'static str) -> Option<PathBuf> {
        if self.lookup(name).is_some() {
            return None;
        }
        let (path, _) = self.lookup(&secret_file::variable(name))?;
        Some(self.dir.join(path))
    }
}
