//! Turns a verdict into text: the reason and the remedy.

use std::time::Duration;

use tgs_core::{
    exit::Code,
    remedy::{self, as_root},
};

use crate::{
    snapshot::{ProcessEnd, UnitSnapshot},
    verdict::Verdict,
};

/// An outcome as text, with a stable name for scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The name in `--json`; stable.
    pub(crate) name: &'static str,
    /// The reason, to be read after the unit's name: `failed: …`.
    pub(crate) reason: String,
    /// The remedy; `None` if the unit is up.
    pub(crate) remedy: Option<String>,
}

impl Outcome {
    fn up(held: Duration, seen: &UnitSnapshot) -> Self {
        let pid = seen.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
        let reason = format!("is up: {} for {:.0} s without a restart{pid}", state(seen), held.as_secs_f64());
        Self { name: "up", reason, remedy: None }
    }

    fn down(name: &'static str, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, reason: reason.into(), remedy: Some(remedy.into()) }
    }
}

/// The outcome of a verdict. `condition` is the unmet condition, if the journal names it.
pub(crate) fn finding(
    unit: &str,
    verdict: &Verdict,
    seen: &UnitSnapshot,
    condition: Option<&str>,
) -> Outcome {
    match verdict {
        Verdict::Up(held) => Outcome::up(*held, seen),
        Verdict::NotFound | Verdict::Masked | Verdict::BadUnit(_) | Verdict::NotStarted => {
            never_ran(unit, verdict, condition)
        }
        Verdict::Unhealthy(why) => {
            Outcome::down("unhealthy", format!("runs, but does not work: {why}"), unwell(unit))
        }
        _ => not_running(unit, verdict, seen),
    }
}

/// The outcome of a unit that systemd did not start.
fn never_ran(unit: &str, verdict: &Verdict, condition: Option<&str>) -> Outcome {
    match (verdict, condition) {
        (Verdict::NotFound, _) => Outcome::down(
            "not_found",
            "does not exist",
            format!(
                "look for its name: systemctl list-unit-files 'tg_video_streamer*'; after installing a unit file run: {}",
                as_root("systemctl daemon-reload")
            ),
        ),
        (Verdict::Masked, _) => Outcome::down(
            "masked",
            "is masked, so systemd refuses to start it",
            format!("allow it: {}", as_root(&format!("systemctl unmask {unit}"))),
        ),
        (Verdict::BadUnit(why), _) => Outcome::down(
            "bad_unit",
            format!("cannot be loaded: {}", why.trim_end_matches('.')),
            format!("check the unit file: systemd-analyze verify {unit}"),
        ),
        (_, Some(condition)) => Outcome::down(
            "condition_failed",
            format!("was not started: {condition} does not hold"),
            unmet(condition, unit),
        ),
        (_, None) => Outcome::down(
            "condition_failed",
            "was not started: a condition of its unit file does not hold",
            format!("see which: systemctl status {unit}; systemctl cat {unit}"),
        ),
    }
}

/// The outcome of a unit that ended, or has not finished starting.
fn not_running(unit: &str, verdict: &Verdict, seen: &UnitSnapshot) -> Outcome {
    let state = state(seen);
    let ended = seen.end.map_or_else(String::new, |end| format!("; its main process {}", ending(end)));
    let logs = format!("read the log: journalctl -u {unit}");
    match verdict {
        Verdict::Inactive => Outcome::down(
            "inactive",
            format!("does not run: {state}{ended}"),
            format!(
                "{} starts it, or prints why it does not start",
                as_root(&format!("tgs-check-active {unit} --restart"))
            ),
        ),
        Verdict::Failed => Outcome::down(
            "failed",
            format!("failed ({}){ended}", result(&seen.result)),
            cure(seen.end).unwrap_or(logs),
        ),
        Verdict::CrashLoop(restarts) => Outcome::down(
            "crash_loop",
            format!(
                "does not stay up: systemd restarted it {restarts} times during the check, {state}{ended}"
            ),
            cure(seen.end).unwrap_or(logs),
        ),
        Verdict::Activating => Outcome::down(
            "activating",
            format!("does not finish starting: still {state}"),
            format!("see what it waits for: journalctl -u {unit}; or allow more time with --timeout"),
        ),
        Verdict::TooShort(held) => Outcome::down(
            "too_short",
            format!("came up late: {state} for {:.0} s only", held.as_secs_f64()),
            "look again, or allow more time with --timeout",
        ),
        _ => Outcome::down("not_running", format!("does not run: {state}{ended}"), logs),
    }
}

