//! The session of a broadcast whose `SESSION_STRING_FILE` names a file, such as a mounted secret.
//!
//! That file is never written. A renewed session lies in STATE_DIR, beside a hash of the content
//! that it replaces, and is in force while the file has that content. So an operator who changes
//! the file decides, whatever the clocks of the machines say.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{digest, files, secret::Secret};

/// The file in STATE_DIR that holds a renewed session.
const NAME: &str = "session";
/// Begins its first line; the hash of the replaced content follows.
const REPLACES: &str = "replaces ";
const MODE: u32 = 0o600;

/// Where SESSION_STRING comes from, if `SESSION_STRING_FILE` is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountedSession {
    /// The file that `SESSION_STRING_FILE` names.
    pub file: PathBuf,
    /// The file in STATE_DIR for a renewed session.
    pub renewed_file: PathBuf,
    /// Whether the session of [`Self::renewed_file`] is in force.
    pub is_renewed: bool,
    /// The hash of the content of [`Self::file`].
    mounted: String,
}

impl MountedSession {
    /// Looks for a renewed session beside `content` of `file`. Returns it if it is in force, or why
    /// it cannot be read.
    pub(super) fn find(file: PathBuf, content: &str, state_dir: &Path) -> (Self, io::Result<Option<String>>) {
        let mounted = digest::key([content]);
        let renewed_file = state_dir.join(NAME);
        let renewed = match files::read_text(&renewed_file) {
            Ok(text) => Ok(text.strip_prefix(REPLACES).and_then(|text| {
                let (replaced, session) = text.split_once('\n')?;
                (replaced == mounted).then(|| session.trim_end().to_owned())
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let is_renewed = matches!(renewed, Ok(Some(_)));
        (Self { file, renewed_file, is_renewed, mounted }, renewed)
    }

    /// The file whose session is in force.
    #[must_use]
    pub fn in_force(&self) -> &Path {
        if self.is_renewed { &self.renewed_file } else { &self.file }
    }

    /// Stores a renewed session, which is in force from the next read of the settings on.
    pub fn store(&self, session: &Secret<String>) -> io::Result<()> {
        let text = format!("{REPLACES}{}\n{}\n", self.mounted, session.expose());
        files::replace(&self.renewed_file, text.as_bytes(), MODE)
    }

    /// Deletes the renewed session, if there is one.
    pub fn forget(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.renewed_file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_renewed_session_is_in_force_until_the_mounted_one_changes() {
        let dir = tempfile::tempdir().unwrap();
        let find = |content: &str| MountedSession::find("/m".into(), content, dir.path());
        let (mounted, renewed) = find("first");
        assert!(!mounted.is_renewed && renewed.unwrap().is_none());
        assert_eq!(mounted.in_force(), Path::new("/m"));
        for session in ["second", "third"] {
            mounted.store(&Secret::new(session.to_owned())).unwrap();
            assert_eq!(find("first").1.unwrap().as_deref(), Some(session));
        }
        let (mounted, _) = find("first");
        assert_eq!(mounted.in_force(), dir.path().join(NAME));
        assert_eq!(fs::metadata(mounted.in_force()).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(find("changed").1.unwrap().is_none());
        assert_eq!(find("first").1.unwrap().as_deref(), Some("third"));
        mounted.forget().unwrap();
        mounted.forget().unwrap();
        assert!(find("first").1.unwrap().is_none());
    }

    #[test]
    fn a_damaged_file_is_not_a_session() {
        let dir = tempfile::tempdir().unwrap();
        let find = || MountedSession::find("/m".into(), "first", dir.path()).1;
        for text in ["", "session", "replaces \nx", "replaces"] {
            fs::write(dir.path().join(NAME), text).unwrap();
            assert!(find().unwrap().is_none(), "{text:?}");
        }
        fs::remove_file(dir.path().join(NAME)).unwrap();
        fs::create_dir(dir.path().join(NAME)).unwrap();
        assert!(find().is_err());
    }
}
