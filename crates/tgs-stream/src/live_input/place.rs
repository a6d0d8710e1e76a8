//! The one place of a publisher: who has it, who may take it over, and when it is lost. A pure
//! state machine; the caller passes the time.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// Without media for so long, a publisher is stalled.
const STALL: Duration = Duration::from_millis(1500);

/// How long the key of a publisher that an operator dropped is refused: clients reconnect by
/// themselves.
const DROPPED: Duration = Duration::from_mins(1);

/// The client that publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePublisher {
    /// The name of its key.
    pub key_name: String,
    /// Its address.
    pub address: IpAddr,
    /// Codecs and size.
    pub format: String,
}

/// What happens to the publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveEvent {
    /// Its first keyframe has come.
    Arrived(LivePublisher),
    /// It sends nothing, or its connection is lost.
    Stalled,
    /// It sends again, perhaps over another connection.
    Returned(LivePublisher),
    /// It has gone, or is given up.
    Left {
        /// Why.
        why: String,
    },
}

/// Why a publisher does not get the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlaceRefused {
    /// Another publisher has it.
    Busy,
    /// An operator has dropped this publisher.
    Dropped,
}

/// What the publisher does at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LivePhase {
    /// Nobody publishes.
    Absent,
    /// It has connected, and no keyframe has come.
    Connected,
    /// Its media flows.
    Flowing,
    /// It sends nothing, or is expected back.
    Stalled,
}

#[derive(Debug)]
struct PlaceHolder {
    key_name: String,
    address: IpAddr,
    /// The connection; `None` while it is lost.
    connection: Option<u64>,
    /// When media came last.
    last_media: Instant,
    has_arrived: bool,
    is_stalled: bool,
}

/// The place.
#[derive(Debug)]
pub(super) struct PublisherPlace {
    grace: Duration,
    holder: Option<PlaceHolder>,
    /// Number of the last connection.
    connections: u64,
    dropped: Option<(String, Instant)>,
}

