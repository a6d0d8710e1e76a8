//! Which items are still to be shown: their numbers, and what a command leaves. Pure: it holds no
//! media.
//!
//! Every item that an encoder is started for gets a number, from 1. One of which nothing came lends
//! its number only: the next item gets the same. So the item that a command means can be named
//! before there is any: it is the one on air, or else the one with the next number.

/// The numbers of a broadcast.
#[derive(Debug)]
pub(crate) struct ItemSequence {
    /// The newest number that is not only lent.
    used: u64,
    /// The newest number that an item has, lent or not.
    newest: u64,
    /// The item that was on air last.
    on_air: u64,
    /// Whether that one is over.
    ended: bool,
    /// Items below this are left, all but `kept`.
    below: u64,
    kept: Option<u64>,
    /// The list ends with this one.
    last: Option<u64>,
}

/// What becomes of the item that is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeqAdmission {
    /// It is to be encoded, under this number.
    Admitted(u64),
    /// It was left before its turn came.
    Skipped,
    /// The list has ended before it.
    Ended,
}

impl Default for ItemSequence {
    fn default() -> Self {
        Self { used: 0, newest: 0, on_air: 0, ended: true, below: 0, kept: None, last: None }
    }
}

impl ItemSequence {
    /// Gives the next item its number.
    pub(crate) fn open(&mut self) -> SeqAdmission {
        let number = self.used + 1;
        if self.is_over() {
            return SeqAdmission::Ended;
        }
        self.newest = self.newest.max(number);
        if self.is_left(number) {
            self.used = number;
            return SeqAdmission::Skipped;
        }
        SeqAdmission::Admitted(number)
    }

    /// Whether the list ends before the next item.
    pub(crate) fn is_over(&self) -> bool {
        self.last.is_some_and(|last| self.used + 1 > last)
    }

    /// Something has come of this item.
    pub(crate) fn begun(&mut self, number: u64) {
        self.used = self.used.max(number);
    }

    /// Nothing more comes of this item.
    pub(crate) fn closed(&mut self, number: u64) {
        if self.is_left(number) {
            self.used = self.used.max(number);
        }
    }

    /// This item is shown.
    pub(crate) fn shown(&mut self, number: u64) {
        (self.on_air, self.ended) = (number, false);
    }

    /// The item on air is over.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The item on air, over or not; 0 before the first.
    pub(crate) fn on_air(&self) -> u64 {
        self.on_air
    }

    /// Whether no item is on air.
    pub(crate) fn is_between(&self) -> bool {
        self.ended
    }

    /// Whether nobody is to see (more of) this item.
    pub(crate) fn is_left(&self, number: u64) -> bool {
        number < self.below && self.kept != Some(number)
    }

    /// The item that a command means: the one on air, or the one that comes.
    pub(crate) fn current(&self) -> u64 {
        let first = self.on_air + u64::from(self.ended);
        if !self.is_left(first) {
            return first;
        }
        self.kept.filter(|kept| *kept >= first).unwrap_or(self.below)
    }

    /// Leaves the current item for the one after it.
    pub(crate) fn leave_current(&mut self) {
        self.below = self.below.max(self.current() + 1);
        self.kept = None;
    }

    /// Leaves everything that has a number; the next item to get one becomes the current. Answers
    /// how many items that have none yet were to be left before it.
    pub(crate) fn leave_all(&mut self) -> u64 {
        let ahead = self.ahead();
        self.below = self.newest + 1;
        self.kept = None;
        if self.last.is_some() {
            self.last = Some(self.below);
        }
        ahead
    }

    /// Leaves what comes after the current item and has a number. Answers as
    /// [`ItemSequence::leave_all`].
    pub(crate) fn leave_later(&mut self) -> u64 {
        let (current, ahead) = (self.current(), self.ahead());
        self.below = self.newest + 1;
        self.kept = (current <= self.newest).then_some(current);
        self.last = self.last.map(|last| last.saturating_sub(ahead));
        ahead
    }

