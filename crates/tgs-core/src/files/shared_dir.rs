//! Files in a directory that another user may write too: what root must do with care in a service's directory.
//!
//! Everything goes through the directory's descriptor, and names in it are never followed as links: whoever may write
//! there could plant one that leads to a file of root's. What is read and locked is a regular file that has this one
//! name, what is written is made anew and put in the name's place, and descriptors, not names, get owner and mode.
//!
//! [`crate::files`] is the simpler one, for what is the caller's alone.

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

/// No file that is handled this way is longer.
const LONGEST: u64 = 1 << 20;

/// A directory, kept open.
#[derive(Debug)]
pub(crate) struct SharedDir {
    fd: OwnedFd,
    path: PathBuf,
}

/// The owner of a file: user and group.
pub(crate) type Owner = (Uid, Gid);

impl SharedDir {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::open(path, flags, Mode::empty())?, path: path.to_owned() })
    }

    /// Opens one by a path in which all links have been followed. One that appears there meanwhile is [`Errno::LOOP`], where
    /// the kernel can tell (5.6).
    pub(crate) fn open_resolved(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
            // As some sandboxes answer too.
            Err(Errno::NOSYS | Errno::PERM) => Self::open(path),
            opened => Ok(Self { fd: opened?, path: path.to_owned() }),
        }
    }

    /// Where `name` is, for messages.
    pub(crate) fn at(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn owner(&self) -> io::Result<Owner> {
        rustix::fs::fstat(&self.fd).map(|stat| owner(&stat)).map_err(Into::into)
    }

    /// Opens a regular file, or makes one (0644) as the flags have it. A link is [`Errno::LOOP`], as the kernel has it;
    /// anything else that is no file is `InvalidInput`.
    pub(crate) fn open_file(&self, name: &OsStr, flags: OFlags) -> io::Result<(File, Stat)> {
        // A pipe's open would wait for the other side.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o644))?);
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok((file, stat))
    }

    /// The content of a file and what it is; `None` where there is no such name.
    pub(crate) fn read(&self, name: &OsStr) -> io::Result<Option<(Vec<u8>, Stat)>> {
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

    /// Whether `name` still stands for this open file.
    pub(crate) fn is(&self, name: &OsStr, stat: &Stat) -> bool {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|there| (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino))
    }

    /// Puts a file with these `bytes`, this owner and mode in the place of `name`, at once and for good. Only one process
    /// at a time may do that to a name, so the caller holds a lock: the new file grows under a fixed name beside it, of
    /// which a killed writer leaves one and no more.
    pub(crate) fn write(&self, name: &OsStr, bytes: &[u8], owner: Owner, mode: u32) -> io::Result<()> {
        let growing = with(name, ".tgs-new");
        self.remove(&growing)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let created = rustix::fs::openat(&self.fd, &growing, flags, Mode::from_raw_mode(0o600))?;
        let mut file = File::from(created);
        let written = give(&file, owner)
            .and_then(|()| file.write_all(bytes))
            // Exactly this mode, whatever the umask.
            .and_then(|()| Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?))
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(rustix::fs::renameat(&self.fd, &growing, &self.fd, name)?));
        if written.is_err() {
            let _ = self.remove(&growing);
        }
        written?;
        // The name is the directory's content.
        rustix::fs::fsync(&self.fd).map_err(Into::into)
    }

    /// Takes a name away, and not what it may link to. One that is not there is fine.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(e) if e != Errno::NOENT => Err(e.into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        rustix::fs::renameat(&self.fd, from, &self.fd, to).map_err(Into::into)
    }
}

pub(crate) fn owner(stat: &Stat) -> Owner {
    (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid))
}

/// The owner of a file that is yet to be made: where root makes it, that of the directory.
pub(crate) fn new_owner(dir: &SharedDir) -> io::Result<Owner> {
    if geteuid().is_root() { dir.owner() } else { Ok((geteuid(), rustix::process::getegid())) }
}

/// Makes `owner` the file's owner.
pub(crate) fn give(file: &File, (user, group): Owner) -> io::Result<()> {
    let stat = rustix::fs::fstat(file)?;
    if owner(&stat) == (user, group) {
        return Ok(());
    }
    match rustix::fs::fchown(file, Some(user), Some(group)) {
        // A group that the caller is no member of: a file that only its owner can open loses nothing by another.
        Err(Errno::PERM) if Uid::from_raw(stat.st_uid) == user => Ok(()),
        done => done.map_err(Into::into),
    }
}

/// `name` with something behind it.
pub(crate) fn with(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}
