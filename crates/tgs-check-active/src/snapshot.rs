//! The state of a unit at one moment, parsed from `systemctl show`. Judges nothing.

use std::{collections::BTreeMap, path::PathBuf};

/// The requested properties.
pub(crate) const PROPERTIES: &str = "Id,LoadState,LoadError,ActiveState,SubState,Result,InvocationID,NRestarts,Job,\
                                     ConditionResult,AssertResult,MainPID,ExecMainPID,ExecMainCode,ExecMainStatus,StatusText,\
                                     ExecStart,Environment,User,StateDirectory,CacheDirectory,WorkingDirectory";

/// The state of a unit at one moment. Strings are systemd's own values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnitSnapshot {
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub(crate) load: String,
    /// The load error, if the unit is not loaded.
    pub(crate) load_error: String,
    /// `active`, `activating`, `failed`, …
    pub(crate) active: String,
    /// `running`, `exited`, `auto-restart`, …
    pub(crate) sub: String,
    /// `success`, `exit-code`, `signal`, `timeout`, `watchdog`, …
    pub(crate) result: String,
    /// InvocationID of the current run; empty if the unit never ran.
    pub(crate) invocation: String,
    /// Automatic restarts (NRestarts) since the last manual start.
    pub(crate) restarts: u32,
    /// Whether a start or stop job is queued.
    pub(crate) job: bool,
    /// Result of the last condition check; also `false` if none was made.
    pub(crate) condition: bool,
    /// Result of the last assertion check; also `false` if none was made.
    pub(crate) assertion: bool,
    /// PID of the main process.
    pub(crate) pid: Option<u32>,
    /// How the last main process ended.
    pub(crate) end: Option<ProcessEnd>,
    /// STATUS= text of the process.
    pub(crate) status: String,
    /// The program of ExecStart=.
    pub(crate) program: Option<PathBuf>,
    /// WorkingDirectory=.
    pub(crate) directory: Option<PathBuf>,
    /// Other properties, by name.
    pub(crate) shown: BTreeMap<String, String>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessEnd {
    /// Exit status.
    Exited(i32),
    /// Signal number.
    Killed(i32),
}

