//! All interleavings of two hosts, a lease at etcd, lost and late requests, pauses, partitions, a
//! change of etcd's leader and clocks that run at different rates: never two hosts that may
//! publish, and always one again in bounded time.
//!
//! Time advances in steps of a third of the TTL. All clocks always show the same time, and what
//! they have noted moves into the past instead: so equal situations are equal states, and a history
//! has no end. A host has at most one request under way, as the driver has, and one that it has
//! given up, which etcd may still execute. Nothing has to happen before time passes: a host that
//! does nothing is stopped, and a request that is not executed is lost in a partition.

use stateright::{Checker, Model, Property};
use tgs_ha::election::{Election, EtcdAnswer, LeaseId, Millis, Step, Timing};

/// The length of a step by etcd's clock.
const TICK: Millis = 1000;
const TTL: Millis = 3 * TICK;
const TIMING: Timing = Timing { ttl: TTL, margin: 250, stays: false };

/// The time that all clocks show. What was noted longer ago is all alike.
const NOW: Millis = TTL;

/// Steps within which somebody may publish again once nothing fails: a lease that was just renewed
/// by a change of the leader, its detection, and the rounds of the driver.
const RECOVERY: u32 = 3 + 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Host {
    election: Election,
    /// By its own clock.
    permit: Option<Millis>,
    /// Under way to etcd.
    request: Option<Request>,
    /// Given up by the host, and perhaps still executed.
    late: Option<Request>,
    /// Under way from etcd.
    answer: Option<EtcdAnswer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Request {
    Grant {
        sent: Millis,
    },
    Renew {
        lease: LeaseId,
        sent: Millis,
    },
    Look,
    Take {
        lease: LeaseId,
    },
    /// Of the lease of the other host, as it was read.
    HandOver {
        from: LeaseId,
        to: LeaseId,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    hosts: [Host; 2],
    /// When the lease of each host runs out, by etcd's clock.
    leases: [Option<(LeaseId, Millis)>; 2],
    active: Option<LeaseId>,
    /// How long etcd keeps a lease.
    lasts: Millis,
    /// Whether the extra event has happened.
    happened: bool,
    /// The length of a tick by each host's clock.
    rates: [Millis; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    /// Time passes.
    Tick,
    /// A host looks at its clock.
    Look(usize),
    /// etcd revokes a lease that has run out.
    Expire(usize),
    /// A host that is idle begins a request.
    Ask(usize, Ask),
    /// The host on air hands over.
    Leave(usize),
    /// etcd executes the request of a host.
    Execute(usize),
    /// etcd executes a request that its host has given up.
    ExecuteLate(usize),
    /// The answer arrives.
    Deliver(usize),
    /// The host gives up its request; it or its answer is lost, or late.
    GiveUp(usize),
    /// A new leader of etcd renews all leases.
    LeaderChange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ask {
    Lease,
    Look,
}

impl World {
    fn may_publish(&self, host: usize) -> bool {
        self.hosts[host].permit.is_some_and(|until| NOW < until)
    }

    fn has_lease(&self, lease: LeaseId) -> bool {
        self.leases.iter().flatten().any(|(id, _)| *id == lease)
    }

    fn follow(&mut self, host: usize, step: Option<Step>) {
        let state = &mut self.hosts[host];
        match step {
            None => {}
            Some(Step::Begin(until) | Step::Extend(until)) => state.permit = until,
            Some(Step::End) => state.permit = None,
            Some(Step::Take(lease)) => state.request = Some(Request::Take { lease }),
        }
    }

    fn tick(&mut self) {
        for index in 0..2 {
            let rate = self.rates[index];
            let past = |time: Millis| time.saturating_sub(rate);
            let host = &mut self.hosts[index];
            host.election = host.election.rebased(rate);
            host.permit = host.permit.map(past).filter(|until| *until > NOW);
            host.request = host.request.map(|request| request.with_sent(past));
            host.late = host.late.map(|request| request.with_sent(past));
            host.answer = host.answer.map(|answer| with_sent(answer, past));
            let lease = &mut self.leases[index];
            *lease = lease.map(|(id, ends)| (id, ends.saturating_sub(TICK).max(NOW)));
        }
    }

    fn expire(&mut self, host: usize) {
        if let Some((lease, _)) = self.leases[host].take()
            && self.active == Some(lease)
        {
            self.active = None;
        }
    }

    fn ask(&mut self, host: usize, ask: Ask) {
        let sent = NOW;
        let request = match (ask, self.hosts[host].election.lease()) {
            (Ask::Look, _) => Request::Look,
            (Ask::Lease, None) => Request::Grant { sent },
            (Ask::Lease, Some(lease)) => Request::Renew { lease, sent },
        };
        self.hosts[host].request = Some(request);
    }

    /// Executes a request; returns its answer.
    fn execute(&mut self, host: usize, request: Request) -> Option<EtcdAnswer> {
        let ends = NOW + self.lasts;
        match request {
            Request::Grant { sent } => {
                // One lease a host keeps the model small: an older one is given up.
                self.expire(host);
                let old = self.hosts[host].election.lease().unwrap_or_default();
                let lease = host as LeaseId + if old > 2 { 1 } else { 3 };
                self.leases[host] = Some((lease, ends));
                Some(EtcdAnswer::Granted { lease, sent })
            }
            Request::Renew { lease, sent } => match self.leases[host].filter(|(id, _)| *id == lease) {
                Some(_) => {
                    self.leases[host] = Some((lease, ends));
                    Some(EtcdAnswer::Renewed { lease, sent })
                }
                None => Some(EtcdAnswer::LeaseGone { lease }),
            },
            Request::Look => {
                Some(EtcdAnswer::Seen { holder: self.active, rank: host as u32, may_take: true })
            }
            Request::Take { lease } => {
                if self.active.is_none() && self.has_lease(lease) {
                    self.active = Some(lease);
                }
                None
            }
            Request::HandOver { from, to } => {
                if self.active == Some(from) && self.has_lease(to) {
                    self.active = Some(to);
                }
                None
            }
        }
    }

    /// Whether somebody may publish within [`RECOVERY`] if nothing fails from now on.
    fn recovers(&self) -> bool {
        let mut world = self.clone();
        for host in &mut world.hosts {
            (host.request, host.answer, host.late) = (None, None, None);
        }
        for _ in 0..RECOVERY {
            for host in 0..2 {
                if world.leases[host].is_some_and(|(_, ends)| NOW >= ends) {
                    world.expire(host);
                }
            }
            for host in 0..2 {
                for ask in [Ask::Lease, Ask::Lease, Ask::Look, Ask::Look] {
                    world.ask(host, ask);
                    // A look may lead to a take.
                    for _ in 0..2 {
                        let Some(request) = world.hosts[host].request.take() else { break };
                        if let Some(answer) = world.execute(host, request) {
                            let step = world.hosts[host].election.answered(answer, NOW);
                            world.follow(host, step);
                        }
                    }
                }
            }
            if world.may_publish(0) || world.may_publish(1) {
                return true;
            }
            world.tick();
        }
        false
    }
}

/// What may happen once in a history, beside losses, delays and pauses, which always may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extra {
    Nothing,
    /// The host on air hands over.
    HandOver,
    /// etcd executes a request after its host has given it up.
    LateRequest,
    LeaderChange,
}

/// The model: what may happen, and how long etcd keeps a lease.
struct TwoHosts(Extra, Millis);

impl Model for TwoHosts {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let host =
            Host { election: Election::new(TIMING), permit: None, request: None, late: None, answer: None };
        // A clock that is slow by 1 % is the dangerous one; the other may be fast.
        let rates = [[990, 1010]];
        let world = |rates| World {
            hosts: [host.clone(), host.clone()],
            leases: [None, None],
            active: None,
            lasts: self.1,
            happened: false,
            rates,
        };
        rates.into_iter().map(world).collect()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Event>) {
        actions.push(Event::Tick);
        let may = |extra| self.0 == extra && !world.happened;
        for (index, host) in world.hosts.iter().enumerate() {
            if world.leases[index].is_some_and(|(_, ends)| NOW >= ends) {
                actions.push(Event::Expire(index));
            }
            let idle = host.request.is_none() && host.answer.is_none();
            actions.push(Event::Look(index));
            if idle {
                actions.push(Event::Ask(index, Ask::Lease));
                if host.election.lease().is_some() {
                    actions.push(Event::Ask(index, Ask::Look));
                }
                if host.election.is_active() && may(Extra::HandOver) {
                    actions.push(Event::Leave(index));
                }
            }
            if host.request.is_some() {
                actions.push(Event::Execute(index));
            }
            if host.late.is_some() {
                actions.push(Event::ExecuteLate(index));
            }
            if host.answer.is_some() {
                actions.push(Event::Deliver(index));
            }
            if !idle {
                actions.push(Event::GiveUp(index));
            }
        }
        if may(Extra::LeaderChange) {
            actions.push(Event::LeaderChange);
        }
    }

    fn next_state(&self, last: &World, event: Event) -> Option<World> {
        let mut world = last.clone();
        match event {
            Event::Tick => world.tick(),
            Event::Look(host) => {
                let step = world.hosts[host].election.tick(NOW);
                world.follow(host, step);
            }
            Event::Expire(host) => world.expire(host),
            Event::Ask(host, ask) => world.ask(host, ask),
            Event::Leave(host) => {
                world.happened = true;
                let from = world.hosts[host].election.lease()?;
                let step = world.hosts[host].election.leave();
                world.follow(host, step);
                let (to, _) = world.leases[1 - host]?;
                world.hosts[host].request = Some(Request::HandOver { from, to });
            }
            Event::Execute(host) => {
                let request = world.hosts[host].request.take()?;
                world.hosts[host].answer = world.execute(host, request);
            }
            Event::ExecuteLate(host) => {
                let request = world.hosts[host].late.take()?;
                let _ = world.execute(host, request);
            }
            Event::Deliver(host) => {
                let answer = world.hosts[host].answer.take()?;
                let step = world.hosts[host].election.answered(answer, NOW);
                world.follow(host, step);
            }
            Event::GiveUp(host) => {
                let state = &mut world.hosts[host];
                // The answer is lost with the request that it belongs to.
                state.answer = None;
                let given_up = state.request.take().filter(|request| request.is_dangerous_late());
                if self.0 == Extra::LateRequest && !world.happened && given_up.is_some() {
                    state.late = given_up;
                    world.happened = true;
                }
            }
            Event::LeaderChange => {
                world.happened = true;
                let ends = NOW + world.lasts;
                for lease in world.leases.iter_mut().flatten() {
                    lease.1 = ends;
                }
            }
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("never two", |_, world: &World| !(world.may_publish(0) && world.may_publish(1))),
            Property::always("soon one again", |_, world: &World| world.recovers()),
            Property::sometimes("the second takes over", |_, world: &World| {
                world.may_publish(1) && world.hosts[0].election.is_active()
            }),
        ]
    }
}

impl Request {
    /// Whether it may do harm when it is executed late.
    fn is_dangerous_late(self) -> bool {
        !matches!(self, Self::Grant { .. } | Self::Look)
    }

    fn with_sent(self, change: impl Fn(Millis) -> Millis) -> Self {
        match self {
            Self::Grant { sent } => Self::Grant { sent: change(sent) },
            Self::Renew { lease, sent } => Self::Renew { lease, sent: change(sent) },
            other => other,
        }
    }
}

fn with_sent(answer: EtcdAnswer, change: impl Fn(Millis) -> Millis) -> EtcdAnswer {
    match answer {
        EtcdAnswer::Granted { lease, sent } => EtcdAnswer::Granted { lease, sent: change(sent) },
        EtcdAnswer::Renewed { lease, sent } => EtcdAnswer::Renewed { lease, sent: change(sent) },
        other => other,
    }
}

/// Explores all states that there are.
fn check(extra: Extra) {
    let checked = TwoHosts(extra, TTL).checker().threads(2).spawn_bfs().join();
    println!("{extra:?}: {} states, depth {}", checked.unique_state_count(), checked.max_depth());
    checked.assert_properties();
}

/// `cargo xtask soak --full-length` explores all of them, in the shipped optimisation.
const EXTRAS: &[Extra] = if cfg!(debug_assertions) {
    &[Extra::Nothing]
} else {
    &[Extra::Nothing, Extra::HandOver, Extra::LateRequest, Extra::LeaderChange]
};

#[test]
fn never_two_hosts_may_publish_and_soon_one_may_again() {
    for extra in EXTRAS {
        check(*extra);
    }
}

#[test]
fn the_model_finds_a_permit_that_outlives_its_lease() {
    let model = TwoHosts(Extra::Nothing, TTL - TICK);
    let checked = model.checker().threads(2).spawn_bfs().join();
    assert!(checked.discovery("never two").is_some());
}
