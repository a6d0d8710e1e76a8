//! The read-ahead: encoded tags that are not yet due, between the encode thread and the playout
//! thread.
//!
//! It is bounded in seconds and bytes; an encoder that is ahead blocks. Playout receives a group of
//! pictures only once the group is complete, so an encoder failure never interrupts a group: the
//! filler starts and ends at keyframes and no tag is lost.
//!
//! A command discards an item (`ReadAhead::skip`, `ReadAhead::jump`) in the middle of a group,
//! where the pictures handed out so far miss none that is displayed before another one. Until the
//! next item is ready, the current one goes on, to the end of the next group at most. A pause
//! begins at such a picture as well, and the item continues with the group that was cut (`cut`).
//! `sequence` decides which item a command means; the `Programme` decides where the list continues.

mod buffer;
mod cut;
mod discard;
mod event;
mod leave;
mod sent_part;
mod sequence;
mod take;

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tgs_core::cancel::Cancel;
use tgs_rtmp::flv::Tag;

pub use self::event::{Event, StartedItem};
pub(crate) use self::{
    buffer::AdmittedItem,
    discard::{Discard, TargetItem},
    event::CutTake,
};
use self::{
    buffer::Buffer,
    sequence::{ItemSequence, SeqAdmission},
};
use crate::{
    clock::SystemClock,
    command::{CommandRefused, StandingCommands},
    item::Item,
};

/// Memory limit that only an absurd bitrate reaches.
const MAX_BYTES: usize = 16 << 20;

/// Limit of commands that wait for the prepare thread, which may be busy with a web page.
const MAX_PENDING: usize = 64;

/// The result of [`ReadAhead::admit`].
#[derive(Debug)]
pub(crate) enum Admission {
    /// The item is to be encoded.
    Admitted(AdmittedItem),
    /// A command left the item before it was due.
    Skipped,
    /// A pending command may change the next item.
    Stale,
    /// The list ended before the item.
    Ended,
}

/// Buffer level that is required before an item is sent (again).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLevel {
    /// Half a second of picture if the encoder runs at more than twice real time: a quick start,
    /// before anything was sent. From a slower encoder a whole group, so that the next one is ready
    /// in time.
    Start,
    /// The whole next group of pictures.
    Group,
    /// A full read-ahead: after an underrun, so that another does not follow at once.
    Refilled,
}

/// The result of [`ReadAhead::poll`].
#[derive(Debug)]
pub enum Polled {
    /// The next event.
    Event(Event),
    /// Nothing that may be sent yet.
    NotReady,
    /// The programme is over and every event has been taken.
    Ended,
}

/// The read-ahead, with one writing and one reading thread.
#[derive(Debug)]
pub struct ReadAhead {
    fps: u64,
    frames_wanted: u64,
    state: Mutex<Buffer>,
    /// Commands that the prepare thread has not applied yet: its prepared item may be stale.
    /// Incremented under the lock, decremented without.
    pending: AtomicUsize,
    standing: Arc<StandingCommands>,
    /// Signals new events.
    more: Condvar,
    /// Signals free space.
    room: Condvar,
}

impl ReadAhead {
    /// A read-ahead for `ahead` of media at `fps` frames per second.
    pub(crate) fn new(fps: u32, ahead: Duration, standing: Arc<StandingCommands>) -> Self {
        let frames_wanted = (ahead.as_millis() as u64 * u64::from(fps) / 1000).max(1);
        Self {
            fps: u64::from(fps),
            frames_wanted,
            state: Mutex::new(Buffer::new(u64::from(fps), Arc::new(SystemClock))),
            pending: AtomicUsize::new(0),
            standing,
            more: Condvar::new(),
            room: Condvar::new(),
        }
    }

    /// A read-ahead whose items are numbered above `seq`.
    pub(crate) fn numbered_above(self, seq: u64) -> Self {
        self.lock().sequence = ItemSequence::above(seq);
        self
    }

