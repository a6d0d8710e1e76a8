//! Publishes changes of the state: compares it with what it was. Events on air come from the
//! engine.

use std::time::Duration;

use tgs_control::{BroadcastEvent, LiveClient, StateChange, method::EventKind};
use tgs_core::{cancel::Cancel, mask, time::Utc};

use super::Answers;
use crate::telegram::SharedTelegramStatus;

/// How often the state is compared.
const EVERY: Duration = Duration::from_millis(250);

/// The same while nobody has subscribed: wake-ups cost more than the comparison.
const IDLE: Duration = Duration::from_secs(1);

/// Events that may wait for this module.
const MOST_WAITING: usize = 1024;

/// The kind by which subscribers choose an event.
fn kind(event: &BroadcastEvent) -> EventKind {
    use BroadcastEvent as E;
    match event {
        E::ItemBegan { .. } | E::ItemEnded { .. } | E::ItemFailed { .. } | E::Unknown => EventKind::Item,
        E::FillerBegan { .. } | E::FillerEnded { .. } => EventKind::Filler,
        E::OutageBegan { .. } | E::OutageEnded { .. } => EventKind::Publisher,
        E::Started { .. } | E::Stopped { .. } => EventKind::State,
    }
}

/// The state that is compared.
#[derive(Debug, Clone, PartialEq)]
struct Observed {
    paused: bool,
    stopped: bool,
    session: Option<(&'static str, Option<String>)>,
    /// The length of the queue, and the number of its changes.
    queue: (usize, u64),
    /// The publisher of the live input.
    live: Option<LiveClient>,
}

impl Observed {
    fn of(answers: &Answers) -> Self {
        let telegram = answers.source.telegram.as_ref().map(SharedTelegramStatus::read);
        Self {
            paused: answers.control.status.read().status.paused,
            stopped: answers.standing.is_stopped(),
            session: telegram.map(|now| (now.state.name(), now.why)),
            queue: (answers.queue.len(), answers.queue.changes()),
            live: answers.live.as_ref().and_then(|live| live.status().publisher),
        }
    }
}

/// Publishes changes until `stopped` is set.
pub(super) fn run(answers: &Answers, stopped: &Cancel) {
    let mut last = Observed::of(answers);
    let events = answers.control.subscribe(MOST_WAITING);
    if let Err(error) = &events {
        log::warn!("subscribers of the control socket see no items: {error}");
    }
    while !stopped.is_cancelled() {
        let every = if answers.subscribers.is_empty() { IDLE } else { EVERY };
        match &events {
            Ok(events) => {
                // Waits for the first one only.
                let mut next = events.next(every);
                while let Some(event) = next {
                    answers.subscribers.publish(kind(&event), &*event);
                    next = events.next(Duration::ZERO);
                }
            }
            Err(_) => drop(stopped.wait(every)),
        }
        let now = Observed::of(answers);
        for (kind, change) in changes(&last, &now, answers) {
            answers.subscribers.publish(kind, &change);
        }
        last = now;
    }
}

fn changes(last: &Observed, now: &Observed, answers: &Answers) -> Vec<(EventKind, StateChange)> {
    let mut changes = Vec::new();
    if last.paused != now.paused {
        let ends = || answers.standing.pause_ends().map(|at| Utc(at).to_string());
        let change = if now.paused { StateChange::Paused { ends: ends() } } else { StateChange::Resumed };
        changes.push((EventKind::State, change));
    }
    if last.stopped != now.stopped {
        let change =
            if now.stopped { StateChange::StoppedByOperator } else { StateChange::StartedByOperator };
        changes.push((EventKind::State, change));
    }
    if let Some((state, why)) = now.session.as_ref().filter(|_| last.session != now.session) {
        let why = why.as_ref().map(|why| mask::urls(why).into_owned());
        changes.push((EventKind::Session, StateChange::Session { state: (*state).to_owned(), why }));
    }
    if last.queue != now.queue {
        changes.push((EventKind::Queue, StateChange::Queue { length: now.queue.0 }));
    }
    if last.live != now.live {
        let gone = last.live.iter().map(|client| StateChange::LiveLeft { key: client.key.clone() });
        let come = now.live.iter().map(|client| StateChange::LiveArrived { publisher: client.clone() });
        changes.extend(gone.chain(come).map(|change| (EventKind::Live, change)));
    }
    changes
}
