//! The numbers of the items to be sent, and which of them a command discards. Pure: holds no media.
//!
//! Every item for which an encoder starts gets a number, from 1. If the encoder produces nothing,
//! the next item gets the same number: the number was *lent*. A command can thus name an item that
//! does not exist yet: the current item is the one being sent, else the one with the next number.

/// The item numbers of a broadcast.
#[derive(Debug)]
pub(crate) struct ItemSequence {
    /// The newest number that is not lent.
    used: u64,
    /// The newest number assigned, lent or not.
    newest: u64,
    /// The item that was sent last.
    on_air: u64,
    /// Whether the item `on_air` has ended.
    ended: bool,
    /// Items below this number are discarded, except `kept`.
    below: u64,
    kept: Option<u64>,
    /// The item with which the list ends.
    last: Option<u64>,
}

/// The result of [`ItemSequence::open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeqAdmission {
    /// Encode the item under this number.
    Admitted(u64),
    /// A command left the item before it was due.
    Skipped,
    /// The list ended before the item.
    Ended,
}

impl Default for ItemSequence {
    fn default() -> Self {
        Self { used: 0, newest: 0, on_air: 0, ended: true, below: 0, kept: None, last: None }
    }
}

impl ItemSequence {
    /// The numbers above `seq`.
    pub(crate) fn above(seq: u64) -> Self {
        Self { used: seq, newest: seq, on_air: seq, below: seq, ..Self::default() }
    }

    /// Assigns a number to the next item.
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

    /// The item's first output has arrived: its number is no longer lent.
    pub(crate) fn begun(&mut self, number: u64) {
        self.used = self.used.max(number);
    }

    /// The item's encoding has ended.
    pub(crate) fn closed(&mut self, number: u64) {
        if self.is_left(number) {
            self.used = self.used.max(number);
        }
    }

    /// The item's first event was taken for sending.
    pub(crate) fn shown(&mut self, number: u64) {
        (self.on_air, self.ended) = (number, false);
    }

    /// The item being sent has ended.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The item sent last, ended or not; 0 before the first.
    pub(crate) fn on_air(&self) -> u64 {
        self.on_air
    }

    /// Whether no item is being sent.
    pub(crate) fn is_between(&self) -> bool {
        self.ended
    }

    /// Whether the item is discarded.
    pub(crate) fn is_left(&self, number: u64) -> bool {
        number < self.below && self.kept != Some(number)
    }

    /// The item that a command refers to: the one being sent, or the next one.
    pub(crate) fn current(&self) -> u64 {
        let first = self.on_air + u64::from(self.ended);
        if !self.is_left(first) {
            return first;
        }
        self.kept.filter(|kept| *kept >= first).unwrap_or(self.below)
    }

    /// Discards the current item in favour of the one after it.
    pub(crate) fn leave_current(&mut self) {
        self.below = self.below.max(self.current() + 1);
        self.kept = None;
    }

    /// Discards every numbered item; the next item to get a number becomes the current one. Returns
    /// how many items without a number were to be left before it.
    pub(crate) fn leave_all(&mut self) -> u64 {
        let ahead = self.ahead();
        self.below = self.newest + 1;
        self.kept = None;
        if self.last.is_some() {
            self.last = Some(self.below);
        }
        ahead
    }

    /// Discards the numbered items after the current one. Returns the same count as
    /// [`ItemSequence::leave_all`].
    pub(crate) fn leave_later(&mut self) -> u64 {
        let (current, ahead) = (self.current(), self.ahead());
        self.below = self.newest + 1;
        self.kept = (current <= self.newest).then_some(current);
        self.last = self.last.map(|last| last.saturating_sub(ahead));
        ahead
    }

    /// Ends the list with the current item.
    pub(crate) fn end_with_current(&mut self) {
        let current = self.current();
        self.last = Some(current);
        if current <= self.newest {
            self.below = self.newest + 1;
            self.kept = Some(current);
        }
    }

    /// Number of items that commands have left before they were encoded.
    pub(super) fn ahead(&self) -> u64 {
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
