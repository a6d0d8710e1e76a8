//! Every state with every event, as the states document shows it, and the promised sequences.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use super::*;

const LOOP: Policy = Policy { regen: Regen::Loop, on_loss: OnLoss::Keep, standby: true };
const ALONE: Policy = Policy { standby: false, ..LOOP };
const ONCE: Policy = Policy { regen: Regen::Once, ..LOOP };
const OFF: Policy = Policy { regen: Regen::Off, ..LOOP };
const STOP: Policy = Policy { on_loss: OnLoss::Stop, ..LOOP };
const POLICIES: [Policy; 5] = [LOOP, ALONE, ONCE, OFF, STOP];

const DEAD: StateEvent = StateEvent::Opened(Err(StartError::Lost(LossCause::Session)));
const GONE: StateEvent = StateEvent::Opened(Err(StartError::Lost(LossCause::Account)));
const NETWORK: StateEvent = StateEvent::Opened(Err(StartError::Wait(WaitReason::Network)));
const RIGHTS: StateEvent = StateEvent::Opened(Err(StartError::Wait(WaitReason::Rights)));
const OPENED: StateEvent = StateEvent::Opened(Ok(()));

const fn recovery(cycle: u32, attempt: u32) -> Recovery {
    Recovery { cause: LossCause::Session, cycle, attempt }
}

const STATES: [(&str, BroadcastState); 11] = [
    ("Starting", BroadcastState::Starting),
    ("Live", BroadcastState::Live(SessionHealth::Good { reopened: 0, over: false })),
    ("Live, call over", BroadcastState::Live(SessionHealth::Good { reopened: 1, over: true })),
    ("Live without session", BroadcastState::Live(SessionHealth::Lost(recovery(1, 1)))),
    ("Live without session, between cycles", BroadcastState::Live(SessionHealth::Lost(recovery(1, 0)))),
    (
        "Degraded, account gone",
        BroadcastState::Degraded(Recovery { cause: LossCause::Account, cycle: 1, attempt: 0 }),
    ),
    (
        "Live, account gone",
        BroadcastState::Live(SessionHealth::Lost(Recovery {
            cause: LossCause::Account,
            cycle: 1,
            attempt: 0,
        })),
    ),
    ("Waiting", BroadcastState::Waiting { reason: WaitReason::Network, failures: 0 }),
    ("Degraded, renewing", BroadcastState::Degraded(recovery(1, 1))),
    ("Degraded, between cycles", BroadcastState::Degraded(recovery(1, 0))),
    ("Stopping", BroadcastState::Stopping(Code::Ok)),
];

const EVENTS: [(&str, StateEvent); 24] = [
    ("the tool begins", StateEvent::Begin),
    ("an upgrade: publishing already", StateEvent::TakenOver),
    ("opened", OPENED),
    ("opening: session dead", DEAD),
    ("opening: account gone", GONE),
    ("opening: network", NETWORK),
    ("opening: flood", StateEvent::Opened(Err(StartError::Wait(WaitReason::Flood(Duration::from_mins(5)))))),
    ("opening: rights, chat, call or app", RIGHTS),
    ("opening: people's call", StateEvent::Opened(Err(StartError::Wait(WaitReason::People)))),
    (
        "opening: scheduled for later",
        StateEvent::Opened(Err(StartError::Wait(WaitReason::Scheduled(Duration::from_secs(20))))),
    ),
    ("check: good", StateEvent::Checked(CheckOutcome::Good)),
    ("check: the stream key was replaced", StateEvent::Checked(CheckOutcome::Moved)),
    ("check: account gone", StateEvent::Checked(CheckOutcome::Failed(StartError::Lost(LossCause::Account)))),
    (
        "check: flood",
        StateEvent::Checked(CheckOutcome::Failed(StartError::Wait(WaitReason::Flood(Duration::from_mins(
            5,
        ))))),
    ),
    (
        "check: rights, chat, call or app",
        StateEvent::Checked(CheckOutcome::Failed(StartError::Wait(WaitReason::Rights))),
    ),
    ("check: call over", StateEvent::Checked(CheckOutcome::CallOver)),
    ("check: session dead", StateEvent::Checked(CheckOutcome::Failed(StartError::Lost(LossCause::Session)))),
    ("check: network", StateEvent::Checked(CheckOutcome::Failed(StartError::Wait(WaitReason::Network)))),
    ("renewal done", StateEvent::Renewed(RenewalOutcome::Done)),
    ("renewal failed", StateEvent::Renewed(RenewalOutcome::Failed)),
    ("wait over", StateEvent::Due),
    ("reminder due", StateEvent::Remind),
    ("broadcast ended", StateEvent::Ended(Code::Failure)),
    ("signal", StateEvent::Stop),
];

