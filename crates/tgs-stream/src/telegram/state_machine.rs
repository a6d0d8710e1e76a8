//! The policy of a broadcast into Telegram: what each event leads to in each state.
//!
//! [`step`] is pure: it returns actions, timers included, and receives their results as events.
//! `driver.rs` executes them. The tests generate the states document.

mod states;

use std::time::Duration;

use tgs_core::{
    exit::Code,
    settings::{OnLoss, Regen},
};

use states::doubling;
pub(crate) use states::{
    Action, BroadcastState, CheckOutcome, LossCause, Policy, Recovery, RenewalOutcome, SessionHealth,
    StartError, StateEvent, WaitReason,
};

/// How often a cycle of recovery starts.
const CYCLE: Duration = Duration::from_mins(1);

/// Attempts of the standby session in one cycle.
const ATTEMPTS: u32 = 3;

/// How often the line of degraded mode is logged again.
const REMIND: Duration = Duration::from_mins(10);

/// How often session and call are checked while live.
const CHECK: Duration = Duration::from_secs(30);

/// The transition of `event` in `state`.
pub(crate) fn step(
    state: BroadcastState,
    event: StateEvent,
    policy: Policy,
) -> (BroadcastState, Vec<Action>) {
    match (state, event) {
        (BroadcastState::Stopping(_), _) => (state, Vec::new()),
        (_, StateEvent::Stop) => (BroadcastState::Stopping(Code::Ok), vec![Action::Halt]),
        (_, StateEvent::Ended(code)) => (BroadcastState::Stopping(code), Vec::new()),
        (BroadcastState::Starting, StateEvent::Begin) => (BroadcastState::Starting, vec![OPEN]),
        (BroadcastState::Starting, StateEvent::TakenOver) => {
            (BroadcastState::Live(SessionHealth::Good { reopened: 0, over: false }), vec![OPEN])
        }
        (BroadcastState::Starting, StateEvent::Opened(Err(StartError::Wait(reason)))) => wait(reason, 0),
        (
            BroadcastState::Starting | BroadcastState::Waiting { .. },
            StateEvent::Opened(Err(StartError::Lost(cause))),
        ) => degrade(Recovery::begin(cause, policy), policy, Vec::new()),
        (
            BroadcastState::Starting
            | BroadcastState::Waiting { .. }
            | BroadcastState::Degraded(_)
            | BroadcastState::Live(_),
            StateEvent::Opened(Ok(())),
        ) => on_air(state),
        (BroadcastState::Waiting { .. }, StateEvent::Due) => (state, vec![OPEN]),
        (BroadcastState::Waiting { failures, .. }, StateEvent::Opened(Err(StartError::Wait(reason)))) => {
            wait(reason, failures + 1)
        }
        (BroadcastState::Degraded(recovery), event) => degraded(recovery, event, policy),
        (BroadcastState::Live(SessionHealth::Good { reopened, over }), event) => {
            live(reopened, over, event, policy)
        }
        (BroadcastState::Live(SessionHealth::Lost(recovery)), event) => {
            live_without_session(recovery, event, policy)
        }
        // No pending action has this result.
        _ => (state, Vec::new()),
    }
}

const OPEN: Action = Action::Open { unless_same: false };

fn wait(reason: WaitReason, failures: u32) -> (BroadcastState, Vec<Action>) {
    (BroadcastState::Waiting { reason, failures }, vec![Action::Wait(reason.delay(failures))])
}

fn on_air(before: BroadcastState) -> (BroadcastState, Vec<Action>) {
    let reopened = match before {
        BroadcastState::Live(SessionHealth::Good { reopened, .. }) => reopened + 1,
        _ => 0,
    };
    (
        BroadcastState::Live(SessionHealth::Good { reopened, over: false }),
        vec![Action::Publish, Action::Wait(CHECK)],
    )
}

/// Publishing with a valid session.
fn live(reopened: u32, over: bool, event: StateEvent, policy: Policy) -> (BroadcastState, Vec<Action>) {
    let good = |reopened, over| BroadcastState::Live(SessionHealth::Good { reopened, over });
    match event {
        StateEvent::Due if over => (good(reopened, over), vec![OPEN]),
        StateEvent::Due => (good(reopened, over), vec![Action::Check]),
        StateEvent::Checked(CheckOutcome::Good) => (good(0, false), vec![Action::Wait(CHECK)]),
        StateEvent::Checked(CheckOutcome::Moved) => {
            (good(0, false), vec![Action::Publish, Action::Wait(CHECK)])
        }
        // The first time without a wait: viewers see nothing.
        StateEvent::Checked(CheckOutcome::CallOver) if reopened == 0 => (good(reopened, true), vec![OPEN]),
        StateEvent::Checked(CheckOutcome::CallOver) => {
            (good(reopened, true), vec![Action::Wait(doubling(reopened))])
        }
        StateEvent::Checked(CheckOutcome::Failed(StartError::Wait(reason)))
        | StateEvent::Opened(Err(StartError::Wait(reason))) => {
            if reason.passes() {
                // Shorter waits while the call is over: viewers see nothing.
                let (reopened, delay) = if over {
                    (reopened + 1, reason.delay(reopened))
                } else {
                    (reopened, reason.delay(u32::MAX))
                };
                return (good(reopened, over), vec![Action::Wait(delay)]);
            }
            let (state, actions) = wait(reason, 0);
            (state, [vec![Action::Halt], actions].concat())
        }
        StateEvent::Checked(CheckOutcome::Failed(StartError::Lost(cause)))
        | StateEvent::Opened(Err(StartError::Lost(cause))) => {
            // Without a session, the stream cannot be opened again.
            if policy.on_loss == OnLoss::Stop || over {
                return degrade(Recovery::on_air(cause), policy, vec![Action::Halt]);
            }
            let (recovery, action) = Recovery::on_air(cause);
            (BroadcastState::Live(SessionHealth::Lost(recovery)), vec![Action::LogLoss, action])
        }
        _ => (good(reopened, over), Vec::new()),
    }
}

