//! What systemd is told of a running tool (`Type=notify`): that it is ready, one line of what it does, and, for
//! `WatchdogSec=`, that its loops turn. Where systemd did not start the tool nothing happens.
//!
//! The watchdog is fed by loops that prove to turn, never by what they wait for: a server that is away must not
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

/// How often the status line is made anew, and the loops are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The longest status line, in bytes; systemd cuts longer ones off.
const LONGEST: usize = 500;

/// The tool can do its work, or say why it waits: `READY=1`.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The tool has begun to stop: `STOPPING=1`.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Whether systemd waits for our word: then nobody sits at a terminal and mends what is missing.
#[must_use]
pub fn is_supervising() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("failed to tell systemd: {error}");
    }
}

/// The loops of a process that the watchdog looks at.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<Vec<Watched>>>);

/// For [`Watched::limit`]: the loop has ended and must not have.
const DEAD: Duration = Duration::ZERO;

#[derive(Debug)]
struct Watched {
    name: &'static str,
    /// The longest a turn may take.
    limit: Duration,
    began: Instant,
    /// When it turned last, in milliseconds after `began`.
    turned: Arc<AtomicU64>,
}

/// A watched loop's own end: dropped, the loop is not watched any more.
#[derive(Debug)]
pub struct Beat {
    pulse: Pulse,
    began: Instant,
    turned: Arc<AtomicU64>,
}

impl Pulse {
    /// Watches the loop `name` from now on, whose turns take at most `limit`.
    #[must_use]
    pub fn watch(&self, name: &'static str, limit: Duration) -> Beat {
        let (began, turned) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        self.with(|all| all.push(Watched { name, limit, began, turned: turned.clone() }));
        Beat { pulse: self.clone(), began, turned }
    }

    /// The thread `name`, without which the tool cannot work, has died: the watchdog gets no ping any more, so that systemd
    /// ends the process where its own end hangs.
    pub fn died(&self, name: &'static str) {
        let (began, turned) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        self.with(|all| all.push(Watched { name, limit: DEAD, began, turned }));
    }

    /// The loop that has not turned for longer than it may at `now`, and for how long.
    #[must_use]
    pub fn stuck(&self, now: Instant) -> Option<(&'static str, Duration)> {
        self.with(|all| {
            all.iter().find_map(|watched| {
                let turned = watched.began + Duration::from_millis(watched.turned.load(Ordering::Relaxed));
                let still = now.saturating_duration_since(turned);
                (still > watched.limit || watched.limit == DEAD).then_some((watched.name, still))
            })
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<Watched>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Beat {
    /// The loop has turned once more. Costs nothing worth counting.
    pub fn turn(&self) {
        self.turned.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.pulse.with(|all| all.retain(|watched| !Arc::ptr_eq(&watched.turned, &self.turned)));
    }
}

/// The thread that tells systemd, until this is dropped.
#[derive(Debug)]
pub struct Reporter {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reporter {
    /// Tells systemd the line that `status` makes, whenever it has changed, and feeds the watchdog while every loop of
    /// `pulse` turns. Does nothing where systemd wants to know nothing.
    #[must_use]
    pub fn start(pulse: Pulse, status: impl Fn() -> String + Send + 'static) -> Self {
        if !is_supervising() {
            return Self { stop: None, thread: None };
        }
        // Twice within the time, as sd_watchdog_enabled(3) advises.
        let feed_every = sd_notify::watchdog_enabled().map(|time| time / 2);
        let (stop, stopped) = mpsc::channel();
        let run = move || report(&pulse, &status, feed_every, &stopped);
        match thread::Builder::new().name("systemd".into()).spawn(run) {
            Ok(thread) => Self { stop: Some(stop), thread: Some(thread) },
            Err(error) => {
                log::error!("failed to start the thread that tells systemd: {error}");
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
    pulse: &Pulse,
    status: &dyn Fn() -> String,
    feed_every: Option<Duration>,
    stopped: &mpsc::Receiver<()>,
) {
    let every = feed_every.map_or(LOOK_EVERY, |feed| feed.min(LOOK_EVERY));
    let (mut told, mut fed, mut complained) = (String::new(), None::<Instant>, false);
    loop {
        // A line that cannot be made must not stop the pings.
        let line = contain(status).map_or_else(|panic| format!("no status: {panic}"), |line| one_line(&line));
        if line != told {
            tell(&[NotifyState::Status(&line)]);
            told = line;
        }
        let stuck = pulse.stuck(Instant::now());
        match (stuck, feed_every) {
            (Some((name, still)), _) if !complained => {
                log::error!(
                    "the loop {name:?} has not turned for {} s: systemd is to start the tool anew",
                    still.as_secs()
                );
                complained = true;
            }
            (None, Some(interval)) => {
                if fed.is_none_or(|at| at.elapsed() + every > interval) {
                    tell(&[NotifyState::Watchdog]);
                    fed = Some(Instant::now());
                }
                complained = false;
            }
            _ => {}
        }
        if !matches!(stopped.recv_timeout(every), Err(mpsc::RecvTimeoutError::Timeout)) {
            return;
        }
    }
}

/// `text` as systemd takes it: without line breaks, and not too long.
fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.truncate(line.floor_char_boundary(LONGEST));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_named_and_one_that_ended_is_not() {
        let pulse = Pulse::default();
        let (slow, fast) =
            (pulse.watch("slow", Duration::from_mins(5)), pulse.watch("fast", Duration::from_secs(10)));
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert_eq!(pulse.stuck(at(9)), None);
        assert_eq!(pulse.stuck(at(60)).map(|(name, _)| name), Some("fast"));
        drop(fast);
        assert_eq!(pulse.stuck(at(60)), None);
        assert_eq!(pulse.stuck(at(301)).map(|(name, _)| name), Some("slow"));
        slow.turn();
        drop(slow);
        assert_eq!(pulse.stuck(at(10_000)), None);
    }

    #[test]
    fn a_dead_thread_is_never_forgotten() {
        let pulse = Pulse::default();
        drop(pulse.watch("encode", Duration::from_mins(1)));
        assert_eq!(pulse.stuck(Instant::now()), None);
        pulse.died("encode");
        assert_eq!(pulse.stuck(Instant::now()).map(|(name, _)| name), Some("encode"));
    }

    #[test]
    fn a_turn_counts_from_when_it_was_made() {
        let pulse = Pulse::default();
        let mut beat = pulse.watch("loop", Duration::from_secs(10));
        // As if it had been watched for a minute.
        let minute = Duration::from_mins(1);
        pulse.with(|all| all[0].began -= minute);
        beat.began -= minute;
        assert!(pulse.stuck(Instant::now()).is_some());
        beat.turn();
        assert_eq!(pulse.stuck(Instant::now()), None);
    }

    #[test]
    fn a_status_is_one_line_of_bounded_length() {
        assert_eq!(one_line("a\nb\tc"), "a b c");
        let long = one_line(&"ä".repeat(400));
        assert!(long.len() <= LONGEST && long.chars().all(|c| c == 'ä'));
    }
}
