//! What tgs-stream does about its session, its chat and its call: every state, every event, and nothing else.
//!
//! [`step`] is pure: it asks for what is to be done ([`Action`]), waiting included, and is told how it went ([`StateEvent`]).
//! The driver beside it (`telegram.rs`) does it. docs/states.md is made from this file by its tests.

use std::time::Duration;

use tgs_core::{
    exit::Code,
    settings::{OnLoss, Regen},
};

/// A dead session's string is tried again, and the standby asked again, this often.
const CYCLE: Duration = Duration::from_mins(1);

/// Attempts of the standby session in one cycle.
const ATTEMPTS: u32 = 3;

/// How often the operator is reminded of degraded mode.
const REMIND: Duration = Duration::from_mins(10);

/// How often session and call are looked at while on air.
const CHECK: Duration = Duration::from_secs(30);

/// What only a person can mend is looked at again this often, and the network asked no less often.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where the broadcast stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BroadcastState {
    /// The stream is being opened for the first time, or again after something was mended.
    Starting,
    /// On air.
    Live(SessionHealth),
    /// The session is good or nothing is known against it, but the stream cannot be opened.
    Waiting {
        /// Why.
        reason: WaitReason,
        /// Attempts that have failed in a row.
        failures: u32,
    },
    /// No valid session, and nothing is published.
    Degraded(Recovery),
    /// The tool ends with this code.
    Stopping(Code),
}

/// The session, while on air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionHealth {
    /// It was good when last looked at.
    Good {
        /// How often in a row the call had to be created again.
        reopened: u32,
        /// Whether the call is over and is to be created again after a wait.
        over: bool,
    },
    /// It is dead; the picture goes on, since the ingest asks for no session.
    Lost(Recovery),
}

/// How far getting a new session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// Whether an attempt can help: it cannot once the account is gone.
    pub(crate) cause: LossCause,
    /// Counted from 1.
    pub(crate) cycle: u32,
    /// Which attempt of the standby session; 0 while only the string in `.env` is tried.
    pub(crate) attempt: u32,
}

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LossCause {
    /// The session is dead, missing or malformed.
    Session,
    /// The account is banned, frozen or deleted.
    Account,
}

/// Why the stream cannot be opened though nothing is known against the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitReason {
    /// Telegram asks to wait this long.
    Flood(Duration),
    /// Telegram cannot be reached.
    Network,
    /// The account may not start a live stream there.
    Rights,
    /// CHAT_ID names no chat that the account sees.
    Chat,
    /// People hold a call of their own.
    People,
    /// The call could not be created.
    Call,
    /// API_ID or API_HASH is wrong.
    App,
    /// Another program on this machine uses the session.
    InUse,
    /// Something this version does not know.
    Other,
}

impl WaitReason {
    /// The name in /healthz and /status.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flood(_) => "waiting_flood",
            Self::Network => "waiting_network",
            Self::Rights => "waiting_rights",
            Self::Chat => "waiting_chat",
            Self::People => "waiting_people",
            Self::Call => "waiting_call",
            Self::App => "waiting_app",
            Self::InUse => "waiting_in_use",
            Self::Other => "waiting_other",
        }
    }

    /// Whether the stream that is on air goes on: nothing says that it is over.
    fn passes(self) -> bool {
        matches!(self, Self::Flood(_) | Self::Network | Self::InUse | Self::Other)
    }

    /// How long to wait after so many failures.
    fn delay(self, failures: u32) -> Duration {
        match self {
            Self::Flood(wait) => wait,
            Self::Network => doubling(failures),
            _ => PATIENCE,
        }
    }
}

/// Why an attempt to open the stream failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartError {
    /// There is no session.
    Lost(LossCause),
    /// There may be one.
    Wait(WaitReason),
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateEvent {
    /// The tool begins.
    Begin,
    /// [`Action::Open`] has ended.
    Opened(Result<(), StartError>),
    /// [`Action::Check`] has ended: session and call are as they were, or the call is over.
    Checked(CheckOutcome),
    /// [`Action::Renew`] has ended.
    Renewed(RenewalOutcome),
    /// The wait asked for is over.
    Due,
    /// The reminder is due.
    Remind,
    /// The broadcast has ended by itself.
    Ended(Code),
    /// A signal asks the tool to stop.
    Stop,
}

/// What a look at session and call has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckOutcome {
    /// Both are as they were.
    Good,
    /// Both are, and the ingest is another.
    Moved,
    /// The call is over.
    CallOver,
    /// It failed.
    Failed(StartError),
}

/// How an attempt with the standby session went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RenewalOutcome {
    /// A new session stands in `.env`.
    Done,
    /// It failed.
    Failed,
}

/// What the driver does, in order. One of `OpenSegment`, `Check` and `Renew` at most comes in a step, and comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Read `.env`, connect, find the chat and its call (or create it), ask for the ingest. `unless_same`: only if the
    /// string there is another than the one that failed.
    Open {
        /// Whether the string that has failed is not to be tried again.
        unless_same: bool,
    },
    /// Ask whether session and call still live.
    Check,
    /// Let the standby session approve a new one.
    Renew,
    /// Publish to the ingest that was opened, unless that is where the picture goes already.
    Publish,
    /// End the publishing.
    Halt,
    /// Wait this long for [`StateEvent::Due`]. Replaces the wait before.
    Wait(Duration),
    /// Wait this long for [`StateEvent::Remind`].
    RemindIn(Duration),
    /// Name the error that ended the session.
    TellLoss,
    /// Say the line of degraded mode.
    TellDegraded,
    /// Say how a cycle has ended.
    TellCycle,
}

/// What the settings decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// `SESSION_REGEN`
    pub(crate) regen: Regen,
    /// `ON_SESSION_LOSS`
    pub(crate) on_loss: OnLoss,
    /// Whether there is a STANDBY_SESSION_STRING.
    pub(crate) standby: bool,
}

/// 1 s, doubling to 60 s.
fn doubling(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.min(6)).min(PATIENCE)
}

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
            (BroadcastState::Live(SessionHealth::Lost(recovery)), vec![Action::TellLoss, action])
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
    actions.extend([Action::TellLoss, Action::TellDegraded, Action::RemindIn(REMIND)]);
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
            (BroadcastState::Degraded(recovery), vec![Action::TellDegraded, Action::RemindIn(REMIND)])
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
        (Self { attempt: 0, ..self }, vec![Action::TellCycle, Action::Wait(CYCLE)])
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
