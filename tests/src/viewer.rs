//! The viewer's side of a broadcast: counts new pictures across connections and measures the time
//! without one.
//!
//! Pictures that are sent again after a reconnection are not new. Causes are not analysed.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use crate::ingest::Message;
use tgs_rtmp::flv::Kind;

/// Number of remembered pictures: more than a broken connection can lose.
const REMEMBERED: usize = 900;

/// A continuous viewer with constant memory use.
#[derive(Debug, Default)]
pub struct Viewer {
    connection: usize,
    /// Hashes of the newest pictures, oldest first.
    seen: VecDeque<u64>,
    again: Again,
    last_new: Option<Instant>,
}

/// Whether incoming pictures are repetitions.
#[derive(Debug, Default)]
enum Again {
    /// A connection has just begun.
    #[default]
    Unknown,
    /// All pictures so far were repetitions; this index in `seen` would be the next.
    From(usize),
    /// All further pictures are new.
    No,
}

/// Time between two new pictures.
#[derive(Debug, Clone, Copy)]
pub struct Gap {
    /// Arrival of the previous picture.
    pub from: Instant,
    /// Arrival of the new picture.
    pub to: Instant,
}

impl Viewer {
    /// Takes a message of the connection of this number. Returns the viewer's waiting time if the
    /// message is a new picture.
    pub fn take(&mut self, connection: usize, message: &Message) -> Option<Gap> {
        if connection < self.connection {
            // A late message of a replaced connection.
            return None;
        }
        if connection > self.connection {
            self.connection = connection;
            self.again = Again::Unknown;
        }
        let tag = message.tag().filter(|tag| tag.kind == Kind::Video && tag.is_frame())?;
        let mut hasher = DefaultHasher::new();
        tag.body.hash(&mut hasher);
        let hash = hasher.finish();
        let place = match self.again {
            Again::Unknown => self.seen.iter().rposition(|seen| *seen == hash),
            Again::From(next) => self.seen.get(next).is_some_and(|seen| *seen == hash).then_some(next),
            Again::No => None,
        };
        if let Some(place) = place {
            self.again = Again::From(place + 1);
            return None;
        }
        self.again = Again::No;
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(hash);
        let from = self.last_new.replace(message.arrived)?;
        Some(Gap { from, to: message.arrived })
    }

    /// The current waiting time, if any picture has arrived.
    #[must_use]
    pub fn waiting(&self) -> Option<Gap> {
        self.last_new.map(|from| Gap { from, to: Instant::now() })
    }
}

impl Gap {
    /// The length without the part before `counts_from`.
    #[must_use]
    pub fn length(&self, counts_from: Option<Instant>) -> Duration {
        let from = counts_from.map_or(self.from, |at| at.max(self.from));
        self.to.saturating_duration_since(from)
    }
}

#[cfg(test)]
mod tests {
    use tgs_rtmp::chunk::{Received, kind};

    use super::*;

    #[test]
    fn repeated_media_count_once() {
        let began = Instant::now();
        let mut viewer = Viewer::default();
        let mut take = |connection, picture: u8, at: u64| {
            let body = vec![0x27, 1, 0, 0, 0, picture];
            let received = Received { chunk_stream: 6, kind: kind::VIDEO, stream: 1, timestamp: 0, body };
            let message = Message { received, arrived: began + Duration::from_millis(at) };
            viewer.take(connection, &message).map(|gap| gap.length(None).as_millis())
        };
        assert_eq!(take(0, 1, 0), None, "nothing came before");
        assert_eq!(take(0, 2, 33), Some(33));
        assert_eq!(take(0, 3, 67), Some(34));
        // The second connection repeats two pictures while one of the first is still in transit.
        assert_eq!(take(1, 2, 500), None);
        assert_eq!(take(0, 4, 505), None);
        assert_eq!(take(1, 3, 510), None);
        assert_eq!(take(1, 4, 520), Some(453));
        // Within a connection a repeated picture counts as new: a slate does not move.
        assert_eq!(take(1, 4, 553), Some(33));
    }

    #[test]
    fn only_what_lies_behind_the_return_of_the_ingest_counts() {
        let earlier = Instant::now();
        let from = earlier + Duration::from_secs(4);
        let gap = Gap { from, to: from + Duration::from_secs(5) };
        assert_eq!(gap.length(None).as_secs(), 5);
        assert_eq!(gap.length(Some(from + Duration::from_secs(4))).as_secs(), 1);
        assert_eq!(gap.length(Some(earlier)).as_secs(), 5);
    }
}