impl UnitSnapshot {
    /// Parses `NAME=value` lines; `None` if they do not describe a unit.
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
            // D-Bus error name and text: `org.freedesktop.systemd1.X "text"`.
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
            // CLD_EXITED is 1, CLD_KILLED 2, CLD_DUMPED 3.
            end: match value("ExecMainCode") {
                "1" => Some(ProcessEnd::Exited(status)),
                "2" | "3" => Some(ProcessEnd::Killed(status)),
                _ => None,
            },
            status: word("StatusText"),
            // `{ path=/bin/x ; argv[]=/bin/x --a ; … }`
            program: value("ExecStart")
                .split_once("path=")
                .and_then(|(_, rest)| rest.split(" ;").next())
                .filter(|path| path.starts_with('/'))
                .map(PathBuf::from),
            // A leading `!` marks a directory that may be missing.
            directory: Some(value("WorkingDirectory").trim_start_matches('!'))
                .filter(|dir| dir.starts_with('/'))
                .map(PathBuf::from),
            shown: ["ExecStart", "Environment", "User", "StateDirectory", "CacheDirectory"]
                .map(|name| (name.to_owned(), word(name)))
                .into(),
        })
    }

    fn shown(&self, name: &str) -> &str {
        self.shown.get(name).map_or("", String::as_str)
    }

    /// User=; empty for root.
    pub(crate) fn user(&self) -> &str {
        self.shown("User")
    }

    /// The unit's StateDirectory=, as an absolute path.
    pub(crate) fn state_directory(&self) -> Option<PathBuf> {
        self.made("StateDirectory", "/var/lib")
    }

    /// The first directory of `property`, below `root`.
    fn made(&self, property: &str, root: &str) -> Option<PathBuf> {
        let name = self.shown(property).split(' ').next().filter(|name| !name.is_empty())?;
        Some(PathBuf::from(root).join(name))
    }

    /// The settings file: the argument of `--env-file`.
    pub(crate) fn env_file(&self) -> Option<PathBuf> {
        let args = self.settings_args();
        args.get(1).filter(|_| args[0] == "--env-file").map(PathBuf::from)
    }

    /// The ExecStart= arguments that select the settings.
    pub(crate) fn settings_args(&self) -> Vec<String> {
        let argv = self.shown("ExecStart").split_once("argv[]=").map_or("", |(_, rest)| rest);
        let words: Vec<&str> = argv.split(" ;").next().unwrap_or_default().split(' ').collect();
        let file = words.iter().position(|word| *word == "--env-file").and_then(|at| words.get(at..at + 2));
        let fixed = words.iter().find(|word| **word == "--fixed-port");
        file.unwrap_or_default().iter().chain(fixed).map(|word| (*word).to_owned()).collect()
    }

    /// The environment of the program, without EnvironmentFile=.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let words = shell_words::split(self.shown("Environment")).unwrap_or_default();
        let pairs = words.iter().filter_map(|word| word.split_once('='));
        let mut all: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (property, name, root) in [
            ("StateDirectory", "STATE_DIRECTORY", "/var/lib"),
            ("CacheDirectory", "CACHE_DIRECTORY", "/var/cache"),
        ] {
            let dir = self.made(property, root);
            all.extend(dir.map(|dir| (name.to_owned(), dir.to_string_lossy().into_owned())));
        }
        all
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
        let expected = UnitSnapshot {
            load: "loaded".into(),
            active: "activating".into(),
            sub: "auto-restart".into(),
            result: "exit-code".into(),
            invocation: "19e5".into(),
            restarts: 2,
            condition: true,
            assertion: true,
            end: Some(ProcessEnd::Exited(78)),
            shown: ["ExecStart", "Environment", "User", "StateDirectory", "CacheDirectory"]
                .map(|name| (name.to_owned(), String::new()))
                .into(),
            ..UnitSnapshot::default()
        };
        assert_eq!(UnitSnapshot::read(shown), Some(expected));
    }

    #[test]
    fn program_and_settings_of_the_unit() {
        let shown = "LoadState=loaded\nStatusText=playing a\nWorkingDirectory=!/opt/x\nStateDirectory=x@a y\nCacheDirectory=x\n\
                     Environment=PATH=/a:/b \"A=b c\"\nExecStart={ path=/opt/x/bin/tgs-stream ; \
                     argv[]=/opt/x/bin/tgs-stream --fixed-port --env-file /opt/x/a.env ; ignore_errors=no ; pid=7 }\n";
        let read = UnitSnapshot::read(shown).unwrap();
        assert_eq!(read.status, "playing a");
        assert_eq!(read.program, Some("/opt/x/bin/tgs-stream".into()));
        assert_eq!(read.directory, Some("/opt/x".into()));
        assert_eq!(read.state_directory(), Some("/var/lib/x@a".into()));
        assert_eq!(read.settings_args(), ["--env-file", "/opt/x/a.env", "--fixed-port"]);
        let variables = [
            ("PATH", "/a:/b"),
            ("A", "b c"),
            ("STATE_DIRECTORY", "/var/lib/x@a"),
            ("CACHE_DIRECTORY", "/var/cache/x"),
        ];
        assert_eq!(read.variables(), variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let bare =
            UnitSnapshot::read("LoadState=loaded\nExecStart={ path=/bin/x ; argv[]=/bin/x --env-file ; }")
                .unwrap();
        assert_eq!((bare.settings_args(), bare.state_directory()), (Vec::<String>::new(), None));
    }

    #[test]
    fn a_masked_unit_and_output_without_a_unit() {
        let shown = "LoadState=masked\nLoadError=org.freedesktop.systemd1.UnitMasked \"Unit m.service is masked.\"\n\
                     Job=743\nMainPID=9\nExecMainCode=2\nExecMainStatus=9";
        let read = UnitSnapshot::read(shown).unwrap();
        assert_eq!(read.load_error, "Unit m.service is masked.");
        assert_eq!((read.job, read.pid, read.end), (true, Some(9), Some(ProcessEnd::Killed(9))));
        for nothing in ["", "System has not been booted", "LoadState=\nId=x"] {
            assert_eq!(UnitSnapshot::read(nothing), None);
        }
    }
}
