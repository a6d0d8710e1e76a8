//! Notifications to systemd (`Type=notify`): readiness, a status line, and the watchdog's ping for
//! `WatchdogSec=`. Does nothing unless systemd started the tool.
//!
//! The ping depends on whether loops iterate, never on a peer: an unreachable server must not
//! restart the tool.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use sd_notify::NotifyState;

use crate::supervise::contain;

/// Interval of status updates and heartbeat checks.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Limit of a status line, in bytes; systemd truncates longer ones.
const LONGEST: usize = 500;

/// Sends `READY=1`: the tool works, or waits and reports the reason.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Sends `STOPPING=1`: the tool has begun to stop.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Sends `MAINPID=`: another process of the unit takes this one's place. Only its notifications
/// count from then on.
pub fn main_process(pid: u32) {
    notify(&[NotifyState::MainPid(pid)]);
}

/// Whether systemd supervises the process; then no operator at a terminal can fix a problem.
#[must_use]
pub fn is_supervising() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("failed to notify systemd: {error}");
    }
}

/// The heartbeats of a process. A stuck loop or a dead thread withholds the watchdog ping.
#[derive(Debug, Clone, Default)]
pub struct Watchdog(Arc<Mutex<Vec<Watched>>>);

/// Value of [`Watched::limit`] for a dead thread.
const DEAD: Duration = Duration::ZERO;

#[derive(Debug)]
struct Watched {
    name: &'static str,
    /// Time limit of one iteration.
    limit: Duration,
    began: Instant,
    /// The last heartbeat, in milliseconds after `began`.
    last_beat: Arc<AtomicU64>,
}

/// The heartbeat of one loop. Dropping it ends the watch.
#[derive(Debug)]
pub struct Heartbeat {
    watchdog: Watchdog,
    began: Instant,
    last_beat: Arc<AtomicU64>,
}

impl Watchdog {
    /// Watches the loop `name`, whose iterations take at most `limit`.
    #[must_use]
    pub fn watch(&self, name: &'static str, limit: Duration) -> Heartbeat {
        let (began, last_beat) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        self.with(|all| all.push(Watched { name, limit, began, last_beat: last_beat.clone() }));
        Heartbeat { watchdog: self.clone(), began, last_beat }
    }

    /// Records that the vital thread `name` died. Withholds the ping for good, so that systemd
    /// kills the process if its shutdown hangs.
    pub fn died(&self, name: &'static str) {
        let (began, last_beat) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        self.with(|all| all.push(Watched { name, limit: DEAD, began, last_beat }));
    }

