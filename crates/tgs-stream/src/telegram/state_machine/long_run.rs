//! 60 simulated days under every policy: sessions die, Telegram limits requests, networks fail,
//! rights change, calls end. Each time the broadcast is live again soon, no state stalls, and
//! requests stay few.
//!
//! Timers follow the driver's rules (`driver.rs`); [`World`] answers its calls. The engine has a
//! long run of its own (`tgs-playout/src/playout/long_run.rs`).

use std::collections::VecDeque;

use super::*;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAYS: u64 = 60;

/// The longest recovery: a running cycle of three renewals of 150 s, a wait of a minute, and a call
/// that times out.
const BACK_WITHIN: u64 = 11 * MINUTE;

/// systemd's `RestartSec=`.
const RESTART: u64 = 10 * SECOND;

/// Requests to Telegram per hour. Normally one every 30 s; one per start with SESSION_REGEN=once
/// and no session.
const MOST_QUESTIONS: usize = 360;

/// A fault between two moments, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// The session dies; the operator replaces it unless the standby session has.
    Session,
    /// The account is banned and later restored.
    Account,
    Network,
    Flood,
    Rights,
    People,
    InUse,
    /// The call ends, until it is opened again.
    Call,
    /// The stream key is replaced.
    Key,
    /// The tool restarts.
    Restart,
}

const ALL: [(Wrong, u64); 10] = [
    (Wrong::Session, 6 * HOUR),
    (Wrong::Account, 2 * HOUR),
    (Wrong::Network, 40 * MINUTE),
    (Wrong::Flood, 90 * MINUTE),
    (Wrong::Rights, 3 * HOUR),
    (Wrong::People, HOUR),
    (Wrong::InUse, 10 * MINUTE),
    (Wrong::Call, 1),
    (Wrong::Key, 1),
    (Wrong::Restart, 1),
];

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; no two exclude each other")]
struct World {
    rng: fastrand::Rng,
    policy: Policy,
    now: u64,
    coming: VecDeque<(u64, u64, Wrong)>,
    /// Current faults, each with its end.
    wrong: Vec<(u64, Wrong)>,
    /// Whether the session is alive, and whether `.env` holds another one.
    alive: bool,
    replaced: bool,
    call: bool,
    moved: bool,
    restart: bool,
    /// The last moment with a fault.
    peace: u64,
}

impl World {
    fn new(policy: Policy, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut coming = Vec::new();
        let mut at = 0;
        while at < (DAYS * 24 - 8) * HOUR {
            at += rng.u64(MINUTE..4 * HOUR);
            let (wrong, most) = ALL[rng.usize(..ALL.len())];
            coming.push((at, at + rng.u64(..most), wrong));
        }
        Self {
            rng,
            policy,
            now: 0,
            coming: coming.into(),
            wrong: Vec::new(),
            alive: true,
            replaced: false,
            call: false,
            moved: false,
            restart: false,
            peace: 0,
        }
    }

    fn is(&self, wrong: Wrong) -> bool {
        self.wrong.iter().any(|(_, now)| *now == wrong)
    }

    /// The next start or end of a fault.
    fn next_change(&self) -> u64 {
        let mended = self.wrong.iter().map(|(to, _)| *to);
        mended.chain(self.coming.front().map(|(at, ..)| *at)).min().unwrap_or(u64::MAX)
    }

    /// Advances time to `until`.
    fn pass(&mut self, until: u64) {
        self.now = until;
        while let Some((_, to, wrong)) = self.coming.pop_front_if(|(at, ..)| *at <= until) {
            match wrong {
                Wrong::Call => self.call = false,
                Wrong::Key => self.moved = true,
                Wrong::Restart => self.restart = true,
                Wrong::Session => (self.alive, self.replaced) = (false, false),
                _ => {}
            }
            self.wrong.push((to, wrong));
        }
        let mended: Vec<_> = self.wrong.extract_if(.., |(to, _)| *to <= until).collect();
        if !mended.is_empty() {
            self.peace = until;
        }
        if mended.iter().any(|(_, wrong)| *wrong == Wrong::Session) && !self.alive {
            (self.alive, self.replaced) = (true, true);
        }
    }

