//! What a broadcast into Telegram does about its session, chat and call, in every state on every event.
//!
//! [`step`] is pure: it returns actions, waits included, and receives their results as events.
//! `driver.rs` executes them. The tests of this file generate the states document.

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

/// How often a dead session is looked up in `.env` again, and the standby session used again.
const CYCLE: Duration = Duration::from_mins(1);

/// Attempts of the standby session in one cycle.
const ATTEMPTS: u32 = 3;

/// How often the line of degraded mode is logged again.
const REMIND: Duration = Duration::from_mins(10);

/// How often session and call are checked while live.
const CHECK: Duration = Duration::from_secs(30);

/// What follows from `event` in `state`.
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
        // Nothing was asked for that could answer so.
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

/// On air with a session that was good when last looked at.
fn live(reopened: u32, over: bool, event: StateEvent, policy: Policy) -> (BroadcastState, Vec<Action>) {
    let good = |reopened, over| BroadcastState::Live(SessionHealth::Good { reopened, over });
    match event {
        StateEvent::Due if over => (good(reopened, over), vec![OPEN]),
        StateEvent::Due => (good(reopened, over), vec![Action::Check]),
        StateEvent::Checked(CheckOutcome::Good) => (good(0, false), vec![Action::Wait(CHECK)]),
        StateEvent::Checked(CheckOutcome::Moved) => {
            (good(0, false), vec![Action::Publish, Action::Wait(CHECK)])
        }
        // The first time at once: viewers are looking at nothing.
        StateEvent::Checked(CheckOutcome::CallOver) if reopened == 0 => (good(reopened, true), vec![OPEN]),
        StateEvent::Checked(CheckOutcome::CallOver) => {
            (good(reopened, true), vec![Action::Wait(doubling(reopened))])
        }
        StateEvent::Checked(CheckOutcome::Failed(StartError::Wait(reason)))
        | StateEvent::Opened(Err(StartError::Wait(reason))) => {
            if reason.passes() {
                // Viewers see nothing while the call is over, so that is asked about more often.
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
            // A stream that would have to be opened anew cannot be.
            if policy.on_loss == OnLoss::Stop || over {
                return degrade(Recovery::on_air(cause), policy, vec![Action::Halt]);
            }
            let (recovery, action) = Recovery::on_air(cause);
            (BroadcastState::Live(SessionHealth::Lost(recovery)), vec![Action::LogLoss, action])
        }
        _ => (good(reopened, over), Vec::new()),
    }
}

/// On air, while a new session is got behind the picture.
fn live_without_session(
    recovery: Recovery,
    event: StateEvent,
    policy: Policy,
) -> (BroadcastState, Vec<Action>) {
    let state = |recovery| BroadcastState::Live(SessionHealth::Lost(recovery));
    match event {
        // The session is good again, and only the call is not to be had: what is on air stays there.
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
        // The one attempt there is cannot help.
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
        // FR-002: one attempt, then the supervisor starts the tool anew.
        StateEvent::Renewed(RenewalOutcome::Done) if once => (BroadcastState::Stopping(Code::Ok), Vec::new()),
        StateEvent::Renewed(RenewalOutcome::Failed) if once => {
            (BroadcastState::Stopping(Code::Failure), Vec::new())
        }
        StateEvent::Opened(Err(StartError::Lost(cause)))
            if once && !(Recovery { cause, ..recovery }).may_renew(policy) =>
        {
            (BroadcastState::Stopping(Code::Failure), Vec::new())
        }
        // Says nothing about the session, so this is still degraded mode.
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
    /// The session has just been found dead: its string has been tried, so the standby comes first.
    fn begin(cause: LossCause, policy: Policy) -> (Self, Action) {
        let first = Self { cause, cycle: 1, attempt: 0 };
        if first.may_renew(policy) {
            (first.attempted(), Action::Renew)
        } else {
            (first, Action::Wait(CYCLE))
        }
    }

    /// The session has been found dead on air: the string in `.env` may have been replaced long ago.
    fn on_air(cause: LossCause) -> (Self, Action) {
        (Self { cause, cycle: 1, attempt: 0 }, Action::Open { unless_same: true })
    }

    fn may_renew(self, policy: Policy) -> bool {
        let asked = match policy.regen {
            Regen::Loop => policy.standby,
            // Without a standby the one attempt says how to make one.
            Regen::Once => self.cycle == 1 && self.attempt == 0,
            Regen::Off => false,
        };
        asked && self.cause == LossCause::Session && self.attempt < ATTEMPTS
    }

    fn attempted(self) -> Self {
        Self { attempt: self.attempt + 1, ..self }
    }

    /// The cycle has ended without a session; another follows.
    fn over(self) -> (Self, Vec<Action>) {
        (Self { attempt: 0, ..self }, vec![Action::LogCycle, Action::Wait(CYCLE)])
    }

    fn step(self, event: StateEvent, policy: Policy) -> (Self, Vec<Action>) {
        match event {
            StateEvent::Renewed(RenewalOutcome::Done) => (self, vec![OPEN]),
            // What failed at once fails again at once: 5 s, then 10 s.
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