    /// The list ends with the current item.
    pub(crate) fn end_with_current(&mut self) {
        let current = self.current();
        self.last = Some(current);
        if current <= self.newest {
            self.below = self.newest + 1;
            self.kept = Some(current);
        }
    }

    fn ahead(&self) -> u64 {
        self.current().saturating_sub(self.newest + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items up to `newest` are encoded, of which `on_air` is shown.
    fn runs(on_air: u64, newest: u64) -> ItemSequence {
        let mut runs = ItemSequence::default();
        for number in 1..=newest {
            assert_eq!(runs.open(), SeqAdmission::Admitted(number));
            runs.begun(number);
        }
        if on_air > 0 {
            runs.shown(on_air);
        }
        runs
    }

    #[test]
    fn an_item_of_which_nothing_came_lends_its_number() {
        let mut runs = runs(1, 1);
        assert_eq!(runs.open(), SeqAdmission::Admitted(2));
        runs.closed(2);
        assert_eq!(runs.open(), SeqAdmission::Admitted(2));
        runs.leave_current();
        runs.leave_current();
        runs.closed(2);
        assert_eq!((runs.open(), runs.current()), (SeqAdmission::Admitted(3), 3));
    }

    #[test]
    fn next_leaves_one_item_each_time() {
        let mut runs = runs(1, 2);
        runs.leave_current();
        assert_eq!((runs.is_left(1), runs.is_left(2), runs.current()), (true, false, 2));
        runs.leave_current();
        runs.leave_current();
        assert_eq!(runs.current(), 4);
        assert_eq!((runs.open(), runs.open()), (SeqAdmission::Skipped, SeqAdmission::Admitted(4)));
    }

    #[test]
    fn between_two_items_the_one_that_comes_is_meant() {
        let mut runs = runs(1, 1);
        runs.end();
        assert_eq!(runs.current(), 2);
        runs.leave_current();
        assert_eq!((runs.open(), runs.open()), (SeqAdmission::Skipped, SeqAdmission::Admitted(3)));
    }

    #[test]
    fn a_jump_goes_from_where_the_last_one_led() {
        let mut runs = runs(1, 3);
        assert_eq!(runs.leave_all(), 0);
        assert_eq!((runs.current(), runs.is_left(3)), (4, true));
        runs.leave_current();
        runs.leave_current();
        // 4 and 5 have no number yet.
        assert_eq!(runs.leave_all(), 2);
        assert_eq!((runs.open(), runs.current()), (SeqAdmission::Admitted(4), 4));
    }

    #[test]
    fn what_is_queued_comes_after_the_current_item_only() {
        let mut runs = runs(1, 3);
        assert_eq!(runs.leave_later(), 0);
        assert_eq!((runs.is_left(1), runs.is_left(2), runs.is_left(3)), (false, true, true));
        assert_eq!((runs.current(), runs.open()), (1, SeqAdmission::Admitted(4)));
        runs.leave_current();
        assert_eq!(
            (runs.is_left(1), runs.current(), runs.is_left(3), runs.is_left(4)),
            (true, 4, true, false)
        );
    }

    #[test]
    fn the_list_ends_with_the_current_item() {
        let mut runs = runs(1, 2);
        runs.end_with_current();
        assert_eq!((runs.is_left(1), runs.is_left(2), runs.open()), (false, true, SeqAdmission::Ended));
        // Between two, with the one that comes.
        let mut runs = super::ItemSequence::default();
        runs.end_with_current();
        assert_eq!(runs.open(), SeqAdmission::Admitted(1));
        runs.begun(1);
        assert_eq!(runs.open(), SeqAdmission::Ended);
        // From elsewhere, with where one goes.
        runs.shown(1);
        runs.leave_all();
        assert_eq!(runs.open(), SeqAdmission::Admitted(2));
        runs.begun(2);
        assert_eq!(runs.open(), SeqAdmission::Ended);
    }
}
