//! What a viewer sees of the broadcast: new pictures, whichever connection brings them, and how
//! long none came.
//!
//! What is sent again after a reconnection is not new. It knows no reasons for what it sees.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use crate::ingest::Message;
use tgs_rtmp::flv::Kind;

/// How many pictures are remembered: more than a broken connection can have taken with it.
const REMEMBERED: usize = 900;

/// A viewer who never looks away. Takes the same little memory all the time.
#[derive(Debug, Default)]
pub struct Viewer {
    connection: usize,
    /// Hashes of the newest pictures, oldest first.
    seen: VecDeque<u64>,
    again: Again,
    last_new: Option<Instant>,
}

/// Whether what comes was seen before.
#[derive(Debug, Default)]
enum Again {
    /// A connection has just begun.
    #[default]
    Unknown,
    /// So far it repeats what was seen, and the picture of this number would be the next.
    From(usize),
    /// All that comes is new.
    No,
}

/// Time between two new pictures.
#[derive(Debug, Clone, Copy)]
pub struct Gap {
    /// When the one before came.
    pub from: Instant,
    /// When it came.
    pub to: Instant,
}

impl Viewer {
    /// Takes a message of the connection of this number. Answers how long the viewer waited where
    /// it is a new picture.
    pub fn take(&mut self, connection: usize, message: &Message) -> Option<Gap> {
        if connection < self.connection {
            // The rest of a connection that was replaced.
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

    /// How long it has been waiting by now, if anything ever came.
    #[must_use]
    pub fn waiting(&self) -> Option<Gap> {
        self.last_new.map(|from| Gap { from, to: Instant::now() })
    }
}

impl Gap {
    /// How long it is, without what lies before `counts_from`.
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
    fn what_is_sent_again_is_not_new() {
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
        // The second connection repeats two, and the first had one more on its way.
        assert_eq!(take(1, 2, 500), None);
        assert_eq!(take(0, 4, 505), None);
        assert_eq!(take(1, 3, 510), None);
        assert_eq!(take(1, 4, 520), Some(453));
        // Within a connection the same picture again is a new one: a slate stands still.
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
