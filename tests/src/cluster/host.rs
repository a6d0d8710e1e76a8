//! A host: one `tgs-stream` with a network, directories and a wall clock of its own.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tgs_control::{
    AddressFile, ControlClient, Status, StatusClient, http_get,
    method::{Call, NoParams},
};

use super::network::{Network, Node};
use crate::broadcast::{Broadcast, Launch};

/// Time limit for a request of a page.
const PAGE_LIMIT: Duration = Duration::from_secs(1);

/// Time limit for a host that ends in order.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// One host; dropping it kills the process.
#[derive(Debug)]
pub struct Host {
    number: usize,
    tool: PathBuf,
    network: String,
    broadcast: Option<Broadcast>,
    dir: TempDir,
    log: PathBuf,
}

impl Host {
    /// A host that runs `tool` with these settings; its log goes to `logs`.
    pub(super) fn new(
        network: &Network,
        number: usize,
        tool: &Path,
        settings: &[(&str, String)],
        logs: &Path,
    ) -> Result<Self> {
        let host = Self {
            number,
            tool: tool.to_owned(),
            network: network.namespace(Node::Host(number))?.option(),
            broadcast: None,
            dir: tempfile::Builder::new().prefix("tgs-host-").tempdir()?,
            log: logs.join(format!("host{number}.log")),
        };
        host.step_clock(0)?;
        let lines: Vec<_> = settings.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
        fs::write(host.env_file(), lines.concat())?;
        fs::set_permissions(host.env_file(), fs::Permissions::from_mode(0o600))?;
        Ok(host)
    }

    /// Starts the process where it does not run. Call it from a long-lived thread.
    pub(super) fn run(&mut self) -> Result<()> {
        if self.broadcast.is_some() {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut launch = Launch::through(&["nsenter", &self.network], &self.tool)?.keeping(self.dir.path());
        launch = launch.set("HA_HOST", self.name()).set("RUST_LOG", "debug").set("CACHE_MAX_GB", "1");
        launch = launch.arg("--env-file").arg(self.env_file());
        // Only what asks libc for the wall clock is deceived, as tgs-stream does.
        launch = launch.set("LD_PRELOAD", faketime()?).set("FAKETIME_TIMESTAMP_FILE", self.clock());
        launch = launch.set("FAKETIME_CACHE_DURATION", "1").set("NO_FAKE_STAT", "1");
        launch = launch.set("FAKETIME_DONT_FAKE_MONOTONIC", "1").set("DONT_FAKE_MONOTONIC", "1");
        self.broadcast = Some(launch.log_to(log).start()?);
        Ok(())
    }

    /// The name in the cluster.
    #[must_use]
    pub fn name(&self) -> String {
        format!("host{}", self.number)
    }

    /// The directory of its state and cache.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills the process.
    pub(super) fn kill(&mut self) {
        self.broadcast = None;
    }

    /// Sends the process a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        self.broadcast.as_ref().map_or(Ok(()), |broadcast| broadcast.signal(signal))
    }

    /// The cause if the process has ended by itself.
    pub(super) fn ended(&mut self) -> Result<Option<String>> {
        let status = self.broadcast.as_mut().map(Broadcast::ended).transpose()?.flatten();
        Ok(status.map(|status| format!("tgs-stream of {} ended by itself with {status}", self.name())))
    }

    /// Sets the wall clock of the process off by so many seconds.
    pub(super) fn step_clock(&self, seconds: i64) -> Result<()> {
        let new = self.dir.path().join("clock.new");
        fs::write(&new, format!("{seconds:+}\n"))?;
        fs::rename(new, self.clock()).context("set the clock")
    }

    fn env_file(&self) -> PathBuf {
        self.dir.path().join(".env")
    }

    fn clock(&self) -> PathBuf {
        self.dir.path().join("clock")
    }

    /// Ends the process in order, and waits for it.
    pub(super) fn stop(&mut self) -> Result<()> {
        let Some(mut broadcast) = self.broadcast.take() else { return Ok(()) };
        broadcast.signal(Signal::TERM)?;
        let status = broadcast.wait(STOPS_WITHIN)?;
        ensure!(status.success(), "tgs-stream of {} ended with {status} on SIGTERM", self.name());
        Ok(())
    }

    /// Asks it to hand over, as `tgs-ctl handover` does.
    pub(super) fn hand_over(&self) -> Result<()> {
        let mut client = ControlClient::connect(&self.dir.path().join("state/control.sock"), "test")?;
        client.call(&Call::Handover(NoParams {})).map(drop).context("hand over")
    }

    /// What it shows of itself.
    pub(super) fn status(&self, network: &Network) -> Result<Status> {
        let client = StatusClient::new(self.address()?);
        network.namespace(Node::Host(self.number))?.within(|| Ok(client.status()?))
    }

    fn address(&self) -> Result<SocketAddr> {
        Ok(AddressFile::in_dir(&self.dir.path().join("state")).read()?)
    }

    /// A page of its status server: code and text.
    pub(super) fn page(&self, network: &Network, path: &str) -> Result<(u16, String)> {
        let address = self.address()?;
        let answer = network
            .namespace(Node::Host(self.number))?
            .within(|| Ok(http_get::get(address, path, PAGE_LIMIT)?))?;
        Ok((answer.code, answer.body))
    }
}

/// The library that gives a process a wall clock of its own.
pub(super) fn faketime() -> Result<PathBuf> {
    let all = fs::read_dir("/usr/lib").context("read /usr/lib")?.flatten();
    let mut paths = all.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    paths.find(|path| path.exists()).context("no libfaketime: apt-get install libfaketime")
}