    /// The current obstacle.
    fn trouble(&self) -> Option<StartError> {
        let flood =
            self.wrong.iter().filter(|(_, wrong)| *wrong == Wrong::Flood).map(|(to, _)| to - self.now).max();
        Some(if self.is(Wrong::Network) {
            StartError::Wait(WaitReason::Network)
        } else if self.is(Wrong::InUse) {
            StartError::Wait(WaitReason::InUse)
        } else if let Some(flood) = flood {
            // Telegram counts whole seconds.
            StartError::Wait(WaitReason::Flood(Duration::from_secs(flood.div_ceil(SECOND))))
        } else if self.is(Wrong::Account) {
            StartError::Lost(LossCause::Account)
        } else if !self.alive {
            StartError::Lost(LossCause::Session)
        } else if self.is(Wrong::Rights) {
            StartError::Wait(WaitReason::Rights)
        } else if self.is(Wrong::People) {
            StartError::Wait(WaitReason::People)
        } else {
            return None;
        })
    }

    /// A call of Telegram takes some time.
    fn call_takes(&mut self) {
        let most = if self.is(Wrong::Network) { 15 * SECOND } else { 2 * SECOND };
        let until = self.now + self.rng.u64(50..most);
        self.pass(until);
    }

    fn open(&mut self, unless_same: bool) -> StateEvent {
        self.call_takes();
        let opened = match self.trouble() {
            // A restored account keeps its session, which only another attempt shows.
            None if unless_same && !self.replaced && self.rng.u32(..20) == 0 => {
                Err(StartError::Wait(WaitReason::Other))
            }
            None => Ok(()),
            Some(trouble) => Err(trouble),
        };
        if opened.is_ok() {
            (self.call, self.moved) = (true, false);
        }
        StateEvent::Opened(opened)
    }

    fn check(&mut self) -> StateEvent {
        self.call_takes();
        StateEvent::Checked(match self.trouble() {
            Some(trouble) => CheckOutcome::Failed(trouble),
            None if !self.call => CheckOutcome::CallOver,
            None if std::mem::take(&mut self.moved) => CheckOutcome::Moved,
            None => CheckOutcome::Good,
        })
    }

    fn renew(&mut self) -> StateEvent {
        let until = self.now + self.rng.u64(5 * SECOND..150 * SECOND);
        self.pass(until);
        let refused = self.is(Wrong::Network) || self.is(Wrong::Account) || self.rng.bool();
        if refused || !self.policy.standby {
            return StateEvent::Renewed(RenewalOutcome::Failed);
        }
        (self.alive, self.replaced) = (true, true);
        StateEvent::Renewed(RenewalOutcome::Done)
    }
}

fn is_question(action: &Action) -> bool {
    matches!(action, Action::Open { .. } | Action::Check | Action::Renew)
}

/// The driver's timers and queue, as in `driver.rs`.
struct Driver {
    world: World,
    state: BroadcastState,
    events: VecDeque<StateEvent>,
    due: Option<u64>,
    remind: Option<u64>,
    publishing: bool,
}

impl Driver {
    fn new(policy: Policy, seed: u64) -> Self {
        Self {
            world: World::new(policy, seed),
            state: BroadcastState::Starting,
            events: VecDeque::from([StateEvent::Begin]),
            due: None,
            remind: None,
            publishing: false,
        }
    }

