//! The faults: what each does to the cluster, and how long viewers may miss the broadcast after it.

use std::{thread, time::Duration};

use anyhow::{Context, Result};
use fastrand::Rng;
use rustix::process::Signal;

use super::{Cluster, Node, network::others};

/// A kind of fault. The active host is the one that publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The active host is killed.
    KillActive,
    /// The process of the active host is stopped for about HA_TTL, and continues.
    StopActive,
    /// The active host reaches nothing and nobody.
    CutActive,
    /// Packets of the active host do not reach etcd; those of etcd arrive, and media flows.
    Mute,
    /// Packets of etcd do not reach the active host; its own arrive, and media flows.
    Deaf,
    /// A node of etcd reaches nothing.
    CutEtcd,
    /// The active host and one node of etcd reach each other and the ingest, and nothing else.
    CutBoth,
    /// The disk of etcd's leader stands still for most of the time.
    SlowDisk,
    /// The wall clock of the active host jumps.
    ClockStep,
    /// The leader of etcd is killed.
    KillLeader,
    /// The active host and the leader of etcd are killed at once.
    KillActiveAndLeader,
    /// Two nodes of etcd are killed, and come back.
    LoseQuorum,
    /// The host that does not publish is killed.
    KillStandby,
    /// No fault: the active host ends in order (SIGTERM), which hands over.
    EndActive,
    /// No fault: the active host is asked to hand over.
    HandOver,
}

/// When a fault ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Media flows in spite of it, and this time has passed.
    Media(Duration),
    /// This time has passed.
    Time(Duration),
}

/// How long media may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// Viewers must not notice.
    Unnoticed,
    /// The lease of the active host runs out.
    Lease,
    /// etcd's leader may change, which renews all leases: also when a node comes back.
    Leader,
    /// As before, from the moment at which etcd has a leader again.
    LeaderAgain,
}

