//! Telegram, as far as the demo needs it: the test DC with an account, a channel and a standby
//! session, the `.env` of all that, and the first sign-in.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use tgs_e2e::{bin_path, telegram::knowing_the_key};
use tgs_testdc::{TestDc, World, control};

/// The DC that Alice lives on.
const HOME: i32 = 2;

/// The local Telegram and the tools that know it.
pub(super) struct Telegram {
    dc: Arc<TestDc>,
    control: SocketAddr,
    dir: PathBuf,
    standby: i64,
}

impl Telegram {
    /// Starts it. `ingest` is what stands before the stream key; everything is kept in `dir`.
    pub(super) fn start(dir: &Path, ingest: &str) -> Result<Self> {
        let dc = Arc::new(TestDc::start(World::example()).context("start the local Telegram")?);
        dc.set_ingest(ingest);
        let control =
            control::serve(dc.clone(), 0).context("open the control socket of the local Telegram")?;
        let modulus = dc.rsa_public().0;
        for tool in ["tgs-stream", "tgs-session"] {
            let copy = dir.join(tool);
            // One that runs cannot be written to.
            let _ = fs::remove_file(&copy);
            knowing_the_key(&bin_path::build(tool)?, modulus, &copy)?;
        }
        let standby = dc.new_session(World::ALICE, HOME);
        let telegram = Self { dc, control, dir: dir.to_owned(), standby: standby.key_id };
        telegram.write_env(&standby.telethon_string())?;
        Ok(telegram)
    }

    /// Without a SESSION_STRING: signing in is part of the demo.
    fn write_env(&self, standby: &str) -> Result<()> {
        let world = self.dc.world();
        let password = world.accounts.iter().find_map(|account| account.password.clone()).unwrap_or_default();
        let text = format!(
            "# Made by cargo xtask demo, for the local Telegram.\nAPI_ID={}\nAPI_HASH={}\nCHAT_ID=@tgs_demo\n\
             CALL_TITLE='Round the clock'\nSTANDBY_SESSION_STRING={standby}\nTWO_FA_PASSWORD='{password}'\n\
             SESSION_STRING=\n",
            world.api_id, world.api_hash
        );
        fs::write(self.env_file(), text)?;
        fs::set_permissions(self.env_file(), fs::Permissions::from_mode(0o600))?;
        Ok(())
    }

    /// Signs in: the standby session approves the new one.
    pub(super) fn sign_in(&self, state: &Path) -> Result<()> {
        let mut command = Command::new(self.dir.join("tgs-session"));
        command.args(["--write-env", "--non-interactive", "--env-file"]).arg(self.env_file());
        // A cache of its own: sign-ins are counted there per host, and these must not count.
        command.env("STATE_DIR", state).env("CACHE_DIR", state.join("cache")).current_dir(&self.dir);
        ensure!(command.status().context("run tgs-session")?.success(), "tgs-session cannot sign in");
        Ok(())
    }

    pub(super) fn env_file(&self) -> PathBuf {
        self.dir.join(".env")
    }

    /// The tgs-stream that knows it.
    pub(super) fn tool(&self) -> PathBuf {
        self.dir.join("tgs-stream")
    }

    /// The channel's stream key.
    pub(super) fn stream_key(&self) -> String {
        self.dc.stream(World::CHANNEL).1
    }

    /// How the demo's user ends the session that is on air.
    pub(super) fn how_to_revoke(&self) -> String {
        let sessions = self.dc.sessions(World::ALICE);
        let own = sessions.iter().find(|session| session.key_id != self.standby);
        let key = own.map_or(String::new(), |session| format!("{:016x}", session.key_id));
        format!("target/debug/tgs-testdc ctl --control {} revoke {key}", self.control)
    }
}