/// Publishing while the session is renewed.
fn live_without_session(
    recovery: Recovery,
    event: StateEvent,
    policy: Policy,
) -> (BroadcastState, Vec<Action>) {
    let state = |recovery| BroadcastState::Live(SessionHealth::Lost(recovery));
    match event {
        // The session is valid again, but the call cannot be opened: publishing continues.
        StateEvent::Opened(Err(StartError::Wait(reason))) if reason.passes() => {
            let (recovery, actions) = recovery.over();
            (state(recovery), actions)
        }
        StateEvent::Opened(Err(StartError::Wait(reason))) => {
            let (state, actions) = wait(reason, 0);
            (state, [vec![Action::Halt], actions].concat())
        }
        event => {
            let (recovery, actions) = recovery.step(event, policy);
            (state(recovery), actions)
        }
    }
}

/// Enters degraded mode.
fn degrade(
    begin: (Recovery, Action),
    policy: Policy,
    mut actions: Vec<Action>,
) -> (BroadcastState, Vec<Action>) {
    actions.extend([Action::LogLoss, Action::LogDegraded, Action::RemindIn(REMIND)]);
    let (recovery, action) = begin;
    if policy.regen == Regen::Once && matches!(action, Action::Wait(_)) {
        // The only attempt cannot succeed.
        return (BroadcastState::Stopping(Code::Failure), actions);
    }
    actions.push(action);
    (BroadcastState::Degraded(recovery), actions)
}

fn degraded(recovery: Recovery, event: StateEvent, policy: Policy) -> (BroadcastState, Vec<Action>) {
    let once = policy.regen == Regen::Once;
    match event {
        StateEvent::Remind => {
            (BroadcastState::Degraded(recovery), vec![Action::LogDegraded, Action::RemindIn(REMIND)])
        }
        // FR-002: one attempt, then the supervisor restarts the tool.
        StateEvent::Renewed(RenewalOutcome::Done) if once => (BroadcastState::Stopping(Code::Ok), Vec::new()),
        StateEvent::Renewed(RenewalOutcome::Failed) if once => {
            (BroadcastState::Stopping(Code::Failure), Vec::new())
        }
        StateEvent::Opened(Err(StartError::Lost(cause)))
            if once && !(Recovery { cause, ..recovery }).may_renew(policy) =>
        {
            (BroadcastState::Stopping(Code::Failure), Vec::new())
        }
        // This says nothing about the session: degraded mode continues.
        StateEvent::Opened(Err(StartError::Wait(WaitReason::Network | WaitReason::InUse))) => {
            let (recovery, actions) = recovery.over();
            (BroadcastState::Degraded(recovery), actions)
        }
        StateEvent::Opened(Err(StartError::Wait(reason))) => wait(reason, 0),
        event => {
            let (recovery, actions) = recovery.step(event, policy);
            (BroadcastState::Degraded(recovery), actions)
        }
    }
}

impl Recovery {
    /// The string in `.env` has just failed: the standby session comes first.
    fn begin(cause: LossCause, policy: Policy) -> (Self, Action) {
        let first = Self { cause, cycle: 1, attempt: 0 };
        if first.may_renew(policy) {
            (first.attempted(), Action::Renew)
        } else {
            (first, Action::Wait(CYCLE))
        }
    }

    /// Found dead while publishing: the string in `.env` may be another one by now.
    fn on_air(cause: LossCause) -> (Self, Action) {
        (Self { cause, cycle: 1, attempt: 0 }, Action::Open { unless_same: true })
    }

    fn may_renew(self, policy: Policy) -> bool {
        let asked = match policy.regen {
            Regen::Loop => policy.standby,
            // Without a standby session, the attempt logs how to create one.
            Regen::Once => self.cycle == 1 && self.attempt == 0,
            Regen::Off => false,
        };
        asked && self.cause == LossCause::Session && self.attempt < ATTEMPTS
    }

    fn attempted(self) -> Self {
        Self { attempt: self.attempt + 1, ..self }
    }

    /// The cycle has failed; another follows.
    fn over(self) -> (Self, Vec<Action>) {
        (Self { attempt: 0, ..self }, vec![Action::LogCycle, Action::Wait(CYCLE)])
    }

    fn step(self, event: StateEvent, policy: Policy) -> (Self, Vec<Action>) {
        match event {
            StateEvent::Renewed(RenewalOutcome::Done) => (self, vec![OPEN]),
            // An immediate failure would repeat at once: waits 5 s, then 10 s.
            StateEvent::Renewed(RenewalOutcome::Failed) if self.may_renew(policy) => {
                (self, vec![Action::Wait(Duration::from_secs(5) * self.attempt)])
            }
            StateEvent::Renewed(RenewalOutcome::Failed) => self.over(),
            StateEvent::Due if self.attempt > 0 => (self.attempted(), vec![Action::Renew]),
            StateEvent::Due => {
                let next = Self { cycle: self.cycle + 1, ..self };
                (next, vec![Action::Open { unless_same: self.cause == LossCause::Account }])
            }
            StateEvent::Opened(Err(StartError::Lost(cause))) => {
                let now = Self { cause, ..self };
                if now.attempt == 0 && now.may_renew(policy) {
                    (now.attempted(), vec![Action::Renew])
                } else {
                    now.over()
                }
            }
            _ => (self, Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod long_run;
