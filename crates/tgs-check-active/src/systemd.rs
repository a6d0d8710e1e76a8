//! Runs systemctl and journalctl with a time limit and without password prompts. Judges nothing.

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tgs_core::{
    cancel::Cancel,
    mask::mask,
    process::{self, RunError},
    remedy::as_root,
};

use crate::{
    messages::Outcome,
    snapshot::{PROPERTIES, UnitSnapshot},
};

/// Time limit of one call; systemd may be busy with a daemon-reload.
const LIMIT: Duration = Duration::from_secs(20);
/// Maximum output of a child, in bytes.
const MAX_BYTES: usize = 256 * 1024;
/// Number of journal lines shown.
const LINES: &str = "15";

/// Queries the state of `unit`.
pub(crate) fn show(unit: &str) -> Result<UnitSnapshot, Outcome> {
    let printed = systemctl(&["show", "--property", PROPERTIES, "--", unit])?;
    // Without systemd, some versions of systemctl print nothing and exit with 0.
    UnitSnapshot::read(&printed.out).ok_or_else(|| refused("show", unit, &printed.err))
}

/// Queues a restart of `unit` without waiting for the job.
pub(crate) fn restart(unit: &str) -> Result<(), Outcome> {
    let printed = systemctl(&["restart", "--no-block", "--", unit])?;
    if printed.ok { Ok(()) } else { Err(refused("restart", unit, &printed.err)) }
}

/// The last journal lines of `unit` since `since`, secrets masked; empty if unreadable.
pub(crate) fn journal(unit: &str, since: Option<SystemTime>) -> Vec<String> {
    let mut args = vec![
        "--no-pager".to_owned(),
        "--quiet".into(),
        "--output=short-iso".into(),
        format!("--lines={LINES}"),
    ];
    if let Some(since) = since {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        args.push(format!("--since=@{since}"));
    }
    args.push(format!("--unit={unit}"));
    let printed = run("journalctl", args.iter().map(|arg| &**arg));
    let text = printed.map(|printed| printed.out).unwrap_or_default();
    // Journal lines may contain terminal escape sequences.
    let clean = |line: &str| -> String {
        line.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect()
    };
    text.lines().map(|line| mask(&clean(line))).collect()
}

/// The latest unmet start condition that the journal names.
pub(crate) fn condition(journal: &[String]) -> Option<&str> {
    const SAYS: [&str; 3] =
        ["unmet condition check (", "Condition check resulted in", "Assertion failed for "];
    let line = journal.iter().rev().find(|line| SAYS.iter().any(|words| line.contains(words)))?;
    line.split_once("unmet condition check (")?.1.split_once(')').map(|(condition, _)| condition)
}

struct Printed {
    ok: bool,
    out: String,
    err: String,
}

fn systemctl(args: &[&str]) -> Result<Printed, Outcome> {
    let own = ["--no-ask-password", "--no-pager"];
    run("systemctl", own.iter().chain(args).copied()).map_err(|e| match e {
        RunError::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            no_systemd("there is no systemctl")
        }
        e => Outcome {
            name: "systemctl_failed",
            reason: format!("cannot be queried: {e}"),
            remedy: Some("look whether systemd answers: systemctl status".into()),
        },
    })
}

fn run<'a>(program: &str, args: impl Iterator<Item = &'a str>) -> Result<Printed, RunError> {
    let mut command = process::command(program);
    // systemctl's messages are parsed below.
    command.args(args).env("LC_ALL", "C");
    let output = process::output(command, LIMIT, MAX_BYTES, &Cancel::new())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Printed { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) })
}

/// Classifies a refusal of systemctl.
fn refused(verb: &str, unit: &str, said: &str) -> Outcome {
    let has = |words: &[&str]| words.iter().any(|words| said.contains(words));
    let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("systemctl says nothing").trim();
    if has(&["has not been booted with systemd", "Failed to connect to bus", "Running in chroot"])
        || said.is_empty()
    {
        return no_systemd(line);
    }
    if has(&["authentication required", "Access denied", "Permission denied", "Not authorized"]) {
        return Outcome {
            name: "no_permission",
            reason: format!("may not be {verb}ed by this user: {line}"),
            remedy: Some("run this as root".into()),
        };
    }
    let (name, remedy) = if has(&[" is masked"]) {
        ("masked", format!("allow it: {}", as_root(&format!("systemctl unmask {unit}"))))
    } else if has(&[" not found", "not loaded properly"]) {
        ("not_found", format!("after installing a unit file run: {}", as_root("systemctl daemon-reload")))
    } else {
        ("refused", format!("read what systemctl says: systemctl status {unit}"))
    };
    Outcome { name, reason: format!("cannot be {verb}ed: {}", mask(line)), remedy: Some(remedy) }
}

fn no_systemd(why: &str) -> Outcome {
    Outcome {
        name: "no_systemd",
        reason: format!("cannot be queried: this machine does not run systemd ({why})"),
        remedy: Some("run this on the host, not in a container or a chroot".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let cases = [
            ("Failed to restart ok.service: Interactive authentication required.\nSee", "no_permission"),
            ("Failed to restart ok.service: Access denied", "no_permission"),
            ("System has not been booted with systemd as init system (PID 1). Can't operate.", "no_systemd"),
            ("Failed to connect to bus: Host is down", "no_systemd"),
            ("", "no_systemd"),
            ("Failed to restart m.service: Unit m.service is masked.", "masked"),
            ("Failed to restart nf.service: Unit nf.service not found.", "not_found"),
            ("Failed to restart b.service: Unit b.service has a bad unit file setting.", "refused"),
        ];
        for (said, name) in cases {
            assert_eq!(refused("restart", "x.service", said).name, name, "{said}");
        }
    }

    #[test]
    fn the_condition_is_found_in_the_journal() {
        let line = "2026-02-01T00:00:00+00:00 host systemd[1]: x.service - X was skipped because of an unmet condition \
                    check (ConditionPathExists=/opt/x/.env).";
        let journal = ["before".to_owned(), line.to_owned(), "after".to_owned()];
        assert_eq!(condition(&journal), Some("ConditionPathExists=/opt/x/.env"));
        assert_eq!(condition(&journal[..1]), None);
    }
}
