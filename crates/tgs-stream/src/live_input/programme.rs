//! The publisher as a programme of one item: handed out again when the publisher is back after a
//! stall, until it has left.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tgs_core::cancel::Cancel;
use tgs_playout::item::{Item, JumpTarget, Media, NextItem, Programme};

use super::{
    place::LivePhase,
    shared::{LiveSnapshot, SharedLive},
};

/// Interval at which a wait looks for cancellation.
const LOOK: Duration = Duration::from_millis(100);

/// Without a reader for so long after an encoder, the item is over.
const OVER: Duration = Duration::from_secs(1);

/// Without a reader for so long, no encoder comes.
const NO_ENCODER: Duration = Duration::from_secs(15);

/// The publisher's programme.
#[derive(Debug)]
pub struct LiveProgramme {
    shared: Arc<SharedLive>,
    url: String,
    title: String,
    /// Ends the waits.
    over: Cancel,
    handed: Option<HandedOut>,
    turn: u64,
}

/// The state when the item was handed out last.
#[derive(Debug, Clone, Copy)]
struct HandedOut {
    live: LiveSnapshot,
    at: Instant,
}

impl HandedOut {
    /// Whether nobody reads the item any more: an operator has skipped it, or its encoder failed.
    fn is_unread(&self, live: &LiveSnapshot) -> bool {
        let readers = live.readers;
        let left = readers.left.unwrap_or(self.at).max(self.at);
        let patience = if readers.encoders > self.live.readers.encoders { OVER } else { NO_ENCODER };
        readers.now == 0 && left.elapsed() >= patience
    }

    /// Whether it is unread because of a stall: one that began after its reader had left, as an
    /// operator's `next` makes it leave, is no reason.
    fn has_stalled(&self, live: &LiveSnapshot) -> bool {
        let readers = live.readers;
        let stalls =
            if readers.left.is_some_and(|left| left >= self.at) { readers.stalls } else { live.stalls };
        stalls > self.live.stalls
    }
}

impl LiveProgramme {
    pub(super) fn new(shared: Arc<SharedLive>, url: String, title: String, over: Cancel) -> Self {
        Self { shared, url, title, over, handed: None, turn: 0 }
    }

    /// Waits for media that has not been handed out. `None`: the publisher has left, or the item
    /// has ended although the publisher still sends.
    fn wait(&self) -> Option<LiveSnapshot> {
        let mut live = self.shared.snapshot();
        while !self.over.is_cancelled() {
            match (live.phase, &self.handed) {
                (LivePhase::Absent, _) => return None,
                (LivePhase::Flowing, None) => return Some(live),
                (LivePhase::Flowing, Some(handed)) if handed.live.run != live.run => return Some(live),
                (LivePhase::Flowing, Some(handed)) if handed.is_unread(&live) => {
                    // The encoder was abandoned during a stall, which is over.
                    return handed.has_stalled(&live).then_some(live);
                }
                _ => {}
            }
            live = self.shared.wait(LOOK);
        }
        None
    }
}

impl Programme for LiveProgramme {
    fn next(&mut self) -> NextItem {
        let Some(live) = self.wait() else { return NextItem::End };
        self.handed = Some(HandedOut { live, at: Instant::now() });
        self.turn += 1;
        NextItem::Play(Item {
            id: "live".to_owned(),
            turn: self.turn,
            title: self.title.clone(),
            start: Duration::ZERO,
            media: Media::at(self.url.clone(), true),
        })
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        let live = self.shared.snapshot();
        match &mut self.handed {
            Some(handed) if live.phase == LivePhase::Flowing && handed.live.run == live.run => {
                handed.at = Instant::now();
                NextItem::Play(item)
            }
            _ => {
                self.handed = None;
                self.next()
            }
        }
    }

    fn round_len(&self) -> usize {
        1
    }

    fn jump(&mut self, _place: Option<u64>, _to: JumpTarget) {
        self.handed = None;
    }

    fn reload(&mut self) {}
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, thread};

    use tgs_rtmp::flv::{Kind, Tag};

    use super::*;

    struct World {
        shared: Arc<SharedLive>,
        programme: LiveProgramme,
        over: Cancel,
    }

    /// A client publishes its first picture.
    fn publish(shared: &SharedLive) -> u64 {
        let connection = shared.claim("anna", Ipv4Addr::LOCALHOST.into()).unwrap();
        for body in [&[0x17, 0, 0, 0, 0, 1][..], &[0x17, 1, 0, 0, 0, 7]] {
            let tag = Tag { kind: Kind::Video, timestamp: 0, body: body.into() };
            assert!(shared.media(connection, &tag));
        }
        connection
    }

    impl World {
        fn new() -> Self {
            let shared = Arc::new(SharedLive::new(Duration::from_mins(1), Box::new(|_| {})));
            let over = Cancel::new();
            let programme =
                LiveProgramme::new(shared.clone(), "unix:/x".to_owned(), "live".to_owned(), over.clone());
            Self { shared, programme, over }
        }

        fn turn(&mut self) -> Option<u64> {
            match self.programme.next() {
                NextItem::Play(item) => Some(item.turn),
                NextItem::End => None,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_stream_is_handed_out_once_and_the_next_one_after_a_loss() {
        let mut world = World::new();
        assert_eq!(world.turn(), None);
        let first = publish(&world.shared);
        assert_eq!(world.turn(), Some(1));
        world.shared.lost(first);
        let shared = world.shared.clone();
        let again = thread::scope(|scope| {
            let waits = scope.spawn(|| world.programme.next());
            let again = publish(&shared);
            assert!(matches!(waits.join().unwrap(), NextItem::Play(Item { turn: 2, .. })));
            again
        });
        shared.leave(again, "goodbye");
        assert_eq!(world.turn(), None);
    }

    #[test]
    fn a_stall_hands_the_stream_out_again_unless_its_reader_had_left_before() {
        for (skipped, turn) in [(false, Some(2)), (true, None)] {
            let mut world = World::new();
            let connection = publish(&world.shared);
            assert_eq!(world.turn(), Some(1));
            assert!(world.shared.add_reader().is_some());
            // It has read for long enough to be an encoder.
            let began = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
            if skipped {
                world.shared.remove_reader(began);
            }
            let stalled = || {
                world.shared.tick();
                world.shared.snapshot().phase != LivePhase::Flowing
            };
            while !stalled() {
                thread::sleep(LOOK);
            }
            if !skipped {
                world.shared.remove_reader(began);
            }
            let picture = Tag { kind: Kind::Video, timestamp: 5000, body: [0x17, 1, 0, 0, 0, 7][..].into() };
            assert!(world.shared.media(connection, &picture));
            assert_eq!(world.turn(), turn, "skipped: {skipped}");
        }
    }

    #[test]
    fn an_item_that_is_due_after_its_publisher_has_left_is_not_played() {
        let mut world = World::new();
        let connection = publish(&world.shared);
        let NextItem::Play(item) = world.programme.next() else { panic!() };
        assert!(matches!(world.programme.confirm(item.clone()), NextItem::Play(_)));
        world.shared.leave(connection, "goodbye");
        assert!(matches!(world.programme.confirm(item), NextItem::End));
    }

    #[test]
    fn a_wait_ends_with_the_lane() {
        let mut world = World::new();
        publish(&world.shared);
        assert_eq!(world.turn(), Some(1));
        let over = world.over.clone();
        thread::scope(|scope| {
            let waits = scope.spawn(|| world.programme.next());
            over.cancel();
            assert!(matches!(waits.join().unwrap(), NextItem::End));
        });
    }
}
