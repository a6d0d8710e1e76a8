//! The properties of a systemd unit, from `systemctl show`. Judges nothing.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tgs_core::{
    cancel::Cancel,
    process::{self, RunError},
};

/// Time limit of `systemctl show`, which systemd answers from memory.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// The requested properties.
const PROPERTIES: &str = "LoadState,LoadError,ActiveState,SubState,Result,NRestarts,UnitFileState,MainPID,User,\
    Environment,EnvironmentFiles,ExecStart,StateDirectory,CacheDirectory,NoNewPrivileges,ProtectSystem,PrivateTmp,\
    Restart,StartLimitIntervalUSec,NeedDaemonReload,StatusText,ActiveEnterTimestamp,ExecMainStatus,ExecMainCode,\
    NextElapseUSecRealtime,LastTriggerUSec,WorkingDirectory";

/// The properties of a unit, as printed by `systemctl show`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnitProperties(pub(crate) BTreeMap<String, String>);

/// Why `systemctl show` failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SystemctlError {
    /// systemctl could not be run to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// systemctl failed with this line.
    #[error("{0}")]
    Failed(String),
}

impl UnitProperties {
    /// Queries the unit `name`. A missing unit has properties too.
    pub(crate) fn ask(name: &str) -> Result<Self, SystemctlError> {
        let mut command = process::command("systemctl");
        command.args(["show", "--no-pager", "-p", PROPERTIES, "--", name]);
        let output = process::output(command, ASK_LIMIT, 1 << 20, &Cancel::new())?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let line = stderr.lines().next().unwrap_or("systemctl fails without a message");
            return Err(SystemctlError::Failed(line.to_owned()));
        }
        Ok(Self::read(&String::from_utf8_lossy(&output.stdout)))
    }

    pub(crate) fn read(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether the unit exists and its unit file is valid.
    pub(crate) fn is_loaded(&self) -> bool {
        self.get("LoadState") == "loaded"
    }

    /// `User=`; `None` for root.
    pub(crate) fn user(&self) -> Option<&str> {
        Some(self.get("User")).filter(|user| !user.is_empty())
    }

    /// The main process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.get("MainPID").parse().ok().filter(|pid| *pid > 0)
    }

    /// `WorkingDirectory=`: the base of relative paths in the settings.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        // `!` marks a directory that may be missing.
        let path = self.get("WorkingDirectory").trim_start_matches('!');
        Some(path).filter(|path| path.starts_with('/')).map(PathBuf::from)
    }

    /// Whether the unit is active.
    pub(crate) fn is_active(&self) -> bool {
        self.get("ActiveState") == "active"
    }

    /// The settings file: `--env-file`, else `EnvironmentFile=`.
    pub(crate) fn env_file(&self) -> Option<PathBuf> {
        let mut words = self.get("ExecStart").split(' ');
        let named = words.find(|word| *word == "--env-file").and_then(|_| words.next());
        // Format: `/path (ignore_errors=no)`.
        let listed = self.get("EnvironmentFiles").split(" (").next().filter(|path| !path.is_empty());
        named.or(listed).map(PathBuf::from)
    }

    /// Whether ExecStart= contains `--fixed-port`.
    pub(crate) fn has_fixed_port(&self) -> bool {
        self.get("ExecStart").split(' ').any(|word| word == "--fixed-port")
    }

    /// Whether the running program was replaced on disk. Only root can read the link.
    pub(crate) fn runs_replaced(&self, proc: &Path) -> bool {
        let exe = self.pid().and_then(|pid| fs::read_link(proc.join(pid.to_string()).join("exe")).ok());
        exe.is_some_and(|exe| exe.to_string_lossy().ends_with(" (deleted)"))
    }

    /// The environment of the unit's processes, without `EnvironmentFile=`.
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
