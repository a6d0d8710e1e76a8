//! A node of etcd, in a network and on a disk of its own.

use std::{
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tgs_control::http_get;

use super::network::{Network, Node};
use crate::disk::FrozenDisk;

const CLIENTS: u16 = 2379;
const PEERS: u16 = 2380;

/// etcd allocates two files of 64 MiB for its log; the image has holes.
const DISK_MIB: u64 = 256;

/// Time limit for a request of a page.
const PAGE_LIMIT: Duration = Duration::from_millis(500);

/// How long a slow disk stands still, and how long it works in between.
const STILL: std::ops::RangeInclusive<u64> = 200..=900;
const WORKS: Duration = Duration::from_millis(30);

/// One node; dropping it kills the process.
#[derive(Debug)]
pub struct Etcd {
    number: usize,
    network: String,
    log: PathBuf,
    child: Option<Child>,
    slow: Option<SlowDisk>,
    disk: Arc<FrozenDisk>,
}

/// A disk that stands still again and again.
#[derive(Debug)]
struct SlowDisk {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// The addresses for clients, separated by commas.
#[must_use]
pub fn endpoints() -> String {
    (0..Node::ETCDS).map(|number| url(number, CLIENTS)).collect::<Vec<_>>().join(",")
}

fn url(number: usize, port: u16) -> String {
    format!("http://{}:{port}", Node::Etcd(number).address())
}

impl Etcd {
    /// Starts the node `number`; its log goes to `dir`.
    pub(super) fn start(network: &Network, number: usize, dir: &std::path::Path) -> Result<Self> {
        let mut etcd = Self {
            number,
            network: network.namespace(Node::Etcd(number))?.option(),
            log: dir.join(format!("etcd{number}.log")),
            child: None,
            slow: None,
            disk: Arc::new(FrozenDisk::of(DISK_MIB)?),
        };
        etcd.run()?;
        Ok(etcd)
    }

    /// Starts the process where it does not run.
    pub(super) fn run(&mut self) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let name = |number: usize| format!("etcd{number}");
        let peers: Vec<_> = (0..Node::ETCDS).map(|n| format!("{}={}", name(n), url(n, PEERS))).collect();
        let (clients, own) = (url(self.number, CLIENTS), url(self.number, PEERS));
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "nsenter", &self.network, "etcd"]);
        command.args(["--name", &name(self.number), "--data-dir"]).arg(self.disk.path().join("data"));
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &own, "--initial-advertise-peer-urls", &own]);
        command.args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new"]);
        command.args(["--heartbeat-interval", "100", "--election-timeout", "1000", "--logger", "zap"]);
        // Without it, each second's record of the position stays for ever.
        command.args(["--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1m"]);
        // Two processors are shared by three nodes, two broadcasts and what else runs.
        command.env("GOMAXPROCS", "2");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("run etcd: apt-get install etcd-server")?);
        Ok(())
    }

    /// Kills the process.
    pub(super) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends the process a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        Ok(kill_process(Pid::from_child(child), signal)?)
    }

    /// Whether it answers and leads the others.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.metrics().is_some_and(|page| page.contains("\netcd_server_is_leader 1\n"))
    }

    /// Whether it answers, by the leader that it follows.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.page("/health").is_some_and(|page| page.contains("\"health\":\"true\""))
    }

    /// The number in its metric `name`.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let page = self.metrics()?;
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    fn metrics(&self) -> Option<String> {
        self.page("/metrics")
    }

    fn page(&self, path: &str) -> Option<String> {
        let address = SocketAddr::from((Node::Etcd(self.number).address(), CLIENTS));
        let answer = http_get::get(address, path, PAGE_LIMIT).ok()?;
        (answer.code == 200).then_some(answer.body)
    }

    /// From now on the disk stands still most of the time.
    pub(super) fn slow_down(&mut self, mut rng: fastrand::Rng) {
        let ends = Arc::new(AtomicBool::new(false));
        let (ended, disk) = (Arc::clone(&ends), Arc::clone(&self.disk));
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                // Both fail only if the disk is gone.
                let _ = disk.freeze();
                thread::sleep(Duration::from_millis(rng.u64(STILL)));
                let _ = disk.thaw();
                thread::sleep(WORKS);
            }
        });
        self.slow = Some(SlowDisk { ends, thread });
    }

    /// The disk is as fast as before.
    pub(super) fn speed_up(&mut self) {
        if let Some(slow) = self.slow.take() {
            slow.ends.store(true, Ordering::Relaxed);
            let _ = slow.thread.join();
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // A process that waits for a disk cannot be killed.
        self.speed_up();
        let _ = self.kill();
    }
}
