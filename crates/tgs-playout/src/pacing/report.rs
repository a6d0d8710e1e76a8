//! Reports of the playout thread: the snapshot and the metrics.

use std::{sync::Arc, time::Duration};

use tgs_control::{OnAir, PlayingItem};

use super::{OnAirSource, Playout};
use crate::{
    read_ahead::StartedItem,
    status::{METRICS, Published},
    timeline::TagOrigin,
};

/// Update interval of the snapshot and the gauges.
const REPORT_EVERY: Duration = Duration::from_millis(500);

impl Playout {
    pub(super) fn note_sent(&mut self, origin: TagOrigin, picture: bool) {
        METRICS.last_progress.set(self.clock.wall());
        METRICS.on_air.set(1);
        self.sent_at = Some(self.clock.now());
        if origin.seq > self.newest {
            self.newest = origin.seq;
            self.played += 1;
            METRICS.streams_played.inc();
            if let Some(item) = self.item(origin.seq) {
                #[cfg(test)]
                crate::faults::strike("the playout thread", &item.item.title);
                log::info!("on air: {}", item.item.title);
            }
        }
        if picture {
            let item = self.recent.iter().find(|item| item.seq == origin.seq);
            self.tracker.picture(origin, item);
        }
        let changed = origin.seq != self.last.seq;
        self.last = origin;
        if origin.seq == 0 && picture {
            METRICS.filler_seconds.inc_by(self.timeline.picture_seconds());
        }
        self.report(changed);
    }

    pub(super) fn item(&self, seq: u64) -> Option<&Arc<StartedItem>> {
        self.recent.iter().find(|item| item.seq == seq)
    }

    pub(super) fn note_arrived(&mut self) {
        if let Some(origin) = self.publisher.published().filter(|origin| origin.seq > 0) {
            let rewound = self.rewound.filter(|to| to.seq == origin.seq && to.offset_ms < origin.offset_ms);
            self.arrived = Some(rewound.unwrap_or(origin));
        }
    }

    /// Updates the snapshot, at once if `changed`.
    pub(super) fn report(&mut self, changed: bool) {
        if !changed && self.reported.is_some_and(|at| self.clock.now() - at < REPORT_EVERY) {
            return;
        }
        self.reported = Some(self.clock.now());
        self.note_arrived();
        let (ahead, queue) = (self.read_ahead.seconds(), self.publisher.queue_seconds());
        METRICS.readahead_seconds.set(ahead);
        METRICS.queue_seconds.set(queue);
        // Until the filler's first tag is sent, `last` still names an item.
        let item = self.item(self.last.seq).filter(|_| self.source != OnAirSource::Filler);
        let showing = item.map(|item| PlayingItem {
            id: item.item.id.clone(),
            title: item.item.title.clone(),
            offset_seconds: self.last.offset_ms as f64 / 1000.0,
            duration_seconds: item.expected.map(|d| (d + item.item.start).as_secs_f64()),
        });
        let published = self.arrived.and_then(|origin| {
            let place = self.item(origin.seq)?.item.turn;
            Some(Published { turn: place, offset: Duration::from_millis(origin.offset_ms) })
        });
        let (sent_at, sent_turn) = (self.sent_at, item.map(|item| item.item.turn));
        let next = self.read_ahead.next_title();
        let (now, bridging) =
            (self.clock.now(), self.source == OnAirSource::Filler && !self.read_ahead.is_paused());
        self.shared_status.update(|state| {
            state.sent_at = sent_at;
            state.sent_turn = sent_turn.or(state.sent_turn);
            state.filler_since = bridging.then(|| state.filler_since.unwrap_or(now));
            state.published = published.or_else(|| state.published.take());
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
