//! A directory that another user may write to, for root's access to a service's directory.
//!
//! All access uses the directory's descriptor and follows no link at a name in it: the service
//! could plant a link to a file of root's. Only regular files are read and locked. A write replaces
//! the name by a new file. Owner and mode are set on descriptors.
//!
//! For directories that only the caller writes to, use [`crate::files`].

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid},
    io::Errno,
    process::geteuid,
};

/// Limit of a file's size, in bytes.
const LONGEST: u64 = 1 << 20;

/// An open directory.
#[derive(Debug)]
pub struct SharedDir {
    fd: OwnedFd,
    path: PathBuf,
}

/// The owner of a file: user and group.
pub type DirOwner = (Uid, Gid);

impl SharedDir {
    /// Opens the directory at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::open(path, flags, Mode::empty())?, path: path.to_owned() })
    }

    /// Opens a directory by a path whose links are already resolved. A link that appeared since is
    /// [`Errno::LOOP`], on kernels with openat2 (5.6).
    pub fn open_resolved(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
            // Some sandboxes answer openat2 with EPERM.
            Err(Errno::NOSYS | Errno::PERM) => Self::open(path),
            opened => Ok(Self { fd: opened?, path: path.to_owned() }),
        }
    }

    /// The path of `name`, for messages.
    #[must_use]
    pub fn at(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn owner(&self) -> io::Result<DirOwner> {
        rustix::fs::fstat(&self.fd).map(|stat| owner(&stat)).map_err(Into::into)
    }

    /// Opens a regular file, or creates it (0644) if `flags` contain `CREATE`. A link is
    /// [`Errno::LOOP`]; any other file type is `InvalidInput`.
    pub(crate) fn open_file(&self, name: &OsStr, flags: OFlags) -> io::Result<(File, Stat)> {
        // O_NONBLOCK: opening a FIFO would wait for its other end.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o644))?);
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok((file, stat))
    }

    /// Returns the content and status of a file; `None` if the name does not exist.
    pub fn read(&self, name: &OsStr) -> io::Result<Option<(Vec<u8>, Stat)>> {
        let (file, stat) = match self.open_file(name, OFlags::RDONLY) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some((bytes, stat)))
    }

    /// Whether `name` still refers to this open file.
    pub(crate) fn is(&self, name: &OsStr, stat: &Stat) -> bool {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|there| (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino))
    }

    /// Atomically replaces `name` by a file with these `bytes`, `owner` and `mode`. The caller must
    /// hold a lock: the new file has a fixed name, so that killed writers leave at most one.
    pub fn write(&self, name: &OsStr, bytes: &[u8], owner: DirOwner, mode: u32) -> io::Result<()> {
        let growing = with_suffix(name, ".tgs-new");
        self.remove(&growing)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let created = rustix::fs::openat(&self.fd, &growing, flags, Mode::from_raw_mode(0o600))?;
        let mut file = File::from(created);
        let written = give(&file, owner)
            .and_then(|()| file.write_all(bytes))
            // Exactly this mode, independent of the umask.
            .and_then(|()| Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?))
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(rustix::fs::renameat(&self.fd, &growing, &self.fd, name)?));
        if written.is_err() {
            let _ = self.remove(&growing);
        }
        written?;
        // The rename is durable only after an fsync of the directory.
        rustix::fs::fsync(&self.fd).map_err(Into::into)
    }

    /// Deletes a name, never a link's target. A missing name is not an error.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(e) if e != Errno::NOENT => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// Renames `from` to `to`, which is replaced if it exists.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        rustix::fs::renameat(&self.fd, from, &self.fd, to).map_err(Into::into)
    }
}

/// The owner in a file's status.
#[must_use]
pub fn owner(stat: &Stat) -> DirOwner {
    (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid))
}

/// The owner of a new file: the directory's owner if root creates it, else the caller.
pub fn new_owner(dir: &SharedDir) -> io::Result<DirOwner> {
    if geteuid().is_root() { dir.owner() } else { Ok((geteuid(), rustix::process::getegid())) }
}

/// Sets the owner of the file.
pub(crate) fn give(file: &File, (user, group): DirOwner) -> io::Result<()> {
    let stat = rustix::fs::fstat(file)?;
    if owner(&stat) == (user, group) {
        return Ok(());
    }
    match rustix::fs::fchown(file, Some(user), Some(group)) {
        // The caller is not in that group. A file that only its owner can open does not need it.
        Err(Errno::PERM) if Uid::from_raw(stat.st_uid) == user => Ok(()),
        done => done.map_err(Into::into),
    }
}

/// Appends `suffix` to `name`.
#[must_use]
pub fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}
