//! Checks the unit: state, hardening, and the timer that updates yt-dlp.

use std::{fs, path::Path};

use tgs_core::{process::user::User, remedy::as_root};

use crate::{context::DiagContext, finding::Finding, unit_properties::UnitProperties};

/// The name of this check.
const CHECK: &str = "unit";

/// The unit that updates yt-dlp.
const UPDATE: &str = "yt-dlp-update";

/// The automatic restarts, if any: `, restarted 3 times`.
fn restarted(count: &str) -> String {
    match count {
        "" | "0" => String::new(),
        "1" => ", restarted once".to_owned(),
        count => format!(", restarted {count} times"),
    }
}

/// Checks the unit's state.
pub(crate) fn state(name: &str, unit: &UnitProperties, named: bool) -> Vec<Finding> {
    if let Some(finding) = not_loaded(name, unit, named) {
        return vec![finding];
    }
    let mut findings = vec![activity(name, unit)];
    if matches!(unit.get("UnitFileState"), "disabled") {
        findings.push(
            Finding::warn(CHECK, format!("{name} is not started when the machine starts"))
                .with_remedy(as_root(&format!("systemctl enable {name}"))),
        );
    }
    if unit.get("NeedDaemonReload") == "yes" {
        findings.push(
            Finding::warn(CHECK, format!("the unit file of {name} has changed since systemd read it"))
                .with_remedy(format!(
                    "{} && {}",
                    as_root("systemctl daemon-reload"),
                    as_root(&format!("systemctl restart {name}"))
                )),
        );
    }
    findings
}

/// The finding if systemd has not loaded the unit.
fn not_loaded(name: &str, unit: &UnitProperties, named: bool) -> Option<Finding> {
    let finding = match unit.get("LoadState") {
        "loaded" => return None,
        "masked" => {
            Finding::fail(CHECK, format!("{name} is masked"), as_root(&format!("systemctl unmask {name}")))
        }
        "not-found" if named => Finding::fail(
            CHECK,
            format!("systemd knows no unit {name}"),
            "check the name: systemctl list-units 'tg_video_streamer*' shows them",
        ),
        "not-found" => Finding::unseen(CHECK, format_args!("systemd knows no unit {name}")),
        other => {
            let error = unit.get("LoadError");
            let text = format!("{name} cannot be loaded: {other} {error}");
            Finding::fail(CHECK, text.trim_end(), format!("systemd-analyze verify {name}.service"))
        }
    };
    Some(finding)
}

/// Checks whether the loaded unit runs.
fn activity(name: &str, unit: &UnitProperties) -> Finding {
    let journal = format!("{} says why", as_root(&format!("journalctl -u {name} -n 50")));
    let restarted = restarted(unit.get("NRestarts"));
    let (active, sub) = (unit.get("ActiveState"), unit.get("SubState"));
    let status = Some(unit.get("StatusText")).filter(|text| !text.is_empty());
    let status = status.map(|text| format!("; it says: {text}")).unwrap_or_default();
    match (active, sub) {
        ("active", "running") => {
            let since = unit.get("ActiveEnterTimestamp");
            Finding::pass(CHECK, format!("{name} runs since {since}{restarted}{status}"))
        }
        ("failed", _) => Finding::fail(
            CHECK,
            format!("{name} has failed: {}, exit status {}", unit.get("Result"), unit.get("ExecMainStatus")),
            format!("{journal}; then {}", as_root(&format!("systemctl restart {name}"))),
        ),
        ("activating", "auto-restart") => Finding::fail(
            CHECK,
            format!(
                "{name} ended{restarted}, last with exit status {}, and systemd starts it again",
                unit.get("ExecMainStatus")
            ),
            journal,
        ),
        ("inactive", _) => {
            let start = as_root(&format!("systemctl start {name}"));
            Finding::warn(CHECK, format!("{name} does not run")).with_remedy(start)
        }
        _ => Finding::warn(CHECK, format!("{name} is {active} ({sub}){restarted}{status}"))
            .with_remedy(journal),
    }
}

/// The hardening properties that the documents promise.
const HARDENING: [(&str, &[&str]); 4] = [
    ("NoNewPrivileges", &["yes"]),
    ("ProtectSystem", &["full", "strict"]),
    ("PrivateTmp", &["yes", "disconnected"]),
    ("Restart", &["always"]),
];

