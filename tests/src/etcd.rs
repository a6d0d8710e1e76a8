//! One etcd, for tests of the hot standby that need no faults of etcd's own.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::stunnel::{Authority, Certificate};

/// How long etcd may take to start.
const LIMIT: Duration = Duration::from_secs(20);

/// A running etcd. Dropping it kills it.
#[derive(Debug)]
pub struct Etcd {
    child: Child,
    scheme: &'static str,
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
        Self::start_with("http", address, &[])
    }

    /// Starts one on 127.0.0.1 that speaks TLS only, to clients with a certificate of `authority`.
    pub fn start_with_tls(authority: &Authority, server: &Certificate) -> Result<Self> {
        let option = |name: &str, file: &Path| format!("--{name}={}", file.display());
        let options = [
            option("cert-file", server.chain()),
            option("key-file", server.key()),
            option("trusted-ca-file", &authority.file()),
            "--client-cert-auth".to_owned(),
        ];
        Self::start_with("https", Ipv4Addr::LOCALHOST, &options)
    }

    fn start_with(scheme: &'static str, address: Ipv4Addr, options: &[String]) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("tgs-etcd-").tempdir()?;
        let [port, peer] = free_ports()?;
        let peer = format!("http://127.0.0.1:{peer}");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "etcd", "--unsafe-no-fsync", "--data-dir"])
            .arg(dir.path().join("data"))
            .arg(format!("--listen-client-urls={scheme}://{address}:{port}"))
            .arg(format!("--advertise-client-urls={scheme}://127.0.0.1:{port}"))
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start etcd (apt install etcd-server)")?;
        let etcd = Self { child, scheme, port, _dir: dir };
        let until = Instant::now() + LIMIT;
        while TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_err() {
            ensure!(Instant::now() < until, "etcd does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(etcd)
    }

    /// Runs `etcdctl` with these arguments.
    pub fn ctl(&self, args: &[&str]) -> Result<()> {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", self.url()))
            .args(args)
            .output()
            .context("run etcdctl (apt install etcd-client)")?;
        ensure!(output.status.success(), "etcdctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL on this machine.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
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
