//! The clients that get notifications. Publishing never waits: a client that is too slow is
//! dropped.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
    mpsc::{self, Receiver, SyncSender, TrySendError},
};

use serde::Serialize;
use tgs_control::{
    method::EventKind,
    rpc::{self, ErrorCode, RpcError},
};

/// The most subscribers.
const MOST_SUBSCRIBERS: usize = 32;

/// The most notifications that wait for one subscriber.
const MOST_WAITING: usize = 256;

/// All subscribers. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subscribers(Arc<Mutex<Vec<SocketSubscriber>>>);

#[derive(Debug)]
struct SocketSubscriber {
    /// The kinds that it asked for; all if empty.
    kinds: Vec<EventKind>,
    lines: SyncSender<Arc<str>>,
    too_slow: Arc<AtomicBool>,
}

/// The notifications of one subscriber.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Ends when the subscriber is dropped, or the server.
    pub(super) lines: Receiver<Arc<str>>,
    too_slow: Arc<AtomicBool>,
}

impl Subscription {
    /// Whether the subscriber was dropped because it was too slow.
    pub(super) fn was_too_slow(&self) -> bool {
        self.too_slow.load(Ordering::Relaxed)
    }
}

impl Subscribers {
    /// Adds a subscriber.
    pub(super) fn add(&self, kinds: Vec<EventKind>) -> Result<Subscription, RpcError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have disconnected leave their half of the flag.
        all.retain(|subscriber| Arc::strong_count(&subscriber.too_slow) > 1);
        if all.len() >= MOST_SUBSCRIBERS {
            let message = format!("{MOST_SUBSCRIBERS} clients are subscribed already");
            return Err(RpcError::new(ErrorCode::Limit, message));
        }
        let (lines, received) = mpsc::sync_channel(MOST_WAITING);
        let too_slow = Arc::new(AtomicBool::new(false));
        all.push(SocketSubscriber { kinds, lines, too_slow: Arc::clone(&too_slow) });
        Ok(Subscription { lines: received, too_slow })
    }

    /// Whether nobody has subscribed, as far as is known.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Sends an event to its subscribers. Never waits for one.
    pub(crate) fn publish(&self, kind: EventKind, event: &impl Serialize) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() {
            return;
        }
        let params = serde_json::to_value(event).unwrap_or_default();
        let line: Arc<str> = rpc::notification_line("event", &params).into();
        all.retain(|subscriber| {
            if !subscriber.kinds.is_empty() && !subscriber.kinds.contains(&kind) {
                return true;
            }
            match subscriber.lines.try_send(Arc::clone(&line)) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    subscriber.too_slow.store(true, Ordering::Relaxed);
                    false
                }
                Err(TrySendError::Disconnected(_)) => false,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_subscriber_gets_the_kinds_that_it_asked_for() {
        let all = Subscribers::default();
        let queue = all.add(vec![EventKind::Queue]).unwrap();
        let every = all.add(Vec::new()).unwrap();
        all.publish(EventKind::Item, &json!({ "event": "began" }));
        all.publish(EventKind::Queue, &json!({ "event": "queue" }));
        assert_eq!(queue.lines.try_iter().count(), 1);
        let lines: Vec<_> = every.lines.try_iter().collect();
        assert!(lines.len() == 2 && lines[0].contains("began") && lines[1].ends_with('\n'), "{lines:?}");
    }

    #[test]
    fn a_slow_subscriber_is_dropped_and_the_others_stay() {
        let all = Subscribers::default();
        let (slow, quick) = (all.add(Vec::new()).unwrap(), all.add(Vec::new()).unwrap());
        for number in 0..=MOST_WAITING {
            all.publish(EventKind::Item, &number);
            assert_eq!(quick.lines.try_iter().count(), 1);
        }
        assert!(slow.was_too_slow() && !quick.was_too_slow());
        // What waited is still delivered, then the end.
        assert_eq!(slow.lines.iter().count(), MOST_WAITING);
        all.publish(EventKind::Item, &0);
        assert_eq!(quick.lines.try_iter().count(), 1);
    }

    #[test]
    fn the_number_of_subscribers_is_bounded_and_left_places_are_free_again() {
        let all = Subscribers::default();
        let some: Vec<_> = (0..MOST_SUBSCRIBERS).map(|_| all.add(Vec::new()).unwrap()).collect();
        assert!(all.add(Vec::new()).unwrap_err().is(ErrorCode::Limit));
        drop(some);
        assert!(all.add(Vec::new()).is_ok());
    }
}
