//! Checks that run one after the other beside the tests, on processor time that those leave.

use std::{
    process::{Command, ExitStatus},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use tgs_core::process::describe;

use crate::step::{self, seconds};

/// The checks, while they run.
pub(super) struct Beside(JoinHandle<Vec<Checked>>);

/// One check that has ended.
struct Checked {
    name: &'static str,
    /// Whether it succeeded, and what it printed.
    outcome: Result<(ExitStatus, Vec<u8>)>,
    took: Duration,
}

impl Beside {
    /// Starts the first check.
    pub(super) fn start(checks: Vec<(&'static str, Command)>) -> Self {
        Self(thread::spawn(|| checks.into_iter().map(|(name, command)| check(name, &command)).collect()))
    }

    /// Waits for all, prints what the failed ones printed, and answers their names.
    pub(super) fn finish(self) -> Result<Vec<&'static str>> {
        let all = self.0.join().map_err(|_| anyhow!("a check beside the tests panicked"))?;
        let mut failed = Vec::new();
        for Checked { name, outcome, took } in all {
            let took = seconds(took);
            match outcome {
                Ok((status, _)) if status.success() => step::say(&format!("{name}: ok, {took}")),
                Ok((status, printed)) => {
                    print!("{}", String::from_utf8_lossy(&printed));
                    step::say(&format!("{name}: FAILED ({}), {took}", describe(status)));
                    failed.push(name);
                }
                Err(error) => {
                    step::say(&format!("{name}: FAILED, {error:#}"));
                    failed.push(name);
                }
            }
        }
        Ok(failed)
    }
}

fn check(name: &'static str, command: &Command) -> Checked {
    let began = Instant::now();
    let outcome = in_background(command).output().context("cannot start setpriv").map(|output| {
        let printed = [output.stdout, output.stderr].concat();
        (output.status, printed)
    });
    Checked { name, outcome, took: began.elapsed() }
}

/// A session of its own at the lowest priority. nice alone would not do: the kernel shares the
/// processors among sessions first (sched(7), "The autogroup feature"), and each encoder is one.
const LOWEST: &str = "echo 19 > /proc/self/autogroup || true; exec nice -n 19 \"$@\"";

/// The same command at the lowest priority, since the tests measure gaps; it ends with this thread.
fn in_background(command: &Command) -> Command {
    let mut background = Command::new("setpriv");
    background.args(["--pdeathsig", "KILL", "setsid", "sh", "-c", LOWEST, "sh"]);
    background.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => background.env(name, value),
            None => background.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        background.current_dir(dir);
    }
    background
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_runs_and_failures_are_named() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "test \"$LEVEL\" = 1 && test $(nice) = 19 && test $(ps -o sid= -p $$) = $$"]);
        shell.env("LEVEL", "1");
        let checks = [
            ("false", Command::new("false")),
            ("shell", shell),
            ("missing", Command::new("/nonexistent/program")),
        ];
        assert_eq!(Beside::start(checks.into()).finish().unwrap(), ["false", "missing"]);
    }
}
