//! The file lock of all tools: exclusive on this machine, and released when its holder ends.
//!
//! The lock is advisory (`flock`): programs that do not use it are not excluded. The lock file
//! names its holder and carries no other state. The holder deletes it on release, except after
//! [`FileLock::keep_file`]; a killed holder leaves it. The directory may be world-writable: any
//! user who can list it can hold the lock and block others, but gains nothing else.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt,
    fs::{self, File},
    io::{self, Read, Seek, Write},
    mem,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::Path,
    process,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, Stat},
    io::Errno,
    process::{Pid, geteuid, test_kill_process},
};

use super::{
    NONBLOCK, regular,
    shared_dir::{SharedDir, give, new_owner},
};
use crate::cancel::Cancel;

/// O_NOFOLLOW: another user may have planted a link.
const NOFOLLOW: i32 = OFlags::NOFOLLOW.bits() as i32;
/// Interval between attempts on a held lock.
const RETRY_EVERY: Duration = Duration::from_millis(20);
/// Time within which a holder writes its name after taking the lock.
const NAMED_WITHIN: Duration = Duration::from_millis(200);

/// The process that holds a lock, as far as the lock file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process id; `None` just after the lock was taken, and if the file names no live process.
    pub pid: Option<u32>,
    /// The program's name.
    pub program: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.program) {
            (Some(pid), Some(program)) => write!(f, "{program} (pid {pid})"),
            (Some(pid), None) => write!(f, "the process with pid {pid}"),
            (None, _) => f.write_str("another process"),
        }
    }
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds the lock.
    #[error("held by {0}")]
    Held(Holder),
    /// The wait was cancelled.
    #[error("the wait was cancelled")]
    Cancelled,
    /// The lock file cannot be used.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A held lock. Dropping it releases the lock and deletes the lock file, except after
/// [`FileLock::keep_file`].
#[derive(Debug)]
pub struct FileLock {
    dir: SharedDir,
    name: OsString,
    /// Closing its last copy releases the lock.
    file: File,
    stat: Stat,
    keep_file: bool,
}

impl FileLock {
    /// Takes the lock on the file `name` in `dir`, waiting up to `wait` for its holder. A symbolic
    /// link at that name is an error.
    pub fn take(dir: &Path, name: &OsStr, wait: Duration, cancel: &Cancel) -> Result<Self, LockError> {
        Self::take_in(SharedDir::open(dir)?, name, wait, cancel)
    }

    /// [`FileLock::take`] in an open directory.
    pub fn take_in(dir: SharedDir, name: &OsStr, wait: Duration, cancel: &Cancel) -> Result<Self, LockError> {
        let began = Instant::now();
        let (file, stat) = loop {
            match attempt(&dir, name) {
                Ok(Some(taken)) => break taken,
                Ok(None) => {}
                Err(LockError::Held(holder)) => {
                    let wait = if holder.pid.is_none() { wait.max(NAMED_WITHIN) } else { wait };
                    let left = wait.saturating_sub(began.elapsed());
                    if left.is_zero() {
                        return Err(LockError::Held(holder));
                    }
                    if cancel.wait(RETRY_EVERY.min(left)) {
                        return Err(LockError::Cancelled);
                    }
                }
                Err(e) => return Err(e),
            }
        };
        Ok(Self { dir, name: name.to_owned(), file, stat, keep_file: false })
    }

    /// Keeps the lock file on release. The next holder then needs no disk space, and a program that
    /// does not compare inodes cannot lock a deleted file while another program locks a new one.
    #[must_use]
    pub fn keep_file(mut self) -> Self {
        self.keep_file = true;
        self
    }

    /// The open lock file, for another process that is to hold the lock beside this one and after
    /// it.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The lock on the file `name` in `dir` that another process has taken, and whose descriptor it
    /// has handed over. The lock is shared until that process has closed its own.
    pub fn handed_over(dir: &Path, name: &OsStr, descriptor: OwnedFd) -> io::Result<Self> {
        let dir = SharedDir::open(dir)?;
        let mut file = File::from(descriptor);
        let stat = rustix::fs::fstat(&file)?;
        if !dir.is(name, &stat) || !try_lock(&file)? {
            return Err(io::Error::other("it is not the lock of the process that hands over"));
        }
        name_holder(&mut file, &stat);
        Ok(Self { dir, name: name.to_owned(), file, stat, keep_file: false })
    }

    /// The directory of the lock file.
    #[must_use]
    pub fn dir(&self) -> &SharedDir {
        &self.dir
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Delete while the lock is held: the name cannot yet refer to another holder's file.
        if !self.keep_file && self.dir.is(&self.name, &self.stat) {
            let _ = self.dir.remove(&self.name);
        }
    }
}