    /// Returns a dead thread, or a loop whose last heartbeat is older than its limit at `now`, and
    /// the heartbeat's age.
    #[must_use]
    pub fn stuck(&self, now: Instant) -> Option<(&'static str, Duration)> {
        self.with(|all| {
            all.iter().find_map(|watched| {
                let beat = watched.began + Duration::from_millis(watched.last_beat.load(Ordering::Relaxed));
                let age = now.saturating_duration_since(beat);
                (age > watched.limit || watched.limit == DEAD).then_some((watched.name, age))
            })
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<Watched>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Heartbeat {
    /// Records an iteration of the loop: one relaxed store.
    pub fn beat(&self) {
        self.last_beat.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.watchdog.with(|all| all.retain(|watched| !Arc::ptr_eq(&watched.last_beat, &self.last_beat)));
    }
}

/// The thread that notifies systemd. Dropping this stops the thread.
#[derive(Debug)]
pub struct Reporter {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reporter {
    /// Sends the line that `status` returns whenever it changes, and the ping while no loop of
    /// `watchdog` is stuck. Does nothing without systemd.
    #[must_use]
    pub fn start(watchdog: Watchdog, status: impl Fn() -> String + Send + 'static) -> Self {
        if !is_supervising() {
            return Self { stop: None, thread: None };
        }
        // Twice per period, as sd_watchdog_enabled(3) advises.
        let ping_every = sd_notify::watchdog_enabled().map(|time| time / 2);
        let (stop, stopped) = mpsc::channel();
        let run = move || report(&watchdog, &status, ping_every, &stopped);
        match thread::Builder::new().name("systemd".into()).spawn(run) {
            Ok(thread) => Self { stop: Some(stop), thread: Some(thread) },
            Err(error) => {
                log::error!("failed to start the thread that notifies systemd: {error}");
                Self { stop: None, thread: None }
            }
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn report(
    watchdog: &Watchdog,
    status: &dyn Fn() -> String,
    ping_every: Option<Duration>,
    stopped: &mpsc::Receiver<()>,
) {
    let every = ping_every.map_or(CHECK_EVERY, |ping| ping.min(CHECK_EVERY));
    let (mut sent, mut pinged, mut reported) = (String::new(), None::<Instant>, false);
    loop {
        // A panic in `status` must not stop the pings.
        let line = contain(status).map_or_else(|panic| format!("no status: {panic}"), |line| one_line(&line));
        if line != sent {
            notify(&[NotifyState::Status(&line)]);
            sent = line;
        }
        let stuck = watchdog.stuck(Instant::now());
        match (stuck, ping_every) {
            (Some((name, age)), _) if !reported => {
                log::error!("loop {name} stuck for {} s; withholding the watchdog ping", age.as_secs());
                reported = true;
            }
            (None, Some(interval)) => {
                if pinged.is_none_or(|at| at.elapsed() + every > interval) {
                    notify(&[NotifyState::Watchdog]);
                    pinged = Some(Instant::now());
                }
                reported = false;
            }
            _ => {}
        }
        if !matches!(stopped.recv_timeout(every), Err(mpsc::RecvTimeoutError::Timeout)) {
            return;
        }
    }
}

/// Replaces control characters by spaces and truncates to [`LONGEST`].
fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.truncate(line.floor_char_boundary(LONGEST));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_loop_is_named_and_an_ended_one_is_not() {
        let watchdog = Watchdog::default();
        let (slow, fast) =
            (watchdog.watch("slow", Duration::from_mins(5)), watchdog.watch("fast", Duration::from_secs(10)));
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert_eq!(watchdog.stuck(at(9)), None);
        assert_eq!(watchdog.stuck(at(60)).map(|(name, _)| name), Some("fast"));
        drop(fast);
        assert_eq!(watchdog.stuck(at(60)), None);
        assert_eq!(watchdog.stuck(at(301)).map(|(name, _)| name), Some("slow"));
        slow.beat();
        drop(slow);
        assert_eq!(watchdog.stuck(at(10_000)), None);
    }

    #[test]
    fn a_dead_thread_is_never_forgotten() {
        let watchdog = Watchdog::default();
        drop(watchdog.watch("encode", Duration::from_mins(1)));
        assert_eq!(watchdog.stuck(Instant::now()), None);
        watchdog.died("encode");
        assert_eq!(watchdog.stuck(Instant::now()).map(|(name, _)| name), Some("encode"));
    }

    #[test]
    fn a_heartbeat_counts_from_its_own_time() {
        let watchdog = Watchdog::default();
        let mut heartbeat = watchdog.watch("loop", Duration::from_secs(10));
        // As if watched for a minute.
        let minute = Duration::from_mins(1);
        watchdog.with(|all| all[0].began -= minute);
        heartbeat.began -= minute;
        assert!(watchdog.stuck(Instant::now()).is_some());
        heartbeat.beat();
        assert_eq!(watchdog.stuck(Instant::now()), None);
    }

    #[test]
    fn a_status_is_one_line_of_bounded_length() {
        assert_eq!(one_line("a\nb\tc"), "a b c");
        let long = one_line(&"ä".repeat(400));
        assert!(long.len() <= LONGEST && long.chars().all(|c| c == 'ä'));
    }
}