/// The state's name in the diagram.
fn kind(state: BroadcastState) -> &'static str {
    match state {
        BroadcastState::Starting => "Starting",
        BroadcastState::Live(SessionHealth::Good { .. }) => "Live",
        BroadcastState::Live(SessionHealth::Lost(_)) => "LiveWithoutSession",
        BroadcastState::Waiting { .. } => "Waiting",
        BroadcastState::Degraded(_) => "Degraded",
        BroadcastState::Stopping(_) => "Stopping",
    }
}

fn document() -> String {
    let mut text = String::from(
        "# Session states\n\n\
         Written by `cargo xtask docs` from `crates/tgs-stream/src/telegram/state_machine.rs`. The tables hold for\n\
         SESSION_REGEN=loop and ON_SESSION_LOSS=keep, with a standby session.\n\n\
         ## Contents\n\n- [Diagram](#diagram)\n",
    );
    for (name, _) in STATES {
        let anchor = name.to_lowercase().replace(',', "").replace(' ', "-");
        writeln!(text, "- [{name}](#{anchor})").unwrap();
    }
    text.push_str("\n## Diagram\n\n```mermaid\nstateDiagram-v2\n    [*] --> Starting\n");
    let mut edges = BTreeSet::new();
    for policy in POLICIES {
        for (_, state) in STATES {
            for (label, event) in EVENTS {
                let (next, _) = step(state, event, policy);
                if kind(next) != kind(state) {
                    edges.insert((kind(state), kind(next), label));
                }
            }
        }
    }
    for (from, to, label) in edges {
        // Every state ends at a signal and with the broadcast.
        if !matches!(label, "signal" | "broadcast ended") {
            writeln!(text, "    {from} --> {to}: {label}").unwrap();
        }
    }
    text.push_str("    Stopping --> [*]\n```\n");
    for (name, state) in STATES {
        write!(text, "\n## {name}\n\n").unwrap();
        if name == "Stopping" {
            text.push_str("No event leads out of this state.\n");
            continue;
        }
        text.push_str("| event | next state | actions |\n|---|---|---|\n");
        for (label, event) in EVENTS {
            let (next, actions) = step(state, event, LOOP);
            if next == state && actions.is_empty() {
                continue;
            }
            let actions: Vec<_> = actions.iter().map(|action| format!("{action:?}")).collect();
            let then = if next == state { "stays".to_owned() } else { format!("{next:?}") };
            writeln!(text, "| {label} | {then} | {} |", actions.join(", ")).unwrap();
        }
    }
    text
}

#[test]
fn the_states_document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/design/states.md");
    if std::env::var_os("TGS_WRITE_DOCS").is_some() {
        fs::write(&path, document()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, document(), "run this test with TGS_WRITE_DOCS=1 and commit docs/design/states.md");
}

