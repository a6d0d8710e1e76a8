//! Replaces one value in a `.env` file: the file is whole at every moment, keeps its owner, and no
//! other byte changes. [`crate::env_file::set`] makes the new text.
//!
//! The file may lie in a service's directory while the tool runs as root, so nothing that the
//! service could plant there is followed or written through. Links to the file from elsewhere (a
//! release's `.env`) are followed; root follows another user's link only to that user's own file.
//!
//! Beside the file lie `.env.bak`, the previous content (0600); `.env.lock`, during a change; and
//! `.env.tgs-new` or `.env.bak.tgs-new`, left by a killed writer until the next one.
//!
//! The lock is advisory: editors ignore it.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{fs::Stat, io::Errno, process::geteuid};

use crate::{
    cancel::Cancel,
    env_file::{self, Unwritable},
    files::lock::{FileLock, Holder, LockError},
    files::shared_dir::{SharedDir, new_owner, owner, with},
    secret::Secret,
};

/// As many links in a row as Linux follows.
const MAX_LINKS: usize = 40;
/// Mode bits of the owner.
const OWNER_ONLY: u32 = 0o600;

/// Why the file was not read or written. Contains no value.
#[derive(Debug, thiserror::Error)]
pub enum EnvWriteError {
    /// Another process held the lock for the whole wait.
    #[error("{} is being changed by {holder}; try again when that has ended", .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// The process that holds the lock.
        holder: Holder,
    },
    /// The wait was cancelled.
    #[error("stopped while waiting for another process to release {}", .path.display())]
    Cancelled {
        /// The file.
        path: PathBuf,
    },
    /// A link that another user made to a file that is not that user's.
    #[error("{} is, or is reached by, a symbolic link that is not followed, since another user may have planted it; \
             look where it leads and remove it, or name the file itself", .path.display())]
    Link {
        /// The link, or where it led.
        path: PathBuf,
    },
    /// Only the owner and root can write a file that still belongs to the owner.
    #[error("{} belongs to the user with uid {uid}; run this as that user or as root, or make the file yours with chown",
            .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// No file can be created in the directory.
    #[error("cannot create files in {} ({source}); this user needs write permission there, and in a systemd unit \
             ReadWritePaths= must list it", .path.display())]
    ReadOnly {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The change does not fit the content of the file.
    #[error("{}: {source}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The bad lines.
        source: Unwritable,
    },
    /// Everything else.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// A verb.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// A locked `.env` file: no other tgs tool changes it until this is dropped.
#[derive(Debug)]
pub struct Locked {
    /// In the directory of the file itself, beyond all links.
    lock: FileLock,
    name: OsString,
}

/// Locks the `.env` file at `path`, which need not exist, waiting up to `wait`. Checks at once that
/// the file can be parsed and replaced, so that nobody signs in for nothing.
pub fn lock(path: &Path, wait: Duration, cancel: &Cancel) -> Result<Locked, EnvWriteError> {
    let (path, planter) = resolve(path)?;
    let parent = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    let name =
        path.file_name().ok_or_else(|| failed("replace", &path, io::ErrorKind::IsADirectory.into()))?;
    let dir =
        SharedDir::open_resolved(parent).map_err(|source| failed("open the directory", parent, source))?;
    let is_planters = |uid: u32| planter.is_none_or(|planter| planter == uid);
    let owner = dir.owner().map_err(|e| failed("look at", parent, e))?;
    if !is_planters(owner.0.as_raw()) {
        return Err(EnvWriteError::Link { path });
    }
    let lock_name = with(name, ".lock");
    let lock = FileLock::take_in(dir, &lock_name, wait, cancel).map_err(|e| match e {
        LockError::Held(holder) => EnvWriteError::Busy { path: path.clone(), holder },
        LockError::Cancelled => EnvWriteError::Cancelled { path: path.clone() },
        LockError::Io(e) => failed("lock", &parent.join(&lock_name), e),
    })?;
    let locked = Locked { lock, name: name.to_owned() };
    if let Some((bytes, stat)) = locked.load()? {
        let (uid, me) = (stat.st_uid, geteuid());
        if !is_planters(uid) {
            return Err(EnvWriteError::Link { path });
        }
        if uid != me.as_raw() && !me.is_root() {
            return Err(EnvWriteError::Foreign { path, uid });
        }
        let refused = env_file::parse(&bytes).refused;
        if !refused.is_empty() {
            return Err(EnvWriteError::Content { path, source: Unwritable::Refused(refused) });
        }
    }
    Ok(locked)
}

