//! Whether a unit is up: the judgement, made from what was seen over time. Looks at nothing itself.

use std::time::Duration;

use crate::snapshot::UnitSnapshot;

/// So many restarts by systemd while we look, and it is a loop: there is no use in waiting for the
/// end of the time.
const LOOP: u32 = 3;

/// What the health page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HealthVerdict {
    /// Nobody wants to know.
    NotAsked,
    /// As it should be, or as it was.
    Fine(String),
    /// It is not, or there is no answer; in words.
    Bad(String),
    /// It is not, and to wait will not change that: it was not restarted, and is in a state that
    /// lasts.
    Lasting(String),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is up, in this run for so long as far as was seen.
    Up(Duration),
    /// There is no such unit.
    NotFound,
    /// Somebody has masked it.
    Masked,
    /// Its unit file cannot be used.
    BadUnit(String),
    /// It was to start, and a condition or an assertion of its unit file did not hold.
    NotStarted,
    /// It does not run, and nothing is going to start it.
    Inactive,
    /// It ended badly, and nothing is going to start it again.
    Failed,
    /// It ends and is started again, so often while we looked.
    CrashLoop(u32),
    /// It has not finished starting.
    Activating,
    /// The time was over before it had run for long enough; so long it did.
    TooShort(Duration),
    /// It is stopping, or in another state that is not up (`active (exited)`).
    Other,
    /// It is up, and its page says that it does not work.
    Unhealthy(String),
}

/// Watches one unit.
#[derive(Debug)]
pub(crate) struct UnitWatch {
    /// The run that a restart is to end: to see it says nothing.
    old: Option<String>,
    /// Whether the unit was restarted by us.
    restarted: bool,
    stable: Duration,
    timeout: Duration,
    /// Since when it is in which run.
    run: Option<(Duration, String, u32)>,
    last_restarts: Option<u32>,
    restarts: u32,
}

impl UnitWatch {
    /// Times count from the start of the watch, which is before the restart.
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

    /// How often systemd has restarted the unit so far.
    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// What is seen at the time `at`; an answer once there is one, at the end of the time at the
    /// latest.
    pub(crate) fn see(
        &mut self,
        at: Duration,
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
        let held = self.held(at, seen, running);
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
        // What is not up by now cannot have been up for long enough when the time is over.
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

    /// Whether this is still the run that was to end.
    fn is_old(&self, seen: &UnitSnapshot) -> bool {
        let running = ["active", "deactivating", "reloading"].contains(&&*seen.active);
        running && self.old.as_ref().is_some_and(|old| *old == seen.invocation)
    }

    fn count(&mut self, seen: &UnitSnapshot) {
        // A start by somebody sets it back to zero.
        let more = self.last_restarts.map_or(0, |last| seen.restarts.saturating_sub(last));
        self.restarts += more;
        self.last_restarts = Some(seen.restarts);
    }

    /// For how long it has been in this run.
    fn held(&mut self, at: Duration, seen: &UnitSnapshot, running: bool) -> Option<Duration> {
        let same = |run: &(Duration, String, u32)| run.1 == seen.invocation && run.2 == seen.restarts;
        match &self.run {
            _ if !running => self.run = None,
            Some(run) if same(run) => {}
            _ => self.run = Some((at, seen.invocation.clone(), seen.restarts)),
        }
        self.run.as_ref().map(|(since, ..)| at.saturating_sub(*since))
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
