//! A cluster: three etcd nodes, two hosts that broadcast the same channel, and an ingest that
//! records who publishes. Each node has a network namespace; a switch joins them. Root only.

mod etcd;
mod fault;
mod found;
mod host;
mod network;
mod numbered;
mod publications;
mod run;
#[cfg(test)]
mod tests;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tempfile::TempDir;
use tgs_testdc::{TestDc, World};

use self::network::Network;
pub use self::{
    etcd::{Etcd, endpoints},
    fault::Fault,
    found::{Found, Row},
    host::Host,
    network::Node,
    numbered::Shown,
    publications::{Change, Double, Publications, Window},
    run::{Plan, run},
};

const POLL: Duration = Duration::from_millis(100);

/// Items of the list, and their length.
const ITEMS: u16 = 4;
const ITEM_SECONDS: u32 = 24;

/// Time limit for etcd and for a host to start.
const STARTS_WITHIN: Duration = Duration::from_secs(40);

/// Time limit until all is well for a while.
const WELL_WITHIN: Duration = Duration::from_mins(2);

/// The cluster; dropping it ends everything.
#[derive(Debug)]
pub struct Cluster {
    // In this order: a host ends before the network that it uses.
    /// The hosts.
    pub hosts: Vec<Host>,
    /// The etcd nodes.
    pub etcds: Vec<Etcd>,
    /// What the ingest has recorded.
    pub publications: Publications,
    telegram: Option<TestDc>,
    network: Network,
    dir: TempDir,
}

impl Cluster {
    /// Starts the network, the ingest and etcd, and moves this thread to the ingest's network. Logs
    /// go to `logs`. Hosts are added by [`Cluster::add_hosts`].
    pub fn new(logs: &Path) -> Result<Self> {
        let network = Network::new()?;
        let publications = Publications::start()?;
        let dir = tempfile::Builder::new().prefix("tgs-cluster-").tempdir()?;
        let etcds = (0..Node::ETCDS).map(|number| Etcd::start(&network, number, logs));
        let etcds = etcds.collect::<Result<_>>()?;
        let cluster = Self { hosts: Vec::new(), etcds, publications, telegram: None, network, dir };
        cluster.until("a leader of etcd", STARTS_WITHIN, || cluster.leader())?;
        Ok(cluster)
    }

    /// Starts both hosts, one after the other, and waits until the first publishes and the second
    /// is ready.
    pub fn add_hosts(&mut self, tool: &Path, plan: &Plan) -> Result<()> {
        let list = self.list()?;
        if plan.through_telegram {
            let anywhere = SocketAddr::from((Node::Ingest.address(), 0));
            let dc = TestDc::start_at(World::example(), [anywhere; 2])?;
            dc.set_ingest(&self.publications.server());
            self.telegram = Some(dc);
        }
        for number in 0..2 {
            let mut settings = vec![
                ("PLAYLIST", list.display().to_string()),
                ("HA_ENDPOINTS", endpoints()),
                ("HA_KEY", "/tgs/cluster".to_owned()),
                ("HA_TTL", format!("{}s", plan.ttl.as_secs())),
            ];
            match &self.telegram {
                None => settings.push(("OUTPUT_URL", self.publications.url())),
                // Each host has a session of its own.
                Some(dc) => settings.extend([
                    ("API_ID", dc.api_id().to_string()),
                    ("API_HASH", dc.api_hash()),
                    ("SESSION_STRING", dc.new_session(World::ALICE, 2).telethon_string()),
                    ("CHAT_ID", format!("-100{}", World::CHANNEL)),
                ]),
            }
            let mut host = Host::new(&self.network, number, tool, &settings, &plan.logs)?;
            host.run()?;
            self.hosts.push(host);
            self.until("media at the ingest", STARTS_WITHIN, || self.publications.active())?;
        }
        Ok(())
    }

    /// The list: [`ITEMS`] numbered clips.
    fn list(&self) -> Result<PathBuf> {
        let list = self.dir.path().join("list.txt");
        let mut lines = String::new();
        for number in 0..ITEMS {
            let path = self.dir.path().join(format!("item-{number}.mp4"));
            numbered::make(number, ITEM_SECONDS, &path)?;
            lines.extend([path.display().to_string().as_str(), "\n"]);
        }
        fs::write(&list, lines)?;
        Ok(list)
    }

    /// The number of the etcd node that leads the others.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        self.etcds.iter().position(Etcd::leads)
    }

    /// Waits until all has been well for `time`: etcd is whole, one host publishes, and the other
    /// one is a standby that is ready. Returns when that time began.
    pub fn until_well(&self, time: Duration) -> Result<Duration> {
        let began = Instant::now();
        let mut since = None;
        self.until("a standby", WELL_WITHIN, || {
            since = self.is_well().map(|active| match since {
                Some((was, at)) if was == active => (active, at),
                _ => (active, Instant::now()),
            });
            since.filter(|(_, at)| at.elapsed() >= time).map(|(_, at)| at.saturating_duration_since(began))
        })
    }

    /// The active host, if there is a standby that is ready.
    fn is_well(&self) -> Option<usize> {
        let active = self.publications.active()?;
        let standby = &self.hosts[1 - active];
        let (code, page) = standby.page(&self.network, "/healthz").ok()?;
        let hosts = standby.status(&self.network).ok()?.hosts?;
        let is_ready = hosts.hosts.iter().any(|host| host.host == standby.name() && host.ready);
        let is_standby = code == 200 && page.trim() == "standby" && is_ready && hosts.problem.is_none();
        (is_standby && self.etcds.iter().all(Etcd::follows)).then_some(active)
    }

    /// Ends every fault: packets arrive, disks work, processes run.
    pub fn repair(&mut self) -> Result<()> {
        self.network.heal()?;
        for etcd in &mut self.etcds {
            etcd.speed_up();
            etcd.signal(rustix::process::Signal::CONT)?;
            etcd.run()?;
        }
        for host in &mut self.hosts {
            host.signal(rustix::process::Signal::CONT)?;
            host.run()?;
        }
        Ok(())
    }

    fn until<T>(&self, what: &str, within: Duration, mut check: impl FnMut() -> Option<T>) -> Result<T> {
        let until = Instant::now() + within;
        loop {
            if let Some(found) = check() {
                return Ok(found);
            }
            ensure!(Instant::now() < until, "waited {within:?} for {what}; {}", self.state());
            thread::sleep(POLL);
        }
    }

    /// What the nodes say of themselves, for messages.
    fn state(&self) -> String {
        let hosts = self.hosts.iter().map(|host| {
            let page = host.page(&self.network, "/healthz");
            format!("{}: {}", host.name(), page.map_or_else(|e| format!("{e:#}"), |(_, page)| page))
        });
        let hosts: Vec<_> = hosts.collect();
        format!(
            "etcd's leader: {:?}; publishes: {:?}; {}",
            self.leader(),
            self.publications.active(),
            hosts.join("; ")
        )
    }

    /// Fails if a host has ended by itself.
    fn all_run(&mut self) -> Result<()> {
        for host in &mut self.hosts {
            if let Some(cause) = host.ended()? {
                anyhow::bail!(cause);
            }
        }
        Ok(())
    }
}