/// The unit's state in systemd's terms: `active (running)`.
fn state(seen: &UnitSnapshot) -> String {
    format!("{} ({})", seen.active, seen.sub)
}

/// The remedy for a unit that runs but is unhealthy.
fn unwell(unit: &str) -> String {
    let log = format!("journalctl -u {unit}");
    match unit.trim_end_matches(".service") {
        "tg_video_streamer" => format!("{} prints the remedy; the log: {log}", as_root("tgs-diag")),
        name if name.starts_with("tg_video_streamer@") => {
            format!("{} prints the remedy; the log: {log}", as_root(&format!("tgs-diag --unit {name}")))
        }
        _ => format!("see what it says: {log}"),
    }
}

/// The remedy for an unmet condition.
fn unmet(condition: &str, unit: &str) -> String {
    let start = as_root(&format!("systemctl start {unit}"));
    match condition.split_once('=') {
        Some((_, path)) if path.ends_with("/.env") || path.contains("/instances/") => {
            format!("{}; then: {start}", write_settings(path))
        }
        Some((kind, path)) if kind.contains("Path") || kind.contains("File") => {
            format!("see to {path}; then: {start}")
        }
        _ => format!("see what it asks for: systemctl cat {unit}"),
    }
}

/// The remedy for a missing settings file.
pub(crate) fn write_settings(path: &str) -> String {
    let sign_in = remedy::command("tgs-session --write-env");
    format!("write the settings into {path} (.env.template lists them) and sign in: {sign_in}")
}

/// The meaning of the unit property `Result=`.
fn result(word: &str) -> &str {
    match word {
        "success" => "it ended by itself",
        "protocol" => "it broke the start protocol of its unit's Type=",
        "timeout" => "it took too long to start or stop",
        "exit-code" => "exit code",
        "signal" => "killed by a signal",
        "core-dump" => "crashed",
        "watchdog" => "it hung, and its watchdog ended it",
        "start-limit-hit" => "it was started too often in a short time",
        "resources" => "systemd could not set it up: a file it names is missing, or memory",
        "oom-kill" => "out of memory",
        other => other,
    }
}

/// The end of a process: `exited with 78, bad configuration`, `was killed by SIGKILL`.
pub(crate) fn ending(end: ProcessEnd) -> String {
    match end {
        ProcessEnd::Exited(status) => match meaning(status) {
            Some(meaning) => format!("exited with {status}, {meaning}"),
            None => format!("exited with {status}"),
        },
        ProcessEnd::Killed(signal) => {
            use std::os::unix::process::ExitStatusExt;
            // The low 7 bits of a wait status are the signal that ended the process.
            let status = std::process::ExitStatus::from_raw(signal & 0x7f);
            format!("was {}", tgs_core::process::describe(status))
        }
    }
}

/// The meaning of an exit status: the tools' own codes, and systemd's for a failed start.
fn meaning(status: i32) -> Option<&'static str> {
    if let Some(code) = Code::ALL.into_iter().find(|code| i32::from(*code as u8) == status) {
        return Some(code.meaning());
    }
    Some(match status {
        125 => "the program's parent was gone",
        126 | 203 => "the program could not be executed: missing, not executable, or of another architecture",
        127 => "a program was not found",
        200 => "its working directory is missing",
        202 | 208 | 209 | 222 => "its standard input or output could not be set up",
        216 => "its group does not exist",
        217 => "its user does not exist",
        218 => "its capabilities could not be set",
        226 => "its sandbox could not be set up",
        228 => "its system call filter could not be set",
        233 | 238 | 239 | 240 => "one of its directories could not be made",
        243 => "its credentials could not be set up",
        _ => return None,
    })
}

