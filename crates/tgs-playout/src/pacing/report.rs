//! Reports of the playout thread: the snapshot and the metrics.

use std::{sync::Arc, time::Duration};

use tgs_control::{OnAir, PlayingItem};

use super::{OnAirSource, Playout};
use crate::{
    lane::{MOST_LANES, lane_of},
    main_output::MainOutput,
    status::{METRICS, Published},
    timeline::TagOrigin,
};

/// Update interval of the snapshot and the gauges.
const REPORT_EVERY: Duration = Duration::from_millis(250);

impl Playout {
    pub(super) fn note_sent(&mut self, origin: TagOrigin, picture: bool) {
        METRICS.last_progress.set(self.clock.wall());
        if let MainOutput::Direct(_) = self.main {
            METRICS.on_air.set(1);
        }
        let first = self.sent_at.replace(self.clock.now()).is_none();
        // Pictures decide what is on air: sound of the item before may still follow the first one.
        if !picture {
            return self.report(first);
        }
        let known = |newest: &u64| lane_of(*newest) == lane_of(origin.seq) && *newest >= origin.seq;
        let begun = origin.seq > 0 && !self.newest.iter().any(known);
        if begun {
            self.note_begun(origin.seq);
            self.played += 1;
            METRICS.streams_played.inc();
        }
        self.tracker.picture(origin, self.switch.item(origin.seq), self.switch.lane(origin));
        let changed = origin.seq != self.last.seq;
        self.last = origin;
        if origin.seq == 0 {
            METRICS.filler_seconds.inc_by(self.timeline.picture_seconds());
        }
        self.report(first || changed);
        // Who reads this line finds the item in the status.
        if begun && let Some(item) = self.switch.item(origin.seq) {
            #[cfg(test)]
            crate::faults::strike("the playout thread", &item.item.title);
            log::info!("on air: {}", item.item.title);
        }
    }

    /// Remembers an item, so that it is counted once, also if lanes interrupt it.
    fn note_begun(&mut self, seq: u64) {
        let lane = lane_of(seq);
        // Numbers grow within a lane.
        self.newest.retain(|newest| lane_of(*newest) != lane);
        self.newest.push_back(seq);
        if self.newest.len() > MOST_LANES + 1 {
            self.newest.pop_front();
        }
    }

    pub(super) fn note_arrived(&mut self) {
        let arrived = match &self.main {
            // What the further outputs send is published.
            MainOutput::Threaded(threaded) if !threaded.is_connected() && threaded.is_taken() => {
                Some(self.last)
            }
            main => main.published(),
        };
        if let Some(origin) = arrived.filter(|origin| origin.seq > 0) {
            self.arrived = Some(self.switch.resumes_at(origin));
        }
        let list = self.arrived.filter(|origin| lane_of(origin.seq) == 0).or(self.list_arrived);
        // What a lane has interrupted continues there, though its last pictures arrive later.
        self.list_arrived = list.map(|origin| self.switch.resumes_at(origin));
    }

    /// Updates the snapshot, at once if `changed`.
    pub(super) fn report(&mut self, changed: bool) {
        if !changed && self.reported.is_some_and(|at| self.clock.now() - at < REPORT_EVERY) {
            return;
        }
        self.reported = Some(self.clock.now());
        self.note_arrived();
        let read_ahead = &self.switch.current().read_ahead;
        let (ahead, queue) = (read_ahead.seconds(), self.main.queue_seconds());
        METRICS.readahead_seconds.set(ahead);
        METRICS.queue_seconds.set(queue);
        // Until the filler's first tag is sent, `last` still names an item.
        let item = self.switch.item(self.last.seq).filter(|_| self.source != OnAirSource::Filler);
        let lane = item.and_then(|_| self.switch.lane(self.last));
        let showing = item.map(|item| PlayingItem {
            id: item.item.id.clone(),
            title: item.item.title.clone(),
            offset_seconds: self.last.offset_ms as f64 / 1000.0,
            duration_seconds: item.expected.map(|d| (d + item.item.start).as_secs_f64()),
            lane: lane.map(|lane| lane.name.clone()),
        });
        let position = |origin: TagOrigin| {
            let turn = self.switch.item(origin.seq)?.item.turn;
            Some(Published { turn, offset: Duration::from_millis(origin.offset_ms) })
        };
        let published = self.list_arrived.and_then(position);
        let lane_position = self.arrived.filter(|_| lane.is_some()).and_then(position);
        let sent_turn = item.filter(|_| lane.is_none()).map(|item| item.item.turn);
        let (sent_at, next) = (self.sent_at, read_ahead.next_title());
        // In a pause and in the rest of a slot's time, the filler is asked for.
        let asked_for = read_ahead.is_paused() || self.holds_with_filler();
        let (now, bridging) = (self.clock.now(), self.source == OnAirSource::Filler && !asked_for);
        self.shared_status.update(|state| {
            state.sent_at = sent_at;
            if let Some(item) = item.filter(|item| state.item.as_deref() != Some(&item.item)) {
                state.item = Some(Arc::new(item.item.clone()));
            }
            state.sent_turn = sent_turn.or(state.sent_turn);
            state.filler_since = bridging.then(|| state.filler_since.unwrap_or(now));
            state.published = published.or_else(|| state.published.take());
            state.lane_position = lane_position;
            let status = &mut state.status;
            status.next = next;
            status.readahead_seconds = ahead;
            status.queue_seconds = queue;
            if let Some(showing) = showing {
                status.on_air = OnAir::Item(showing);
            }
        });
    }
}
