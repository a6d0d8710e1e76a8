//! A lock that one process on the machine holds at a time, and that names its holder.
//!
//! It is an advisory lock (flock) on a file, so that it ends with its holder however that ends; the file itself means
//! nothing, is taken away by whoever is done, and left by one that is killed. The directory may be anybody's to write.
//! Everyone who can list it can also hold the lock: that keeps others waiting and is told by the path, no more.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io::{self, Read, Write},
    process,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, Stat},
    io::Errno,
    process::{Pid, geteuid, test_kill_process},
};

use crate::{
    cancel::Cancel,
    files::shared_dir::{SharedDir, give, new_owner},
};

/// How often a lock that is held is tried again.
const TURN: Duration = Duration::from_millis(20);
/// In this time a holder has written his name.
const NAMED: Duration = Duration::from_millis(200);

/// Who holds a lock, as far as it has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process; `None` where the lock file does not tell, as for an instant after it was taken.
    pub pid: Option<u32>,
    /// The name of its program.
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
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// Somebody has it.
    Held(Holder),
    /// The wait was called off.
    Cancelled,
    /// The file cannot be used.
    Io(io::Error),
}

impl From<io::Error> for NotTaken {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<Errno> for NotTaken {
    fn from(e: Errno) -> Self {
        Self::Io(e.into())
    }
}

/// The lock, until it is dropped.
#[derive(Debug)]
pub(crate) struct LockFile {
    dir: SharedDir,
    name: OsString,
    /// The lock itself: it goes when this is closed.
    _file: File,
    stat: Stat,
}

impl LockFile {
    /// Takes the lock on `name`, or waits for it.
    pub(crate) fn take(
        dir: SharedDir,
        name: &OsStr,
        wait: Duration,
        cancel: &Cancel,
    ) -> Result<Self, NotTaken> {
        let began = Instant::now();
        let (file, stat) = loop {
            match attempt(&dir, name) {
                Ok(Some(taken)) => break taken,
                // The name went to another file meanwhile.
                Ok(None) => {}
                Err(NotTaken::Held(holder)) => {
                    let wait = if holder.pid.is_none() { wait.max(NAMED) } else { wait };
                    let left = wait.saturating_sub(began.elapsed());
                    if left.is_zero() {
                        return Err(NotTaken::Held(holder));
                    }
                    if cancel.wait(TURN.min(left)) {
                        return Err(NotTaken::Cancelled);
                    }
                }
                Err(e) => return Err(e),
            }
        };
        Ok(Self { dir, name: name.to_owned(), _file: file, stat })
    }

    /// The directory that the lock is in.
    pub(crate) fn dir(&self) -> &SharedDir {
        &self.dir
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Before the lock goes, so that nobody else's file is meant. One that is not ours to take away stays.
        if self.dir.is(&self.name, &self.stat) {
            let _ = self.dir.remove(&self.name);
        }
    }
}

/// Tries once; `None` where the locked file has been taken away before it was locked.
fn attempt(dir: &SharedDir, name: &OsStr) -> Result<Option<(File, Stat)>, NotTaken> {
    let Some((mut file, stat, writable)) = open(dir, name)? else { return Ok(None) };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Err(NotTaken::Held(holder(&mut file))),
        done => done?,
    }
    if !dir.is(name, &stat) {
        return Ok(None);
    }
    // It has one name, which is in a directory where somebody wanted a lock: nobody's passwd is overwritten. A full disk
    // keeps the name from being written, not the lock.
    if writable && stat.st_nlink == 1 {
        let line = format!("{} {}\n", process::id(), program());
        let _ = file.set_len(0).and_then(|()| file.write_all(line.as_bytes()));
    }
    Ok(Some((file, stat)))
}

/// The file, whether it can be written, and made if need be.
fn open(dir: &SharedDir, name: &OsStr) -> io::Result<Option<(File, Stat, bool)>> {
    // First without O_CREAT: with it, the kernel refuses another user's file in a directory like /tmp
    // (fs.protected_regular).
    match dir.open_file(name, OFlags::RDWR) {
        Ok((file, stat)) => return Ok(Some((file, stat, true))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        // Another user's, left by a killed process: what can be read can be locked.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Some(dir.open_file(name, OFlags::RDONLY).map(|(file, stat)| (file, stat, false))?));
        }
        Err(e) => return Err(e),
    }
    match dir.open_file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL) {
        Ok((file, stat)) => {
            // Readable by those who are to find it locked, whatever the umask.
            rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
            if geteuid().is_root() {
                give(&file, new_owner(dir)?)?;
            }
            Ok(Some((file, stat, true)))
        }
        // Somebody was quicker.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(e) => Err(e),
    }
}

/// Who has written himself into the file. It may be anybody's: only a number and a plain name are taken from it, and a
/// process that is no more has left the file behind.
fn holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let _ = file.take(128).read_to_string(&mut text);
    let (pid, program) = text.trim_end().split_once(' ').unwrap_or_default();
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
    // As the kernel calls a program that was replaced while it runs.
    name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Seek,
        os::unix::fs::{PermissionsExt, symlink},
        path::Path,
        thread,
    };

    use super::*;

    fn take(dir: &Path, wait: Duration) -> Result<LockFile, NotTaken> {
        LockFile::take(SharedDir::open(dir).unwrap(), "lock".as_ref(), wait, &Cancel::new())
    }

    #[test]
    fn one_at_a_time_and_the_holder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path(), Duration::ZERO).unwrap();
        let Err(NotTaken::Held(holder)) = take(dir.path(), Duration::ZERO) else { panic!("taken twice") };
        assert_eq!((holder.pid, holder.program), (Some(process::id()), Some(program())));
        drop(first);
        assert!(!dir.path().join("lock").exists());
        take(dir.path(), Duration::ZERO).unwrap();
    }

    #[test]
    fn many_that_come_and_go_never_hold_it_together() {
        let dir = tempfile::tempdir().unwrap();
        let inside = std::sync::atomic::AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = loop {
                            match take(dir.path(), Duration::ZERO) {
                                Ok(lock) => break lock,
                                Err(NotTaken::Held(_)) => thread::yield_now(),
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
        let second = LockFile::take(dir, "lock".as_ref(), Duration::from_mins(1), &cancel);
        assert!(matches!(second, Err(NotTaken::Cancelled)));
    }

    #[test]
    fn what_is_planted_is_neither_followed_nor_written() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, other) = (dir.path().join("lock"), dir.path().join("other"));
        fs::write(&other, "precious").unwrap();
        symlink(&other, &lock).unwrap();
        let Err(NotTaken::Io(e)) = take(dir.path(), Duration::ZERO) else { panic!("followed") };
        assert_eq!(e.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        fs::remove_file(&lock).unwrap();
        // A second name can be locked as well as a first.
        fs::hard_link(&other, &lock).unwrap();
        drop(take(dir.path(), Duration::ZERO).unwrap());
        assert_eq!(fs::read(&other).unwrap(), b"precious");
        fs::create_dir(&lock).unwrap();
        assert!(matches!(take(dir.path(), Duration::ZERO), Err(NotTaken::Io(_))));
        fs::remove_dir(&lock).unwrap();
        // A leftover that nobody may write is locked all the same.
        fs::write(&lock, "1 init\n").unwrap();
        fs::set_permissions(&lock, fs::Permissions::from_mode(0o444)).unwrap();
        take(dir.path(), Duration::ZERO).unwrap();
    }

    #[test]
    fn what_a_lock_file_may_say() {
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
