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

/// Runs 60 days under one policy.
fn live_through(policy: Policy, seed: u64) {
    let mut world = World::new(policy, seed);
    let mut state = BroadcastState::Starting;
    let mut events = VecDeque::from([StateEvent::Begin]);
    let (mut due, mut remind): (Option<u64>, Option<u64>) = (None, None);
    let mut publishing = false;
    let (mut hour, mut questions, mut most) = (0, 0, 0);
    let (mut longest, mut degraded, mut live) = (0, 0, 0);
    while world.now < DAYS * 24 * HOUR {
        let began = world.now;
        let event = events.pop_front().unwrap_or_else(|| {
            let first = due.into_iter().chain(remind).min();
            let at = first.unwrap_or_else(|| panic!("{policy:?}: {state:?} waits for nothing"));
            // Faults take effect in order.
            let at = at.min(world.next_change()).max(world.now);
            world.pass(at);
            if std::mem::take(&mut world.restart) {
                return StateEvent::Stop;
            }
            for (timer, event) in [(&mut due, StateEvent::Due), (&mut remind, StateEvent::Remind)] {
                if timer.take_if(|due| *due <= at).is_some() {
                    return event;
                }
            }
            // No event: no state reacts to it.
            StateEvent::Begin
        });
        let was = state;
        if event != StateEvent::Begin || state == BroadcastState::Starting {
            let (next, actions) = step(state, event, policy);
            if std::mem::discriminant(&next) != std::mem::discriminant(&state) {
                (due, remind) = (None, None);
            }
            state = next;
            questions += actions.iter().filter(|action| is_question(action)).count();
            for action in actions {
                match action {
                    Action::Open { unless_same } => events.push_back(world.open(unless_same)),
                    Action::Check => events.push_back(world.check()),
                    Action::Renew => events.push_back(world.renew()),
                    Action::Publish => publishing = true,
                    Action::Halt => publishing = false,
                    Action::Wait(wait) => due = Some(world.now + wait.as_millis() as u64),
                    Action::RemindIn(wait) => remind = Some(world.now + wait.as_millis() as u64),
                    Action::LogLoss | Action::LogDegraded | Action::LogCycle => {}
                }
            }
        }
        if let (
            OnLoss::Keep,
            BroadcastState::Live(SessionHealth::Good { over: false, .. }),
            BroadcastState::Live(SessionHealth::Lost(_)),
        ) = (policy.on_loss, was, state)
        {
            assert!(publishing, "{policy:?}: the picture goes with the session");
        }
        assert!(
            publishing || !matches!(state, BroadcastState::Live(_)),
            "{policy:?}: live without a picture"
        );
        if let BroadcastState::Stopping(_) = state {
            // The supervisor restarts it.
            (state, publishing) = (BroadcastState::Starting, false);
            (due, remind) = (None, None);
            events = VecDeque::from([StateEvent::Begin]);
            let until = world.now + RESTART;
            world.pass(until);
        }
        if world.now / HOUR > hour {
            most = most.max(questions);
            assert!(questions <= MOST_QUESTIONS, "{policy:?}: {questions} questions in hour {hour}");
            (hour, questions) = (world.now / HOUR, 0);
        }
        let good =
            matches!(state, BroadcastState::Live(SessionHealth::Good { over: false, .. })) && world.call;
        if !world.wrong.is_empty() || !world.alive {
            world.peace = world.now;
        } else if good {
            longest = longest.max(began.saturating_sub(world.peace).min(world.now - world.peace));
            world.peace = world.now;
        } else {
            let took = world.now - world.peace;
            assert!(took < BACK_WITHIN, "{policy:?}: {state:?} {} s after the last trouble", took / SECOND);
            longest = longest.max(took);
        }
        degraded += u64::from(matches!(state, BroadcastState::Degraded(_))) * (world.now - began);
        live += u64::from(matches!(state, BroadcastState::Live(_))) * (world.now - began);
    }
    println!(
        "{policy:?}: live {} h, degraded {} h of {}; back after {} s at most; {most} questions an hour at most",
        live / HOUR,
        degraded / HOUR,
        DAYS * 24,
        longest / SECOND,
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
