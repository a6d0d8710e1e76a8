//! The connection: opens it, records its loss, reconnects, and resumes.
//!
//! [`crate::publisher`] decides which tags are sent again.

use std::time::{Duration, Instant};

use tgs_control::PublisherState;

use super::{Playout, PlayoutEnd};
use crate::{sink::SinkError, status::METRICS};

/// After a connection that lasted longer than this, the next attempt follows without back-off.
const STEADY: Duration = Duration::from_secs(5);

impl Playout {
    /// Replaces a lost connection.
    pub(super) fn recover(&mut self, broken: SinkError) -> Result<(), PlayoutEnd> {
        if self.cancel.is_cancelled() {
            return Err(PlayoutEnd::Cancelled);
        }
        if self.publisher.is_file() {
            // Another attempt would truncate the file.
            return Err(PlayoutEnd::Failed(broken));
        }
        self.lost(&broken);
        self.connect(true)
    }

    /// Records the loss of the connection and the position up to which everything has arrived.
    pub(super) fn lost(&mut self, broken: &SinkError) {
        log::warn!("connection to {} lost: {broken}", self.publisher.output());
        let cause = broken.to_string();
        self.shared_status.show(|status| status.publisher = PublisherState::Reconnecting { cause });
        METRICS.on_air.set(0);
        self.note_arrived();
        self.tracker.outage_began(&broken.to_string(), self.arrived);
        self.resume_at = self.publisher.lose().or(self.resume_at);
        self.switch.set_at_live_edge(true);
    }

    /// Connects, with unlimited attempts.
    pub(super) fn connect(&mut self, again: bool) -> Result<(), PlayoutEnd> {
        if self.connected.is_none_or(|at| self.clock.now() - at > STEADY) {
            self.backoff.reset();
            self.hurried = false;
        } else if !self.hurried {
            // A single short connection may be chance: the first one is followed by an immediate
            // attempt.
            self.hurried = true;
        } else if self.wait_backoff() {
            // Back-off for a server that accepts connections and drops them.
            return Err(PlayoutEnd::Cancelled);
        }
        let mut logged: Option<(String, Instant)> = None;
        loop {
            self.heartbeat.beat();
            if self.cancel.is_cancelled() {
                return Err(PlayoutEnd::Cancelled);
            }
            match self.publisher.connect().and_then(|()| self.resume()) {
                Ok(()) => break,
                Err(broken) if self.publisher.is_file() => {
                    return Err(PlayoutEnd::Failed(broken));
                }
                Err(broken) => {
                    self.publisher.lose();
                    let text = broken.to_string();
                    // The same error is logged once a minute, not at each attempt.
                    if logged
                        .as_ref()
                        .is_none_or(|(last, at)| *last != text || (self.clock.now() - *at).as_secs() >= 60)
                    {
                        log::warn!("cannot publish to {}: {text}; trying again", self.publisher.output());
                        logged = Some((text.clone(), self.clock.now()));
                    }
                    self.tracker.outage_began(&text, self.arrived);
                    self.monitors.flush(|| self.publisher.current_group());
                    self.shared_status
                        .show(|status| status.publisher = PublisherState::Reconnecting { cause: text });
                    if self.wait_backoff() {
                        return Err(PlayoutEnd::Cancelled);
                    }
                }
            }
        }
        self.connected = Some(self.clock.now());
        if again {
            METRICS.reconnects.inc();
        }
        log::info!("connected to {}", self.publisher.output());
        self.tracker.connected(!self.until_keyframe);
        self.shared_status.show(|status| status.publisher = PublisherState::Connected);
        self.switch.set_at_live_edge(false);
        Ok(())
    }

    /// Waits before the next attempt to connect; `true` if the broadcast is stopped.
    pub(super) fn wait_backoff(&mut self) -> bool {
        self.clock.wait(self.backoff.next_delay(), &self.cancel)
    }

    /// Continues on a new connection: files at the last acknowledged keyframe, live sources at
    /// their live edge.
    pub(super) fn resume(&mut self) -> Result<(), SinkError> {
        let Some(at) = self.resume_at else { return Ok(()) };
        if self.is_live() {
            self.switch.current().read_ahead.skip_to_live_edge();
            self.begin_segment();
            self.until_keyframe = true;
            self.resume_at = None;
            return Ok(());
        }
        self.anchor = self.clock.now().checked_sub(Duration::from_millis(at));
        self.publisher.resume()?;
        self.resume_at = None;
        Ok(())
    }
}
