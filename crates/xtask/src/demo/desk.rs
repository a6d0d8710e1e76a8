//! The desk of the demo: `tgs-web` on a free port, with a link that signs in once.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tgs_core::process::{self, Child};
use tgs_e2e::bin_path;

/// Time that the desk has to print its link.
const LIMIT: Duration = Duration::from_secs(10);

/// Starts the desk for the broadcast whose state is in `state`, with the clips in `dir` as library.
/// Returns it with its link.
pub(super) fn start(dir: &Path, state: &Path) -> Result<(Child, String)> {
    let env_file = dir.join("web.env");
    let text = format!(
        "# Made by cargo xtask demo.\nWEB_LISTEN=127.0.0.1:0\nWEB_USERS_FILE='{0}/web-users'\nLIBRARY_DIRS='{0}'\n",
        dir.display()
    );
    fs::write(&env_file, text).with_context(|| format!("write {}", env_file.display()))?;
    let log = dir.join("web.log");
    let mut command = process::trusted(bin_path::build("tgs-web")?);
    command.arg("--demo-link").arg("--env-file").arg(&env_file);
    command.arg("--socket").arg(state.join("control.sock"));
    command.stdout(Stdio::piped()).stderr(File::create(&log).context("make web.log")?);
    let child = process::spawn(command).context("start tgs-web")?;
    let stdout = child.take_stdout().context("tgs-web has no stdout")?;
    let (printed, link) = mpsc::channel();
    thread::Builder::new().name("desk".into()).spawn(move || {
        let mut url = String::new();
        let _ = BufReader::new(stdout).read_line(&mut url);
        let _ = printed.send(url.trim_end().to_owned());
    })?;
    let link = link.recv_timeout(LIMIT).unwrap_or_default();
    ensure!(!link.is_empty(), "see {}", log.display());
    Ok((child, link))
}
