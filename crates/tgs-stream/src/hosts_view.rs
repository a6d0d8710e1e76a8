//! What the broadcast shows of the hot standby, and its metrics.

use std::sync::{Arc, LazyLock};

use prometheus::{Gauge, IntCounter, IntGauge, register_gauge, register_int_counter, register_int_gauge};
use tgs_control::{HostRole, HostsStatus, PresentHost};
use tgs_ha::Member;

/// The metrics of a host of a hot standby, in the default registry.
pub(crate) struct HaMetrics {
    active: IntGauge,
    lease: Gauge,
    takeovers: IntCounter,
    standbys: IntGauge,
    etcd: IntGauge,
}

/// The one set of them; only a host of a hot standby has it.
pub(crate) static METRICS: LazyLock<HaMetrics> =
    LazyLock::new(|| HaMetrics::register().expect("metric names are constants and registered once"));

impl HaMetrics {
    fn register() -> prometheus::Result<Self> {
        Ok(Self {
            active: register_int_gauge!(
                "tgs_ha_active",
                "1 while this host publishes, 0 while it is a standby."
            )?,
            lease: register_gauge!(
                "tgs_ha_lease_seconds",
                "Time until the lease of this host may have run out at etcd; 0 without a lease."
            )?,
            takeovers: register_int_counter!(
                "tgs_ha_takeovers_total",
                "How often this host has taken the air since its start."
            )?,
            standbys: register_int_gauge!(
                "tgs_ha_standbys",
                "Other hosts that are present and ready to take over, as this host knows."
            )?,
            etcd: register_int_gauge!("tgs_ha_etcd_up", "1 while etcd answers this host, else 0.")?,
        })
    }
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

    /// What `status` shows. Keeps the metrics up to date.
    pub(crate) fn status(&self) -> HostsStatus {
        let view = self.member.view();
        let present = |info: &tgs_ha::HostInfo| PresentHost {
            host: info.host.clone(),
            priority: info.priority,
            ready: info.ready,
            version: info.version.clone(),
        };
        let lease_seconds = view.lease_left.map(|left| left.as_secs_f64());
        METRICS.takeovers.inc_by(view.takeovers.saturating_sub(METRICS.takeovers.get()));
        METRICS.active.set(view.active.into());
        METRICS.lease.set(lease_seconds.unwrap_or_default());
        let others = view.hosts.iter().filter(|other| other.ready && other.host != self.host);
        METRICS.standbys.set(others.count() as i64);
        METRICS.etcd.set((view.looked && view.etcd_failure.is_none()).into());
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