/// No state stalls: each has a timer, a request in progress, or a running engine.
#[test]
fn no_state_stalls() {
    for policy in POLICIES {
        for (name, state) in STATES {
            for (label, event) in EVENTS {
                let (next, actions) = step(state, event, policy);
                let asks =
                    |action: &Action| matches!(action, Action::Open { .. } | Action::Check | Action::Renew);
                let questions = actions.iter().filter(|action| asks(action)).count();
                assert!(questions <= 1, "{name}, {label}: {actions:?}");
                assert!(
                    questions == 0 || asks(actions.last().unwrap()),
                    "{name}, {label}: asked before the rest"
                );
                if kind(next) != kind(state) && !matches!(next, BroadcastState::Stopping(_)) {
                    let waits = actions.iter().any(|action| matches!(action, Action::Wait(_)));
                    assert!(waits || questions == 1, "{name}, {label}: {next:?} waits for nothing");
                }
                // The result of a request leads to another request or to a timer.
                let answers = matches!(
                    event,
                    StateEvent::Opened(_) | StateEvent::Checked(_) | StateEvent::Renewed(_) | StateEvent::Due
                );
                let expected = match state {
                    BroadcastState::Starting => matches!(event, StateEvent::Opened(_)),
                    BroadcastState::Waiting { .. } => {
                        matches!(event, StateEvent::Opened(_) | StateEvent::Due)
                    }
                    BroadcastState::Live(SessionHealth::Good { .. }) => {
                        !matches!(event, StateEvent::Renewed(_))
                    }
                    _ => !matches!(event, StateEvent::Checked(_)),
                };
                if answers && expected && !matches!(next, BroadcastState::Stopping(_)) {
                    let goes_on =
                        actions.iter().any(|action| asks(action) || matches!(action, Action::Wait(_)));
                    assert!(goes_on, "{name}, {label}: nothing follows");
                }
            }
        }
    }
}

/// Runs the events in order. Returns the last state and all actions.
fn story(policy: Policy, events: &[StateEvent]) -> (BroadcastState, Vec<Action>) {
    let mut all = Vec::new();
    let mut state = BroadcastState::Starting;
    for event in events {
        let (next, actions) = step(state, *event, policy);
        state = next;
        all.extend(actions);
    }
    (state, all)
}

fn count(actions: &[Action], wanted: Action) -> usize {
    actions.iter().filter(|action| **action == wanted).count()
}

#[test]
fn a_dead_session_at_the_start_is_logged_once_and_renewed() {
    let (state, actions) = story(LOOP, &[StateEvent::Begin, DEAD]);
    assert_eq!(state, BroadcastState::Degraded(recovery(1, 1)));
    let told: Vec<_> = actions[1..].to_vec();
    assert_eq!(told, [Action::LogLoss, Action::LogDegraded, Action::RemindIn(REMIND), Action::Renew]);
    let (state, actions) =
        story(LOOP, &[StateEvent::Begin, DEAD, StateEvent::Renewed(RenewalOutcome::Done), OPENED]);
    assert_eq!(kind(state), "Live");
    assert_eq!(count(&actions, Action::Publish), 1);
    assert_eq!(count(&actions, Action::LogDegraded), 1);
}

#[test]
fn a_cycle_makes_three_attempts_then_waits_a_minute() {
    let failed = StateEvent::Renewed(RenewalOutcome::Failed);
    let cycle = [failed, StateEvent::Due, failed, StateEvent::Due, failed];
    let first = [&[StateEvent::Begin, DEAD][..], &cycle].concat();
    let (state, actions) = story(LOOP, &first);
    assert_eq!(count(&actions, Action::Renew), 3);
    assert_eq!(state, BroadcastState::Degraded(recovery(1, 0)));
    assert_eq!(actions[actions.len() - 2..], [Action::LogCycle, Action::Wait(CYCLE)]);
    // The next cycle starts with the string in .env.
    let second = [&first[..], &[StateEvent::Due, DEAD], &cycle].concat();
    let (state, actions) = story(LOOP, &second);
    assert_eq!(state, BroadcastState::Degraded(recovery(2, 0)));
    assert_eq!((count(&actions, Action::Renew), count(&actions, OPEN)), (6, 2));
    assert_eq!(count(&actions, Action::LogDegraded), 1, "the line is said once on entering");
}

#[test]
fn the_reminder_comes_every_ten_minutes() {
    let (_, actions) = story(OFF, &[StateEvent::Begin, DEAD, StateEvent::Remind, StateEvent::Remind]);
    assert_eq!(count(&actions, Action::LogDegraded), 3);
    assert_eq!(count(&actions, Action::RemindIn(Duration::from_mins(10))), 3);
}

#[test]
fn without_a_standby_session_the_string_in_the_file_is_tried_every_minute() {
    for policy in [ALONE, OFF] {
        let (state, actions) =
            story(policy, &[StateEvent::Begin, DEAD, StateEvent::Due, DEAD, StateEvent::Due, OPENED]);
        assert_eq!(count(&actions, Action::Renew), 0);
        assert_eq!((count(&actions, OPEN), count(&actions, Action::Wait(CYCLE))), (3, 2));
        assert_eq!(kind(state), "Live");
    }
}

