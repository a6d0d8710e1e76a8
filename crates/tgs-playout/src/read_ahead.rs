//! The read-ahead: tags that are encoded and not yet due, between the thread that encodes and the thread that paces.
//!
//! It is bounded in seconds and bytes; an encoder that is ahead waits. A group of pictures is handed out only when all
//! of it is here, so that the broadcast is never left in the middle of one: whatever goes wrong in the encoder is
//! bridged between two keyframes and nothing is lost.
//!
//! What an operator leaves is taken out of it at the end of a group as well (`ReadAhead::skip`, `ReadAhead::jump`): the item on
//! air is shown for a group more where the other one is not here yet. Which item is meant is decided in `runs`; where the
//! list goes on, by the program.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tgs_core::cancel::Cancel;

use crate::{
    command::CommandRefused,
    flv::{Kind, Tag},
    item::Item,
    sequence::{ItemSequence, SeqAdmission},
};

/// No sane read-ahead is larger; it protects memory from an absurd bitrate.
const MAX_BYTES: usize = 16 << 20;

/// How many commands may wait for the prepare thread, which may be asking a page.
const MOST_ASKED: usize = 64;

/// What the encoder's thread hands over.
#[derive(Debug, Clone)]
pub enum Event {
    /// An item begins.
    Begin(Arc<StartedItem>),
    /// The next tag of the item.
    Tag(Tag),
    /// The item has no more tags.
    End,
}

/// An item as it goes on air.
#[derive(Debug)]
pub struct StartedItem {
    /// Number in this run, from 1.
    pub run: u64,
    /// The item; `start` tells where its encoder began.
    pub item: Item,
    /// Whether its encoder makes no sound.
    pub silent: bool,
    /// How long it will be, from `item.start` on.
    pub expected: Option<Duration>,
}

/// The item that is being encoded.
#[derive(Debug, Clone)]
pub(crate) struct AdmittedItem {
    /// Its number in this run, from 1.
    pub(crate) run: u64,
    /// Set once nobody is to see more of it.
    pub(crate) left: Cancel,
    place: u64,
    live: bool,
    title: String,
}

/// The answer to [`ReadAhead::admit`].
#[derive(Debug)]
pub(crate) enum Admission {
    /// The item is to be encoded.
    Admitted(AdmittedItem),
    /// It was left before its turn came.
    Skipped,
    /// Another place was asked for meanwhile.
    Stale,
    /// The list has ended before it.
    Ended,
}

/// The item that a command means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TargetItem {
    /// Its [`Item::turn`]; `None` where it has not been prepared yet.
    pub(crate) place: Option<u64>,
    /// How many entries of the list are to be left before it.
    pub(crate) skip: u64,
}

/// What is left of the encoder's items when a command is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discard {
    /// All of them: the list goes on elsewhere.
    All,
    /// Those after the current one: something comes between.
    Later,
}

/// How much must be here before an item goes on air (again).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLevel {
    /// Half a second of picture from an encoder that runs at twice the speed of time or more: nobody watches yet, and
    /// the start shall be quick. From a slower one the whole group, so that the next is here in time.
    Start,
    /// The whole of the next group of pictures.
    Group,
    /// A full read-ahead: after an underrun, so that the next does not follow at once.
    Refilled,
}

/// The answer to [`ReadAhead::poll`].
#[derive(Debug)]
pub enum Polled {
    /// The next piece.
    Event(Event),
    /// Nothing that may go on air yet.
    NotReady,
    /// The programme is over and everything has been taken.
    Ended,
}

