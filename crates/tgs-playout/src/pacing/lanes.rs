//! Decides which lane is on air, and changes between the list and lanes; see [`crate::lane`].

use std::time::{SystemTime, UNIX_EPOCH};

use super::{OnAirSource, Playout};
use crate::{
    lane::{LaneStart, ListReturn, OpenLane},
    read_ahead::{CutTake, Polled},
};

/// A hard start begins at the first possible cut from this many frames before its time on. Encoders
/// that send three pictures between two references can be cut each four frames: the start is at
/// most two frames and a half off.
const FRAMES_EARLY: f64 = 1.5;

impl Playout {
    /// The lane that is due instead of the current one; 0 is the list.
    pub(super) fn due_lane(&mut self) -> Option<u64> {
        if self.switch.current == 0 && self.switch.lanes.is_empty() {
            return None;
        }
        self.switch.refresh();
        let (mut best, mut wanted) = ((0, 0), 0);
        let (mut over, mut delayed) = (Vec::new(), Vec::new());
        for source in &self.switch.open {
            let Some(lane) = &source.lane else { continue };
            if let Some(cause) = self.over_because(lane) {
                over.push((lane.id, cause));
                continue;
            }
            let ready = lane.has_begun() || lane.is_startable();
            let due = lane.has_begun() || self.is_lane_due(lane);
            if due && !ready {
                delayed.push(lane.id);
            } else if due && (lane.rank, lane.id) > best {
                (best, wanted) = ((lane.rank, lane.id), lane.id);
            }
        }
        for id in delayed {
            self.log_late(id);
        }
        over.retain(|(id, _)| *id != self.switch.current);
        for (id, cause) in over {
            self.end_lane(id, &cause);
        }
        (wanted != self.switch.current).then_some(wanted)
    }

    /// Why `lane` gives the air back now, if it does.
    fn over_because(&self, lane: &OpenLane) -> Option<String> {
        if let Some(cause) = lane.closing() {
            return Some(cause);
        }
        if lane.end().is_some_and(|end| self.is_due(end)) {
            return Some(format!("the time of “{}” is over", lane.name));
        }
        let ended = lane.read_ahead.is_ended() && !lane.holds_with_filler() && !lane.ends_broadcast();
        ended.then(|| format!("“{}” is over", lane.name))
    }

    fn is_lane_due(&self, lane: &OpenLane) -> bool {
        match lane.start {
            _ if lane.starts_at_once() => true,
            LaneStart::Now => true,
            LaneStart::At(at) => self.is_due(at),
            LaneStart::AfterItem(at) => {
                let between =
                    self.source == OnAirSource::Nothing || self.switch.current().read_ahead.is_between();
                between && self.is_due(at)
            }
        }
    }

    /// Whether the next picture is due at this time of the wall clock, or later.
    fn is_due(&self, at: SystemTime) -> bool {
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let left_ms = (at - self.clock.wall()) * 1000.0;
        let ahead_ms = self.anchor.map_or(0.0, |anchor| {
            let elapsed = self.clock.now().saturating_duration_since(anchor);
            self.timeline.next_picture_ms() as f64 - elapsed.as_secs_f64() * 1000.0
        });
        ahead_ms + FRAMES_EARLY * 1000.0 * self.timeline.picture_seconds() >= left_ms
    }

    fn log_late(&mut self, id: u64) {
        let source = self.switch.source_mut(id);
        if let Some(lane) = &source.lane
            && !std::mem::replace(&mut source.late, true)
            && !lane.starts_at_once()
        {
            log::warn!("“{}” is due, and its first item is not ready; it begins once the item is", lane.name);
        }
    }

    /// Takes what must be sent before the lane `to` follows, and then its first event.
    pub(super) fn take_to_change(&mut self, to: u64) -> Polled {
        match self.source {
            OnAirSource::Item => match self.switch.current().read_ahead.take_to_cut() {
                CutTake::Event(event) => return Polled::Event(event),
                CutTake::NotReady => return Polled::NotReady,
                CutTake::Cut => {}
            },
            OnAirSource::Filler if !self.timeline.is_whole() => return Polled::NotReady,
            OnAirSource::Filler | OnAirSource::Nothing | OnAirSource::Changed => {}
        }
        self.change_lane(to);
        self.poll()
    }

    fn change_lane(&mut self, to: u64) {
        let from = self.switch.current;
        let over = self.switch.current_lane().and_then(|lane| Some((lane.id, self.over_because(lane)?)));
        let (name, list_returns) = match self.switch.source(to).lane.as_ref() {
            Some(lane) => (lane.name.clone(), lane.list_returns),
            None => ("the list".to_owned(), ListReturn::Resume),
        };
        self.tracker.set_cause(&format!("“{name}”"));
        let source = self.switch.current_mut();
        let inside = !source.read_ahead.is_between();
        let at = source.read_ahead.leave();
        source.set_rewound(at);
        source.read_ahead.set_at_live_edge(true);
        if let Some(lane) = &source.lane {
            lane.set_on_air(false);
        }
        if from == 0 && inside && list_returns == ListReturn::Next {
            self.tracker.skip(self.switch.list.read_ahead.current_seq(), &format!("slot “{name}”"));
            // Refused only if many items are skipped already.
            let _ = self.switch.list.read_ahead.skip();
        }
        if let Some((id, cause)) = over {
            self.end_lane(id, &cause);
        }
        self.switch.current = to;
        let source = self.switch.current();
        source.read_ahead.set_at_live_edge(false);
        if let Some(lane) = &source.lane {
            lane.set_on_air(true);
        }
        log::info!("{name} takes the air");
        self.source = OnAirSource::Changed;
    }

    fn end_lane(&mut self, id: u64, cause: &str) {
        log::info!("{cause}");
        self.tracker.lane_over(id, cause);
        self.switch.forget(id);
    }
}
