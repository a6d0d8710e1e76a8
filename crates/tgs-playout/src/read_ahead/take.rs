//! The reading side of the read-ahead: what is handed out, and when.

use std::time::{Duration, Instant};

use tgs_core::cancel::Cancel;

use super::{MAX_BYTES, Polled, ReadAhead, StartLevel, buffer::Buffer, event::CutTake};

impl ReadAhead {
    /// Takes the events that must be sent before another source may follow.
    pub(crate) fn take_to_cut(&self) -> CutTake {
        let mut state = self.lock();
        if state.may_cut() {
            return state.remove_sound().map_or(CutTake::Cut, CutTake::Event);
        }
        match state.remove() {
            Some(piece) => {
                self.make_room(&state);
                CutTake::Event(piece)
            }
            None => CutTake::NotReady,
        }
    }

    /// Whether the first item can be sent: enough of it is encoded. A live item comes in real time,
    /// so that only what is held at its start can bridge a stall.
    pub(crate) fn is_startable(&self, is_live: bool) -> bool {
        let state = self.lock();
        if is_live { self.is_nearly_full(&state) } else { state.groups > 0 || self.is_quick(&state) }
    }

    /// The writer resumes once a third of a second is free; levels between count as full.
    fn is_nearly_full(&self, state: &Buffer) -> bool {
        state.frames + self.fps / 2 >= self.frames_wanted || state.bytes >= MAX_BYTES || state.over
    }

    /// Puts the sent part of the group being sent back, because the filler interrupts it. Returns
    /// the time of the keyframe with which the item continues; `None` if that has not come yet, or
    /// the item is discarded.
    pub fn rewind(&self) -> Option<u64> {
        self.lock().rewind()
    }

    /// Another source replaces this one: drops the rest of a discarded item, else acts as
    /// [`ReadAhead::rewind`].
    pub(crate) fn leave(&self) -> Option<u64> {
        let mut state = self.lock();
        if !state.rest.is_empty() {
            state.drop_rest();
        }
        state.rewind()
    }

    /// Takes the next event if the buffer level is at least `need`.
    pub fn poll(&self, need: StartLevel) -> Polled {
        let mut state = self.lock();
        // At the end of the programme the remainder is handed out as it is.
        let anywhere = need == StartLevel::Refilled;
        if self.is_paused() && state.may_cut() {
            let sound = if anywhere { None } else { state.remove_sound() };
            return sound.map_or(Polled::NotReady, Polled::Event);
        }
        let quick = state.jumping && state.begins_item() && self.is_quick(&state);
        if !state.rest.is_empty() {
            let other = anywhere || (state.may_cut() && (state.over || state.groups > 0 || quick));
            if !other {
                return state.remove().map_or(Polled::NotReady, Polled::Event);
            }
            if !anywhere && let Some(sound) = state.remove_sound() {
                return Polled::Event(sound);
            }
            state.drop_rest();
        }
        let ready = match need {
            StartLevel::Start => state.groups > 0 || self.is_quick(&state),
            StartLevel::Group => state.groups > 0 || quick || self.is_full(&state),
            StartLevel::Refilled => self.is_full(&state) || state.has_end() || state.over,
        };
        if !state.over && (anywhere || state.at_boundary()) && !ready {
            return Polled::NotReady;
        }
        match state.remove() {
            Some(piece) => {
                self.make_room(&state);
                Polled::Event(piece)
            }
            None if state.over => Polled::Ended,
            None => Polled::NotReady,
        }
    }

    /// Takes the next event as soon as there is one, for a file output without pacing. `NotReady`
    /// after `patience`.
    pub fn wait_event(&self, patience: Duration) -> Polled {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            // Nobody waits for a file: the pause begins with the next group.
            let held = self.is_paused() && state.at_boundary();
            if !state.rest.is_empty() && state.may_cut() {
                if let Some(sound) = state.remove_sound() {
                    return Polled::Event(sound);
                }
                state.drop_rest();
            }
            if !held && let Some(piece) = state.remove() {
                self.make_room(&state);
                return Polled::Event(piece);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.over && !held {
                return Polled::Ended;
            }
            if left.is_zero() {
                return Polled::NotReady;
            }
            state = self.wait_more(state, left);
        }
    }

    /// Waits until the read-ahead is full, so that playout does not wait for an encoder. `false` if
    /// `cancel` was set meanwhile.
    pub fn wait_full(&self, cancel: &Cancel) -> bool {
        let mut state = self.lock();
        while !self.is_nearly_full(&state) {
            if cancel.is_cancelled() {
                return false;
            }
            state = self.wait_more(state, Duration::from_millis(100));
        }
        !cancel.is_cancelled()
    }

    /// Waits for new events, `patience` at most.
    pub fn wait(&self, patience: Duration) {
        let state = self.lock();
        drop(self.wait_more(state, patience));
    }

    /// Drops all complete groups of a live item but the last, to continue at its live edge.
    pub fn skip_to_live_edge(&self) {
        let mut state = self.lock();
        if state.rest.is_empty() {
            // The groups after the current item's end belong to another item, which waits.
            while !state.sequence.is_between()
                && state.groups > 1
                && !state.has_end()
                && state.drop_oldest_group()
            {}
        } else {
            state.drop_rest();
        }
        self.room.notify_all();
    }

    /// Wakes the writer when a third of a second is free: a wake-up per tag would cost more than
    /// the copying.
    fn make_room(&self, state: &Buffer) {
        if state.frames + self.fps / 3 <= self.frames_wanted && state.bytes < MAX_BYTES {
            self.room.notify_all();
        }
    }

    /// Whether at least half a second of picture came at more than twice real time.
    fn is_quick(&self, state: &Buffer) -> bool {
        let took = state.first_picture.map_or(0.0, |first| (state.clock.now() - first).as_secs_f64());
        state.frames >= self.fps / 2 && state.frames as f64 / self.fps as f64 > 2.0 * took
    }
}
