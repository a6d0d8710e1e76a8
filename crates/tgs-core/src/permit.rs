//! The permit to publish: until when this process may send media.
//!
//! A broadcast on one host has [`Permit::always`]. With a hot standby, each renewal of the lease
//! extends the permit; a sender checks it before each write and registers its connection. A thread
//! aborts all connections when the permit ends, also while a writer is blocked. An ended
//! permit stays ended: the next term on air has another one.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::{
    fs::Timespec,
    thread::{ClockId, clock_nanosleep_absolute},
    time::clock_gettime,
};

/// How often the fence looks at a permit whose end may have been moved forward.
const LOOK: Duration = Duration::from_secs(1);

/// The time since boot, with the time that the machine was suspended (`CLOCK_BOOTTIME`).
#[must_use]
pub fn boot_time() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// A permit to publish. Clones share it.
#[derive(Clone, Default)]
pub struct Permit(Option<Arc<Term>>);

/// A permit that ends.
struct Term {
    /// The end as nanoseconds of [`boot_time`].
    until: AtomicU64,
    ended: AtomicBool,
    silence: Duration,
    /// What aborts each open connection, by its number.
    open: Mutex<Vec<(u64, Abort)>>,
    next: AtomicU64,
}

type Abort = Box<dyn Fn() + Send>;

impl Permit {
    /// A permit without an end.
    #[must_use]
    pub fn always() -> Self {
        Self(None)
    }

    /// A permit that has not begun. `silence` is what [`Permit::silence`] returns.
    #[must_use]
    pub fn pending(silence: Duration) -> Self {
        Self(Some(Arc::new(Term {
            until: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            silence,
            open: Mutex::default(),
            next: AtomicU64::new(0),
        })))
    }

    /// A permit that has begun; see [`Permit::pending`] and [`Permit::begin`].
    pub fn until(until: Duration, silence: Duration) -> io::Result<Self> {
        let permit = Self::pending(silence);
        permit.begin(until)?;
        Ok(permit)
    }

    /// Begins a pending permit, once: it ends at `until` (by [`boot_time`]) unless it is extended.
    /// Starts the thread that aborts the connections.
    pub fn begin(&self, until: Duration) -> io::Result<()> {
        let Some(term) = &self.0 else { return Ok(()) };
        term.until.store(nanos(until), Ordering::SeqCst);
        let watched = Arc::downgrade(term);
        thread::Builder::new().name("fence".into()).spawn(move || Term::watch(&watched)).map(drop)
    }

    /// Whether the permit has ended. One that has not begun has not.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|term| {
            term.ended.load(Ordering::SeqCst) || term.until.load(Ordering::SeqCst) != 0 && !term.is_valid()
        })
    }

    /// Whether media may be sent now.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.0.as_ref().is_none_or(|term| term.is_valid())
    }

    /// Moves the end to `until`; `None` removes it. Has no effect on an ended permit.
    pub fn extend(&self, until: Option<Duration>) {
        if let Some(term) = &self.0 {
            term.until.store(until.map_or(u64::MAX, nanos), Ordering::SeqCst);
        }
    }

    /// The time left; `None` without an end.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let term = self.0.as_ref()?;
        let until = term.until.load(Ordering::SeqCst);
        let left = || Duration::from_nanos(until).saturating_sub(boot_time());
        if term.ended.load(Ordering::SeqCst) { Some(Duration::ZERO) } else { (until != u64::MAX).then(left) }
    }

    /// How long a server may leave media unacknowledged before its connection is given up; `None`
    /// without a limit of the permit's own.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        self.0.as_ref().map(|term| term.silence)
    }

    /// Ends the permit now, and aborts the connections.
    pub fn end(&self) {
        if let Some(term) = &self.0 {
            term.end();
        }
    }

    /// Registers an open connection: `abort` is called once when the permit ends, at once if it has
    /// ended. `abort` must not block. Dropping the result removes the connection.
    #[must_use]
    pub fn register(&self, abort: impl Fn() + Send + 'static) -> PermitGuard {
        let Some(term) = &self.0 else { return PermitGuard(None) };
        let number = term.next.fetch_add(1, Ordering::SeqCst);
        // Under the lock: `end` either sees the entry, or its flag is seen here.
        let mut open = term.lock();
        if !term.is_valid() {
            abort();
        }
        open.push((number, Box::new(abort)));
        drop(open);
        PermitGuard(Some((term.clone(), number)))
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.left() {
            None => f.write_str("Permit(no end)"),
            Some(left) => write!(f, "Permit({left:?} left)"),
        }
    }
}

impl Term {
    fn is_valid(&self) -> bool {
        !self.ended.load(Ordering::SeqCst) && nanos(boot_time()) < self.until.load(Ordering::SeqCst)
    }

    fn end(&self) {
        let open = self.lock();
        self.ended.store(true, Ordering::SeqCst);
        for (_, abort) in &*open {
            abort();
        }
    }

    /// Ends the permit when it is due, until nobody holds it.
    fn watch(watched: &Weak<Self>) {
        while let Some(term) = watched.upgrade() {
            if term.ended.load(Ordering::SeqCst) {
                return;
            }
            if !term.is_valid() {
                return term.end();
            }
            let until = term.until.load(Ordering::SeqCst).min(nanos(boot_time() + LOOK));
            drop(term);
            // An interrupted sleep only looks earlier.
            let _ = clock_nanosleep_absolute(ClockId::Boottime, &timespec(Duration::from_nanos(until)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, Abort)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection under a permit.
pub struct PermitGuard(Option<(Arc<Term>, u64)>);

impl Drop for PermitGuard {
    fn drop(&mut self) {
        if let Some((term, number)) = &self.0 {
            term.lock().retain(|(other, _)| other != number);
        }
    }
}

impl fmt::Debug for PermitGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PermitGuard")
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_permit_without_an_end_is_always_valid() {
        let permit = Permit::always();
        let _guard = permit.register(|| panic!("aborted"));
        permit.end();
        assert!(permit.is_valid() && permit.left().is_none());
    }

    #[test]
    fn a_pending_permit_is_neither_valid_nor_over() {
        let permit = Permit::pending(HOUR);
        assert!(!permit.is_valid() && !permit.is_over());
        permit.begin(boot_time() + HOUR).unwrap();
        assert!(permit.is_valid() && !permit.is_over());
        permit.end();
        assert!(!permit.is_valid() && permit.is_over());
    }

    #[test]
    fn the_fence_aborts_at_the_end_although_the_writer_does_nothing() {
        let (aborted, aborts) = mpsc::channel();
        let permit = Permit::until(boot_time() + Duration::from_millis(100), HOUR).unwrap();
        let _guard = permit.register(move || aborted.send(boot_time()).unwrap());
        assert!(permit.is_valid());
        aborts.recv().unwrap();
        assert!(!permit.is_valid());
        permit.extend(Some(boot_time() + HOUR));
        assert!(!permit.is_valid(), "an ended permit is extended");
    }

    #[test]
    fn an_early_end_aborts_at_once_and_later_connections_too() {
        let (aborted, aborts) = mpsc::channel();
        let permit = Permit::until(boot_time() + HOUR, HOUR).unwrap();
        let gone = {
            let aborted = aborted.clone();
            permit.register(move || aborted.send("gone").unwrap())
        };
        drop(gone);
        permit.extend(None);
        assert!(permit.left().is_none());
        permit.end();
        assert!(aborts.try_recv().is_err());
        let _late = permit.register(move || aborted.send("late").unwrap());
        assert_eq!(aborts.try_recv(), Ok("late"));
    }
}
