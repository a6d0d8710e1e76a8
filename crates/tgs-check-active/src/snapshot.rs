//! What systemd says of a unit at one moment, read from `systemctl show`. No judgement.

/// The properties that are asked for.
pub(crate) const PROPERTIES: &str = "Id,LoadState,LoadError,ActiveState,SubState,Result,InvocationID,NRestarts,Job,\
                                     ConditionResult,AssertResult,MainPID,ExecMainPID,ExecMainCode,ExecMainStatus";

/// A unit at one moment. Texts are systemd's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub(crate) load: String,
    /// Why it is not loaded.
    pub(crate) load_error: String,
    /// `active`, `activating`, `failed`, …
    pub(crate) active: String,
    /// `running`, `exited`, `auto-restart`, …
    pub(crate) sub: String,
    /// `success`, `exit-code`, `signal`, `timeout`, `watchdog`, …
    pub(crate) result: String,
    /// Names this run of the unit; empty where it never ran.
    pub(crate) invocation: String,
    /// How often systemd has restarted it by itself since somebody started it.
    pub(crate) restarts: u32,
    /// Whether systemd has yet to start or stop it.
    pub(crate) job: bool,
    /// Whether the conditions held when last looked at. `false` too where they never were.
    pub(crate) condition: bool,
    /// The same for its assertions.
    pub(crate) assertion: bool,
    /// The process that runs.
    pub(crate) pid: Option<u32>,
    /// How the last main process ended.
    pub(crate) end: Option<End>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl Snapshot {
    /// Reads `NAME=value` lines; `None` where they are no answer about a unit.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let value = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
        };
        let word = |name| value(name).to_owned();
        let number = |name| value(name).parse().ok();
        let load = Some(word("LoadState")).filter(|load| !load.is_empty())?;
        let status = number("ExecMainStatus").unwrap_or_default();
        Some(Self {
            load,
            // `org.freedesktop.systemd1.X "words"`.
            load_error: value("LoadError").split('"').nth(1).unwrap_or_default().to_owned(),
            active: word("ActiveState"),
            sub: word("SubState"),
            result: word("Result"),
            invocation: word("InvocationID"),
            restarts: value("NRestarts").parse().unwrap_or_default(),
            job: !matches!(value("Job"), "" | "0"),
            condition: value("ConditionResult") == "yes",
            assertion: value("AssertResult") == "yes",
            pid: value("MainPID").parse().ok().filter(|pid| *pid != 0),
            // The numbers of CLD_EXITED, CLD_KILLED and CLD_DUMPED.
            end: match value("ExecMainCode") {
                "1" => Some(End::Exited(status)),
                "2" | "3" => Some(End::Killed(status)),
                _ => None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_systemctl_shows() {
        let shown = "MainPID=0\nResult=exit-code\nNRestarts=2\nExecMainPID=107\nExecMainCode=1\nExecMainStatus=78\n\
                     Id=f.service\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\nJob=\n\
                     ConditionResult=yes\nAssertResult=yes\nLoadError=\nInvocationID=19e5\n";
        let expected = Snapshot {
            load: "loaded".into(),
            active: "activating".into(),
            sub: "auto-restart".into(),
            result: "exit-code".into(),
            invocation: "19e5".into(),
            restarts: 2,
            condition: true,
            assertion: true,
            end: Some(End::Exited(78)),
            ..Snapshot::default()
        };
        assert_eq!(Snapshot::read(shown), Some(expected));
    }

    #[test]
    fn what_else_it_may_say() {
        let shown = "LoadState=masked\nLoadError=org.freedesktop.systemd1.UnitMasked \"Unit m.service is masked.\"\n\
                     Job=743\nMainPID=9\nExecMainCode=2\nExecMainStatus=9";
        let read = Snapshot::read(shown).unwrap();
        assert_eq!(read.load_error, "Unit m.service is masked.");
        assert_eq!((read.job, read.pid, read.end), (true, Some(9), Some(End::Killed(9))));
        for nothing in ["", "System has not been booted", "LoadState=\nId=x"] {
            assert_eq!(Snapshot::read(nothing), None);
        }
    }
}
