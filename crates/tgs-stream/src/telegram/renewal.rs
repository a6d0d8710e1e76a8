//! Runs `tgs-session --write-env --non-interactive`, which lets the standby session approve a new
//! session and writes it into `.env`, or into STATE_DIR with SESSION_STRING_FILE. Neither signs in
//! itself nor reads the result.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tgs_core::{
    cancel::Cancel,
    process::{self, RunError},
    settings::{self, Settings},
};

/// A sign-in makes several calls of up to 15 s.
const TIME_OUT: Duration = Duration::from_secs(150);

const MAX_OUTPUT: usize = 1 << 16;

/// Why there is no new session.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenewalError {
    #[error(transparent)]
    Run(#[from] RunError),
    /// The last line that tgs-session has printed.
    #[error("{0}")]
    Failed(String),
    #[error(
        "SESSION_STRING in the environment hides the new one in {}: unset it, or start tgs-stream with --env-file",
        .env_file.display()
    )]
    Hidden { env_file: PathBuf },
}

pub(super) fn run(env_file: &Path, current: &Settings, cancel: &Cancel) -> Result<(), RenewalError> {
    let beside = env::current_exe().map(|exe| exe.with_file_name("tgs-session"));
    let program = beside.ok().filter(|path| path.exists()).unwrap_or_else(|| "tgs-session".into());
    let mut command: Command = process::trusted(program);
    command.args(["--write-env", "--non-interactive"]);
    if env_file.exists() {
        command.arg("--env-file").arg(env_file);
    }
    // In a container, the settings are in the environment. Values of secrets are not passed on.
    command.envs(settings::inherited().filter_map(|name| env::var_os(&name).map(|value| (name, value))));
    command.env("STATE_DIR", &current.state_dir).env("CACHE_DIR", &current.cache_dir);
    let output = process::output(command, TIME_OUT, MAX_OUTPUT, cancel)?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Err(RenewalError::Failed(last.to_owned()))
}
