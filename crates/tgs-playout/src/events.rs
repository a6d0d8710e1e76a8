//! Hands events to subscribers. The reporting thread never waits: a full queue loses the event and
//! counts it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use tgs_control::BroadcastEvent;

/// Limit of subscriptions.
pub const MOST_SUBSCRIPTIONS: usize = 64;

/// Why a subscription is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MOST_SUBSCRIPTIONS} subscribers listen, and more are not allowed")]
pub struct TooManySubscriptions;

/// The subscribers of a broadcast, across engine runs. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events {
    /// Held for moments.
    subscribers: Arc<Mutex<Vec<Subscriber>>>,
}

#[derive(Debug)]
struct Subscriber {
    queue: mpsc::SyncSender<Arc<BroadcastEvent>>,
    lost: Arc<AtomicU64>,
}

/// A receiver of events. Dropping it ends the subscription.
#[derive(Debug)]
pub struct EventSubscription {
    queue: mpsc::Receiver<Arc<BroadcastEvent>>,
    lost: Arc<AtomicU64>,
}

impl Events {
    /// Subscribes to all events from now on; `depth` events may wait.
    pub(crate) fn subscribe(&self, depth: usize) -> Result<EventSubscription, TooManySubscriptions> {
        let mut subscribers = self.lock();
        // A dropped subscription is noticed at the next event, which may be hours away.
        subscribers.retain(|subscriber| Arc::strong_count(&subscriber.lost) > 1);
        if subscribers.len() >= MOST_SUBSCRIPTIONS {
            return Err(TooManySubscriptions);
        }
        let (sender, queue) = mpsc::sync_channel(depth);
        let lost = Arc::<AtomicU64>::default();
        subscribers.push(Subscriber { queue: sender, lost: lost.clone() });
        Ok(EventSubscription { queue, lost })
    }

    /// Hands `event` to all subscribers without waiting.
    pub(crate) fn report(&self, event: BroadcastEvent) {
        let event = Arc::new(event);
        self.lock().retain(|subscriber| match subscriber.queue.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::TrySendError::Full(_)) => {
                subscriber.lost.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(mpsc::TrySendError::Disconnected(_)) => false,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Subscriber>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSubscription {
    /// The next event; `None` if none comes within `timeout`.
    #[must_use]
    pub fn next(&self, timeout: Duration) -> Option<Arc<BroadcastEvent>> {
        self.queue.recv_timeout(timeout).ok()
    }

    /// The number of events lost since the last call, because too many waited.
    #[must_use]
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use tgs_control::Timestamp;

    use super::*;

    fn event(at: u64) -> BroadcastEvent {
        BroadcastEvent::FillerEnded { at: Timestamp(at) }
    }

    #[test]
    fn a_slow_subscriber_loses_events_and_learns_how_many() {
        let events = Events::default();
        let (slow, quick) = (events.subscribe(2).unwrap(), events.subscribe(9).unwrap());
        (0..5).for_each(|at| events.report(event(at)));
        let read = |from: &EventSubscription| -> Vec<_> {
            std::iter::from_fn(|| from.next(Duration::ZERO)).map(|event| (*event).clone()).collect()
        };
        assert_eq!((read(&slow), slow.take_lost(), slow.take_lost()), (vec![event(0), event(1)], 3, 0));
        assert_eq!((read(&quick).len(), quick.take_lost()), (5, 0));
        events.report(event(6));
        assert_eq!(read(&slow), [event(6)]);
    }

    #[test]
    fn subscriptions_are_limited_and_dropped_ones_make_room() {
        let events = Events::default();
        let mut all: Vec<_> = (0..MOST_SUBSCRIPTIONS).map(|_| events.subscribe(1).unwrap()).collect();
        assert!(events.subscribe(1).is_err());
        all.pop();
        assert!(events.subscribe(1).is_ok());
    }
}