impl PublisherPlace {
    /// A free place, which is kept for a lost publisher for `grace`.
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, holder: None, connections: 0, dropped: None }
    }

    /// Gives the place to a client with this key and returns the number of its connection. A
    /// client with the key of a stalled publisher is that publisher.
    pub(super) fn claim(
        &mut self,
        key_name: &str,
        address: IpAddr,
        now: Instant,
    ) -> Result<u64, PlaceRefused> {
        let since = |at: Instant| now.saturating_duration_since(at);
        if self.dropped.as_ref().is_some_and(|(name, at)| name == key_name && since(*at) < DROPPED) {
            return Err(PlaceRefused::Dropped);
        }
        match &mut self.holder {
            Some(holder) if holder.key_name != key_name => return Err(PlaceRefused::Busy),
            Some(holder) if holder.connection.is_some() && since(holder.last_media) < STALL => {
                return Err(PlaceRefused::Busy);
            }
            _ => {}
        }
        self.connections += 1;
        let connection = Some(self.connections);
        self.holder = Some(match self.holder.take().filter(|holder| holder.has_arrived) {
            Some(holder) => PlaceHolder { address, connection, ..holder },
            None => PlaceHolder {
                key_name: key_name.to_owned(),
                address,
                connection,
                last_media: now,
                has_arrived: false,
                is_stalled: false,
            },
        });
        Ok(self.connections)
    }

    /// Whether this connection has the place.
    pub(super) fn is_held_by(&self, connection: u64) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.connection == Some(connection))
    }

    /// Notes media that can be played. `format` describes it.
    pub(super) fn media(&mut self, now: Instant, format: impl FnOnce() -> String) -> Option<LiveEvent> {
        let holder = self.holder.as_mut()?;
        holder.last_media = now;
        let (arrives, returns) = (!holder.has_arrived, holder.is_stalled);
        (holder.has_arrived, holder.is_stalled) = (true, false);
        let publisher =
            || LivePublisher { key_name: holder.key_name.clone(), address: holder.address, format: format() };
        match (arrives, returns) {
            (true, _) => Some(LiveEvent::Arrived(publisher())),
            (false, true) => Some(LiveEvent::Returned(publisher())),
            (false, false) => None,
        }
    }

    /// Notes that a connection is lost. The place stays, if media has come.
    pub(super) fn lost(&mut self, connection: u64) -> Option<LiveEvent> {
        let holder = self.holder.as_mut().filter(|holder| holder.connection == Some(connection))?;
        if !holder.has_arrived {
            self.holder = None;
            return None;
        }
        holder.connection = None;
        let stalls = !std::mem::replace(&mut holder.is_stalled, true);
        stalls.then_some(LiveEvent::Stalled)
    }

    /// Frees the place of a connection that goes on elsewhere: nothing has happened to its
    /// publisher. Returns the name of its key and its address.
    pub(super) fn hand_over(&mut self, connection: u64) -> Option<(String, IpAddr)> {
        let holder = self.holder.take_if(|holder| holder.connection == Some(connection))?;
        Some((holder.key_name, holder.address))
    }

    /// Frees the place of a connection.
    pub(super) fn leave(&mut self, connection: u64, why: &str) -> Option<LiveEvent> {
        self.is_held_by(connection).then(|| self.free(why)).flatten()
    }

    /// Frees the place for an operator. The publisher may not return for a minute.
    pub(super) fn drop_publisher(&mut self, why: &str, now: Instant) -> Option<LiveEvent> {
        let holder = self.holder.as_ref()?;
        self.dropped = Some((holder.key_name.clone(), now));
        self.free(why)
    }

    fn free(&mut self, why: &str) -> Option<LiveEvent> {
        let holder = self.holder.take()?;
        holder.has_arrived.then(|| LiveEvent::Left { why: why.to_owned() })
    }

    /// Notes that time has passed.
    pub(super) fn tick(&mut self, now: Instant) -> Option<LiveEvent> {
        let grace = self.grace;
        let holder = self.holder.as_mut().filter(|holder| holder.has_arrived)?;
        let silent = now.saturating_duration_since(holder.last_media);
        if silent >= grace {
            return self.free(&format!("no media for {} s", silent.as_secs()));
        }
        let stalls = silent >= STALL && !std::mem::replace(&mut holder.is_stalled, silent >= STALL);
        stalls.then_some(LiveEvent::Stalled)
    }

    /// What the publisher does.
    pub(super) fn phase(&self) -> LivePhase {
        match &self.holder {
            None => LivePhase::Absent,
            Some(holder) if !holder.has_arrived => LivePhase::Connected,
            Some(holder) if holder.is_stalled => LivePhase::Stalled,
            Some(_) => LivePhase::Flowing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct World {
        place: PublisherPlace,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { place: PublisherPlace::new(10 * SECOND), now: Instant::now() }
        }

        fn claim(&mut self, key: &str) -> Result<u64, PlaceRefused> {
            self.place.claim(key, [192, 0, 2, 1].into(), self.now)
        }

        fn media(&mut self) -> Option<LiveEvent> {
            self.place.media(self.now, || "H.264".to_owned())
        }

        fn wait(&mut self, time: Duration) -> Option<LiveEvent> {
            self.now += time;
            self.place.tick(self.now)
        }
    }

    fn left(why: &str) -> LiveEvent {
        LiveEvent::Left { why: why.to_owned() }
    }

    #[test]
    fn a_publisher_arrives_once_and_leaves() {
        let mut world = World::new();
        assert_eq!(world.place.phase(), LivePhase::Absent);
        let anna = world.claim("anna").unwrap();
        assert_eq!(world.place.phase(), LivePhase::Connected);
        let publisher =
            LivePublisher { key_name: "anna".into(), address: [192, 0, 2, 1].into(), format: "H.264".into() };
        assert_eq!(world.media(), Some(LiveEvent::Arrived(publisher)));
        assert_eq!((world.media(), world.place.phase()), (None, LivePhase::Flowing));
        assert_eq!(world.claim("bob"), Err(PlaceRefused::Busy));
        assert_eq!(world.claim("anna"), Err(PlaceRefused::Busy));
        assert_eq!(world.place.leave(anna + 1, "x"), None);
        assert_eq!(world.place.leave(anna, "it said goodbye"), Some(left("it said goodbye")));
        assert!(world.claim("bob").is_ok());
    }

    #[test]
    fn a_publisher_without_media_leaves_no_trace() {
        let mut world = World::new();
        let anna = world.claim("anna").unwrap();
        assert_eq!(world.wait(20 * SECOND), None);
        assert_eq!((world.place.lost(anna), world.place.phase()), (None, LivePhase::Absent));
    }

    #[test]
    fn a_stall_ends_with_media_or_with_the_grace() {
        let mut world = World::new();
        let anna = world.claim("anna").unwrap();
        world.media();
        assert_eq!(world.wait(SECOND), None);
        assert_eq!(world.wait(SECOND), Some(LiveEvent::Stalled));
        assert_eq!((world.wait(SECOND), world.place.phase()), (None, LivePhase::Stalled));
        assert!(matches!(world.media(), Some(LiveEvent::Returned(_))));
        assert_eq!(world.wait(9 * SECOND), Some(LiveEvent::Stalled));
        assert_eq!(world.place.lost(anna), None);
        assert_eq!(world.wait(SECOND), Some(left("no media for 10 s")));
        assert_eq!(world.wait(SECOND), None);
    }

    #[test]
    fn the_same_key_takes_a_lost_or_stalled_publisher_over() {
        let mut world = World::new();
        let first = world.claim("anna").unwrap();
        world.media();
        assert_eq!(world.place.lost(first), Some(LiveEvent::Stalled));
        assert_eq!(world.claim("bob"), Err(PlaceRefused::Busy));
        world.wait(SECOND);
        let second = world.claim("anna").unwrap();
        assert!(world.place.is_held_by(second) && !world.place.is_held_by(first));
        assert_eq!(world.place.leave(first, "x"), None);
        assert!(matches!(world.media(), Some(LiveEvent::Returned(_))));
        // The connection is half open: the client is back before its loss is noticed.
        assert_eq!(world.wait(2 * SECOND), Some(LiveEvent::Stalled));
        let third = world.claim("anna").unwrap();
        assert!(!world.place.is_held_by(second) && world.place.is_held_by(third));
        // It does not send: the grace counts from the last media.
        assert_eq!(world.wait(8 * SECOND), Some(left("no media for 10 s")));
    }

    #[test]
    fn who_is_dropped_stays_away_for_a_minute() {
        let mut world = World::new();
        world.claim("anna").unwrap();
        world.media();
        assert_eq!(world.place.drop_publisher("dropped", world.now), Some(left("dropped")));
        assert_eq!(world.place.drop_publisher("dropped", world.now), None);
        assert_eq!(world.claim("anna"), Err(PlaceRefused::Dropped));
        assert!(world.claim("bob").is_ok());
        world.place.leave(2, "x");
        world.wait(60 * SECOND);
        assert!(world.claim("anna").is_ok());
    }
}
