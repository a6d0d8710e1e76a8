//! Allows one process on a machine to use a session at a time: Telegram ends a session for good
//! that is used in two places (`AUTH_KEY_DUPLICATED`).
//!
//! The lock is a file in `/run/lock`, where every user can create files, named by a hash of the
//! session's key. The hash differs from the fingerprint in logs, so that a reader of logs cannot
//! take the lock beforehand. A local user who lists the directory can hold a session's lock, but
//! the error names that process, and the user gains nothing else. Other containers and machines are
//! not covered.

use std::{
    ffi::OsString,
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tgs_core::{
    cancel::Cancel,
    digest::Digest,
    files::lock::{FileLock, Holder, LockError},
};

use super::string::AuthKey;

/// World-writable like /tmp, but never hidden by a unit's `PrivateTmp=`.
const MACHINE: &str = "/run/lock";

/// Exclusive use of a session on this machine, until this is dropped or the process ends.
#[derive(Debug)]
pub struct SessionLock {
    _lock: FileLock,
}

/// Why the session cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SessionLockError {
    /// Another process uses the session, or this process already does.
    #[error("the session is in use by {0}, and Telegram ends a session that is used twice")]
    Held(Holder),
    /// No directory accepts the lock file.
    #[error("cannot lock the session by a file in {}: {source}", .path.display())]
    Unusable {
        /// The last directory tried.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl SessionLock {
    /// Locks the session with this key, or returns its holder without waiting. If `/run/lock` is
    /// unusable, logs a warning and locks in `state_dir`, created if missing: a process with
    /// another `state_dir` is then not detected.
    pub fn take(key: &AuthKey, state_dir: Option<&Path>) -> Result<Self, SessionLockError> {
        Self::take_in(Path::new(MACHINE), key, state_dir)
    }

    fn take_in(machine: &Path, key: &AuthKey, state_dir: Option<&Path>) -> Result<Self, SessionLockError> {
        let (source, state_dir) = match (lock(machine, key), state_dir) {
            (Ok(lock), _) => return Ok(Self { _lock: lock }),
            (Err(LockError::Held(holder)), _) => return Err(SessionLockError::Held(holder)),
            (Err(e), Some(dir)) => (cause(e), dir),
            (Err(e), None) => {
                return Err(SessionLockError::Unusable { path: machine.into(), source: cause(e) });
            }
        };
        log::warn!(
            "{} cannot be used ({source}), so the session is locked in {}: a tgs tool with another STATE_DIR would not \
             notice that it is in use",
            machine.display(),
            state_dir.display()
        );
        let unusable = |source| SessionLockError::Unusable { path: state_dir.into(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(unusable)?;
        match lock(state_dir, key) {
            Ok(lock) => Ok(Self { _lock: lock }),
            Err(LockError::Held(holder)) => Err(SessionLockError::Held(holder)),
            Err(e) => Err(unusable(cause(e))),
        }
    }
}

fn lock(dir: &Path, key: &AuthKey) -> Result<FileLock, LockError> {
    FileLock::take(dir, &name(key), Duration::ZERO, &Cancel::new())
}

fn cause(e: LockError) -> io::Error {
    match e {
        LockError::Io(e) => e,
        LockError::Held(_) | LockError::Cancelled => io::ErrorKind::WouldBlock.into(),
    }
}

/// The lock file's name for this key.
fn name(key: &AuthKey) -> OsString {
    let mut digest = Digest::default();
    digest.add(b"tgs session lock\0");
    digest.add(key.expose());
    format!("tgs-session-{}.lock", &digest.hex()[..16]).into()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, process};

    use super::*;

    fn key(byte: u8) -> AuthKey {
        AuthKey::new([byte; 256])
    }

    #[test]
    fn one_process_at_a_time_for_each_key() {
        let dir = tempfile::tempdir().unwrap();
        let take = |byte| SessionLock::take_in(dir.path(), &key(byte), None);
        let first = take(1).unwrap();
        let _other = take(2).unwrap();
        let Err(SessionLockError::Held(holder)) = take(1) else { panic!("taken twice") };
        assert_eq!(holder.pid, Some(process::id()));
        drop(first);
        take(1).unwrap();
    }

    #[test]
    fn the_name_tells_neither_key_nor_fingerprint() {
        let name = name(&key(0xab)).into_string().unwrap();
        assert_eq!(name.len(), "tgs-session-0123456789abcdef.lock".len());
        assert!(!name.contains(&key(0xab).fingerprint()) && !name.contains("abab"), "{name}");
    }

    #[test]
    fn falls_back_to_the_state_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (none, state) = (dir.path().join("none"), dir.path().join("state/of/tgs"));
        let Err(SessionLockError::Unusable { path, .. }) = SessionLock::take_in(&none, &key(1), None) else {
            panic!("locked nowhere")
        };
        assert_eq!(path, none);
        let _first = SessionLock::take_in(&none, &key(1), Some(&state)).unwrap();
        assert!(matches!(SessionLock::take_in(&none, &key(1), Some(&state)), Err(SessionLockError::Held(_))));
        // A planted link leads there too, not to where it points.
        fs::write(dir.path().join("precious"), "precious").unwrap();
        let machine = tempfile::tempdir().unwrap();
        symlink(dir.path().join("precious"), machine.path().join(name(&key(2)))).unwrap();
        let _second = SessionLock::take_in(machine.path(), &key(2), Some(&state)).unwrap();
        assert_eq!(fs::read(dir.path().join("precious")).unwrap(), b"precious");
    }

    #[test]
    fn the_words() {
        let holder = Holder { pid: Some(4711), program: Some("tgs-stream".into()) };
        let words =
            "the session is in use by tgs-stream (pid 4711), and Telegram ends a session that is used twice";
        assert_eq!(SessionLockError::Held(holder).to_string(), words);
    }
}
