//! Runs checks in parallel under one time limit, and reports checks that hang.
//!
//! A check reports each finding at once, so that a hang loses no earlier finding. A thread that
//! hangs in the kernel or in getaddrinfo is abandoned; the process exits soon after.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use tgs_core::cancel::Cancel;

use crate::finding::Finding;

/// Time for a cancelled check to report its last findings.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Collects the findings of a check and knows its deadline.
#[derive(Debug, Clone)]
pub(crate) struct CheckSink {
    findings: Arc<Mutex<Vec<Finding>>>,
    /// Set at the deadline.
    pub(crate) cancel: Cancel,
    deadline: Instant,
}

impl CheckSink {
    /// A sink whose deadline is `limit` from now.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { findings: Arc::default(), cancel: Cancel::new(), deadline: Instant::now() + limit }
    }

    /// Reports a finding.
    pub(crate) fn say(&self, finding: Finding) {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }

    /// Reports several findings.
    pub(crate) fn say_all(&self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.say(finding));
    }

    /// The time to the deadline, minus 500 ms to report.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now()).saturating_sub(Duration::from_millis(500))
    }

    /// The findings so far.
    pub(crate) fn found(&self) -> Vec<Finding> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A named check.
pub(crate) struct Check {
    /// The name in the progress line.
    pub(crate) name: &'static str,
    run: Box<dyn FnOnce(&CheckSink) + Send>,
}

impl Check {
    pub(crate) fn new(name: &'static str, run: impl FnOnce(&CheckSink) + Send + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// Runs all checks and returns the findings in the order of `checks`. Calls `progress` with the
/// names of the running checks, each time one ends.
pub(crate) fn run(checks: Vec<Check>, limit: Duration, progress: &mut dyn FnMut(&[&str])) -> Vec<Finding> {
    let (ended, ends) = mpsc::channel();
    let deadline = Instant::now() + limit;
    let mut running: Vec<(&'static str, CheckSink, bool)> = Vec::new();
    for (index, Check { name, run }) in checks.into_iter().enumerate() {
        let out = CheckSink::new(limit);
        running.push((name, out.clone(), false));
        let ended = ended.clone();
        let work = move || {
            if catch_unwind(AssertUnwindSafe(|| run(&out))).is_err() {
                out.say(Finding::fail(
                    name,
                    "this check panicked, which is a bug in tgs-diag",
                    "report it with the output of tgs-diag --version",
                ));
            }
            // The receiver no longer exists after the deadline.
            let _ = ended.send(index);
        };
        if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(work) {
            let (_, out, done) = &mut running[index];
            out.say(Finding::unseen(name, format_args!("cannot start a thread: {error}")));
            *done = true;
        }
    }
    let mut until = deadline;
    loop {
        let left: Vec<&str> = running.iter().filter(|(.., done)| !done).map(|(name, ..)| *name).collect();
        progress(&left);
        if left.is_empty() {
            break;
        }
        match ends.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(index) => running[index].2 = true,
            Err(_) if until == deadline => {
                for (_, out, _) in &running {
                    out.cancel.cancel();
                }
                until = deadline + LAST_WORDS;
            }
            Err(_) => break,
        }
    }
    let mut findings = Vec::new();
    for (name, out, done) in running {
        findings.extend(out.found());
        if !done {
            findings.push(Finding::fail(
                name,
                format!("did not finish within {} s", limit.as_secs_f32()),
                "run tgs-diag again; if it happens again, see the lines above and below",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|finding| format!("{}: {}", finding.check, finding.text)).collect()
    }

    #[test]
    fn checks_run_in_parallel_and_are_reported_in_order() {
        // Each check waits for the other, so sequential execution would deadlock.
        let (first, second) = (mpsc::sync_channel::<()>(0), mpsc::sync_channel::<()>(0));
        let checks = vec![
            Check::new("a", move |out| {
                second.1.recv().unwrap();
                first.0.send(()).unwrap();
                out.say(Finding::pass("a", "last"));
            }),
            Check::new("b", move |out| {
                second.0.send(()).unwrap();
                first.1.recv().unwrap();
                out.say_all([Finding::pass("b", "one"), Finding::pass("b", "two")]);
            }),
        ];
        let mut seen = Vec::new();
        let found = run(checks, Duration::from_mins(1), &mut |left| seen.push(left.len()));
        assert_eq!(texts(&found), ["a: last", "b: one", "b: two"]);
        assert_eq!(seen, [2, 1, 0]);
    }

    #[test]
    fn a_hanging_check_ends_at_its_limit_and_keeps_its_findings() {
        let hang = |name| {
            Check::new(name, move |out: &CheckSink| {
                out.say(Finding::pass(name, "before"));
                thread::sleep(Duration::from_hours(1));
            })
        };
        let heeds = Check::new("c", |out| {
            out.cancel.wait(Duration::from_hours(1));
            out.say(Finding::warn("c", "was cancelled"));
        });
        let began = Instant::now();
        let found = run(vec![hang("a"), hang("b"), heeds], Duration::from_millis(300), &mut |_| {});
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(
            texts(&found),
            [
                "a: before",
                "a: did not finish within 0.3 s",
                "b: before",
                "b: did not finish within 0.3 s",
                "c: was cancelled",
            ]
        );
    }

    #[test]
    fn a_panic_is_a_finding() {
        let found = run(vec![Check::new("a", |_| panic!("oh"))], Duration::from_mins(1), &mut |_| {});
        assert_eq!(texts(&found), ["a: this check panicked, which is a bug in tgs-diag"]);
        assert!(found[0].remedy.is_some());
    }
}
