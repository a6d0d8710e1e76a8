//! The faults: what each does to the cluster, and how long viewers may miss the broadcast after it.

use std::{thread, time::Duration};

use anyhow::Result;
use fastrand::Rng;
use rustix::process::Signal;

use super::{Cluster, Node, STARTS_WITHIN, network::others};

/// Time limit for a planned hand-over: it takes place some seconds ahead.
const HANDS_OVER_WITHIN: Duration = Duration::from_secs(20);

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
    /// The process of etcd's leader is stopped, and continues when another one leads.
    StopLeader,
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
    /// This host publishes.
    Host(usize),
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
    pub const ALL: [Self; 16] = [
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
        Self::StopLeader,
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
            Self::StopLeader => "etcd's leader stopped",
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
            Self::Mute
                | Self::Deaf
                | Self::CutEtcd
                | Self::CutBoth
                | Self::SlowDisk
                | Self::StopLeader
                | Self::LoseQuorum
        )
    }

    /// Begins the fault. `ttl` is HA_TTL.
    pub(super) fn begin(self, cluster: &mut Cluster, rng: &mut Rng, ttl: Duration) -> Result<Begun> {
        let active =
            cluster.until("a host that publishes", STARTS_WITHIN, || cluster.publications.active())?;
        let leader = cluster.until("a leader of etcd", STARTS_WITHIN, || cluster.leader())?;
        let words = format!("active: {active}, etcd's leader: {leader}");
        let begun = match self {
            Self::CutActive | Self::Mute | Self::Deaf | Self::CutEtcd | Self::CutBoth => {
                self.lose_packets(cluster, active, rng, ttl)?
            }
            Self::SlowDisk
            | Self::KillLeader
            | Self::StopLeader
            | Self::KillActiveAndLeader
            | Self::LoseQuorum => self.hit_etcd(cluster, (active, leader), rng, ttl)?,
            _ => self.hit_host(cluster, active, rng, ttl)?,
        };
        Ok(Begun { words: words + &begun.words, ..begun })
    }

    /// The loss lasts until media is back, or ends about when the lease does.
    fn lose_packets(self, cluster: &Cluster, active: usize, rng: &mut Rng, ttl: Duration) -> Result<Begun> {
        let until =
            if rng.u8(..3) == 0 { Until::Time(ttl.mul_f64(0.5 + rng.f64())) } else { Until::Media(ttl) };
        let network = &cluster.network;
        let (host, number) = (Node::Host(active), rng.usize(..Node::ETCDS));
        let etcd = Node::Etcd(number);
        let etcds: Vec<_> = (0..Node::ETCDS).map(Node::Etcd).collect();
        let (mut words, mut limit) = (String::new(), Limit::Lease);
        match self {
            Self::Mute => network.lose(&[host], &etcds)?,
            Self::Deaf => network.lose(&etcds, &[host])?,
            Self::CutEtcd => {
                (words, limit) = (format!(", cut off: {number}"), Limit::Leader);
                network.part(&[etcd], &others(&[etcd]))?;
            }
            Self::CutBoth => {
                (words, limit) = (format!(", with etcd {number}"), Limit::Leader);
                network.part(&[host, etcd], &others(&[host, etcd, Node::Ingest]))?;
            }
            _ => network.part(&[host], &others(&[host]))?,
        }
        Ok(Begun { words, until, limit })
    }

    fn hit_etcd(
        self,
        cluster: &mut Cluster,
        (active, leader): (usize, usize),
        rng: &mut Rng,
        ttl: Duration,
    ) -> Result<Begun> {
        let (mut until, mut limit) = (Until::Time(ttl), Limit::Leader);
        match self {
            Self::SlowDisk => {
                cluster.etcds[leader].slow_down(rng.fork());
                until = Until::Time(ttl * 2);
            }
            Self::StopLeader => {
                cluster.etcds[leader].signal(Signal::STOP)?;
                until = Until::Time(ttl.mul_f64(0.6 + rng.f64()));
            }
            Self::KillActiveAndLeader => {
                cluster.etcds[leader].kill()?;
                cluster.hosts[active].kill();
                until = Until::Media(Duration::ZERO);
            }
            Self::LoseQuorum => {
                cluster.etcds[leader].kill()?;
                cluster.etcds[(leader + 1) % Node::ETCDS].kill()?;
                (until, limit) = (Until::Time(ttl.mul_f64(0.5 + rng.f64())), Limit::LeaderAgain);
            }
            _ => cluster.etcds[leader].kill()?,
        }
        Ok(Begun { words: String::new(), until, limit })
    }

    fn hit_host(self, cluster: &mut Cluster, active: usize, rng: &mut Rng, ttl: Duration) -> Result<Begun> {
        let (mut words, mut limit) = (String::new(), Limit::Lease);
        let mut until = Until::Media(Duration::ZERO);
        let host = &mut cluster.hosts[active];
        match self {
            Self::StopActive => {
                host.signal(Signal::STOP)?;
                until = Until::Time(ttl.mul_f64(0.6 + rng.f64()));
            }
            Self::ClockStep => {
                let seconds = rng.i64(-40_000..40_000);
                host.step_clock(seconds)?;
                words = format!(", to {seconds:+} s");
                (until, limit) = (Until::Time(ttl), Limit::Unnoticed);
            }
            Self::EndActive => host.stop()?,
            Self::HandOver => {
                host.hand_over()?;
                (until, limit) = (Until::Host(1 - active), Limit::Unnoticed);
            }
            Self::KillStandby => {
                cluster.hosts[1 - active].kill();
                (until, limit) = (Until::Time(Duration::from_secs(1)), Limit::Unnoticed);
            }
            _ => host.kill(),
        }
        Ok(Begun { words, until, limit })
    }
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
            // The record says whether it did.
            Self::Host(number) => {
                let is_there = || (cluster.publications.active() == Some(number)).then_some(());
                let _ = cluster.until("the other host", HANDS_OVER_WITHIN, is_there);
            }
            Self::Media(least) => {
                thread::sleep(least.max(Duration::from_millis(700)));
                // The record says whether it was in time.
                let _ = cluster.until("media", limit, || cluster.publications.active());
            }
        }
    }
}
