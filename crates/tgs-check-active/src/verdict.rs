//! Judges from successive snapshots whether a unit is up. Does no I/O.

use std::time::Duration;

use crate::snapshot::UnitSnapshot;

/// Restarts by systemd that count as a crash loop and end the check before `--timeout`.
const LOOP: u32 = 3;

/// Verdict on the health page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HealthVerdict {
    /// The health was not queried.
    NotAsked,
    /// Healthy, or unhealthy for the same reason as before the restart.
    Fine(String),
    /// Unhealthy or no answer, with the reason.
    Bad(String),
    /// Unhealthy in a state that waiting does not end; only without a restart.
    Lasting(String),
}

/// The outcome of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The unit is up; the observed duration of this run.
    Up(Duration),
    /// No such unit exists.
    NotFound,
    /// The unit is masked.
    Masked,
    /// The unit file is invalid.
    BadUnit(String),
    /// A condition or assertion of the unit prevented the start.
    NotStarted,
    /// The unit is inactive, and no start job is queued.
    Inactive,
    /// The unit failed, and systemd will not restart it.
    Failed,
    /// systemd restarted the unit this often during the watch.
    CrashLoop(u32),
    /// The start has not finished.
    Activating,
    /// The timeout came before the unit had run long enough; the observed duration of this run.
    TooShort(Duration),
    /// The unit is stopping, or in another state that is not up, such as `active (exited)`.
    Other,
    /// The unit is up, but its health page reports a failure.
    Unhealthy(String),
}

/// Observes one unit over time.
#[derive(Debug)]
pub(crate) struct UnitWatch {
    /// InvocationID of the run that the restart ends; its state is ignored.
    old: Option<String>,
    /// Whether this tool restarted the unit.
    restarted: bool,
    stable: Duration,
    timeout: Duration,
    /// Start time, InvocationID and restart count of the current run.
    run: Option<(Duration, String, u32)>,
    last_restarts: Option<u32>,
    restarts: u32,
}

impl UnitWatch {
    /// Times are measured from the start of the watch, before the restart.
    pub(crate) fn new(restarted_from: Option<&UnitSnapshot>, stable: Duration, timeout: Duration) -> Self {
        Self {
            old: restarted_from.map(|old| old.invocation.clone()).filter(|run| !run.is_empty()),
            restarted: restarted_from.is_some(),
            stable,
            timeout,
            run: None,
            last_restarts: None,
            restarts: 0,
        }
    }

    /// Restarts by systemd during the watch.
    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Processes the state, for which systemd was asked at the first time and which it had answered
    /// at the second one. Returns a verdict as soon as there is one, at the timeout at the latest.
    pub(crate) fn see(
        &mut self,
        (asked, at): (Duration, Duration),
        seen: &UnitSnapshot,
        health: &HealthVerdict,
    ) -> Option<Verdict> {
        match &*seen.load {
            "not-found" => return Some(Verdict::NotFound),
            "masked" => return Some(Verdict::Masked),
            "loaded" => {}
            other => {
                let why = if seen.load_error.is_empty() { other } else { &seen.load_error };
                return Some(Verdict::BadUnit(why.to_owned()));
            }
        }
        let pending = seen.job || self.is_old(seen);
        if !self.is_old(seen) {
            self.count(seen);
        }
        let running = seen.active == "active" && seen.sub == "running" && !pending;
        let held = self.held((asked, at), seen, running);
        if self.restarts >= LOOP {
            return Some(Verdict::CrashLoop(self.restarts));
        }
        if let Some(held) = held.filter(|held| *held >= self.stable) {
            match health {
                HealthVerdict::NotAsked | HealthVerdict::Fine(_) => return Some(Verdict::Up(held)),
                HealthVerdict::Lasting(why) => return Some(Verdict::Unhealthy(why.clone())),
                HealthVerdict::Bad(why) if at >= self.timeout => {
                    return Some(Verdict::Unhealthy(why.clone()));
                }
                HealthVerdict::Bad(_) => return None,
            }
        }
        let ended = match &*seen.active {
            _ if pending => None,
            "failed" => Some(Verdict::Failed),
            "inactive"
                if self.restarted && seen.result == "success" && !(seen.condition && seen.assertion) =>
            {
                Some(Verdict::NotStarted)
            }
            "inactive" => Some(Verdict::Inactive),
            "active" if seen.sub != "running" => Some(Verdict::Other),
            _ => None,
        };
        if ended.is_some() {
            return ended;
        }
        // A run that starts now could not reach the stable time before the timeout.
        let since = self.run.as_ref().map_or(at, |(since, ..)| *since);
        if since + self.stable > self.timeout || at >= self.timeout {
            return Some(self.too_late(seen, held));
        }
        None
    }

    fn too_late(&self, seen: &UnitSnapshot, held: Option<Duration>) -> Verdict {
        match (&*seen.active, held) {
            _ if self.restarts > 0 => Verdict::CrashLoop(self.restarts),
            (_, Some(held)) => Verdict::TooShort(held),
            ("activating", None) if seen.sub == "auto-restart" => Verdict::Failed,
            ("activating", None) => Verdict::Activating,
            _ => Verdict::Other,
        }
    }

    /// Whether this is still the run that the restart ends.
    fn is_old(&self, seen: &UnitSnapshot) -> bool {
        let running = ["active", "deactivating", "reloading"].contains(&&*seen.active);
        running && self.old.as_ref().is_some_and(|old| *old == seen.invocation)
    }

    fn count(&mut self, seen: &UnitSnapshot) {
        // A manual start resets NRestarts to 0.
        let more = self.last_restarts.map_or(0, |last| seen.restarts.saturating_sub(last));
        self.restarts += more;
        self.last_restarts = Some(seen.restarts);
    }

    /// How long the current run has lasted at least: from an answer to a later question.
    fn held(
        &mut self,
        (asked, at): (Duration, Duration),
        seen: &UnitSnapshot,
        running: bool,
    ) -> Option<Duration> {
        let same = |run: &(Duration, String, u32)| run.1 == seen.invocation && run.2 == seen.restarts;
        match &self.run {
            _ if !running => self.run = None,
            Some(run) if same(run) => {}
            _ => self.run = Some((at, seen.invocation.clone(), seen.restarts)),
        }
        self.run.as_ref().map(|(since, ..)| asked.saturating_sub(*since))
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
