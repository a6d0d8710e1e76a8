//! systemd: whether the unit runs, whether its hardening is in force, and when yt-dlp is updated next.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tgs_core::{cancel::Cancel, process, process::user::User, remedy::as_root};

use crate::{context::DiagContext, finding::Finding};

/// The unit that updates yt-dlp.
const UPDATE: &str = "yt-dlp-update";

/// systemd answers from memory.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// What is asked of a unit.
const PROPERTIES: &str = "LoadState,LoadError,ActiveState,SubState,Result,NRestarts,UnitFileState,MainPID,User,\
    Environment,EnvironmentFiles,ExecStart,StateDirectory,CacheDirectory,NoNewPrivileges,ProtectSystem,PrivateTmp,\
    Restart,StartLimitIntervalUSec,NeedDaemonReload,StatusText,ActiveEnterTimestamp,ExecMainStatus,ExecMainCode,\
    NextElapseUSecRealtime,LastTriggerUSec,WorkingDirectory";

/// The properties of a unit, as `systemctl show` has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnitProperties(BTreeMap<String, String>);

/// Asks systemd about `name`. An error says in words why it cannot be asked; a unit that does not exist is none.
pub(crate) fn ask(name: &str) -> Result<UnitProperties, String> {
    let mut command = process::command("systemctl");
    command.args(["show", "--no-pager", "-p", PROPERTIES, "--", name]);
    let output = process::output(command, ASK_LIMIT, 1 << 20, &Cancel::new()).map_err(|e| e.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().next().unwrap_or("systemctl fails and does not say why").to_owned());
    }
    Ok(UnitProperties::read(&String::from_utf8_lossy(&output.stdout)))
}

impl UnitProperties {
    pub(crate) fn read(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether there is such a unit.
    pub(crate) fn is_loaded(&self) -> bool {
        self.get("LoadState") == "loaded"
    }

    /// Whose processes it runs; `None` for root, which is nobody's intention.
    pub(crate) fn user(&self) -> Option<&str> {
        Some(self.get("User")).filter(|user| !user.is_empty())
    }

    /// Its main process.
    fn pid(&self) -> Option<u32> {
        self.get("MainPID").parse().ok().filter(|pid| *pid > 0)
    }

    /// Where relative paths of its settings begin.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        // With a `!` in front where it may be missing.
        let path = self.get("WorkingDirectory").trim_start_matches('!');
        Some(path).filter(|path| path.starts_with('/')).map(PathBuf::from)
    }

    /// Whether it is running.
    pub(crate) fn is_active(&self) -> bool {
        self.get("ActiveState") == "active"
    }

    /// The settings it reads: those of `--env-file`, else of EnvironmentFile=.
    pub(crate) fn env_file(&self) -> Option<PathBuf> {
        let mut words = self.get("ExecStart").split(' ');
        let named = words.find(|word| *word == "--env-file").and_then(|_| words.next());
        // /path (ignore_errors=no)
        let listed = self.get("EnvironmentFiles").split(" (").next().filter(|path| !path.is_empty());
        named.or(listed).map(PathBuf::from)
    }

    /// Whether its port is the one that is set or none.
    pub(crate) fn has_fixed_port(&self) -> bool {
        self.get("ExecStart").split(' ').any(|word| word == "--fixed-port")
    }

    /// Whether the program it runs has been replaced since; only root can see that.
    pub(crate) fn runs_replaced(&self, proc: &Path) -> bool {
        let exe = self.pid().and_then(|pid| fs::read_link(proc.join(pid.to_string()).join("exe")).ok());
        exe.is_some_and(|exe| exe.to_string_lossy().ends_with(" (deleted)"))
    }

    /// The variables its processes see, those of EnvironmentFile= left out.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let words = shell_words::split(self.get("Environment")).unwrap_or_default();
        let pairs = words.iter().filter_map(|word| word.split_once('='));
        let mut vars: BTreeMap<_, _> =
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (property, variable, root) in [
            ("StateDirectory", "STATE_DIRECTORY", "/var/lib"),
            ("CacheDirectory", "CACHE_DIRECTORY", "/var/cache"),
        ] {
            if let Some(first) = self.get(property).split(' ').next().filter(|first| !first.is_empty()) {
                vars.insert(variable.to_owned(), format!("{root}/{first}"));
            }
        }
        vars
    }
}

/// How often systemd has started it again, where it has: `, restarted 3 times`.
fn restarted(count: &str) -> String {
    match count {
        "" | "0" => String::new(),
        "1" => ", restarted once".to_owned(),
        count => format!(", restarted {count} times"),
    }
}

