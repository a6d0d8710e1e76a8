//! One step of a longer work: its name before, its outcome and time after, the program's own output
//! between.

use std::{
    io::{self, Write},
    process::{Command, Output},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tgs_core::process::describe;

/// Runs `command` in the foreground (Ctrl-C reaches it) and prints its result. `false`: it failed
/// or did not start.
pub(crate) fn run(name: &str, command: &mut Command) -> bool {
    say(name);
    let began = Instant::now();
    let outcome = command.status();
    let took = seconds(began.elapsed());
    match outcome {
        Ok(status) if status.success() => {
            say(&format!("{name}: ok, {took}"));
            return true;
        }
        Ok(status) => say(&format!("{name}: FAILED ({}), {took}", describe(status))),
        Err(e) => {
            say(&format!("{name}: FAILED, cannot start {}: {e}", command.get_program().display()));
        }
    }
    false
}

/// Steps that run one after another beside the foreground, with the lowest priority. Prints the
/// output of those that fail.
#[derive(Debug)]
pub(crate) struct Background(JoinHandle<Vec<Done>>);

#[derive(Debug)]
struct Done {
    name: &'static str,
    outcome: io::Result<Output>,
    took: Duration,
}

impl Background {
    pub(crate) fn start(steps: Vec<(&'static str, Command)>) -> Self {
        for (name, _) in &steps {
            say(&format!("{name} (in the background)"));
        }
        Self(thread::spawn(move || {
            // On Linux this is the priority of this thread and of the processes that it starts. A
            // failure costs the foreground time only.
            let _ = rustix::process::setpriority_process(None, 19);
            let run = |(name, mut command): (_, Command)| {
                let began = Instant::now();
                let outcome = command.output();
                Done { name, outcome, took: began.elapsed() }
            };
            steps.into_iter().map(run).collect()
        }))
    }

    /// Waits for all steps and prints their results. Returns the names of those that failed.
    pub(crate) fn finish(self) -> Vec<&'static str> {
        // A panic of the thread is a bug of xtask; its message was printed.
        let Ok(all) = self.0.join() else { return vec!["the steps in the background"] };
        all.into_iter().filter_map(Done::report).collect()
    }
}

impl Done {
    /// Prints the result; the name if the step failed.
    fn report(self) -> Option<&'static str> {
        let Self { name, outcome, took } = self;
        let took = seconds(took);
        match outcome {
            Ok(output) if output.status.success() => {
                say(&format!("{name}: ok, {took}"));
                return None;
            }
            Ok(output) => {
                // A closed output is ignored.
                let _ = io::stdout().write_all(&[output.stdout, output.stderr].concat());
                say(&format!("{name}: FAILED ({}), {took}", describe(output.status)));
            }
            Err(e) => say(&format!("{name}: FAILED, cannot start it: {e}")),
        }
        Some(name)
    }
}

/// Prints a line of xtask itself. A closed output is ignored.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "── {line}");
}

/// A time as people read it: `0.4 s`, `3 min 12 s`.
pub(crate) fn seconds(time: Duration) -> String {
    if time.as_secs() < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_and_a_missing_program_are_failures() {
        assert!(run("true", &mut Command::new("true")));
        assert!(!run("false", &mut Command::new("false")));
        assert!(!run("missing", &mut Command::new("/nonexistent/program")));
    }

    #[test]
    fn each_background_step_that_fails_is_named() {
        let steps = ["true", "false", "/nonexistent/program"].map(|name| (name, Command::new(name)));
        assert_eq!(Background::start(steps.into()).finish(), ["false", "/nonexistent/program"]);
    }

    #[test]
    fn times_read_well() {
        assert_eq!(seconds(Duration::from_millis(420)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(192)), "3 min 12 s");
    }
}
