//! The connection of a main output that is alone: opens it, records its loss, reconnects, and
//! resumes. Beside further outputs, waits while no output is connected.
//!
//! [`crate::publisher`] decides which tags are sent again.

use std::time::Duration;

use tgs_control::PublisherState;

use super::{Playout, PlayoutEnd};
use crate::{main_output::MainOutput, publisher::Publisher, sink::SinkError, status::METRICS};

/// How often the end of an outage of all outputs is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Playout {
    /// The publisher of a main output that is alone.
    fn direct(&mut self) -> Option<&mut Publisher> {
        match &mut self.main {
            MainOutput::Direct(publisher) => Some(publisher),
            MainOutput::Threaded(_) => None,
        }
    }

    /// Replaces a lost connection.
    pub(super) fn recover(&mut self, broken: SinkError) -> Result<(), PlayoutEnd> {
        if self.cancel.is_cancelled() {
            return Err(PlayoutEnd::Cancelled);
        }
        if self.direct().is_some_and(|publisher| publisher.is_file()) {
            // Another attempt would truncate the file.
            return Err(PlayoutEnd::Failed(broken));
        }
        self.lost(&broken);
        self.connect(true)
    }

    /// Records the loss of the connection and the position up to which everything has arrived.
    pub(super) fn lost(&mut self, broken: &SinkError) {
        let Some(output) = self.direct().map(|publisher| publisher.output().to_string()) else { return };
        let cause = broken.to_string();
        self.shared_status.show(|status| status.publisher = PublisherState::Reconnecting { cause });
        METRICS.on_air.set(0);
        log::warn!("connection to {output} lost: {broken}");
        self.note_arrived();
        self.tracker.outage_began(&broken.to_string(), self.arrived);
        self.resume_at = self.direct().and_then(Publisher::lose).or(self.resume_at);
        self.switch.set_at_live_edge(true);
    }

    /// Connects, with unlimited attempts.
    pub(super) fn connect(&mut self, again: bool) -> Result<(), PlayoutEnd> {
        if self.direct().is_none() {
            return Ok(());
        }
        let delay = self.attempts.begin(self.clock.now());
        if !delay.is_zero() && self.clock.wait(delay, &self.cancel) {
            return Err(PlayoutEnd::Cancelled);
        }
        loop {
            self.heartbeat.beat();
            if self.cancel.is_cancelled() {
                return Err(PlayoutEnd::Cancelled);
            }
            match self.open_and_resume() {
                Ok(()) => break,
                Err(broken) => self.attempt_failed(broken)?,
            }
        }
        self.attempts.connected(self.clock.now());
        if again {
            METRICS.reconnects.inc();
        }
        self.tracker.connected(!self.until_keyframe);
        // Who reads the line of the log finds the state in the status.
        self.shared_status.show(|status| status.publisher = PublisherState::Connected);
        if let Some(publisher) = self.direct() {
            log::info!("connected to {}", publisher.output());
        }
        self.switch.set_at_live_edge(false);
        Ok(())
    }

    /// Shows and logs the failure, and waits.
    fn attempt_failed(&mut self, broken: SinkError) -> Result<(), PlayoutEnd> {
        let Some(publisher) = self.direct() else { return Ok(()) };
        if publisher.is_file() {
            return Err(PlayoutEnd::Failed(broken));
        }
        publisher.lose();
        let (output, text) = (publisher.output().to_string(), broken.to_string());
        self.tracker.outage_began(&text, self.arrived);
        self.monitors.flush(|| self.main.current_group());
        let cause = text.clone();
        self.shared_status.show(|status| status.publisher = PublisherState::Reconnecting { cause });
        if self.attempts.is_news(&text, self.clock.now()) {
            log::warn!("cannot publish to {output}: {text}; trying again");
        }
        if self.clock.wait(self.attempts.next_delay(), &self.cancel) {
            return Err(PlayoutEnd::Cancelled);
        }
        Ok(())
    }

    /// Opens a connection and continues on it: files at the last acknowledged keyframe, live
    /// sources at their live edge.
    fn open_and_resume(&mut self) -> Result<(), SinkError> {
        let Some(publisher) = self.direct() else { return Ok(()) };
        publisher.connect()?;
        let Some(at) = self.resume_at else { return Ok(()) };
        if self.is_live() {
            self.switch.current().read_ahead.skip_to_live_edge();
            self.begin_segment();
            self.until_keyframe = true;
            self.resume_at = None;
            return Ok(());
        }
        self.anchor = self.clock.now().checked_sub(Duration::from_millis(at));
        if let Some(publisher) = self.direct() {
            publisher.resume()?;
        }
        self.resume_at = None;
        Ok(())
    }

    /// Beside further outputs, waits while no output is connected: nobody shall miss the programme.
    /// Files then continue where they stood, live sources at their live edge.
    pub(super) fn await_output(&mut self) -> Result<(), PlayoutEnd> {
        let MainOutput::Threaded(threaded) = &self.main else { return Ok(()) };
        if threaded.is_taken() {
            return Ok(());
        }
        let began = self.clock.now();
        if self.sent_at.is_some() {
            let cause = match self.shared_status.read().status.publisher {
                PublisherState::Reconnecting { cause } => cause,
                _ => "no output is connected".to_owned(),
            };
            log::warn!("no output is connected; the programme waits: {cause}");
            self.tracker.outage_began(&cause, self.arrived);
        }
        self.switch.set_at_live_edge(true);
        while matches!(&self.main, MainOutput::Threaded(threaded) if !threaded.is_taken()) {
            self.heartbeat.beat();
            self.report(false);
            self.monitors.flush(|| self.main.current_group());
            if self.clock.wait(LOOK_EVERY, &self.cancel) {
                return Err(PlayoutEnd::Cancelled);
            }
        }
        self.switch.set_at_live_edge(false);
        self.anchor = self.anchor.map(|anchor| anchor + (self.clock.now() - began));
        if self.is_live() {
            self.switch.current().read_ahead.skip_to_live_edge();
            self.begin_segment();
        }
        self.tracker.connected(true);
        Ok(())
    }
}
