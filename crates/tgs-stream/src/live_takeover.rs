//! Puts the publisher of the live input on air and takes it off again: by LIVE_START, by operators,
//! and by what the publisher does.
//!
//! One thread compares what is wanted with the lane of the engine. Events and commands only change
//! what is wanted, so that none of them waits for the engine.

use std::{
    net::{TcpListener, TcpStream},
    os::fd::BorrowedFd,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};
use tgs_control::{CommandSender, LiveClient, LiveState, LiveStatus};
use tgs_core::{
    cancel::Cancel,
    settings::{Live, LiveStart},
    supervise::keep_running,
};
use tgs_playout::{
    engine::Control,
    lane::{AfterEnd, Lane, LaneHandle, LaneRefused, LaneStart, LaneState, ListReturn},
};

use crate::{
    live_input::{
        HandedInput, HandedPublisher, IDLE as PUBLISHER_IDLE, LiveEvent, LiveInput, LiveInputError,
        LivePhase, LivePreview, LivePublisher, PreviewRefused, UNNAMED_KEY,
    },
    schedule::SLOT_RANK,
};

/// Interval at which the lane is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The same without a publisher. Events and commands end the wait.
const IDLE: Duration = Duration::from_secs(5);

/// Why a command to the live input is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TakeoverRefused {
    /// No publisher sends.
    #[error("no publisher sends at present")]
    NoPublisher,
    /// The publisher is on air.
    #[error("the publisher is on air already")]
    OnAir,
}

/// The live input and its way to the air. Drop ends both.
#[derive(Debug)]
pub(crate) struct LiveTakeover {
    shared: Arc<SharedTakeover>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct SharedTakeover {
    input: LiveInput,
    wanted: Arc<Wanted>,
    control: Control,
    start: LiveStart,
    delay: Duration,
    rank: u8,
    over: Cancel,
}

/// What is wanted. Its lock is held for moments only: events change it under the live input's.
#[derive(Debug)]
struct Wanted {
    state: Mutex<WantedState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct WantedState {
    publisher: Option<LivePublisher>,
    /// Whether the publisher is to be on air.
    is_taken: bool,
    /// Whether an operator has said so, or it was on air: it does not wait for the end of an item.
    at_once: bool,
    /// What was wanted of the publisher that another process has handed over, until it sends, or
    /// cannot any more.
    handed: Option<(HandedWish, Instant)>,
    lane: Option<LiveLane>,
}

/// What is wanted of the publisher with this key.
#[derive(Debug, Serialize, Deserialize)]
struct HandedWish {
    key_name: String,
    is_taken: bool,
    at_once: bool,
}

/// A publisher on its way to another process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HandedLive {
    publisher: HandedPublisher,
    /// `None` before its first keyframe.
    wish: Option<HandedWish>,
}

#[derive(Debug, Clone)]
struct LiveLane {
    handle: LaneHandle,
    /// Ends the waits of its programme.
    over: Cancel,
}

impl WantedState {
    /// What was wanted of a handed publisher with this key, once.
    fn take_wish(&mut self, key_name: &str) -> Option<HandedWish> {
        let (wish, until) = self.handed.take()?;
        (wish.key_name == key_name && Instant::now() < until).then_some(wish)
    }
}

impl LiveLane {
    fn close(&self, cause: &str) {
        self.handle.close(cause);
        self.over.cancel();
    }
}

impl Wanted {
    fn lock(&self) -> MutexGuard<'_, WantedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: &LiveEvent, start: LiveStart) {
        let mut state = self.lock();
        match event {
            LiveEvent::Arrived(publisher) => {
                state.publisher = Some(publisher.clone());
                let handed = state.take_wish(&publisher.key_name);
                (state.is_taken, state.at_once) =
                    handed.map_or((start != LiveStart::Ask, false), |wish| (wish.is_taken, wish.at_once));
            }
            LiveEvent::Returned(publisher) => state.publisher = Some(publisher.clone()),
            LiveEvent::Stalled => {}
            LiveEvent::Left { why } => {
                state.publisher = None;
                state.is_taken = false;
                if let Some(lane) = state.lane.take() {
                    lane.close(&format!("“{}” is over: {why}", lane.handle.name()));
                }
            }
        }
        self.changed.notify_all();
    }
}

