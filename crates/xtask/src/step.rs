//! One step of a longer work: its name before, its outcome and time after, the program's own output
//! between.

use std::{
    io::{self, Write},
    process::Command,
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
    fn times_read_well() {
        assert_eq!(seconds(Duration::from_millis(420)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(192)), "3 min 12 s");
    }
}