impl Locked {
    /// The file itself, beyond all links.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.lock.dir().at(&self.name)
    }

    /// The content of the file; empty if it does not exist.
    pub fn read(&self) -> Result<Secret<Vec<u8>>, EnvWriteError> {
        Ok(Secret::new(self.load()?.map(|(bytes, _)| bytes).unwrap_or_default()))
    }

    /// Sets `name` to `value`, durably. The old content becomes `.env.bak`. Owner and group stay;
    /// the mode is reduced to the owner's bits.
    pub fn replace(&self, name: &str, value: &Secret<String>) -> Result<(), EnvWriteError> {
        let (dir, path) = (self.lock.dir(), self.path());
        let old = self.load()?;
        let bytes = old.as_ref().map_or(&[][..], |(bytes, _)| bytes);
        let new = env_file::set(bytes, name, value.expose())
            .map_err(|source| EnvWriteError::Content { path: path.clone(), source })?;
        let (owner, mode) = match &old {
            Some((_, stat)) => (owner(stat), stat.st_mode & OWNER_ONLY),
            None => (new_owner(dir).map_err(|e| failed("look at", &path, e))?, OWNER_ONLY),
        };
        if old.is_some() {
            let backup = with(&self.name, ".bak");
            dir.write(&backup, bytes, owner, OWNER_ONLY).map_err(|e| failed("write", &dir.at(&backup), e))?;
        }
        dir.write(&self.name, &new, owner, mode).map_err(|e| failed("write", &path, e))
    }

    fn load(&self) -> Result<Option<(Vec<u8>, Stat)>, EnvWriteError> {
        self.lock.dir().read(&self.name).map_err(|e| failed("read", &self.path(), e))
    }
}

/// The error for a failed operation on a file in the directory.
fn failed(doing: &'static str, path: &Path, source: io::Error) -> EnvWriteError {
    let parent = || path.parent().unwrap_or(Path::new("/")).to_owned();
    match source.kind() {
        _ if source.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            EnvWriteError::Link { path: path.to_owned() }
        }
        io::ErrorKind::ReadOnlyFilesystem => EnvWriteError::ReadOnly { path: parent(), source },
        io::ErrorKind::PermissionDenied if ["lock", "write"].contains(&doing) => {
            EnvWriteError::ReadOnly { path: parent(), source }
        }
        _ => EnvWriteError::Io { doing, path: path.to_owned(), source },
    }
}

/// The file behind all links of `path`, and the user that made one of these links. Root must not
/// follow it further than that user could.
fn resolve(path: &Path) -> Result<(PathBuf, Option<u32>), EnvWriteError> {
    let parts =
        |path: &Path| path.components().rev().map(|part| part.as_os_str().into()).collect::<Vec<OsString>>();
    let (mut done, mut rest) = (PathBuf::new(), parts(path));
    let (mut links, mut planter) = (0, None);
    while let Some(part) = rest.pop() {
        // The root directory replaces all before it. Nothing before `..` is a link.
        let next = done.join(part);
        let stat = match fs::symlink_metadata(&next) {
            Ok(stat) if stat.is_symlink() => stat,
            // Opening reports any other error.
            _ => {
                done = next;
                continue;
            }
        };
        links += 1;
        if links > MAX_LINKS {
            return Err(EnvWriteError::Io { doing: "follow", path: next, source: Errno::LOOP.into() });
        }
        if geteuid().is_root() && stat.uid() != 0 {
            if planter.is_some_and(|planter| planter != stat.uid()) {
                return Err(EnvWriteError::Link { path: next });
            }
            planter = Some(stat.uid());
        }
        rest.extend(parts(&fs::read_link(&next).map_err(|e| failed("follow", &next, e))?));
    }
    Ok((done, planter))
}
