//! The connection: opens it, notes its loss, reconnects, and resumes.
//!
//! What is sent again is decided by [`crate::publisher`].

use std::time::{Duration, Instant};

use tgs_control::PublisherState;

use super::{Playout, PlayoutEnd};
use crate::{sink::SinkError, status::METRICS};

/// A connection that lasted this long was a good one: after it the next is tried at once.
const STEADY: Duration = Duration::from_secs(5);

impl Playout {
    /// The connection is gone: makes another.
    pub(super) fn recover(&mut self, broken: SinkError) -> Result<(), PlayoutEnd> {
        if self.cancel.is_cancelled() {
            return Err(PlayoutEnd::Cancelled);
        }
        if self.publisher.is_file() {
            // Another attempt would begin the file anew.
            return Err(PlayoutEnd::Failed(broken));
        }
        self.lost(&broken);
        self.connect(true)
    }

    /// The connection is gone. Shifts the clock to what has arrived.
    pub(super) fn lost(&mut self, broken: &SinkError) {
        log::warn!("connection to {} lost: {broken}", self.publisher.output());
        let cause = broken.to_string();
        self.shared_status.show(|status| status.publisher = PublisherState::Reconnecting { cause });
        METRICS.on_air.set(0);
        self.note_arrived();
        self.resume_at = self.publisher.lose().or(self.resume_at);
        self.read_ahead.set_at_live_edge(true);
    }

    /// Connects, however long it takes.
    pub(super) fn connect(&mut self, again: bool) -> Result<(), PlayoutEnd> {
        if self.connected.is_none_or(|at| self.clock.now() - at > STEADY) {
            self.backoff.reset();
            self.hurried = false;
        } else if !self.hurried {
            // One short connection says little: the first break is always followed by an attempt at
            // once.
            self.hurried = true;
        } else if self.wait_backoff() {
            // A server that takes the connection and drops it is not asked again at once.
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
                    // Logged once a minute, not at each attempt.
                    if logged
                        .as_ref()
                        .is_none_or(|(last, at)| *last != text || (self.clock.now() - *at).as_secs() >= 60)
                    {
                        log::warn!("cannot publish to {}: {text}; trying again", self.publisher.output());
                        logged = Some((text.clone(), self.clock.now()));
                    }
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
        self.shared_status.show(|status| status.publisher = PublisherState::Connected);
        self.read_ahead.set_at_live_edge(false);
        Ok(())
    }

    /// Waits before the next attempt to connect; `true` where the broadcast is stopped.
    pub(super) fn wait_backoff(&mut self) -> bool {
        self.clock.wait(self.backoff.next_delay(), &self.cancel)
    }

    /// Goes on over a new connection: files where the viewer left them, live sources at their
    /// newest.
    pub(super) fn resume(&mut self) -> Result<(), SinkError> {
        let Some(at) = self.resume_at else { return Ok(()) };
        if self.is_live() {
            self.read_ahead.skip_to_live_edge();
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