impl LiveTakeover {
    /// The listener, for the process that takes this one's place.
    pub(crate) fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.shared.input.listener()
    }

    /// The publisher, for the process that takes this one's place; `None` if it cannot go over.
    pub(crate) fn hand_over(&self, within: Duration) -> Option<(TcpStream, HandedLive)> {
        let (socket, publisher) = self.shared.input.take_publisher(within)?;
        let mut state = self.shared.wanted.lock();
        let key_name = publisher.key_name().to_owned();
        let wish = match &state.publisher {
            Some(_) => Some(HandedWish { key_name, is_taken: state.is_taken, at_once: state.at_once }),
            None => state.take_wish(&key_name),
        };
        Some((socket, HandedLive { publisher, wish }))
    }

    /// Starts the live input, with what the process before has handed over.
    pub(crate) fn start(
        settings: &Live,
        state_dir: &Path,
        control: &Control,
        (listener, publisher): (Option<TcpListener>, Option<(TcpStream, HandedLive)>),
    ) -> Result<Self, LiveInputError> {
        let (publisher, wish) = publisher.map(|(socket, live)| ((socket, live.publisher), live.wish)).unzip();
        let handed = HandedInput { listener, publisher };
        let wish = wish.flatten().map(|wish| (wish, Instant::now() + settings.grace + PUBLISHER_IDLE));
        let state = Mutex::new(WantedState { handed: wish, ..WantedState::default() });
        let wanted = Arc::new(Wanted { state, changed: Condvar::new() });
        let (noted, start) = (Arc::clone(&wanted), settings.start);
        let input = LiveInput::start(settings, state_dir, handed, move |event| noted.note(event, start))?;
        let shared = Arc::new(SharedTakeover {
            input,
            wanted,
            control: control.clone(),
            start,
            delay: settings.delay,
            rank: if settings.over_schedule { SLOT_RANK + 1 } else { SLOT_RANK - 1 },
            over: Cancel::new(),
        });
        let run = {
            let shared = Arc::clone(&shared);
            move || keep_running("live-takeover", |delay| shared.over.wait(delay), || shared.run())
        };
        let thread = thread::Builder::new().name("live-takeover".into()).spawn(run);
        Ok(Self { shared, thread: Some(thread.map_err(LiveInputError::Thread)?) })
    }

    /// Puts the publisher on air.
    pub(crate) fn take(&self, by: &CommandSender) -> Result<(), TakeoverRefused> {
        let mut state = self.shared.wanted.lock();
        if state.publisher.is_none() {
            return Err(TakeoverRefused::NoPublisher);
        }
        if let Some(lane) = &state.lane {
            if lane.handle.state() == LaneState::OnAir {
                return Err(TakeoverRefused::OnAir);
            }
            lane.handle.start_now();
        }
        log::info!("command: live.take (from {by})");
        (state.is_taken, state.at_once) = (true, true);
        self.shared.wanted.changed.notify_all();
        Ok(())
    }

    /// Disconnects the publisher.
    pub(crate) fn drop_publisher(&self, by: &CommandSender) -> Result<(), TakeoverRefused> {
        if !self.shared.input.drop_publisher(&format!("dropped by {by}")) {
            return Err(TakeoverRefused::NoPublisher);
        }
        log::info!("command: live.drop (from {by})");
        Ok(())
    }

    /// The publisher's stream.
    pub(crate) fn preview(&self) -> Result<LivePreview, PreviewRefused> {
        self.shared.input.preview()
    }

    /// The live input, for operators.
    pub(crate) fn status(&self) -> LiveStatus {
        // Before the other lock: events hold both in this order.
        let phase = self.shared.input.phase();
        let state = self.shared.wanted.lock();
        let publisher = state.publisher.as_ref().map(|publisher| LiveClient {
            key: publisher.key_name.clone(),
            address: publisher.address.to_canonical().to_string(),
            format: publisher.format.clone(),
        });
        LiveStatus {
            url: self.shared.input.url(),
            state: match phase {
                LivePhase::Absent => LiveState::Absent,
                LivePhase::Connected => LiveState::Connected,
                LivePhase::Flowing => LiveState::Flowing,
                LivePhase::Stalled => LiveState::Stalled,
            },
            waits_for_take: publisher.is_some() && !state.is_taken,
            publisher,
            on_air: state.lane.as_ref().is_some_and(|lane| lane.handle.state() == LaneState::OnAir),
        }
    }
}

