//! What moves with the simulated time: encoders, the server, and the caller's decisions.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use tgs_control::{BroadcastEvent, PublisherState};
use tgs_core::cancel::Cancel;

use super::{
    encoding::Encoding,
    format::{LengthOf, read_ahead},
    time::{SimulatedTime, World},
};
use crate::{
    events::EventSubscription,
    lane::{Lane, LaneHandle, LaneRefused, Lanes, OpenLane},
    status::SharedStatus,
};

/// How often the caller decides.
const TICK: Duration = Duration::from_millis(500);

/// What the caller of a simulation sees and changes.
pub struct Stage {
    pub(super) time: Arc<SimulatedTime>,
    pub(super) starts: SystemTime,
    pub(super) shared_status: SharedStatus,
    pub(super) lanes: Lanes,
    pub(super) encodings: Vec<Encoding>,
    pub(super) length: Arc<LengthOf>,
    pub(super) is_up: bool,
    pub(super) next_lane: u64,
}

impl Stage {
    /// The wall-clock time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.starts + Duration::from_nanos(self.time.elapsed())
    }

    /// Opens a lane, as [`crate::engine::Control::open_lane`] does.
    pub fn open_lane(&mut self, lane: Lane) -> Result<LaneHandle, LaneRefused> {
        let id = self.next_lane;
        self.next_lane += 1;
        let cancel = Cancel::new();
        let read_ahead = read_ahead(&self.time, &self.shared_status, OpenLane::first_seq(id));
        let open = Arc::new(OpenLane::new(id, &lane, read_ahead.clone(), cancel.clone()));
        self.lanes.add(open.clone())?;
        self.encodings.push(Encoding::new(lane.programme, read_ahead, cancel, self.length.clone()));
        Ok(LaneHandle(open))
    }

    /// Whether the server is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared_status.read().status.publisher == PublisherState::Connected
    }

    /// Sets whether the server accepts connections; those that are open break.
    pub fn set_server(&mut self, is_up: bool) {
        self.is_up = is_up;
    }

    fn encode(&mut self) {
        let now = self.time.elapsed();
        self.encodings.retain(|encoding| !encoding.is_cancelled());
        for encoding in &mut self.encodings {
            encoding.advance(now);
        }
    }
}

pub(super) struct SimulatedWorld {
    pub(super) stage: Stage,
    on_tick: Box<dyn FnMut(&mut Stage) + Send>,
    subscription: EventSubscription,
    seen: Vec<BroadcastEvent>,
    next_tick: u64,
    end: u64,
    cancel: Cancel,
}

impl SimulatedWorld {
    pub(super) fn new(
        stage: Stage,
        on_tick: Box<dyn FnMut(&mut Stage) + Send>,
        subscription: EventSubscription,
        lasts: Duration,
        cancel: Cancel,
    ) -> Self {
        let end = lasts.as_nanos() as u64;
        Self { stage, on_tick, subscription, seen: Vec::new(), next_tick: 0, end, cancel }
    }

    fn drain(&mut self) {
        while let Some(event) = self.subscription.next(Duration::ZERO) {
            self.seen.push((*event).clone());
        }
        assert_eq!(self.subscription.take_lost(), 0, "too many events between two ticks");
    }

    pub(super) fn take_events(&mut self) -> Vec<BroadcastEvent> {
        self.drain();
        std::mem::take(&mut self.seen)
    }
}

impl World for SimulatedWorld {
    fn pass(&mut self, until: u64) {
        loop {
            let now = until.min(self.next_tick).max(self.stage.time.elapsed());
            self.stage.time.now.store(now, Ordering::Relaxed);
            if now >= self.next_tick {
                self.next_tick = now + TICK.as_nanos() as u64;
                (self.on_tick)(&mut self.stage);
                self.drain();
            }
            self.stage.encode();
            if now >= until {
                break;
            }
        }
        if self.stage.time.elapsed() >= self.end {
            self.cancel.cancel();
        }
    }
}
