//! The desk and the bot beside a broadcast.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, ensure};
use tgs_testdc::{TestDc, World};

/// A running daemon with its log. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Daemon {
    /// The tool's name.
    pub(super) name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn start(name: &'static str, mut command: Command, log: PathBuf) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name, child, log })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn log(&self) -> Result<String> {
        fs::read_to_string(&self.log).context("read the log of a daemon")
    }

    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `tool`, which ends with this process.
fn bound(tool: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(tool);
    command
}

/// Starts the desk of the broadcast at `socket`, with a user.
pub(super) fn desk(tool: &Path, dir: &Path, socket: &Path, password: &str) -> Result<Daemon> {
    let env_file = dir.join("web.env");
    let users = dir.join("users");
    fs::write(&env_file, format!("WEB_LISTEN=127.0.0.1:0\nWEB_USERS_FILE={}\n", users.display()))?;
    let mut add = Command::new(tool);
    add.arg("--env-file").arg(&env_file).args(["user", "add", "anna"]).stdin(Stdio::piped());
    let mut child = add.stderr(Stdio::null()).spawn().context("run tgs-web user add")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    writeln!(stdin, "{password}")?;
    drop(stdin);
    ensure!(child.wait()?.success(), "tgs-web user add failed");
    let mut command = bound(tool);
    command.arg("--env-file").arg(&env_file).arg("--socket").arg(socket);
    Daemon::start("tgs-web", command, dir.join("web.log"))
}

/// Starts the bot of the broadcast at `socket`.
pub(super) fn bot(tool: &Path, dir: &Path, socket: &Path, dc: &TestDc) -> Result<Daemon> {
    let token = dc.world().accounts.iter().find_map(|account| account.bot_token.clone());
    let settings = [
        ("API_ID", dc.api_id().to_string()),
        ("API_HASH", dc.api_hash()),
        ("BOT_TOKEN", token.context("the test DC has no bot")?),
        ("BOT_ADMINS", World::ALICE.to_string()),
    ];
    let lines: Vec<_> = settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let env_file = dir.join("bot.env");
    fs::write(&env_file, lines.concat())?;
    let mut command = bound(tool);
    command.arg("--env-file").arg(&env_file).arg("--state-dir").arg(dir.join("bot"));
    command.arg("--socket").arg(socket).env_clear();
    command.env("TGS_TEST_DCS", format!("1={},2={}", dc.addr(1), dc.addr(2)));
    Daemon::start("tgs-bot", command, dir.join("bot.log"))
}