#[test]
fn once_makes_one_attempt_then_exits() {
    let done = story(ONCE, &[StateEvent::Begin, DEAD, StateEvent::Renewed(RenewalOutcome::Done)]);
    assert_eq!((done.0, count(&done.1, Action::Renew)), (BroadcastState::Stopping(Code::Ok), 1));
    let failed = story(ONCE, &[StateEvent::Begin, DEAD, StateEvent::Renewed(RenewalOutcome::Failed)]);
    assert_eq!((failed.0, count(&failed.1, Action::Renew)), (BroadcastState::Stopping(Code::Failure), 1));
    // Without a chance, no attempt is made.
    let gone = story(ONCE, &[StateEvent::Begin, GONE]);
    assert_eq!((gone.0, count(&gone.1, Action::Renew)), (BroadcastState::Stopping(Code::Failure), 0));
}

#[test]
fn a_lost_account_is_not_renewed() {
    let (state, actions) = story(LOOP, &[StateEvent::Begin, GONE, StateEvent::Due, GONE, StateEvent::Due]);
    assert_eq!(kind(state), "Degraded");
    assert_eq!(count(&actions, Action::Renew), 0);
    // Only another string is tried.
    assert_eq!(count(&actions, Action::Open { unless_same: true }), 2);
}

#[test]
fn publishing_outlives_the_session() {
    let dead = StateEvent::Checked(CheckOutcome::Failed(StartError::Lost(LossCause::Session)));
    let start = [StateEvent::Begin, OPENED, StateEvent::Due, dead];
    let after = |events: &[StateEvent]| [&start[..], events].concat();
    for policy in [LOOP, ALONE, ONCE, OFF] {
        let (state, actions) = story(policy, &start);
        assert_eq!(kind(state), "LiveWithoutSession");
        assert_eq!((count(&actions, Action::Halt), count(&actions, Action::LogLoss)), (0, 1));
        // The string in .env may be another one by now: it is tried first.
        assert_eq!(actions.last(), Some(&Action::Open { unless_same: true }));
        assert_eq!(kind(story(policy, &after(&[OPENED])).0), "Live");
    }
    let swapped = after(&[DEAD, StateEvent::Renewed(RenewalOutcome::Done), OPENED]);
    let (state, actions) = story(LOOP, &swapped);
    assert_eq!((kind(state), count(&actions, Action::Halt)), ("Live", 0));
    // `once`: one attempt, then only .env is read; publishing continues.
    let (state, actions) = story(
        ONCE,
        &after(&[DEAD, StateEvent::Renewed(RenewalOutcome::Failed), StateEvent::Due, DEAD, StateEvent::Due]),
    );
    assert_eq!((kind(state), count(&actions, Action::Renew)), ("LiveWithoutSession", 1));
    let (state, actions) = story(STOP, &start);
    assert_eq!((kind(state), count(&actions, Action::Halt)), ("Degraded", 1));
    let stop_once = Policy { on_loss: OnLoss::Stop, ..ONCE };
    assert_eq!(
        story(stop_once, &after(&[DEAD, StateEvent::Renewed(RenewalOutcome::Done)])).0,
        BroadcastState::Stopping(Code::Ok)
    );
    assert_eq!(
        story(stop_once, &after(&[DEAD, StateEvent::Renewed(RenewalOutcome::Failed)])).0,
        BroadcastState::Stopping(Code::Failure)
    );
    let gone = after(&[GONE]);
    assert_eq!(story(stop_once, &gone).0, BroadcastState::Stopping(Code::Failure));
}

#[test]
fn a_call_that_ends_without_a_session_is_degraded_mode() {
    let over = StateEvent::Checked(CheckOutcome::CallOver);
    for policy in POLICIES {
        let (state, actions) = story(policy, &[StateEvent::Begin, OPENED, StateEvent::Due, over, DEAD]);
        assert_eq!((kind(state), count(&actions, Action::Halt)), ("Degraded", 1), "{policy:?}");
    }
}

