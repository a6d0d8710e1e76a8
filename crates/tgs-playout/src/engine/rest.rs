//! What of an item is still to be encoded, and whether another encoder goes on where one has failed. Pure.

use std::time::Duration;

use crate::{
    encoder::{Job, Setup},
    item::{Failure, Item, Reason},
    probe::Probe,
};

/// So many encoders of one item may fail before it is left, none of which has given [`STEADY`].
const MOST_TRIES: u32 = 5;

/// An encoder that gave this much was a good one: what ended it is counted anew.
const STEADY: Duration = Duration::from_mins(1);

/// What is still to be encoded of an item.
#[derive(Debug)]
pub(super) struct Rest {
    /// The item; `start` tells where it goes on.
    pub(super) item: Item,
    pub(super) found: Probe,
    /// Where in the item the time 0 of what was found is.
    base: Duration,
    tries: u32,
}

impl Rest {
    pub(super) fn new(item: Item, found: Probe) -> Self {
        Self { item, found, base: Duration::ZERO, tries: 0 }
    }

    pub(super) fn job(&self, setup: &Setup) -> Job {
        let start = self.item.start.saturating_sub(self.base);
        Job::item(&Item { start, ..self.item.clone() }, &self.found, setup)
    }

    /// Whether another encoder is to go on behind one that gave so much before it failed.
    pub(super) fn may_go_on(&mut self, failure: &Failure, came: Duration) -> bool {
        if came >= STEADY {
            self.tries = 0;
        }
        // Without progress the next will fare no better, unless somebody has killed it at its very start.
        let first = self.tries == 0 && failure.reason == Reason::Encoder;
        self.tries += 1;
        matches!(failure.reason, Reason::Stalled | Reason::Encoder | Reason::Network)
            && (!came.is_zero() || first)
            && self.tries <= MOST_TRIES
    }

    /// So much of it has been given.
    pub(super) fn came(&mut self, came: Duration) {
        self.item.start = self.item.start.saturating_add(came);
    }

    /// It goes on with these streams, from their own beginning.
    pub(super) fn goes_on_with(&mut self, found: Probe) {
        self.found = found;
        self.base = self.item.start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Media;

    fn rest() -> Rest {
        let media = Media::at("file:/a".into(), false);
        let item = Item { id: String::new(), place: 0, title: String::new(), start: Duration::ZERO, media };
        Rest::new(item, Probe::default())
    }

    #[test]
    fn an_encoder_is_replaced_as_long_as_there_is_progress() {
        let killed = Failure::new(Reason::Encoder, "");
        let cut = Failure::new(Reason::Truncated, "");
        let (none, some, much) = (Duration::ZERO, Duration::from_secs(1), STEADY);
        let of = |tries: &[(&Failure, Duration)]| {
            let mut rest = rest();
            tries.iter().take_while(|(failure, came)| rest.may_go_on(failure, *came)).count()
        };
        assert_eq!(of(&[(&killed, some); 9]), MOST_TRIES as usize);
        assert_eq!(of(&[(&killed, much); 9]), 9);
        assert_eq!(of(&[(&killed, none); 9]), 1);
        assert_eq!(of(&[(&Failure::new(Reason::Stalled, ""), none)]), 0);
        assert_eq!(of(&[(&killed, some), (&killed, none)]), 1);
        // What ends early on a disk ends there each time.
        assert_eq!(of(&[(&cut, some)]), 0);
    }

    #[test]
    fn each_part_begins_behind_the_last() {
        let mut rest = rest();
        rest.came(Duration::from_secs(4));
        rest.goes_on_with(Probe::default());
        rest.came(Duration::from_secs(3));
        assert_eq!((rest.item.start, rest.base), (Duration::from_secs(7), Duration::from_secs(4)));
    }
}
