//! The filler: sent while the next group of pictures is missing when due.

use std::time::Duration;

use tgs_control::OnAir;

use super::{OnAirSource, Playout, PlayoutEnd};

/// Time limit for the first picture, after which the filler is sent.
const START_PATIENCE: Duration = Duration::from_secs(3);

impl Playout {
    /// Handles a missing group: waits until the group is due, then sends a tag of filler instead.
    pub(super) fn bridge(&mut self) -> Result<(), PlayoutEnd> {
        if self.source != OnAirSource::Filler {
            return self.bridge_or_wait();
        }
        if let Err(error) = self.filler.next(&mut self.timeline) {
            log::error!("failed to read the filler: {error}");
            // An idle segment releases the item, which would otherwise wait for more filler.
            self.timeline.begin(0, 0, true);
            return self.idle(self.clock.now() + Duration::from_millis(500));
        }
        Ok(())
    }

    pub(super) fn bridge_or_wait(&mut self) -> Result<(), PlayoutEnd> {
        if self.timeline.settle() {
            return Ok(());
        }
        let due = match self.anchor {
            Some(anchor) => anchor + Duration::from_millis(self.timeline.next_picture_ms()),
            None => self.started + START_PATIENCE,
        };
        let now = self.clock.now();
        if now < due
            && (self.anchor.is_some() || self.switch.current().read_ahead.requested_change().is_none())
        {
            if self.anchor.is_none() {
                self.switch.current().read_ahead.wait(due.min(now + Duration::from_millis(100)) - now);
                return self.idle(now);
            }
            return self.idle(due);
        }
        self.enter_filler();
        Ok(())
    }

    /// Whether the current item's source yields no media, although it has not ended and is not
    /// paused.
    pub(super) fn source_is_slow(&self) -> bool {
        self.source == OnAirSource::Item
            && self.switch.current().read_ahead.inside_item()
            && !self.switch.current().read_ahead.is_paused()
    }

    pub(super) fn enter_filler(&mut self) {
        let (level, cause) = self.filler_cause();
        self.show_filler(cause.clone());
        log::log!(level, "filler on air: {cause}");
    }

    /// Why the filler is shown, a warning where nobody asked for it.
    fn filler_cause(&self) -> (log::Level, String) {
        let asked_for = self.switch.current().read_ahead.requested_change();
        if let Some(cause) = asked_for.filter(|_| !self.source_is_slow()) {
            return (log::Level::Info, cause.to_owned());
        }
        if let Some(lane) = self.switch.current_lane().filter(|_| self.holds_with_filler()) {
            return (log::Level::Info, format!("“{}” is over before its time", lane.name));
        }
        let status = self.shared_status.read().status;
        let cause = if self.source_is_slow() {
            match status.encoder_speed_ratio {
                Some(ratio) if ratio < 1.0 => format!(
                    "the encoder is slower than real time ({ratio:.2}×): choose a lower VIDEO_QUALITY or a faster machine"
                ),
                _ => "the source gives nothing".to_owned(),
            }
        } else if let Some(failure) = status.last_failure {
            format!("nothing to play, last failure: {failure}")
        } else {
            "the next item is not ready".to_owned()
        };
        (log::Level::Warn, cause)
    }

    fn show_filler(&mut self, cause: String) {
        self.tracker.set_cause(&cause);
        self.shared_status.show(|status| status.on_air = OnAir::Filler { cause });
        let source = self.switch.current_mut();
        let at = source.read_ahead.rewind();
        source.set_rewound(at);
        let lane_slate = self.switch.current_lane().filter(|_| self.holds_with_filler());
        let lane_slate = lane_slate.map(|lane| lane.slate.clone()).unwrap_or_default();
        if let Err(error) = self.filler.enter(&mut self.timeline, lane_slate) {
            log::error!("failed to read the filler: {error}");
        }
        self.source = OnAirSource::Filler;
    }
}