#[test]
fn a_failing_call_is_retried_with_back_off_while_publishing() {
    let over = StateEvent::Checked(CheckOutcome::CallOver);
    let (state, actions) = story(
        LOOP,
        &[
            StateEvent::Begin,
            OPENED,
            StateEvent::Due,
            over,
            NETWORK,
            StateEvent::Due,
            NETWORK,
            StateEvent::Due,
            NETWORK,
        ],
    );
    assert_eq!(state, BroadcastState::Live(SessionHealth::Good { reopened: 3, over: true }));
    let waits: Vec<_> = actions.iter().filter(|action| matches!(action, Action::Wait(_))).collect();
    let expected = [30, 1, 2, 4].map(|s| Action::Wait(Duration::from_secs(s)));
    assert_eq!(waits, expected.iter().collect::<Vec<_>>());
    assert_eq!(count(&actions, Action::Halt), 0);
}

#[test]
fn a_replaced_stream_key_is_used() {
    let (state, actions) =
        story(LOOP, &[StateEvent::Begin, OPENED, StateEvent::Due, StateEvent::Checked(CheckOutcome::Moved)]);
    assert_eq!((kind(state), count(&actions, Action::Publish)), ("Live", 2));
}

#[test]
fn network_errors_are_retried_and_are_no_dead_session() {
    let mut events = vec![StateEvent::Begin];
    for _ in 0..200 {
        events.extend([NETWORK, StateEvent::Due]);
    }
    let (state, actions) = story(LOOP, &events);
    assert_eq!(kind(state), "Waiting");
    let waits: Vec<u64> = actions
        .iter()
        .filter_map(|action| if let Action::Wait(wait) = action { Some(wait.as_secs()) } else { None })
        .collect();
    assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(waits.last(), Some(&60));
}

#[test]
fn a_flood_wait_is_kept_to_its_end() {
    let flood = StateEvent::Opened(Err(StartError::Wait(WaitReason::Flood(Duration::from_secs(1234)))));
    let (_, actions) = story(LOOP, &[StateEvent::Begin, flood]);
    assert_eq!(actions.last(), Some(&Action::Wait(Duration::from_secs(1234))));
}

#[test]
fn an_ended_call_is_created_again_with_back_off() {
    let over = StateEvent::Checked(CheckOutcome::CallOver);
    let (state, actions) = story(LOOP, &[StateEvent::Begin, OPENED, StateEvent::Due, over, OPENED]);
    assert_eq!(state, BroadcastState::Live(SessionHealth::Good { reopened: 1, over: false }));
    assert_eq!((count(&actions, OPEN), count(&actions, Action::Halt)), (2, 0));
    let again = [StateEvent::Begin, OPENED, StateEvent::Due, over, OPENED, StateEvent::Due, over];
    let (state, actions) = story(LOOP, &again);
    assert_eq!(state, BroadcastState::Live(SessionHealth::Good { reopened: 1, over: true }));
    assert_eq!(actions.last(), Some(&Action::Wait(Duration::from_secs(2))));
    // A good check resets the count.
    let good =
        [&again[..], &[StateEvent::Due, OPENED, StateEvent::Due, StateEvent::Checked(CheckOutcome::Good)]]
            .concat();
    assert_eq!(story(LOOP, &good).0, BroadcastState::Live(SessionHealth::Good { reopened: 0, over: false }));
}

#[test]
fn a_lost_stream_ends_publishing() {
    for reason in
        [WaitReason::Rights, WaitReason::Chat, WaitReason::People, WaitReason::Call, WaitReason::App]
    {
        let (state, actions) = story(
            LOOP,
            &[StateEvent::Begin, OPENED, StateEvent::Due, StateEvent::Opened(Err(StartError::Wait(reason)))],
        );
        assert_eq!(state, BroadcastState::Waiting { reason, failures: 0 });
        assert_eq!(actions[actions.len() - 2..], [Action::Halt, Action::Wait(Duration::from_mins(1))]);
    }
    for reason in
        [WaitReason::Network, WaitReason::InUse, WaitReason::Other, WaitReason::Flood(Duration::from_secs(9))]
    {
        let (state, actions) = story(
            LOOP,
            &[StateEvent::Begin, OPENED, StateEvent::Due, StateEvent::Opened(Err(StartError::Wait(reason)))],
        );
        assert_eq!((kind(state), count(&actions, Action::Halt)), ("Live", 0));
    }
}