/// Checks whether the hardening is in force; `no_new_privs` is the kernel's value.
pub(crate) fn hardening(name: &str, unit: &UnitProperties, no_new_privs: Option<bool>) -> Vec<Finding> {
    let check = "hardening";
    if !unit.is_loaded() {
        return vec![Finding::unseen(check, format_args!("there is no unit {name}"))];
    }
    let remedy = format!(
        "systemctl cat {name} shows which file says so; take the line out of it, or install the unit anew"
    );
    let mut findings = Vec::new();
    for (property, wanted) in HARDENING {
        let value = unit.get(property);
        if !wanted.contains(&value) {
            findings.push(Finding::fail(
                check,
                format!("{property} is {value}, not {}", wanted[0]),
                &*remedy,
            ));
        }
    }
    if unit.user().is_none_or(|user| user == "root") {
        findings.push(Finding::fail(check, format!("{name} runs as root"), &*remedy));
    }
    if !matches!(unit.get("StartLimitIntervalUSec"), "0" | "") {
        let limit = unit.get("StartLimitIntervalUSec");
        let text = format!("StartLimitIntervalSec is {limit}, so that systemd gives up after some crashes");
        findings.push(Finding::fail(check, text, &*remedy));
    }
    if no_new_privs == Some(false) {
        let text = "the running process may gain privileges, whatever the unit file says now";
        findings.push(Finding::fail(check, text, as_root(&format!("systemctl restart {name}"))));
    }
    if findings.is_empty() {
        let running = match no_new_privs {
            Some(true) => "; the kernel confirms it of the running process",
            _ => "; no process runs that could be checked",
        };
        let text = format!(
            "NoNewPrivileges, ProtectSystem, PrivateTmp, Restart=always and a user of its own{running}"
        );
        findings.push(Finding::pass(check, text));
    }
    findings
}

/// `NoNewPrivs` of the main process; `None` without one.
fn no_new_privs(unit: &UnitProperties, proc: &Path) -> Option<bool> {
    // Before the exec, the PID of a starting unit is still systemd's child.
    let pid = unit.pid().filter(|_| unit.is_active())?;
    let status = fs::read_to_string(proc.join(pid.to_string()).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:"))?;
    Some(line.trim() == "1")
}

/// The finding for a replaced program that still runs.
fn replaced(name: &str) -> Finding {
    Finding::warn("unit", format!("{name} still runs a program that has been replaced since"))
        .with_remedy(as_root(&format!("systemctl restart {name}")))
}

/// Checks the timer that updates yt-dlp, and the result of its last run.
fn timer(timer: &UnitProperties, service: &UnitProperties) -> Vec<Finding> {
    let check = "timer";
    let on = as_root(&format!("systemctl enable --now {UPDATE}.timer"));
    if !timer.is_loaded() {
        return vec![
            Finding::warn(check, format!("there is no {UPDATE}.timer: nobody updates yt-dlp"))
                .with_remedy("install the units of tgs, or update yt-dlp by hand"),
        ];
    }
    if !timer.is_active() {
        return vec![Finding::fail(check, format!("{UPDATE}.timer does not run: nobody updates yt-dlp"), on)];
    }
    let never = |text| if matches!(text, "" | "n/a") { "never" } else { text };
    let (next, last) = (never(timer.get("NextElapseUSecRealtime")), never(timer.get("LastTriggerUSec")));
    let mut findings = vec![Finding::pass(check, format!("yt-dlp is updated next on {next}; last: {last}"))];
    if !matches!(service.get("Result"), "" | "success") {
        let text = format!("the last update of yt-dlp failed: {}", service.get("Result"));
        findings.push(Finding::warn(check, text).with_remedy(format!(
            "{} says why; the old version is still used",
            as_root("tail -n 40 /var/log/yt-dlp-update.log")
        )));
    }
    findings
}

/// Runs all checks of the unit and the timer.
pub(crate) fn look(context: &DiagContext) -> Vec<Finding> {
    let name = &*context.unit_name;
    let unit = match &context.unit {
        Ok(unit) => unit,
        Err(why) => {
            return ["unit", "hardening", "timer"].map(|check| Finding::unseen(check, why)).into();
        }
    };
    let proc = Path::new("/proc");
    let mut findings = state(name, unit, context.unit_named);
    if let Some(user) = unit.user().filter(|user| unit.is_loaded() && User::named(user).is_none()) {
        let text = format!("the user {user}, as which {name} is to run, does not exist");
        findings.push(Finding::fail(
            "unit",
            text,
            format!("install the package again, or run: {}", as_root("systemd-sysusers")),
        ));
    }
    if context.replaced || unit.runs_replaced(proc) {
        findings.push(replaced(name));
    }
    findings.extend(hardening(name, unit, no_new_privs(unit, proc)));
    let ask = |kind| UnitProperties::ask(&format!("{UPDATE}.{kind}"));
    match (ask("timer"), ask("service")) {
        (Ok(properties), Ok(service)) => findings.extend(timer(&properties, &service)),
        (Err(why), _) | (_, Err(why)) => findings.push(Finding::unseen("timer", why)),
    }
    findings
}

#[cfg(test)]
mod tests;