impl Drop for LiveTakeover {
    fn drop(&mut self) {
        self.shared.over.cancel();
        // Under the lock: the thread either sees the flag or waits already.
        drop(self.shared.wanted.lock());
        self.shared.wanted.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl SharedTakeover {
    fn run(&self) {
        let mut refused = false;
        while !self.over.is_cancelled() {
            let state = self.wanted.lock();
            let is_idle = state.publisher.is_none() && state.lane.is_none();
            let wait = self.wanted.changed.wait_timeout(state, if is_idle { IDLE } else { LOOK });
            let mut state = wait.unwrap_or_else(PoisonError::into_inner).0;
            match state.lane.as_ref().map(|lane| lane.handle.state()) {
                // The engine was stopped; the next one gets another lane.
                Some(LaneState::Stopped) => state.lane = None,
                Some(LaneState::OnAir) => state.at_once = true,
                Some(LaneState::Over) => {
                    state.lane = None;
                    if std::mem::take(&mut state.is_taken) && state.publisher.is_some() {
                        log::info!(
                            "live input: the publisher is off air; tgs-ctl live take puts it on air again"
                        );
                    }
                }
                _ => {}
            }
            let due = state.publisher.clone().filter(|_| state.is_taken && state.lane.is_none());
            let at_once = state.at_once;
            drop(state);
            if let Some(publisher) = due {
                match self.open(&publisher, at_once) {
                    Ok(lane) => self.adopt(lane),
                    // Opened as soon as the engine runs.
                    Err(LaneRefused::NotRunning) => {}
                    Err(why) if !refused => log::error!("live input: cannot go on air yet: {why}"),
                    Err(_) => {}
                }
                refused = self.wanted.lock().lane.is_none();
            }
        }
    }

    /// Keeps the lane, unless the publisher has left meanwhile.
    fn adopt(&self, lane: LiveLane) {
        let mut state = self.wanted.lock();
        if state.is_taken {
            state.lane = Some(lane);
        } else {
            lane.close("the publisher has left");
        }
    }

    fn open(&self, publisher: &LivePublisher, at_once: bool) -> Result<LiveLane, LaneRefused> {
        let over = self.over.child();
        let name = match &*publisher.key_name {
            UNNAMED_KEY => "live".to_owned(),
            key => format!("live: {key}"),
        };
        let lane = Lane {
            programme: Box::new(self.input.programme(name.clone(), over.clone())),
            name,
            start: match self.start {
                LiveStart::After if !at_once => LaneStart::AfterItem(SystemTime::now()),
                LiveStart::After | LiveStart::Now | LiveStart::Ask => LaneStart::Now,
            },
            end: None,
            rank: self.rank,
            after_end: AfterEnd::List,
            slate_text: None,
            list_returns: ListReturn::Resume,
            read_ahead: Some(self.delay),
            short_groups: true,
        };
        Ok(LiveLane { handle: self.control.open_lane(lane)?, over })
    }
}