/// Opens the file at `path`, creating it if `make` is set, and locks the file itself until the last
/// copy of its descriptor is closed: for data that one process at a time writes and renames or
/// deletes.
///
/// Never blocks; symbolic links, FIFOs and devices are errors. Returns `WouldBlock` if another
/// process holds the lock, or held it and has renamed the file since.
pub fn open_locked(path: &Path, make: bool) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(make).truncate(false).mode(0o644).custom_flags(NONBLOCK | NOFOLLOW);
    let file = regular(options.open(path)?)?;
    let same = |file: &File| {
        let inode = file.metadata()?.ino();
        io::Result::Ok(fs::symlink_metadata(path).is_ok_and(|there| there.ino() == inode))
    };
    if try_lock(&file)? && same(&file)? { Ok(file) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

/// Locks the open file until its last descriptor is closed; `false` if another process holds the
/// lock.
fn try_lock(file: &File) -> io::Result<bool> {
    match fd_lock::RwLock::new(file).try_write() {
        // The guard would release the lock at the end of this function.
        Ok(guard) => {
            mem::forget(guard);
            Ok(true)
        }
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(e) => Err(e),
    }
}

/// Tries once; `None` if another process created, deleted or replaced the file in between.
fn attempt(dir: &SharedDir, name: &OsStr) -> Result<Option<(File, Stat)>, LockError> {
    let Some((mut file, stat, writable)) = open(dir, name)? else { return Ok(None) };
    if !try_lock(&file)? {
        return Err(LockError::Held(holder(&mut file)));
    }
    if !dir.is(name, &stat) {
        return Ok(None);
    }
    if writable {
        name_holder(&mut file, &stat);
    }
    Ok(Some((file, stat)))
}

/// Writes this process's name into its lock file. On a full disk the name is lost, not the lock.
fn name_holder(file: &mut File, stat: &Stat) {
    // A single link: the file is not another name of an important file.
    if stat.st_nlink == 1 {
        let line = format!("{} {}\n", process::id(), program());
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(line.as_bytes()));
    }
}

/// Opens the lock file, creating it if missing, and returns whether it is writable.
fn open(dir: &SharedDir, name: &OsStr) -> io::Result<Option<(File, Stat, bool)>> {
    // First without O_CREAT: with it, the kernel refuses another user's file in a directory like
    // /tmp (fs.protected_regular).
    match dir.open_file(name, OFlags::RDWR) {
        Ok((file, stat)) => return Ok(Some((file, stat, true))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        // A killed process of another user left the file. A readable file can be locked too.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Some(dir.open_file(name, OFlags::RDONLY).map(|(file, stat)| (file, stat, false))?));
        }
        Err(e) => return Err(e),
    }
    match dir.open_file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL) {
        Ok((file, stat)) => {
            // Independent of the umask: other users must be able to open the file and find it
            // locked.
            rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
            if geteuid().is_root() {
                give(&file, new_owner(dir)?)?;
            }
            Ok(Some((file, stat, true)))
        }
        // Another process created the file first.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads the holder from the file. Any user may have written it: only the id of a live process and
/// a plain name count.
fn holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let _ = file.take(128).read_to_string(&mut text);
    let text = text.trim_end();
    let (pid, program) = text.split_once(' ').unwrap_or((text, ""));
    let alive = |pid: &i32| Pid::from_raw(*pid).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH));
    let Some(pid) = pid.parse().ok().filter(|pid| *pid > 0).filter(alive) else {
        return Holder { pid: None, program: None };
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let named = (1..=64).contains(&program.len()) && program.chars().all(plain);
    Holder { pid: Some(pid as u32), program: named.then(|| program.to_owned()) }
}