/// Whether it runs.
pub(crate) fn state(name: &str, unit: &UnitProperties, named: bool) -> Vec<Finding> {
    let check = "unit";
    let journal = format!("{} says why", as_root(&format!("journalctl -u {name} -n 50")));
    match unit.get("LoadState") {
        "loaded" => {}
        "masked" => {
            return vec![Finding::fail(
                check,
                format!("{name} is masked"),
                as_root(&format!("systemctl unmask {name}")),
            )];
        }
        "not-found" if named => {
            return vec![Finding::fail(
                check,
                format!("systemd knows no unit {name}"),
                "check the name: systemctl list-units 'tg_video_streamer*' shows them",
            )];
        }
        "not-found" => return vec![Finding::unseen(check, format_args!("systemd knows no unit {name}"))],
        other => {
            let error = unit.get("LoadError");
            let text = format!("{name} cannot be loaded: {other} {error}");
            return vec![Finding::fail(
                check,
                text.trim_end(),
                format!("systemd-analyze verify {name}.service"),
            )];
        }
    }
    let restarted = restarted(unit.get("NRestarts"));
    let (active, sub) = (unit.get("ActiveState"), unit.get("SubState"));
    let status = Some(unit.get("StatusText")).filter(|text| !text.is_empty());
    let status = status.map(|text| format!("; it says: {text}")).unwrap_or_default();
    let mut findings = vec![match (active, sub) {
        ("active", "running") => {
            let since = unit.get("ActiveEnterTimestamp");
            Finding::pass(check, format!("{name} runs since {since}{restarted}{status}"))
        }
        ("failed", _) => Finding::fail(
            check,
            format!("{name} has failed: {}, exit status {}", unit.get("Result"), unit.get("ExecMainStatus")),
            format!("{journal}; then {}", as_root(&format!("systemctl restart {name}"))),
        ),
        ("activating", "auto-restart") => Finding::fail(
            check,
            format!(
                "{name} ended{restarted}, last with exit status {}, and systemd starts it again",
                unit.get("ExecMainStatus")
            ),
            journal,
        ),
        ("inactive", _) => {
            let start = as_root(&format!("systemctl start {name}"));
            Finding::warn(check, format!("{name} does not run")).mended_by(start)
        }
        _ => {
            Finding::warn(check, format!("{name} is {active} ({sub}){restarted}{status}")).mended_by(journal)
        }
    }];
    if matches!(unit.get("UnitFileState"), "disabled") {
        findings.push(
            Finding::warn(check, format!("{name} is not started when the machine starts"))
                .mended_by(as_root(&format!("systemctl enable {name}"))),
        );
    }
    if unit.get("NeedDaemonReload") == "yes" {
        findings.push(
            Finding::warn(check, format!("the unit file of {name} has changed since systemd read it"))
                .mended_by(format!(
                    "{} && {}",
                    as_root("systemctl daemon-reload"),
                    as_root(&format!("systemctl restart {name}"))
                )),
        );
    }
    findings
}

/// What the unit file must say for the promises of the documents to hold.
const HARDENING: [(&str, &[&str]); 4] = [
    ("NoNewPrivileges", &["yes"]),
    ("ProtectSystem", &["full", "strict"]),
    ("PrivateTmp", &["yes", "disconnected"]),
    ("Restart", &["always"]),
];

/// Whether its hardening is in force; `no_new_privs` is what /proc says of its process.
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
            _ => "; no process runs that could be looked at",
        };
        let text = format!(
            "NoNewPrivileges, ProtectSystem, PrivateTmp, Restart=always and a user of its own{running}"
        );
        findings.push(Finding::pass(check, text));
    }
    findings
}

/// Whether the main process may gain no privileges, as the kernel says; `None` where it cannot be asked.
fn no_new_privs(unit: &UnitProperties, proc: &Path) -> Option<bool> {
    // Before that it may still be systemd's own child, on its way to the program.
    let pid = unit.pid().filter(|_| unit.is_active())?;
    let status = fs::read_to_string(proc.join(pid.to_string()).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:"))?;
    Some(line.trim() == "1")
}

/// What is said of a program that runs and is the installed one no more.
fn replaced(name: &str) -> Finding {
    Finding::warn("unit", format!("{name} still runs a program that has been replaced since"))
        .mended_by(as_root(&format!("systemctl restart {name}")))
}

/// When yt-dlp is updated next, and how the last update went.
fn timer(timer: &UnitProperties, service: &UnitProperties) -> Vec<Finding> {
    let check = "timer";
    let on = as_root(&format!("systemctl enable --now {UPDATE}.timer"));
    if !timer.is_loaded() {
        return vec![
            Finding::warn(check, format!("there is no {UPDATE}.timer: nobody updates yt-dlp"))
                .mended_by("install the units of tgs, or update yt-dlp by hand"),
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
        findings.push(Finding::warn(check, text).mended_by(format!(
            "{} says why; the old version is still used",
            as_root("tail -n 40 /var/log/yt-dlp-update.log")
        )));
    }
    findings
}

/// Looks at the unit and the timer.
pub(crate) fn look(view: &DiagContext) -> Vec<Finding> {
    let name = &*view.unit_name;
    let unit = match &view.unit {
        Ok(unit) => unit,
        Err(why) => {
            return ["unit", "hardening", "timer"].map(|check| Finding::unseen(check, why)).into();
        }
    };
    let proc = Path::new("/proc");
    let mut findings = state(name, unit, view.unit_named);
    if let Some(user) = unit.user().filter(|user| unit.is_loaded() && User::named(user).is_none()) {
        let text = format!("the user {user}, as which {name} is to run, does not exist");
        findings.push(Finding::fail(
            "unit",
            text,
            format!("install the package again, or run: {}", as_root("systemd-sysusers")),
        ));
    }
    if view.replaced || unit.runs_replaced(proc) {
        findings.push(replaced(name));
    }
    findings.extend(hardening(name, unit, no_new_privs(unit, proc)));
    match (ask(&format!("{UPDATE}.timer")), ask(&format!("{UPDATE}.service"))) {
        (Ok(it), Ok(service)) => findings.extend(timer(&it, &service)),
        (Err(why), _) | (_, Err(why)) => findings.push(Finding::unseen("timer", why)),
    }
    findings
}

#[cfg(test)]
mod tests;
