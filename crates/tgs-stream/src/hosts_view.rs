//! What the broadcast shows of the hot standby, and its metrics.

use std::sync::Arc;

use prometheus::{
    Gauge, IntCounter, IntGauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tgs_control::{HostRole, HostsStatus, PresentHost};
use tgs_ha::{HaView, HostInfo, Member};

/// The metrics of a host of a hot standby, read at each scrape.
struct HaMetrics {
    hosts: HostsView,
    active: IntGauge,
    lease: Gauge,
    takeovers: IntCounter,
    standbys: IntGauge,
    etcd: IntGauge,
}

impl HaMetrics {
    fn of(hosts: HostsView) -> prometheus::Result<Self> {
        Ok(Self {
            hosts,
            active: IntGauge::new("tgs_ha_active", "1 while this host publishes, 0 while it is a standby.")?,
            lease: Gauge::new(
                "tgs_ha_lease_seconds",
                "Time until the lease of this host may have run out at etcd; 0 without a lease.",
            )?,
            takeovers: IntCounter::new(
                "tgs_ha_takeovers_total",
                "How often this host has taken the air since its start.",
            )?,
            standbys: IntGauge::new(
                "tgs_ha_standbys",
                "Other hosts that are present and ready to take over, as this host knows.",
            )?,
            etcd: IntGauge::new("tgs_ha_etcd_up", "1 while etcd answers this host, else 0.")?,
        })
    }

    fn all(&self) -> [&dyn Collector; 5] {
        [&self.active, &self.lease, &self.takeovers, &self.standbys, &self.etcd]
    }
}

impl Collector for HaMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let view = self.hosts.member.view();
        self.active.set(view.active.into());
        self.lease.set(lease_seconds(&view).unwrap_or_default());
        self.takeovers.inc_by(view.takeovers.saturating_sub(self.takeovers.get()));
        let others = view.hosts.iter().filter(|other| other.ready && other.host != self.hosts.host);
        self.standbys.set(others.count() as i64);
        self.etcd.set((view.looked && view.etcd_failure.is_none()).into());
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

fn lease_seconds(view: &HaView) -> Option<f64> {
    view.lease_left.map(|left| left.as_secs_f64())
}

/// The hosts as one of them sees them. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct HostsView {
    member: Arc<Member>,
    host: String,
}

impl HostsView {
    pub(crate) fn new(member: &Arc<Member>, host: &str) -> Self {
        Self { member: member.clone(), host: host.to_owned() }
    }

    /// Registers the metrics of this host.
    pub(crate) fn register_metrics(&self) -> prometheus::Result<()> {
        prometheus::register(Box::new(HaMetrics::of(self.clone())?))
    }

    /// What `status` shows.
    pub(crate) fn status(&self) -> HostsStatus {
        let view = self.member.view();
        let present = |info: &HostInfo| PresentHost {
            host: info.host.clone(),
            priority: info.priority,
            ready: info.ready,
            version: info.version.clone(),
        };
        let lease_seconds = lease_seconds(&view);
        HostsStatus {
            host: self.host.clone(),
            role: if view.active { HostRole::Active } else { HostRole::Standby },
            active: view.holder,
            hosts: view.hosts.iter().map(present).collect(),
            lease_seconds,
            etcd: view.etcd_failure,
            problem: view.problem,
            takeovers: view.takeovers,
        }
    }
}