/// The name of this program.
fn program() -> String {
    let path = env::current_exe().unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The kernel's mark for a program whose file was replaced or deleted while it runs.
    name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
        path::Path,
        thread,
    };

    use rustix::fs::FileType;

    use super::*;

    fn take(dir: &Path, wait: Duration) -> Result<FileLock, LockError> {
        FileLock::take_in(SharedDir::open(dir).unwrap(), "lock".as_ref(), wait, &Cancel::new())
    }

    #[test]
    fn a_lock_is_handed_over_without_a_moment_of_freedom() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path(), Duration::ZERO).unwrap().keep_file();
        let copy = first.descriptor().try_clone_to_owned().unwrap();
        let second = FileLock::handed_over(dir.path(), "lock".as_ref(), copy).unwrap().keep_file();
        drop(first);
        let Err(LockError::Held(holder)) = take(dir.path(), Duration::ZERO) else { panic!("taken twice") };
        assert_eq!(holder.pid, Some(process::id()));
        drop(second);
        let free = take(dir.path(), Duration::ZERO).unwrap();
        // Another file cannot stand for it.
        let other = File::create(dir.path().join("other")).unwrap();
        assert!(FileLock::handed_over(dir.path(), "lock".as_ref(), other.into()).is_err());
        drop(free);
    }

    #[test]
    fn one_at_a_time_and_the_holder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path(), Duration::ZERO).unwrap();
        let Err(LockError::Held(holder)) = take(dir.path(), Duration::ZERO) else { panic!("taken twice") };
        assert_eq!((holder.pid, holder.program), (Some(process::id()), Some(program())));
        drop(first);
        assert!(!dir.path().join("lock").exists());
        take(dir.path(), Duration::ZERO).unwrap();
    }

    #[test]
    fn the_file_is_kept_where_older_programs_lock_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = take(dir.path(), Duration::ZERO).unwrap().keep_file();
        // As an older program does: it opens the file, locks it later, and compares no inode.
        let older = File::options().read(true).write(true).open(&path).unwrap();
        assert!(!try_lock(&older).unwrap());
        drop(first);
        assert_eq!(fs::metadata(&path).unwrap().ino(), older.metadata().unwrap().ino());
        assert!(try_lock(&older).unwrap());
        assert!(matches!(take(dir.path(), Duration::ZERO), Err(LockError::Held(_))));
        drop(older);
        let inode = fs::metadata(&path).unwrap().ino();
        drop(take(dir.path(), Duration::ZERO).unwrap().keep_file());
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    }

    #[test]
    fn a_fifo_is_refused_without_blocking() {
        let dir = tempfile::tempdir().unwrap();
        // A user who cannot write it opens it for reading, which blocks without O_NONBLOCK.
        for mode in [0o600, 0o444] {
            let fifo = dir.path().join("lock");
            let mode = Mode::from_raw_mode(mode);
            rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
            let Err(LockError::Io(e)) = take(dir.path(), Duration::ZERO) else {
                panic!("{mode:?} is locked")
            };
            assert_eq!(e.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(
                open_locked(&fifo, true).unwrap_err().raw_os_error(),
                Some(Errno::NXIO.raw_os_error())
            );
            assert!(fs::symlink_metadata(&fifo).is_ok(), "it stays");
            fs::remove_file(&fifo).unwrap();
        }
    }

    #[test]
    fn two_holders_never_have_the_lock_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let inside = std::sync::atomic::AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = loop {
                            match take(dir.path(), Duration::ZERO) {
                                Ok(lock) => break lock,
                                Err(LockError::Held(_)) => thread::yield_now(),
                                Err(e) => panic!("{e:?}"),
                            }
                        };
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }

    #[test]
    fn waits_until_it_is_free_or_called_off() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path(), Duration::ZERO).unwrap();
        thread::scope(|scope| {
            let second = scope.spawn(|| take(dir.path(), Duration::from_mins(1)));
            drop(first);
            second.join().unwrap().unwrap();
        });
        let _first = take(dir.path(), Duration::ZERO).unwrap();
        let cancel = Cancel::new();
        cancel.cancel();
        let dir = SharedDir::open(dir.path()).unwrap();
        let second = FileLock::take_in(dir, "lock".as_ref(), Duration::from_mins(1), &cancel);
        assert!(matches!(second, Err(LockError::Cancelled)));
    }

    #[test]
    fn planted_links_and_fifos_are_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, other) = (dir.path().join("lock"), dir.path().join("other"));
        fs::write(&other, "precious").unwrap();
        symlink(&other, &lock).unwrap();
        let Err(LockError::Io(e)) = take(dir.path(), Duration::ZERO) else { panic!("followed") };
        assert_eq!(e.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        assert_eq!(open_locked(&lock, true).unwrap_err().raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        fs::remove_file(&lock).unwrap();
        // A second name can be locked as well as a first.
        fs::hard_link(&other, &lock).unwrap();
        drop(take(dir.path(), Duration::ZERO).unwrap());
        assert_eq!(fs::read(&other).unwrap(), b"precious");
        fs::create_dir(&lock).unwrap();
        assert!(matches!(take(dir.path(), Duration::ZERO), Err(LockError::Io(_))));
        fs::remove_dir(&lock).unwrap();
        // A leftover that nobody may write is locked all the same.
        fs::write(&lock, "1 init\n").unwrap();
        fs::set_permissions(&lock, fs::Permissions::from_mode(0o444)).unwrap();
        take(dir.path(), Duration::ZERO).unwrap();
    }

    #[test]
    fn the_holder_is_read_from_the_lock_file() {
        let me = process::id();
        let cases = [
            (format!("{me} tgs-stream\n"), Some(me), Some("tgs-stream")),
            (format!("{me} rm -rf\x1b[2J\n"), Some(me), None),
            (format!("{me} {}", "x".repeat(65)), Some(me), None),
            ("0 a".into(), None, None),
            ("-1 a".into(), None, None),
            // Above the kernel's highest.
            ("2000000000 a".into(), None, None),
            (String::new(), None, None),
            // As versions before 0.2 wrote it.
            (format!("{me}\n"), Some(me), None),
        ];
        for (text, pid, program) in cases {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.rewind().unwrap();
            let holder = holder(&mut file);
            assert_eq!((holder.pid, holder.program.as_deref()), (pid, program), "{text:?}");
        }
    }
}