    /// Waits for the next event; `None` if a fault starts or ends first.
    fn next_event(&mut self) -> Option<StateEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let first = self.due.into_iter().chain(self.remind).min();
        let at = first.unwrap_or_else(|| panic!("{:?}: {:?} stalls", self.world.policy, self.state));
        // Faults take effect in order.
        let at = at.min(self.world.next_change()).max(self.world.now);
        self.world.pass(at);
        if std::mem::take(&mut self.world.restart) {
            return Some(StateEvent::Stop);
        }
        let timers = [(&mut self.due, StateEvent::Due), (&mut self.remind, StateEvent::Remind)];
        timers.into_iter().find_map(|(timer, event)| timer.take_if(|due| *due <= at).map(|_| event))
    }

    /// Handles one event; returns the number of requests to Telegram.
    fn handle(&mut self, event: StateEvent) -> usize {
        let (next, actions) = step(self.state, event, self.world.policy);
        if std::mem::discriminant(&next) != std::mem::discriminant(&self.state) {
            (self.due, self.remind) = (None, None);
        }
        self.state = next;
        let requests = actions.iter().filter(|action| is_question(action)).count();
        for action in actions {
            match action {
                Action::Open { unless_same } => self.events.push_back(self.world.open(unless_same)),
                Action::Check => self.events.push_back(self.world.check()),
                Action::Renew => self.events.push_back(self.world.renew()),
                Action::Publish => self.publishing = true,
                Action::Halt => self.publishing = false,
                Action::Wait(wait) => self.due = Some(self.world.now + wait.as_millis() as u64),
                Action::RemindIn(wait) => self.remind = Some(self.world.now + wait.as_millis() as u64),
                Action::LogLoss | Action::LogDegraded | Action::LogCycle => {}
            }
        }
        requests
    }

    fn check_publishing(&self, before: BroadcastState) {
        let policy = self.world.policy;
        if let (
            OnLoss::Keep,
            BroadcastState::Live(SessionHealth::Good { over: false, .. }),
            BroadcastState::Live(SessionHealth::Lost(_)),
        ) = (policy.on_loss, before, self.state)
        {
            assert!(self.publishing, "{policy:?}: publishing ends with the session");
        }
        let live = matches!(self.state, BroadcastState::Live(_));
        assert!(self.publishing || !live, "{policy:?}: live without publishing");
    }

    /// The supervisor restarts a tool that has stopped.
    fn restart_if_stopped(&mut self) {
        if let BroadcastState::Stopping(_) = self.state {
            (self.state, self.publishing) = (BroadcastState::Starting, false);
            (self.due, self.remind) = (None, None);
            self.events = VecDeque::from([StateEvent::Begin]);
            let until = self.world.now + RESTART;
            self.world.pass(until);
        }
    }

    fn is_good(&self) -> bool {
        let good = matches!(self.state, BroadcastState::Live(SessionHealth::Good { over: false, .. }));
        good && self.world.call
    }
}

/// The figures of a run; times in ms.
#[derive(Default)]
struct Figures {
    hour: u64,
    requests: usize,
    most_requests: usize,
    longest_recovery: u64,
    degraded: u64,
    live: u64,
}

impl Figures {
    /// Accounts for the time since `began`. Panics where a limit is exceeded.
    fn account(&mut self, driver: &mut Driver, began: u64) {
        let (policy, state, good) = (driver.world.policy, driver.state, driver.is_good());
        let world = &mut driver.world;
        if world.now / HOUR > self.hour {
            let (requests, hour) = (self.requests, self.hour);
            self.most_requests = self.most_requests.max(requests);
            assert!(requests <= MOST_QUESTIONS, "{policy:?}: {requests} requests in hour {hour}");
            (self.hour, self.requests) = (world.now / HOUR, 0);
        }
        if !world.wrong.is_empty() || !world.alive {
            world.peace = world.now;
        } else if good {
            let took = began.saturating_sub(world.peace).min(world.now - world.peace);
            self.longest_recovery = self.longest_recovery.max(took);
            world.peace = world.now;
        } else {
            let took = world.now - world.peace;
            assert!(took < BACK_WITHIN, "{policy:?}: {state:?} {} s after the last fault", took / SECOND);
            self.longest_recovery = self.longest_recovery.max(took);
        }
        self.degraded += u64::from(matches!(state, BroadcastState::Degraded(_))) * (world.now - began);
        self.live += u64::from(matches!(state, BroadcastState::Live(_))) * (world.now - began);
    }
}

/// Runs 60 days under one policy.
fn live_through(policy: Policy, seed: u64) {
    let mut driver = Driver::new(policy, seed);
    let mut figures = Figures::default();
    while driver.world.now < DAYS * 24 * HOUR {
        let (began, before) = (driver.world.now, driver.state);
        if let Some(event) = driver.next_event() {
            figures.requests += driver.handle(event);
        }
        driver.check_publishing(before);
        driver.restart_if_stopped();
        figures.account(&mut driver, began);
    }
    println!(
        "{policy:?}: live {} h, degraded {} h of {}; back after {} s at most; {} requests an hour at most",
        figures.live / HOUR,
        figures.degraded / HOUR,
        DAYS * 24,
        figures.longest_recovery / SECOND,
        figures.most_requests,
    );
}

#[test]
fn sixty_days_of_faults_end_live_each_time() {
    let all = [Regen::Loop, Regen::Once, Regen::Off].into_iter().flat_map(|regen| {
        [OnLoss::Keep, OnLoss::Stop]
            .into_iter()
            .flat_map(move |on_loss| [true, false].map(|standby| Policy { regen, on_loss, standby }))
    });
    for (seed, policy) in all.enumerate() {
        live_through(policy, seed as u64);
    }
}