/// The remedy for an exit status that identifies its cause.
fn cure(end: Option<ProcessEnd>) -> Option<String> {
    match end? {
        ProcessEnd::Exited(status) if status == i32::from(Code::Config as u8) => Some(format!(
            "fix the settings that the log below names, and check them: {}",
            remedy::command("tgs-stream --check-settings")
        )),
        ProcessEnd::Exited(status) if status == i32::from(Code::Unavailable as u8) => {
            let install = as_root("apt install ffmpeg");
            Some(format!("install what the log below names as missing: {install}"))
        }
        ProcessEnd::Exited(217) => {
            Some(format!("make the user of the unit: {}", as_root("systemd-sysusers")))
        }
        ProcessEnd::Exited(126 | 203) => {
            Some("look at the ExecStart= of the unit; is the release complete?".into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(verdict: &Verdict, seen: &UnitSnapshot, condition: Option<&str>) -> String {
        let Outcome { name, reason, remedy } = finding("x.service", verdict, seen, condition);
        format!("[{name}] x.service {reason}\n  -> {}", remedy.unwrap_or_default())
    }

    #[test]
    fn every_verdict() {
        let seen = |active: &str, sub: &str, result: &str, end| UnitSnapshot {
            active: active.into(),
            sub: sub.into(),
            result: result.into(),
            end,
            ..UnitSnapshot::default()
        };
        let failed = |result, end| seen("failed", "failed", result, Some(end));
        let up = UnitSnapshot { pid: Some(7), ..seen("active", "running", "success", None) };
        let dead = seen("inactive", "dead", "success", None);
        let env = "ConditionPathExists=/opt/tg_video_streamer/current/.env";
        let cases = [
            rendered(&Verdict::Up(Duration::from_millis(5200)), &up, None),
            rendered(&Verdict::NotFound, &dead, None),
            rendered(&Verdict::Masked, &dead, None),
            rendered(&Verdict::BadUnit("Unit x.service has a bad unit file setting.".into()), &dead, None),
            rendered(&Verdict::NotStarted, &dead, Some(env)),
            rendered(&Verdict::NotStarted, &dead, Some("ConditionPathIsDirectory=/srv")),
            rendered(&Verdict::NotStarted, &dead, None),
            rendered(
                &Verdict::Inactive,
                &seen("inactive", "dead", "success", Some(ProcessEnd::Exited(0))),
                None,
            ),
            rendered(&Verdict::Failed, &failed("exit-code", ProcessEnd::Exited(78)), None),
            rendered(&Verdict::Failed, &failed("exit-code", ProcessEnd::Exited(203)), None),
            rendered(&Verdict::Failed, &failed("exit-code", ProcessEnd::Exited(42)), None),
            rendered(&Verdict::Failed, &failed("signal", ProcessEnd::Killed(9)), None),
            rendered(&Verdict::Failed, &failed("watchdog", ProcessEnd::Killed(6)), None),
            rendered(&Verdict::Failed, &seen("failed", "failed", "resources", None), None),
            rendered(
                &Verdict::CrashLoop(3),
                &seen("activating", "auto-restart", "exit-code", Some(ProcessEnd::Exited(69))),
                None,
            ),
            rendered(&Verdict::Activating, &seen("activating", "start", "success", None), None),
            rendered(&Verdict::TooShort(Duration::from_secs(3)), &up, None),
            rendered(
                &Verdict::Other,
                &seen("active", "exited", "success", Some(ProcessEnd::Exited(0))),
                None,
            ),
            rendered(&Verdict::Unhealthy("503: degraded: no session".into()), &up, None),
        ];
        insta::assert_snapshot!(cases.join("\n"));
    }
}