/// A fault that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    /// What was hit, for the record of events.
    pub(super) words: String,
    pub(super) until: Until,
    pub(super) limit: Limit,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 15] = [
        Self::KillActive,
        Self::StopActive,
        Self::CutActive,
        Self::Mute,
        Self::Deaf,
        Self::CutEtcd,
        Self::CutBoth,
        Self::SlowDisk,
        Self::ClockStep,
        Self::KillLeader,
        Self::KillActiveAndLeader,
        Self::LoseQuorum,
        Self::KillStandby,
        Self::EndActive,
        Self::HandOver,
    ];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KillActive => "active host killed",
            Self::StopActive => "active host stopped",
            Self::CutActive => "active host cut off",
            Self::Mute => "active host not heard by etcd",
            Self::Deaf => "etcd not heard by active host",
            Self::CutEtcd => "node of etcd cut off",
            Self::CutBoth => "active host with one etcd cut off",
            Self::SlowDisk => "slow disk of etcd's leader",
            Self::ClockStep => "clock of active host jumps",
            Self::KillLeader => "etcd's leader killed",
            Self::KillActiveAndLeader => "active host and etcd's leader killed",
            Self::LoseQuorum => "two etcd killed",
            Self::KillStandby => "standby killed",
            Self::EndActive => "active host ends in order",
            Self::HandOver => "planned hand-over",
        }
    }

    /// Whether the active host may publish without being able to record where it is.
    #[must_use]
    pub fn hides_position(self) -> bool {
        matches!(
            self,
            Self::Mute | Self::Deaf | Self::CutEtcd | Self::CutBoth | Self::SlowDisk | Self::LoseQuorum
        )
    }

    /// Begins the fault. `ttl` is HA_TTL.
    pub(super) fn begin(self, cluster: &mut Cluster, rng: &mut Rng, ttl: Duration) -> Result<Begun> {
        let number = cluster.active()?;
        let active = Node::Host(number);
        let leader = cluster.leader().context("etcd has no leader")?;
        let etcd = rng.usize(..Node::ETCDS);
        let etcds: Vec<_> = (0..Node::ETCDS).map(Node::Etcd).collect();
        let mut words = format!("active: {number}, etcd's leader: {leader}");
        let (mut until, mut limit) = (network_until(rng, ttl), Limit::Lease);
        match self {
            Self::KillActive => {
                cluster.hosts[number].kill();
                until = Until::Media(Duration::ZERO);
            }
            Self::StopActive => {
                cluster.hosts[number].signal(Signal::STOP)?;
                until = Until::Time(ttl.mul_f64(0.6 + rng.f64()));
            }
            Self::CutActive => cluster.network.part(&[active], &others(&[active]))?,
            Self::Mute => cluster.network.lose(&[active], &etcds)?,
            Self::Deaf => cluster.network.lose(&etcds, &[active])?,
            Self::CutEtcd => {
                words += &format!(", cut off: {etcd}");
                cluster.network.part(&[Node::Etcd(etcd)], &others(&[Node::Etcd(etcd)]))?;
                limit = Limit::Leader;
            }
            Self::CutBoth => {
                words += &format!(", with etcd {etcd}");
                let rest = others(&[active, Node::Etcd(etcd), Node::Ingest]);
                cluster.network.part(&[active, Node::Etcd(etcd)], &rest)?;
                limit = Limit::Leader;
            }
            Self::SlowDisk => {
                cluster.etcds[leader].slow_down(rng.fork());
                (until, limit) = (Until::Time(ttl * 2), Limit::Leader);
            }
            Self::ClockStep => {
                let seconds = rng.i64(-40_000..40_000);
                words += &format!(", to {seconds:+} s");
                cluster.hosts[number].step_clock(seconds)?;
                (until, limit) = (Until::Time(ttl), Limit::Unnoticed);
            }
            Self::KillLeader => {
                cluster.etcds[leader].kill()?;
                (until, limit) = (Until::Time(ttl), Limit::Leader);
            }
            Self::KillActiveAndLeader => {
                cluster.etcds[leader].kill()?;
                cluster.hosts[number].kill();
                (until, limit) = (Until::Media(Duration::ZERO), Limit::Leader);
            }
            Self::LoseQuorum => {
                cluster.etcds[leader].kill()?;
                cluster.etcds[(leader + 1) % Node::ETCDS].kill()?;
                (until, limit) = (Until::Time(ttl.mul_f64(0.5 + rng.f64())), Limit::LeaderAgain);
            }
            Self::KillStandby => {
                cluster.hosts[1 - number].kill();
                (until, limit) = (Until::Time(Duration::from_secs(1)), Limit::Unnoticed);
            }
            Self::EndActive => {
                cluster.hosts[number].stop()?;
                until = Until::Media(Duration::ZERO);
            }
            Self::HandOver => {
                cluster.hosts[number].hand_over()?;
                (until, limit) = (Until::Media(Duration::ZERO), Limit::Unnoticed);
            }
        }
        Ok(Begun { words, until, limit })
    }
}

/// A loss of packets lasts until media is back, or ends about when the lease does.
fn network_until(rng: &mut Rng, ttl: Duration) -> Until {
    if rng.u8(..3) == 0 { Until::Time(ttl.mul_f64(0.5 + rng.f64())) } else { Until::Media(ttl) }
}

impl Limit {
    /// The time without media.
    pub(super) fn of(self, ttl: Duration) -> Duration {
        match self {
            Self::Unnoticed => Duration::from_secs(1),
            Self::Lease => ttl + Duration::from_secs(2),
            Self::Leader | Self::LeaderAgain => ttl * 2 + Duration::from_secs(4),
        }
    }
}

impl Until {
    /// Waits until the fault has to end; gives up after `limit`.
    pub(super) fn wait(self, cluster: &Cluster, limit: Duration) {
        match self {
            Self::Time(time) => thread::sleep(time),
            Self::Media(least) => {
                thread::sleep(least.max(Duration::from_millis(700)));
                // The record says whether it was in time.
                let _ = cluster.until("media", limit, || cluster.publications.active());
            }
        }
    }
}