/// The read-ahead. One thread gives, one takes.
#[derive(Debug)]
pub struct ReadAhead {
    fps: u64,
    frames_wanted: u64,
    state: Mutex<Buffer>,
    /// There is something to take.
    more: Condvar,
    /// There is room to give.
    room: Condvar,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; no two exclude each other")]
struct Buffer {
    /// What is still shown of an item that was left, up to its `End`; taken before `pieces`.
    rest: VecDeque<Event>,
    pieces: VecDeque<Event>,
    bytes: usize,
    /// Pictures among the pieces.
    frames: u64,
    /// Whole groups of pictures that nobody has begun to take; -1 while one is taken before its end is here.
    groups: isize,
    /// Whether the last group has no end yet.
    group_open: bool,
    /// Whether the item that is being taken has passed its first keyframe.
    taking_item: bool,
    over: bool,
    /// When the first picture of all was given.
    first_picture: Option<Instant>,
    /// Set while the viewer is away: a live item's oldest groups make room for its newest.
    at_live_edge: bool,
    /// Set while nothing is to be taken.
    paused: bool,
    /// How many wait for something to be given.
    waiting: usize,
    runs: ItemSequence,
    attempt: Option<AdmittedItem>,
    /// The title of what comes behind the attempt.
    prepared: Option<String>,
    /// The item that was begun last and has no end yet.
    unended: Option<u64>,
    /// The item taken last.
    taken: Option<Arc<StartedItem>>,
    /// Whether the item on air was left and the next has not been taken yet.
    jumping: bool,
    /// Commands that the prepare thread has not done yet: what it has prepared may be stale.
    asked: usize,
    /// How often anything was told.
    told: u64,
}

impl ReadAhead {
    /// A read-ahead for `fps` frames a second that holds `ahead` of them.
    #[must_use]
    pub fn new(fps: u32, ahead: Duration) -> Self {
        let frames_wanted = (ahead.as_millis() as u64 * u64::from(fps) / 1000).max(1);
        Self {
            fps: u64::from(fps),
            frames_wanted,
            state: Mutex::default(),
            more: Condvar::new(),
            room: Condvar::new(),
        }
    }

    /// Seconds of picture that are ready.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.lock().frames as f64 / self.fps as f64
    }

    /// Gives the next item its number.
    pub(crate) fn admit(&self, item: &Item, cancel: &Cancel) -> Admission {
        let mut state = self.lock();
        if state.asked > 0 {
            return Admission::Stale;
        }
        match state.runs.open() {
            SeqAdmission::Skipped => Admission::Skipped,
            SeqAdmission::Ended => Admission::Ended,
            SeqAdmission::Admitted(run) => {
                let (place, live) = (item.turn, item.media.live);
                let title = item.title.clone();
                let attempt = AdmittedItem { run, left: cancel.child(), place, live, title };
                state.attempt = Some(attempt.clone());
                Admission::Admitted(attempt)
            }
        }
    }

    /// This comes behind what is encoded now.
    pub(crate) fn set_prepared(&self, title: Option<String>) {
        self.lock().prepared = title;
    }

    /// The title of what follows the item on air, as far as it is known: the encoder is ahead of the viewer.
    pub(crate) fn next_title(&self) -> Option<String> {
        let state = self.lock();
        let begun = state.pieces.iter().find_map(|piece| match piece {
            // Another encoder of the item on air is no other item.
            Event::Begin(item) if item.run != state.runs.on_air() => Some(item.item.title.clone()),
            _ => None,
        });
        let attempt = || {
            let attempt = state.attempt.as_ref()?;
            let coming = attempt.run > state.runs.on_air() && !state.runs.is_left(attempt.run);
            coming.then(|| attempt.title.clone())
        };
        let prepared = || state.prepared.clone().filter(|_| !state.runs.is_over());
        begun.or_else(attempt).or_else(prepared)
    }

