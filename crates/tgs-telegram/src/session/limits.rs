//! Limits sign-ins through the standby session to five per account in any 24 hours: Telegram locks
//! an account that signs in too often, and a process in a crash loop would not stop by itself.
//!
//! The state directory stores the times, one per line, each on disk before its attempt. All
//! instances that share the directory share the count. Only counts: the caller signs in.

use std::{
    ffi::OsString,
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tgs_core::{
    cancel::Cancel,
    files::{
        lock::{FileLock, Holder, LockError},
        shared_dir::{SharedDir, new_owner, owner, with_suffix},
    },
    time::hours_and_minutes,
};

/// Limit of attempts in a [`DAY`].
const MOST: usize = 5;
/// The window, in seconds.
const DAY: u64 = 24 * 60 * 60;
/// Time limit for another process to write one small file.
const WAIT: Duration = Duration::from_secs(10);

/// The count of one account's sign-ins.
#[derive(Debug)]
pub struct SignInLimit {
    dir: PathBuf,
    name: OsString,
}

/// Why a sign-in is not allowed now.
#[derive(Debug, thiserror::Error)]
pub enum SignInLimitError {
    /// The limit is reached.
    #[error("{MOST} sign-ins of this account in 24 hours are enough; the next may be in {}", hours_and_minutes(*.left))]
    Exhausted {
        /// When the next attempt is allowed.
        until: SystemTime,
        /// The time until then.
        left: Duration,
    },
    /// Another process holds the lock of the count.
    #[error("the count of sign-ins {} is held by {holder}", .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// The other process.
        holder: Holder,
    },
    /// The count cannot be stored; without it no attempt is allowed.
    #[error("cannot keep the count of sign-ins in {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl SignInLimit {
    /// Opens the count of `account` (its user id) in `state_dir`, which is created if missing.
    pub fn open(state_dir: &Path, account: u64) -> Result<Self, SignInLimitError> {
        let this = Self { dir: state_dir.into(), name: format!("sign-ins-{account}").into() };
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(|e| this.failed(e))?;
        Ok(this)
    }

    /// Records an attempt at `now` if the limit allows it; the record is on disk on return.
    pub fn try_take(&self, now: SystemTime) -> Result<(), SignInLimitError> {
        let lock = self.lock()?;
        let now = seconds(now);
        let (mut counted, kept) = self.load(lock.dir(), now).map_err(|e| self.failed(e))?;
        let taken = counted.take(now);
        // Store after a refusal too: times from a wrong clock must expire relative to `now`.
        if counted != kept {
            self.store(lock.dir(), &counted).map_err(|e| self.failed(e))?;
        }
        taken.map_err(|until| SignInLimitError::Exhausted {
            until: UNIX_EPOCH + Duration::from_secs(until),
            left: Duration::from_secs(until - now),
        })
    }

    /// Returns the remaining attempts at `now`, 0 to 5. Only reads; an unreadable count means 0.
    #[must_use]
    pub fn left(&self, now: SystemTime) -> usize {
        let read = SharedDir::open(&self.dir).and_then(|dir| dir.read(&self.name));
        let counted = match &read {
            Ok(None) => Some(Counted::default()),
            Ok(Some((bytes, _))) => Counted::parse(bytes),
            Err(_) => None,
        };
        counted.map_or(0, |mut counted| {
            counted.pass(seconds(now));
            MOST.saturating_sub(counted.0.len())
        })
    }

    fn lock(&self) -> Result<FileLock, SignInLimitError> {
        let dir = SharedDir::open(&self.dir).map_err(|e| self.failed(e))?;
        FileLock::take_in(dir, &with_suffix(&self.name, ".lock"), WAIT, &Cancel::new()).map_err(|e| match e {
            LockError::Held(holder) => SignInLimitError::Busy { path: self.dir.join(&self.name), holder },
            LockError::Cancelled => self.failed(io::ErrorKind::Interrupted.into()),
            LockError::Io(e) => self.failed(e),
        })
    }

    /// Returns the count, and the count that the file holds. A malformed file is renamed and counts
    /// as one attempt: as none, damage would bypass the limit; as five, a stream could stay down
    /// for a day.
    fn load(&self, dir: &SharedDir, now: u64) -> io::Result<(Counted, Counted)> {
        let Some((bytes, _)) = dir.read(&self.name)? else { return Ok(<_>::default()) };
        if let Some(counted) = Counted::parse(&bytes) {
            return Ok((counted.clone(), counted));
        }
        let aside = with_suffix(&self.name, ".corrupt");
        dir.rename(&self.name, &aside)?;
        log::warn!(
            "{} does not hold a count of sign-ins; it is now {}, and counts as one sign-in",
            dir.at(&self.name).display(),
            dir.at(&aside).display()
        );
        Ok((Counted(vec![now]), Counted::default()))
    }

    fn store(&self, dir: &SharedDir, counted: &Counted) -> io::Result<()> {
        let owner = match dir.read(&self.name)? {
            Some((_, stat)) => owner(&stat),
            None => new_owner(dir)?,
        };
        dir.write(&self.name, counted.text().as_bytes(), owner, 0o600)
    }

    fn failed(&self, source: io::Error) -> SignInLimitError {
        SignInLimitError::Io { path: self.dir.join(&self.name), source }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Times of attempts, in seconds since 1970, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counted(Vec<u64>);

impl Counted {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut times: Vec<u64> =
            str::from_utf8(bytes).ok()?.lines().map(str::parse).collect::<Result<_, _>>().ok()?;
        times.sort_unstable();
        Some(Self(times))
    }

    fn text(&self) -> String {
        self.0.iter().flat_map(|time| [time.to_string(), "\n".into()]).collect()
    }

    /// Drops times older than a day. A future time was recorded before the clock was set back; its
    /// true age is unknown, so it becomes `now`.
    fn pass(&mut self, now: u64) {
        self.0.retain(|time| time.saturating_add(DAY) > now);
        for time in &mut self.0 {
            *time = now.min(*time);
        }
    }

    /// Records an attempt, or returns when the next attempt is allowed.
    fn take(&mut self, now: u64) -> Result<(), u64> {
        self.pass(now);
        if self.0.len() >= MOST {
            return Err(self.0[self.0.len() - MOST] + DAY);
        }
        self.0.push(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use proptest::prelude::*;

    use super::*;

    const NOON: u64 = 1_800_000_000;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    fn until(result: Result<(), SignInLimitError>) -> Option<SystemTime> {
        match result {
            Err(SignInLimitError::Exhausted { until, .. }) => Some(until),
            Ok(()) => None,
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn five_in_any_day_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let take = |second| until(SignInLimit::open(dir.path(), 7).unwrap().try_take(at(NOON + second)));
        for second in [0, 0, 10, 20, 30] {
            assert_eq!(take(second), None);
        }
        assert_eq!(take(40), Some(at(NOON + DAY)));
        assert_eq!(take(DAY - 1), Some(at(NOON + DAY)));
        // Two have passed.
        assert_eq!((take(DAY), take(DAY), take(DAY)), (None, None, Some(at(NOON + DAY + 10))));
        assert_eq!(take(3 * DAY), None);
        let limit = SignInLimit::open(dir.path(), 7).unwrap();
        assert_eq!((limit.left(at(NOON + 3 * DAY)), limit.left(at(NOON + 5 * DAY))), (4, 5));
        let other = SignInLimit::open(dir.path(), 8).unwrap();
        assert_eq!(other.left(at(NOON)), 5);
    }

    #[test]
    fn a_clock_that_is_set_back_neither_frees_nor_locks_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let limit = SignInLimit::open(dir.path(), 7).unwrap();
        let year = 365 * DAY;
        for _ in 0..5 {
            limit.try_take(at(NOON + year)).unwrap();
        }
        assert_eq!(limit.left(at(NOON)), 0);
        assert_eq!(until(limit.try_take(at(NOON))), Some(at(NOON + DAY)));
        assert_eq!(until(limit.try_take(at(NOON + 60))), Some(at(NOON + DAY)));
        assert_eq!(until(limit.try_take(at(NOON + DAY))), None);
        // Before 1970, as a board without a clock begins.
        assert!(until(limit.try_take(UNIX_EPOCH - Duration::from_secs(9))).is_none());
    }

    #[test]
    fn a_damaged_count_is_put_aside_and_counts_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let limit = SignInLimit::open(dir.path(), 7).unwrap();
        for damage in [&b"\0\0\0\0"[..], b"\xff", b"-1\n", b"99999999999999999999999\n"] {
            fs::write(dir.path().join("sign-ins-7"), damage).unwrap();
            assert_eq!(limit.left(at(NOON)), 0);
            limit.try_take(at(NOON)).unwrap();
            assert_eq!(limit.left(at(NOON)), 3);
            assert_eq!(fs::read(dir.path().join("sign-ins-7.corrupt")).unwrap(), damage);
        }
    }

    #[test]
    fn many_at_once_share_the_five() {
        let dir = tempfile::tempdir().unwrap();
        let allowed: usize = thread::scope(|scope| {
            let take = || SignInLimit::open(dir.path(), 7).unwrap().try_take(at(NOON)).is_ok();
            let threads: Vec<_> = (0..12).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
        });
        assert_eq!(allowed, 5);
    }

    #[test]
    fn a_count_that_cannot_be_kept_allows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sign-ins-7")).unwrap();
        let limit = SignInLimit::open(dir.path(), 7).unwrap();
        assert!(matches!(limit.try_take(at(NOON)), Err(SignInLimitError::Io { .. })));
        std::os::unix::fs::symlink("/dev/null", dir.path().join("sign-ins-8")).unwrap();
        let limit = SignInLimit::open(dir.path(), 8).unwrap();
        assert!(matches!(limit.try_take(at(NOON)), Err(SignInLimitError::Io { .. })));
        assert!(dir.path().join("sign-ins-8").is_symlink());
    }

    #[test]
    fn the_words() {
        let cases = [(1, "1 min"), (60, "1 min"), (3600, "1 h"), (7261, "2 h 2 min"), (DAY, "24 h")];
        for (second, shown) in cases {
            let left = Duration::from_secs(second);
            let words = SignInLimitError::Exhausted { until: UNIX_EPOCH, left }.to_string();
            assert_eq!(
                words,
                format!("5 sign-ins of this account in 24 hours are enough; the next may be in {shown}")
            );
        }
    }

    proptest! {
        #[test]
        fn no_day_has_more_than_five(steps in prop::collection::vec(0..20_000_u64, 1..60)) {
            let (mut counted, mut now, mut allowed) = (Counted::default(), NOON, Vec::new());
            for step in steps {
                now += step;
                match counted.take(now) {
                    Ok(()) => allowed.push(now),
                    Err(until) => prop_assert!(until > now && until <= now + DAY),
                }
                prop_assert_eq!(Counted::parse(counted.text().as_bytes()), Some(counted.clone()));
            }
            for six in allowed.windows(MOST + 1) {
                prop_assert!(six[MOST] - six[0] >= DAY);
            }
        }
    }
}
