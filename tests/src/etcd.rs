//! One etcd, for tests of the hot standby that need no faults of etcd's own.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long etcd may take to start.
const LIMIT: Duration = Duration::from_secs(20);

/// A running etcd. Dropping it kills it.
#[derive(Debug)]
pub struct Etcd {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Etcd {
    /// Starts it on 127.0.0.1 with an empty store.
    pub fn start() -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST)
    }

    /// The same for clients of another address, or of all (0.0.0.0).
    pub fn start_at(address: Ipv4Addr) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("tgs-etcd-").tempdir()?;
        let [port, peer] = free_ports()?;
        let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "etcd", "--unsafe-no-fsync", "--data-dir"])
            .arg(dir.path().join("data"))
            .args([
                "--listen-client-urls",
                &format!("http://{address}:{port}"),
                "--advertise-client-urls",
                &client,
            ])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start etcd (apt install etcd-server)")?;
        let etcd = Self { child, port, _dir: dir };
        let until = Instant::now() + LIMIT;
        while TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_err() {
            ensure!(Instant::now() < until, "etcd does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(etcd)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL on this machine.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("no process")?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_ports() -> Result<[u16; 2]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (first, second) = (listen()?, listen()?);
    Ok([first.local_addr()?.port(), second.local_addr()?.port()])
}