    /// A read-ahead that measures the speed of encoders by `clock`.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn timed_by(self, clock: Arc<dyn crate::clock::Clock>) -> Self {
        self.lock().clock = clock;
        self
    }

    /// Seconds of buffered picture.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.lock().frames as f64 / self.fps as f64
    }

    /// Assigns a number to the next item.
    pub(crate) fn admit(&self, item: &Item, cancel: &Cancel) -> Admission {
        let mut state = self.lock();
        if self.pending.load(Ordering::Relaxed) > 0 {
            return Admission::Stale;
        }
        match state.sequence.open() {
            SeqAdmission::Skipped => Admission::Skipped,
            SeqAdmission::Ended => Admission::Ended,
            SeqAdmission::Admitted(seq) => {
                let (place, live) = (item.turn, item.media.live);
                let title = item.title.clone();
                let attempt = AdmittedItem { seq, discarded: cancel.child(), turn: place, live, title };
                state.attempt = Some(attempt.clone());
                Admission::Admitted(attempt)
            }
        }
    }

    /// Sets the title of the prepared item, which follows the one being encoded. Returns
    /// [`ReadAhead::next_title`].
    pub(crate) fn set_prepared(&self, title: Option<String>) -> Option<String> {
        let mut state = self.lock();
        state.prepared = title;
        state.next_title()
    }

    /// Title of the item after the one being sent, as far as it is known: the encoder runs ahead of
    /// the viewer.
    pub(crate) fn next_title(&self) -> Option<String> {
        self.lock().next_title()
    }

    /// Marks the admitted item as encoded. Adds the `End` that is missing after a panic of its
    /// encoding.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        if let Some(attempt) = state.attempt.take() {
            if state.unended == Some(attempt.seq) && !state.sequence.is_left(attempt.seq) {
                state.add(Event::End);
            }
            state.sequence.closed(attempt.seq);
        }
        state.end_where_asked();
        self.more.notify_all();
    }

    /// Adds an event; blocks while the read-ahead is full. `false` if `cancel` was set meanwhile or
    /// the item was discarded.
    pub fn push(&self, piece: Event, live: bool, cancel: &Cancel) -> bool {
        let waits = matches!(piece, Event::Tag(_));
        self.push_all([piece], waits, live, cancel)
    }

    /// Adds a group of pictures once there is room for its first tag: one wake-up for the whole
    /// group.
    pub(crate) fn push_group(&self, tags: Vec<Tag>, cancel: &Cancel) -> bool {
        self.push_all(tags.into_iter().map(Event::Tag), true, false, cancel)
    }

    fn push_all(
        &self,
        pieces: impl IntoIterator<Item = Event>,
        waits: bool,
        live: bool,
        cancel: &Cancel,
    ) -> bool {
        let mut state = self.lock();
        loop {
            if state.attempt.as_ref().is_some_and(|attempt| state.sequence.is_left(attempt.seq)) {
                return false;
            }
            if !waits || !self.is_full(&state) {
                break;
            }
            if cancel.is_cancelled() {
                return false;
            }
            let away = state.at_live_edge || (self.is_paused() && state.at_resting_place());
            if live && away && state.drop_oldest_group() {
                continue;
            }
            // `cancel` does not notify the condition variable, hence the time-out.
            state = self
                .room
                .wait_timeout(state, Duration::from_millis(100))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        for piece in pieces {
            state.add(piece);
        }
        // Notifying without a waiter would cost a system call per tag.
        if state.waiting > 0 {
            self.more.notify_all();
        }
        true
    }

    /// Waits for new events, `patience` at most.
    fn wait_more<'a>(
        &'a self,
        mut state: MutexGuard<'a, Buffer>,
        patience: Duration,
    ) -> MutexGuard<'a, Buffer> {
        state.waiting += 1;
        let mut state = self.more.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        state.waiting -= 1;
        state
    }

    /// Removes the pictures of the open group, because another encoder continues the item; the
    /// group's sound stays. A group of which a tag was taken stays whole. Returns the number of
    /// pictures removed.
    pub(crate) fn cut_open_group(&self) -> u64 {
        let cut = self.lock().cut_open_group();
        self.room.notify_all();
        self.more.notify_all();
        cut
    }

    /// Marks the programme as over until a command leads elsewhere. `false` if a command is
    /// pending.
    pub(crate) fn finish(&self) -> bool {
        let mut state = self.lock();
        if self.pending.load(Ordering::Relaxed) == 0 {
            state.over = true;
            self.more.notify_all();
        }
        state.over
    }

    /// Waits until a command reopens the list, or `cancel` is set.
    pub(crate) fn wait_reopened(&self, cancel: &Cancel) {
        self.wait_until(&self.room, Duration::MAX, cancel, |state| !state.over);
    }

    /// Waits for a command, `patience` at most, or until `cancel` is set.
    pub(crate) fn wait_command(&self, patience: Duration, cancel: &Cancel) {
        let commands = self.lock().commands;
        self.wait_until(&self.room, patience, cancel, |state| state.commands != commands);
    }

    fn wait_until(&self, on: &Condvar, patience: Duration, cancel: &Cancel, done: impl Fn(&Buffer) -> bool) {
        let began = Instant::now();
        let mut state = self.lock();
        while !done(&state) && !cancel.is_cancelled() && began.elapsed() < patience {
            // `cancel` does not notify the condition variable, hence the time-out.
            state =
                on.wait_timeout(state, Duration::from_millis(100)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Counts a command for the prepare thread, and ends a back-off: the command may cure failures.
    pub(crate) fn reserve_request(&self) -> Result<(), CommandRefused> {
        self.add_pending(&mut self.lock())?;
        self.room.notify_all();
        Ok(())
    }

    /// Marks one command as applied by the prepare thread.
    pub(crate) fn release_request(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }

    /// Number of the item that a command refers to.
    pub(crate) fn current_seq(&self) -> u64 {
        self.lock().sequence.current()
    }

    /// Discards the current item; the item after it is next. Refused once [`MAX_PENDING`] items
    /// that are not encoded yet are left: each costs a look at the list.
    pub(crate) fn skip(&self) -> Result<(), CommandRefused> {
        let mut state = self.lock();
        if state.sequence.ahead() >= MAX_PENDING as u64 {
            return Err(CommandRefused::Busy);
        }
        state.sequence.leave_current();
        self.cut(&mut state);
        Ok(())
    }

    /// Discards items according to `leave`, because the list continues elsewhere, and counts a
    /// command for the prepare thread. Returns the current item. With `seek` a live item is
    /// refused.
    pub(crate) fn jump(&self, leave: Discard, seek: bool) -> Result<TargetItem, CommandRefused> {
        let mut state = self.lock();
        let found = state.find(state.sequence.current());
        if seek && found.is_some_and(|(_, live)| live) {
            return Err(CommandRefused::Live);
        }
        self.add_pending(&mut state)?;
        let skip = match leave {
            Discard::All => state.sequence.leave_all(),
            Discard::Later => state.sequence.leave_later(),
        };
        state.over = false;
        self.cut(&mut state);
        Ok(TargetItem { turn: found.map(|(place, _)| place), skip })
    }

    /// Ends the list with the current item.
    pub(crate) fn end_with_current(&self) {
        let mut state = self.lock();
        state.sequence.end_with_current();
        self.cut(&mut state);
    }

    fn add_pending(&self, state: &mut Buffer) -> Result<(), CommandRefused> {
        if self.pending.load(Ordering::Relaxed) >= MAX_PENDING {
            return Err(CommandRefused::Busy);
        }
        self.pending.fetch_add(1, Ordering::Relaxed);
        state.commands += 1;
        Ok(())
    }

    fn cut(&self, state: &mut Buffer) {
        state.cut();
        state.commands += 1;
        self.room.notify_all();
        self.more.notify_all();
    }

    /// Wakes all waiters after a pause began or ended.
    pub(crate) fn wake(&self) {
        drop(self.lock());
        self.room.notify_all();
        self.more.notify_all();
    }

    /// Whether an operator has paused the broadcast.
    pub(crate) fn is_paused(&self) -> bool {
        self.standing.is_paused()
    }

    /// The cause why no event is handed out, if a command is the cause.
    pub(crate) fn requested_change(&self) -> Option<&'static str> {
        let state = self.lock();
        match (self.is_paused(), state.jumping) {
            (true, _) => Some("paused"),
            (_, true) => Some("what was asked for is not ready yet"),
            _ => None,
        }
    }

    /// Whether no item is being sent: the one before has ended.
    pub(crate) fn is_between(&self) -> bool {
        self.lock().sequence.is_between()
    }

    /// Whether the programme is over and every event has been taken.
    pub(crate) fn is_ended(&self) -> bool {
        let state = self.lock();
        state.over && state.pieces.is_empty() && state.rest.is_empty()
    }

    /// Whether the next event continues an item that is being sent.
    #[must_use]
    pub fn inside_item(&self) -> bool {
        self.lock().taking_item
    }

    /// Sets whether the connection is lost: meanwhile live items keep their newest groups, files
    /// wait.
    pub fn set_at_live_edge(&self, away: bool) {
        self.lock().at_live_edge = away;
        self.room.notify_all();
    }

    fn is_full(&self, state: &Buffer) -> bool {
        state.frames >= self.frames_wanted || state.bytes >= MAX_BYTES
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
