//! All interleavings of two hosts, a lease at etcd, lost and late requests, pauses, partitions, a
//! change of etcd's leader and clocks that run at different rates: never two hosts that may
//! publish, and always one again in bounded time.
//!
//! Time advances in steps of a third of the TTL. All clocks always show the same time, and what
//! they have noted moves into the past instead: so equal situations are equal states, and a history
//! has no end. A host has at most one request under way, as the driver has, and one that it has
//! given up, which etcd may still execute.

use stateright::{Checker, Model, Property};
use tgs_ha::election::{Answer, Election, LeaseId, Millis, Step, Timing};

/// The length of a step by etcd's clock.
const TICK: Millis = 1000;
const TTL: Millis = 3 * TICK;
const TIMING: Timing = Timing { ttl: TTL, margin: 250, stays: false };

/// The time that all clocks show. What was noted longer ago is all alike.
const NOW: Millis = 2 * TTL;

/// Steps within which somebody may publish again once nothing fails: a lease that was just renewed
/// by a change of the leader, its detection, and the rounds of the driver.
const RECOVERY: u32 = 3 + 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Host {
    election: Election,
    /// By its own clock.
    permit: Option<Millis>,
    paused: bool,
    cut_off: bool,
    /// Under way to etcd.
    request: Option<Request>,
    /// Given up by the host, and perhaps still executed.
    late: Option<Request>,
    /// Under way from etcd.
    answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Request {
    Grant { sent: Millis },
    Renew { lease: LeaseId, sent: Millis },
    Look,
    Take { lease: LeaseId },
    /// Of the lease of the other host, as it was read.
    HandOver { from: LeaseId, to: LeaseId },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    hosts: [Host; 2],
    /// When the lease of each host runs out, by etcd's clock.
    leases: [Option<(LeaseId, Millis)>; 2],
    active: Option<LeaseId>,
    /// Pauses, losses of requests, hand-overs and changes of the leader so far.
    faults: u8,
    /// The length of a tick by each host's clock.
    rates: [Millis; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    /// Time passes.
    Tick,
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
    Pause(usize),
    Resume(usize),
    CutOff(usize),
    Join(usize),
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
            host.permit = host.permit.map(past);
            host.request = host.request.map(|request| request.with_sent(past));
            host.late = host.late.map(|request| request.with_sent(past));
            host.answer = host.answer.map(|answer| with_sent(answer, past));
            if !host.paused {
                let step = host.election.tick(NOW);
                self.follow(index, step);
            }
            let lease = &mut self.leases[index];
            *lease = lease.map(|(id, ends)| (id, ends.saturating_sub(TICK)));
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
    fn execute(&mut self, host: usize, request: Request) -> Option<Answer> {
        let ends = NOW + TTL;
        match request {
            Request::Grant { sent } => {
                // One lease a host keeps the model small: an older one is given up.
                self.expire(host);
                let old = self.hosts[host].election.lease().unwrap_or_default();
                let lease = host as LeaseId + if old > 2 { 1 } else { 3 };
                self.leases[host] = Some((lease, ends));
                Some(Answer::Granted { lease, sent })
            }
            Request::Renew { lease, sent } => match self.leases[host].filter(|(id, _)| *id == lease) {
                Some(_) => {
                    self.leases[host] = Some((lease, ends));
                    Some(Answer::Renewed { lease, sent })
                }
                None => Some(Answer::LeaseGone { lease }),
            },
            Request::Look => {
                Some(Answer::Seen { holder: self.active, rank: host as u32, may_take: true })
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
            (host.paused, host.cut_off) = (false, false);
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

/// The model, with the most faults of a history.
struct TwoHosts(u8);

impl Model for TwoHosts {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let host = Host {
            election: Election::new(TIMING),
            permit: None,
            paused: false,
            cut_off: false,
            request: None,
            late: None,
            answer: None,
        };
        // A clock that is slow by 1 % is the dangerous one; the other may be fast.
        let rates = [[990, 1010], [1010, 990]];
        let world = |rates| World {
            hosts: [host.clone(), host.clone()],
            leases: [None, None],
            active: None,
            faults: 0,
            rates,
        };
        rates.into_iter().map(world).collect()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Event>) {
        actions.push(Event::Tick);
        let may_fail = world.faults < self.0;
        for (index, host) in world.hosts.iter().enumerate() {
            if world.leases[index].is_some_and(|(_, ends)| NOW >= ends) {
                actions.push(Event::Expire(index));
            }
            let (runs, reachable) = (!host.paused, !host.cut_off);
            let idle = host.request.is_none() && host.answer.is_none();
            if runs && idle {
                actions.push(Event::Ask(index, Ask::Lease));
                if host.election.lease().is_some() {
                    actions.push(Event::Ask(index, Ask::Look));
                }
                if host.election.is_active() && may_fail {
                    actions.push(Event::Leave(index));
                }
            }
            if host.request.is_some() && reachable {
                actions.push(Event::Execute(index));
            }
            if host.late.is_some() && reachable {
                actions.push(Event::ExecuteLate(index));
            }
            if host.answer.is_some() && runs && reachable {
                actions.push(Event::Deliver(index));
            }
            if runs && !idle && may_fail {
                actions.push(Event::GiveUp(index));
            }
            actions.extend(match (host.paused, may_fail) {
                (true, _) => Some(Event::Resume(index)),
                (false, true) => Some(Event::Pause(index)),
                (false, false) => None,
            });
            actions.extend(match (host.cut_off, may_fail) {
                (true, _) => Some(Event::Join(index)),
                (false, true) => Some(Event::CutOff(index)),
                (false, false) => None,
            });
        }
        if may_fail {
            actions.push(Event::LeaderChange);
        }
    }

    fn next_state(&self, last: &World, event: Event) -> Option<World> {
        let mut world = last.clone();
        match event {
            Event::Tick => world.tick(),
            Event::Expire(host) => world.expire(host),
            Event::Ask(host, ask) => world.ask(host, ask),
            Event::Leave(host) => {
                world.faults += 1;
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
                world.faults += 1;
                let state = &mut world.hosts[host];
                // The answer is lost with the request that it belongs to.
                state.late = state.request.take();
                state.answer = None;
            }
            Event::Pause(host) => (world.hosts[host].paused, world.faults) = (true, world.faults + 1),
            Event::Resume(host) => world.hosts[host].paused = false,
            Event::CutOff(host) => (world.hosts[host].cut_off, world.faults) = (true, world.faults + 1),
            Event::Join(host) => world.hosts[host].cut_off = false,
            Event::LeaderChange => {
                world.faults += 1;
                let ends = NOW + TTL;
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
            Property::sometimes("either publishes", |_, world: &World| {
                world.may_publish(1) && world.faults > 0 && world.hosts[0].paused
            }),
        ]
    }
}

impl Request {
    fn with_sent(self, change: impl Fn(Millis) -> Millis) -> Self {
        match self {
            Self::Grant { sent } => Self::Grant { sent: change(sent) },
            Self::Renew { lease, sent } => Self::Renew { lease, sent: change(sent) },
            other => other,
        }
    }
}

fn with_sent(answer: Answer, change: impl Fn(Millis) -> Millis) -> Answer {
    match answer {
        Answer::Granted { lease, sent } => Answer::Granted { lease, sent: change(sent) },
        Answer::Renewed { lease, sent } => Answer::Renewed { lease, sent: change(sent) },
        other => other,
    }
}

#[test]
fn never_two_hosts_may_publish_and_soon_one_may_again() {
    let faults = std::env::var("FAULTS").ok().and_then(|f| f.parse().ok()).unwrap_or(1);
    let states = std::env::var("STATES").ok().and_then(|f| f.parse().ok()).unwrap_or(2_000_000);
    let checked = TwoHosts(faults).checker().threads(2).target_state_count(states).spawn_bfs().join();
    println!("{} states, {} unique, depth {}", checked.state_count(), checked.unique_state_count(), checked.max_depth());
    checked.assert_properties();
}
