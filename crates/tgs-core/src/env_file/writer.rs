//! Replaces one value in a `.env` file atomically. The owner and all other bytes stay.
//! [`crate::env_file::set`] builds the new text.
//!
//! The file may lie in a service's directory while the tool runs as root, so files and links that
//! the service could plant there are not followed or written through. Links to the file from
//! elsewhere (a release's `.env`) are followed; root follows another user's link only to that
//! user's own file.
//!
//! Files beside it: `.env.bak`, the previous content (0600); `.env.lock`, during a change;
//! `.env.tgs-new` or `.env.bak.tgs-new`, left by a killed writer until the next write.
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
    files::shared_dir::{SharedDir, new_owner, owner, with_suffix},
    secret::Secret,
};

/// Linux follows at most 40 links in one lookup.
const MAX_LINKS: usize = 40;
/// Mode bits: read and write for the owner.
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
    /// A link that another user may have planted.
    #[error("{} is, or is reached by, a symbolic link that is not followed, since another user may have planted it; \
             look where it leads and remove it, or name the file itself", .path.display())]
    Link {
        /// The link, or its target.
        path: PathBuf,
    },
    /// The file belongs to another user. Only that user and root can write it and keep its owner.
    #[error("{} belongs to the user with uid {uid}; run this as that user or as root, or make the file yours with chown",
            .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// The directory does not accept new files.
    #[error("cannot create files in {} ({source}); this user needs write permission there, and in a systemd unit \
             ReadWritePaths= must list it", .path.display())]
    ReadOnly {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file has unreadable lines, or the name or the new value is invalid.
    #[error("{}: {source}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Unwritable,
    },
    /// Any other failure.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// The failed operation, as a verb.
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
    /// Lies in the directory of the file itself, after all links.
    lock: FileLock,
    name: OsString,
}

/// Locks the `.env` file at `path`, which need not exist, waiting up to `wait`. Checks at once that
/// the file can be parsed and replaced, so that no sign-in is wasted.
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
    let lock_name = with_suffix(name, ".lock");
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
    /// The path of the file, with all links resolved.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.lock.dir().at(&self.name)
    }

    /// Returns the content of the file; empty if the file does not exist.
    pub fn read(&self) -> Result<Secret<Vec<u8>>, EnvWriteError> {
        Ok(Secret::new(self.load()?.map(|(bytes, _)| bytes).unwrap_or_default()))
    }

    /// Sets `name` to `value`, durably. `.env.bak` receives the old content. Owner and group stay;
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
            let backup = with_suffix(&self.name, ".bak");
            dir.write(&backup, bytes, owner, OWNER_ONLY).map_err(|e| failed("write", &dir.at(&backup), e))?;
        }
        dir.write(&self.name, &new, owner, mode).map_err(|e| failed("write", &path, e))
    }

    fn load(&self) -> Result<Option<(Vec<u8>, Stat)>, EnvWriteError> {
        self.lock.dir().read(&self.name).map_err(|e| failed("read", &self.path(), e))
    }
}

/// Converts the error of a failed operation on a file in the directory.
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

/// Resolves all links of `path`. For root, also returns the other user who made a link: root must
/// not follow it further than that user could.
fn resolve(path: &Path) -> Result<(PathBuf, Option<u32>), EnvWriteError> {
    let parts =
        |path: &Path| path.components().rev().map(|part| part.as_os_str().into()).collect::<Vec<OsString>>();
    let (mut done, mut rest) = (PathBuf::new(), parts(path));
    let (mut links, mut planter) = (0, None);
    while let Some(part) = rest.pop() {
        // Joining `/` replaces `done`. `done` contains no link, so `..` is its parent.
        let next = done.join(part);
        let stat = match fs::symlink_metadata(&next) {
            Ok(stat) if stat.is_symlink() => stat,
            // Opening the file reports any other error.
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
