//! The users of the desk, in a file of lines `NAME:ROLE:HASH`. Sees a changed file at once.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::Serialize;
use tgs_core::files::{self, FileVersion};

use crate::hash;

/// More users are not read.
const MOST: usize = 1000;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Send commands.
    Operator,
    /// Watch.
    Viewer,
}

impl Role {
    /// The role's name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }
}

/// A user of the desk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeskUser {
    /// The role.
    pub(crate) role: Role,
    /// The password's hash, as a PHC string.
    pub(crate) hash: String,
}

/// The content of the file.
pub(crate) type Users = BTreeMap<String, DeskUser>;

/// Why a user file is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserFileError {
    /// The file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A line has another form.
    #[error("{} line {line}: must be NAME:operator:HASH or NAME:viewer:HASH; tgs-web user add writes it", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
    },
}

/// Whether a user can have this name.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Reads the users; a missing file has none.
pub(crate) fn read(path: &Path) -> Result<Users, UserFileError> {
    let text = match files::read_regular(path, 1 << 20) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Users::new()),
        Err(source) => return Err(UserFileError::Io { path: path.to_owned(), source }),
    };
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let parsed = lines.take(MOST).map(|(index, line)| {
        parse(line).ok_or_else(|| UserFileError::Line { path: path.to_owned(), line: index + 1 })
    });
    parsed.collect()
}

fn parse(line: &str) -> Option<(String, DeskUser)> {
    let mut parts = line.trim().splitn(3, ':');
    let (name, role, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let role = [Role::Operator, Role::Viewer].into_iter().find(|known| known.name() == role)?;
    (is_name(name) && hash::is_hash(hash))
        .then(|| (name.to_owned(), DeskUser { role, hash: hash.to_owned() }))
}

/// Writes the users, readable by the file's group. Keeps the owner of an existing file.
pub(crate) fn write(path: &Path, users: &Users) -> Result<(), UserFileError> {
    let failed = |source| UserFileError::Io { path: path.to_owned(), source };
    let mut text = "# The users of the desk. Written by tgs-web user add.\n".to_owned();
    for (name, user) in users {
        text.extend([name, ":", user.role.name(), ":", &user.hash, "\n"]);
    }
    let before = fs::metadata(path).ok();
    files::replace(path, text.as_bytes(), 0o640).map_err(failed)?;
    // The directory's group, `tgs-web` after an installation, lets the service read a new file.
    let of = before.or_else(|| path.parent().and_then(|dir| fs::metadata(dir).ok()));
    if let Some(of) = of {
        let now = fs::metadata(path).map_err(failed)?;
        if (of.uid(), of.gid()) != (now.uid(), now.gid()) {
            std::os::unix::fs::chown(path, Some(of.uid()), Some(of.gid())).map_err(failed)?;
        }
    }
    Ok(())
}

/// The users as the service sees them.
#[derive(Debug)]
pub(crate) struct UserStore {
    path: PathBuf,
    /// The user of the demo's link, which no file has.
    demo: Option<(String, DeskUser)>,
    read: Mutex<ReadFile>,
}

#[derive(Debug, Default)]
struct ReadFile {
    version: Option<FileVersion>,
    users: Users,
}

impl UserStore {
    /// The users in the file at `path`, and the demo's user if its link is in use.
    pub(crate) fn new(path: &Path, demo: Option<String>) -> Self {
        let demo = demo.map(|name| (name, DeskUser { role: Role::Operator, hash: String::new() }));
        Self { path: path.to_owned(), demo, read: Mutex::default() }
    }

    /// The user `name`, as in the file at this moment. A file that cannot be read has no users.
    pub(crate) fn get(&self, name: &str) -> Option<DeskUser> {
        if let Some((demo, user)) = &self.demo
            && demo == name
        {
            return Some(user.clone());
        }
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let version = FileVersion::of(&self.path);
        if version != read.version {
            let users = self::read(&self.path).unwrap_or_else(|error| {
                log::error!("cannot read the users of the desk: {error}");
                Users::new()
            });
            *read = ReadFile { version, users };
        }
        read.users.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
                        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn what_is_written_is_read_and_a_change_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        let store = UserStore::new(&path, Some("guest".into()));
        assert!(store.get("anna").is_none());
        assert_eq!(store.get("guest").unwrap().role, Role::Operator);
        let anna = DeskUser { role: Role::Viewer, hash: HASH.into() };
        write(&path, &Users::from([("anna".into(), anna.clone())])).unwrap();
        assert_eq!(store.get("anna"), Some(anna));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        write(&path, &Users::new()).unwrap();
        assert!(store.get("anna").is_none());
    }

    #[test]
    fn a_wrong_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        for line in ["anna", "anna:admin:x", "an na:viewer:x", &format!("anna:root:{HASH}"), "a:viewer:plain"]
        {
            fs::write(&path, format!("# users\n\n{line}\n")).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("line 3"), "{error}");
        }
    }
}