    /// The item that was opened has been encoded as far as it will be. Where its encoding ended in a panic it gets its end here.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        if let Some(attempt) = state.attempt.take() {
            if state.unended == Some(attempt.run) && !state.runs.is_left(attempt.run) {
                state.add(Event::End);
            }
            state.runs.closed(attempt.run);
        }
        state.end_where_asked();
        self.more.notify_all();
    }

    /// Adds a piece; waits while the read-ahead is full. `false` when `cancel` was set meanwhile, or the item was left.
    pub fn push(&self, piece: Event, live: bool, cancel: &Cancel) -> bool {
        let waits = matches!(piece, Event::Tag(_));
        self.push_all([piece], waits, live, cancel)
    }

    /// Adds a group of pictures as soon as there is room for its first tag: one wake-up for all of them.
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
            if state.attempt.as_ref().is_some_and(|attempt| state.runs.is_left(attempt.run)) {
                return false;
            }
            if !waits || !self.is_full(&state) {
                break;
            }
            if cancel.is_cancelled() {
                return false;
            }
            let away = state.at_live_edge || (state.paused && state.at_boundary());
            if live && away && state.drop_oldest_group() {
                continue;
            }
            // The time-out is for `cancel`, which does not wake this.
            state = self
                .room
                .wait_timeout(state, Duration::from_millis(100))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        for piece in pieces {
            state.add(piece);
        }
        // Where nobody waits it would be a system call for each tag.
        if state.waiting > 0 {
            self.more.notify_all();
        }
        true
    }

    /// Waits for something to be given, `patience` at most.
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

    /// Another encoder goes on with the item that is being given. What has no end yet of its pictures is taken out, unless that
    /// is on air already; the sound beside it stays. Answers how many pictures that were.
    pub(crate) fn cut_open_group(&self) -> u64 {
        let cut = self.lock().cut_open_group();
        self.room.notify_all();
        self.more.notify_all();
        cut
    }

    /// Nothing will be added any more, unless a command leads elsewhere. `false` where one has come just now.
    pub(crate) fn finish(&self) -> bool {
        let mut state = self.lock();
        if state.asked == 0 {
            state.over = true;
            self.more.notify_all();
        }
        state.over
    }

    /// Waits until the program is told to go elsewhere after all, or `cancel` is set.
    pub(crate) fn wait_reopened(&self, cancel: &Cancel) {
        self.wait_until(&self.room, Duration::MAX, cancel, |state| !state.over);
    }

    /// Waits until anything is told, `patience` at most, or `cancel` is set.
    pub(crate) fn wait_command(&self, patience: Duration, cancel: &Cancel) {
        let told = self.lock().told;
        self.wait_until(&self.room, patience, cancel, |state| state.told != told);
    }

    fn wait_until(&self, on: &Condvar, patience: Duration, cancel: &Cancel, done: impl Fn(&Buffer) -> bool) {
        let began = Instant::now();
        let mut state = self.lock();
        while !done(&state) && !cancel.is_cancelled() && began.elapsed() < patience {
            // The time-out is for `cancel`, which does not wake this.
            state =
                on.wait_timeout(state, Duration::from_millis(100)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Counts a command for the prepare thread, which is worth another look at what failed.
    pub(crate) fn reserve_request(&self) -> Result<(), CommandRefused> {
        let asked = self.lock().ask();
        self.room.notify_all();
        asked
    }

    /// The prepare thread has done one of them.
    pub(crate) fn release_request(&self) {
        self.lock().asked -= 1;
    }

    /// Leaves the current item: what comes after it is next.
    pub(crate) fn skip(&self) {
        let mut state = self.lock();
        state.runs.leave_current();
        self.cut(&mut state);
    }

    /// Leaves what `leave` says, because the list is to go on elsewhere: counts a command for the prepare thread.
    /// Answers what the current item was. With `seek` it must not be live.
    pub(crate) fn jump(&self, leave: Discard, seek: bool) -> Result<TargetItem, CommandRefused> {
        let mut state = self.lock();
        let found = state.find(state.runs.current());
        if seek && found.is_some_and(|(_, live)| live) {
            return Err(CommandRefused::Live);
        }
        state.ask()?;
        let skip = match leave {
            Discard::All => state.runs.leave_all(),
            Discard::Later => state.runs.leave_later(),
        };
        state.over = false;
        self.cut(&mut state);
        Ok(TargetItem { place: found.map(|(place, _)| place), skip })
    }

    /// Ends the list with the current item.
    pub(crate) fn end_with_current(&self) {
        let mut state = self.lock();
        state.runs.end_with_current();
        self.cut(&mut state);
    }

    fn cut(&self, state: &mut Buffer) {
        state.cut();
        state.told += 1;
        self.room.notify_all();
        self.more.notify_all();
    }

    /// Hands nothing out any more from the next group on, or goes on where it stopped.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.lock().paused = paused;
        self.room.notify_all();
        self.more.notify_all();
    }

    /// Whether an operator wants nothing to be handed out.
    pub(crate) fn is_paused(&self) -> bool {
        self.lock().paused
    }

    /// Why nothing is handed out, where an operator wanted it so.
    pub(crate) fn requested_change(&self) -> Option<&'static str> {
        let state = self.lock();
        match (state.paused, state.jumping) {
            (true, _) => Some("paused"),
            (_, true) => Some("what was asked for is not ready yet"),
            _ => None,
        }
    }

    /// Whether what is taken next continues an item that is on air already.
    #[must_use]
    pub fn inside_item(&self) -> bool {
        self.lock().taking_item
    }

    /// Takes the next piece, where what `need` asks for is here.
    pub fn poll(&self, need: StartLevel) -> Polled {
        let mut state = self.lock();
        if state.paused && state.at_boundary() {
            return Polled::NotReady;
        }
        if !state.rest.is_empty() {
            let other =
                need == StartLevel::Refilled || (state.at_boundary() && (state.over || state.groups > 0));
            if !other {
                return state.remove().map_or(Polled::NotReady, Polled::Event);
            }
            state.drop_rest();
        }
        let ready = match need {
            StartLevel::Start => state.groups > 0 || self.is_quick(&state),
            StartLevel::Group => state.groups > 0 || self.is_full(&state),
            StartLevel::Refilled => self.is_full(&state) || state.has_end() || state.over,
        };
        // At the end of the programme what is left goes out as it is.
        let anywhere = need == StartLevel::Refilled;
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

    /// Takes the next piece as soon as there is one (nobody watches: a file). `NotReady` after `patience`.
    pub fn wait_event(&self, patience: Duration) -> Polled {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            let held = state.paused && state.at_boundary();
            if !state.rest.is_empty() && state.at_boundary() {
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

    /// Waits until it is full, so that nobody waits for an encoder. `false` when `cancel` was set meanwhile.
    pub fn wait_full(&self, cancel: &Cancel) -> bool {
        let mut state = self.lock();
        // Filled up again as soon as a third of a second is free: what is between counts as full.
        while state.frames + self.fps / 2 < self.frames_wanted && state.bytes < MAX_BYTES && !state.over {
            if cancel.is_cancelled() {
                return false;
            }
            state = self.wait_more(state, Duration::from_millis(100));
        }
        !cancel.is_cancelled()
    }

    /// Waits for a change, `patience` at most.
    pub fn wait(&self, patience: Duration) {
        let state = self.lock();
        drop(self.wait_more(state, patience));
    }

    /// The viewer is away (or back): live items keep their newest, files wait.
    pub fn set_at_live_edge(&self, away: bool) {
        self.lock().at_live_edge = away;
        self.room.notify_all();
    }

    /// Drops all whole groups of a live item but the last, to go on at its live edge.
    pub fn skip_to_live_edge(&self) {
        let mut state = self.lock();
        if state.rest.is_empty() {
            // Behind the end of the item on air lie those of another, which wait.
            while !state.runs.is_between()
                && state.groups > 1
                && !state.has_end()
                && state.drop_oldest_group()
            {}
        } else {
            state.drop_rest();
        }
        self.room.notify_all();
    }

    /// Wakes the giver when a third of a second is free: woken for each tag, it would cost more than copying them does.
    fn make_room(&self, state: &Buffer) {
        if state.frames + self.fps / 3 <= self.frames_wanted && state.bytes < MAX_BYTES {
            self.room.notify_all();
        }
    }

    /// Whether half a second of picture came in a quarter of a second.
    fn is_quick(&self, state: &Buffer) -> bool {
        let took = state.first_picture.map_or(0.0, |first| first.elapsed().as_secs_f64());
        state.frames >= self.fps / 2 && state.frames as f64 / self.fps as f64 > 2.0 * took
    }

    fn is_full(&self, state: &Buffer) -> bool {
        state.frames >= self.frames_wanted || state.bytes >= MAX_BYTES
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// Whether the next piece begins an item or a group, so that the broadcast may also go elsewhere.
    fn at_boundary(&self) -> bool {
        match self.rest.front().or(self.pieces.front()) {
            // The end of what is left may be dropped for something that is better.
            Some(Event::End) if !self.rest.is_empty() => true,
            None | Some(Event::Begin(_)) => true,
            Some(Event::Tag(tag)) => self.taking_item && tag.is_keyframe(),
            Some(Event::End) => false,
        }
    }

    fn has_end(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Event::End))
    }

    fn ask(&mut self) -> Result<(), CommandRefused> {
        if self.asked >= MOST_ASKED {
            return Err(CommandRefused::Busy);
        }
        self.asked += 1;
        self.told += 1;
        Ok(())
    }

    /// Place and liveness of an item that was opened.
    fn find(&self, run: u64) -> Option<(u64, bool)> {
        let begun = self.pieces.iter().filter_map(|piece| match piece {
            Event::Begin(item) => Some(item),
            _ => None,
        });
        let found = self.taken.iter().chain(begun).find(|item| item.run == run);
        let attempt = || self.attempt.as_ref().filter(|attempt| attempt.run == run);
        found
            .map(|item| (item.item.turn, item.item.media.live))
            .or_else(|| attempt().map(|attempt| (attempt.place, attempt.live)))
    }

    /// Takes out what was left, but for the end of what is on air.
    fn cut(&mut self) {
        if let Some(attempt) = self.attempt.as_ref().filter(|attempt| self.runs.is_left(attempt.run)) {
            attempt.left.cancel();
        }
        let on_air = self.runs.on_air();
        let leaves = !self.runs.is_between() && self.runs.is_left(on_air);
        self.jumping = true;
        let mut seq = on_air;
        let (mut head, mut kept) = (Vec::new(), Vec::new());
        for piece in self.pieces.drain(..) {
            if let Event::Begin(item) = &piece {
                seq = item.run;
            }
            if seq == on_air && leaves {
                head.push(piece);
            } else if !self.runs.is_left(seq) {
                kept.push(piece);
            }
        }
        (self.bytes, self.frames, self.groups, self.group_open) = (0, 0, 0, false);
        for piece in kept {
            self.add(piece);
        }
        if leaves && self.rest.is_empty() {
            head.truncate(end_of_shown(&head));
            self.rest = head.into();
            self.rest.push_back(Event::End);
        }
        self.end_where_asked();
    }

    /// Nothing more comes where the list was to end with an item that is all here.
    fn end_where_asked(&mut self) {
        let going = self.attempt.as_ref().is_some_and(|attempt| !self.runs.is_left(attempt.run));
        self.over |= self.runs.is_over() && !going;
    }

    /// What is left of the item that was left is not shown.
    fn drop_rest(&mut self) {
        self.rest.clear();
        self.taking_item = false;
        self.runs.end();
    }

    fn add(&mut self, piece: Event) {
        match &piece {
            Event::Begin(item) => {
                self.runs.begun(item.run);
                self.unended = Some(item.run);
            }
            Event::End => self.unended = None,
            Event::Tag(_) => {}
        }
        match &piece {
            Event::Tag(tag) => {
                self.bytes += tag.body.len();
                self.frames += u64::from(is_picture(tag));
                self.first_picture.get_or_insert_with(Instant::now);
                if tag.is_keyframe() {
                    self.groups += isize::from(self.group_open);
                    self.group_open = true;
                }
            }
            Event::End => {
                self.groups += isize::from(self.group_open);
                self.group_open = false;
            }
            Event::Begin(_) => {
                // Another encoder of the same item may go on behind one that was whole.
                self.groups += isize::from(self.group_open);
                self.group_open = false;
            }
        }
        self.pieces.push_back(piece);
    }

    fn remove(&mut self) -> Option<Event> {
        if let Some(piece) = self.rest.pop_front() {
            if matches!(piece, Event::End) {
                self.drop_rest();
            }
            return Some(piece);
        }
        let piece = self.pieces.pop_front()?;
        match &piece {
            Event::Begin(item) => {
                self.taking_item = false;
                self.jumping = false;
                self.runs.shown(item.run);
                self.taken = Some(Arc::clone(item));
            }
            Event::End => {
                self.taking_item = false;
                self.runs.end();
            }
            Event::Tag(tag) => {
                self.bytes -= tag.body.len();
                self.frames -= u64::from(is_picture(tag));
                if tag.is_keyframe() {
                    self.taking_item = true;
                    self.groups -= 1;
                }
            }
        }
        Some(piece)
    }

    fn cut_open_group(&mut self) -> u64 {
        if !std::mem::take(&mut self.group_open) {
            return 0;
        }
        let key = self.pieces.iter().rposition(|p| matches!(p, Event::Tag(tag) if tag.is_keyframe()));
        let Some(key) = key.filter(|_| self.groups >= 0) else {
            // It is on air: what is here of it is all that comes.
            self.groups += 1;
            return 0;
        };
        let mut cut = 0;
        for piece in self.pieces.split_off(key) {
            match &piece {
                Event::Tag(tag) if is_picture(tag) => {
                    self.bytes -= tag.body.len();
                    self.frames -= 1;
                    cut += 1;
                }
                _ => self.pieces.push_back(piece),
            }
        }
        cut
    }

    /// Drops what comes before the second keyframe, keeping headers, beginnings and ends. `false` where there is none.
    fn drop_oldest_group(&mut self) -> bool {
        if self.has_end() {
            // Another item's rest is before it, which waits for the viewer.
            return false;
        }
        let is_key = |piece: &Event| matches!(piece, Event::Tag(tag) if tag.is_keyframe());
        let mut keys = self.pieces.iter().enumerate().filter(|(_, p)| is_key(p)).map(|(at, _)| at);
        let (Some(_), Some(second)) = (keys.next(), keys.next()) else { return false };
        let kept: Vec<Event> = self
            .pieces
            .drain(..second)
            .filter(|piece| match piece {
                Event::Tag(tag) if tag.is_frame() => {
                    self.bytes -= tag.body.len();
                    self.frames -= u64::from(is_picture(tag));
                    false
                }
                _ => true,
            })
            .collect();
        for piece in kept.into_iter().rev() {
            self.pieces.push_front(piece);
        }
        self.groups -= 1;
        true
    }
}

/// How much of an item that was left is still shown: the group on air, and one more for the next item to get ready in.
fn end_of_shown(head: &[Event]) -> usize {
    let ends = |piece: &Event| match piece {
        Event::Tag(tag) => tag.is_keyframe(),
        Event::End => true,
        Event::Begin(_) => false,
    };
    let mut ends = head.iter().enumerate().filter(|(_, piece)| ends(piece)).map(|(at, _)| at);
    let first = ends.next();
    ends.next().or(first).unwrap_or(head.len())
}

fn is_picture(tag: &Tag) -> bool {
    tag.kind == Kind::Video && tag.is_frame()
}

#[cfg(test)]
mod tests;
