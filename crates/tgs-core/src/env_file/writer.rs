//! One value in a `.env` file replaced, safely: at every moment the file is whole, it stays its owner's, and no other byte
//! of it changes. What a change of a value makes of the file's text is [`crate::env_file::set`]'s work.
//!
//! The file may lie in a service's directory and the tool may run as root, so nothing that the service could plant there
//! is followed or written through. Links that lead to the file from elsewhere (a release's `.env`) are followed, but root
//! follows those of another user only to that user's own file. Beside the file there can be `.env.bak`, the last content (0600); `.env.lock`, while somebody
//! writes; and `.env.tgs-new` or `.env.bak.tgs-new`, what a killed writer leaves until the next one.
//!
//! The lock is advisory: an editor does not know it.

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

/// As many links in a row as Linux follows itself.
const MAX_LINKS: usize = 40;
/// What the file's owner may do; nobody else may do anything.
const OWNER_ONLY: u32 = 0o600;

/// Why the file was not read or written. Nothing in the words is a value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process is at it and did not end within the wait.
    #[error("{} is being changed by {holder}; try again when that has ended", .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// The other process.
        holder: Holder,
    },
    /// The wait was called off.
    #[error("stopped while waiting for another process to release {}", .path.display())]
    Cancelled {
        /// The file.
        path: PathBuf,
    },
    /// A link that another user made to what is not his, or any in the place of a file of ours.
    #[error("{} is, or is reached by, a symbolic link that is not followed, since another user may have planted it; \
             look where it leads and remove it, or name the file itself", .path.display())]
    Link {
        /// The link, or where it led.
        path: PathBuf,
    },
    /// Only its owner and root can replace the file by one that is still the owner's.
    #[error("{} belongs to the user with uid {uid}; run this as that user or as root, or make the file yours with chown",
            .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// No file can be made in the directory.
    #[error("no file can be made in {} ({source}); the user that runs this must be allowed to write there, and where a \
             systemd unit runs it, the unit's ReadWritePaths= must name it", .path.display())]
    ReadOnly {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The change cannot be made to what the file holds.
    #[error("{}: {source}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, by line.
        source: Unwritable,
    },
    /// Everything else.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// A verb.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A `.env` file that no other tgs tool changes meanwhile, until this is dropped.
#[derive(Debug)]
pub struct Locked {
    /// In the directory where all links have led.
    lock: FileLock,
    name: OsString,
}

/// Takes the lock on the `.env` file at `path`, which need not exist, waiting up to `wait` for another process. Finds out
/// at once whether the file could be replaced, so that nobody signs in for nothing: whether it can be read and parsed,
/// whether it can stay its owner's, and whether its directory can be written.
pub fn lock(path: &Path, wait: Duration, cancel: &Cancel) -> Result<Locked, Error> {
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
        return Err(Error::Link { path });
    }
    let lock_name = with(name, ".lock");
    let lock = FileLock::take_in(dir, &lock_name, wait, cancel).map_err(|e| match e {
        LockError::Held(holder) => Error::Busy { path: path.clone(), holder },
        LockError::Cancelled => Error::Cancelled { path: path.clone() },
        LockError::Io(e) => failed("lock", &parent.join(&lock_name), e),
    })?;
    let locked = Locked { lock, name: name.to_owned() };
    if let Some((bytes, stat)) = locked.load()? {
        let (uid, me) = (stat.st_uid, geteuid());
        if !is_planters(uid) {
            return Err(Error::Link { path });
        }
        if uid != me.as_raw() && !me.is_root() {
            return Err(Error::Foreign { path, uid });
        }
        let refused = env_file::parse(&bytes).refused;
        if !refused.is_empty() {
            return Err(Error::Content { path, source: Unwritable::Refused(refused) });
        }
    }
    Ok(locked)
}

impl Locked {
    /// The file itself, where all links have led.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.lock.dir().at(&self.name)
    }

    /// The file's bytes; none where there is no file.
    pub fn read(&self) -> Result<Secret<Vec<u8>>, Error> {
        Ok(Secret::new(self.load()?.map(|(bytes, _)| bytes).unwrap_or_default()))
    }

    /// Replaces the value of `name`, or adds it, on disk for good when this returns. The old content becomes `.env.bak`.
    /// Owner and group stay (a new file of root's gets the directory's), and of the mode what is within 0600.
    pub fn replace(&self, name: &str, value: &Secret<String>) -> Result<(), Error> {
        let (dir, path) = (self.lock.dir(), self.path());
        let old = self.load()?;
        let bytes = old.as_ref().map_or(&[][..], |(bytes, _)| bytes);
        let new = env_file::set(bytes, name, value.expose())
            .map_err(|source| Error::Content { path: path.clone(), source })?;
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

    fn load(&self) -> Result<Option<(Vec<u8>, Stat)>, Error> {
        self.lock.dir().read(&self.name).map_err(|e| failed("read", &self.path(), e))
    }
}

/// The error for what went wrong with a file in the directory.
fn failed(doing: &'static str, path: &Path, source: io::Error) -> Error {
    let parent = || path.parent().unwrap_or(Path::new("/")).to_owned();
    match source.kind() {
        _ if source.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            Error::Link { path: path.to_owned() }
        }
        io::ErrorKind::ReadOnlyFilesystem => Error::ReadOnly { path: parent(), source },
        io::ErrorKind::PermissionDenied if ["lock", "write"].contains(&doing) => {
            Error::ReadOnly { path: parent(), source }
        }
        _ => Error::Io { doing, path: path.to_owned(), source },
    }
}

/// Where `path` leads in the end, by way of no more links, and the user that root must not be led by further than that
/// user could go himself: one who made a link on the way. What such a link leads to must be that user's.
fn resolve(path: &Path) -> Result<(PathBuf, Option<u32>), Error> {
    let parts =
        |path: &Path| path.components().rev().map(|part| part.as_os_str().into()).collect::<Vec<OsString>>();
    let (mut done, mut rest) = (PathBuf::new(), parts(path));
    let (mut links, mut planter) = (0, None);
    while let Some(part) = rest.pop() {
        // The root takes the place of all before it; `..` is right, since there is no link before it.
        let next = done.join(part);
        let stat = match fs::symlink_metadata(&next) {
            Ok(stat) if stat.is_symlink() => stat,
            // What else may be wrong the opening will find.
            _ => {
                done = next;
                continue;
            }
        };
        links += 1;
        if links > MAX_LINKS {
            return Err(Error::Io { doing: "follow", path: next, source: Errno::LOOP.into() });
        }
        if geteuid().is_root() && stat.uid() != 0 {
            if planter.is_some_and(|planter| planter != stat.uid()) {
                return Err(Error::Link { path: next });
            }
            planter = Some(stat.uid());
        }
        rest.extend(parts(&fs::read_link(&next).map_err(|e| failed("follow", &next, e))?));
    }
    Ok((done, planter))
}
