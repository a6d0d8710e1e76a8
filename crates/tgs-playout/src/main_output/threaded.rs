//! The thread of the main output beside further outputs: connects, sends, and connects again.
//!
//! What may not have arrived is sent again over the next connection, as far as the bounds of the
//! backlog allow.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tgs_control::PublisherState;
use tgs_core::cancel::Cancel;
use tgs_rtmp::flv::{Kind, Tag};

use super::{
    attempts::Attempts,
    backlog::{Backlog, Progress, TakenBatch},
};
use crate::{
    clock::Clock,
    engine::Control,
    outputs::Outputs,
    publisher::Publisher,
    quiet_log::QuietLog,
    sink::SinkError,
    status::{METRICS, SharedStatus},
    threads::await_end,
    timeline::{TagOrigin, TimedTag},
};

/// Interval at which the backlog is sent: wake-ups dominate the cost of a connection.
const GATHER: Duration = Duration::from_millis(100);

/// How long the end of a run waits for the rest to be sent, and for the connection's end.
const GOODBYE: Duration = Duration::from_millis(1500);

/// The message about a slow uplink is logged again after this time.
const SILENCE: Duration = Duration::from_mins(10);

/// The playout thread's side.
#[derive(Debug)]
pub(crate) struct ThreadedPublisher {
    backlog: Backlog,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
    thread: JoinHandle<()>,
    outputs: Outputs,
    /// Codec headers in force, and the tags since the last keyframe.
    headers: [Option<Tag>; 2],
    group: Vec<Tag>,
}

impl ThreadedPublisher {
    /// Starts the thread. If it dies, the broadcast ends.
    pub(crate) fn start(publisher: Publisher, control: &Control) -> io::Result<Self> {
        let (backlog, clock, cancel) = (Backlog::default(), publisher.clock(), control.stopped());
        let mut thread = PublisherThread {
            publisher,
            backlog: backlog.clone(),
            shared_status: control.status.clone(),
            cancel: cancel.clone(),
            clock: clock.clone(),
            attempts: Attempts::default(),
            slow: QuietLog::default(),
            again: false,
        };
        let (control, outputs) = (control.clone(), control.outputs.clone());
        let run = move || control.guard("publisher", || thread.run()).unwrap_or_default();
        let thread = thread::Builder::new().name("publisher".into()).spawn(run)?;
        Ok(Self { backlog, clock, cancel, thread, outputs, headers: [None, None], group: Vec::new() })
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Waits until `until`, or until the broadcast is stopped.
    pub(super) fn wait(&self, until: Instant) {
        self.clock.wait(until.saturating_duration_since(self.clock.now()), &self.cancel);
    }

    /// Whether the output is connected.
    pub(crate) fn is_connected(&self) -> bool {
        self.backlog.progress().connected
    }

    /// Whether any output is connected, this one or a further one.
    pub(crate) fn is_taken(&self) -> bool {
        self.is_connected() || self.outputs.any_connected()
    }

    pub(super) fn published(&self) -> Option<TagOrigin> {
        self.backlog.progress().arrived
    }

    pub(super) fn queue_seconds(&self) -> f64 {
        self.backlog.progress().unacknowledged + self.backlog.seconds()
    }

    /// Takes a tag that is due.
    pub(super) fn push(&mut self, placed: TimedTag) {
        let tag = &placed.tag;
        if tag.is_sequence_header() {
            self.headers[usize::from(tag.kind == Kind::Audio)] = Some(tag.clone());
        }
        if tag.is_keyframe() {
            let timestamp = tag.timestamp;
            let headers = self.headers.clone().into_iter().flatten();
            self.group.clear();
            self.group.extend(headers.map(|header| Tag { timestamp, ..header }));
        }
        if tag.is_keyframe() || !self.group.is_empty() {
            self.group.push(tag.clone());
        }
        self.backlog.push(placed);
    }

    pub(super) fn current_group(&self) -> Vec<Tag> {
        self.group.clone()
    }

    /// Sends the rest, and closes the connection.
    pub(super) fn finish(&mut self) {
        self.backlog.end();
        if self.is_connected() {
            await_end([&self.thread], GOODBYE);
        }
        self.cancel.cancel();
        await_end([&self.thread], GOODBYE);
    }
}

/// Why a connection is no longer served, if it is not lost.
enum Served {
    /// Everything is sent.
    Over,
    /// The output is another one now, or none.
    Moved,
}

struct PublisherThread {
    publisher: Publisher,
    backlog: Backlog,
    shared_status: SharedStatus,
    cancel: Cancel,
    clock: Arc<dyn Clock>,
    attempts: Attempts,
    slow: QuietLog,
    /// Whether a connection was made before.
    again: bool,
}

impl PublisherThread {
    fn run(&mut self) {
        while self.connect() {
            match self.serve() {
                Ok(Served::Over) => break,
                Ok(Served::Moved) => {
                    self.publisher.part();
                    self.away(PublisherState::Connecting);
                }
                Err(_) if self.cancel.is_cancelled() => break,
                Err(broken) => self.lost(&broken),
            }
        }
        self.publisher.goodbye();
        self.backlog.set_progress(Progress::default());
    }

    /// Connects, with unlimited attempts; `false` when the broadcast is stopped or over.
    fn connect(&mut self) -> bool {
        let delay = self.attempts.begin(self.clock.now());
        self.pause(delay);
        loop {
            if self.cancel.is_cancelled() || self.backlog.is_over() {
                return false;
            }
            let Err(error) = self.publisher.connect() else { break };
            let text = error.to_string();
            let delay = if matches!(error, SinkError::Unnamed) {
                self.away(PublisherState::Connecting);
                GATHER
            } else {
                self.away(PublisherState::Reconnecting { cause: text.clone() });
                if self.attempts.is_news(&text, self.clock.now()) {
                    log::warn!("cannot publish to {}: {text}; trying again", self.publisher.output());
                }
                self.attempts.next_delay()
            };
            self.pause(delay);
        }
        self.attempts.connected(self.clock.now());
        if std::mem::replace(&mut self.again, true) {
            METRICS.reconnects.inc();
        }
        true
    }

    /// Waits before an attempt; a new output ends the wait.
    fn pause(&self, delay: Duration) {
        let end = Instant::now() + delay;
        while Instant::now() < end && !self.publisher.is_moved() && !self.cancel.wait(GATHER.min(delay)) {}
    }

    /// Sends until the connection is lost or no longer wanted.
    fn serve(&mut self) -> Result<Served, SinkError> {
        let mut batch = self.backlog.take();
        if !batch.dropped {
            let resumed = self.publisher.resume();
            self.keep_on_error(resumed, &mut batch)?;
        }
        self.show_connected();
        loop {
            let sent = self.send(&mut batch);
            self.keep_on_error(sent, &mut batch)?;
            // Answers the server, and sees whether it has closed.
            self.publisher.wait(self.clock.now())?;
            self.backlog.set_progress(Progress {
                connected: true,
                arrived: self.publisher.published(),
                unacknowledged: self.publisher.queue_seconds(),
            });
            if batch.over {
                return Ok(Served::Over);
            }
            if self.publisher.is_moved() {
                return Ok(Served::Moved);
            }
            if self.cancel.wait(GATHER) {
                return Err(SinkError::Cancelled);
            }
            batch = self.backlog.take();
            if batch.dropped && self.slow.is_due("", self.clock.now(), SILENCE) {
                log::warn!(
                    "the uplink to {} is slower than the bitrate, and media is skipped there: choose a lower \
                     VIDEO_QUALITY or a better line",
                    self.publisher.output()
                );
            }
        }
    }

    fn send(&mut self, batch: &mut TakenBatch) -> Result<(), SinkError> {
        if batch.dropped
            && let Some(first) = batch.tags.front()
        {
            self.publisher.forget(first.tag.timestamp);
        }
        while let Some(placed) = batch.tags.pop_front() {
            self.publisher.send(placed)?;
        }
        self.publisher.flush()
    }

    /// After an error, the rest of the batch is kept for the next connection.
    fn keep_on_error(
        &mut self,
        sent: Result<(), SinkError>,
        batch: &mut TakenBatch,
    ) -> Result<(), SinkError> {
        if sent.is_err() {
            batch.tags.drain(..).for_each(|placed| self.publisher.keep(placed));
        }
        sent
    }

    fn show_connected(&self) {
        self.backlog.set_progress(Progress { connected: true, ..Progress::default() });
        self.shared_status.show(|status| status.publisher = PublisherState::Connected);
        METRICS.on_air.set(1);
        log::info!("connected to {}", self.publisher.output());
    }

    fn lost(&mut self, broken: &SinkError) {
        self.publisher.lose();
        self.away(PublisherState::Reconnecting { cause: broken.to_string() });
        log::warn!("connection to {} lost: {broken}", self.publisher.output());
    }

    fn away(&self, state: PublisherState) {
        self.backlog.set_progress(Progress::default());
        METRICS.on_air.set(0);
        self.shared_status.show(|status| status.publisher = state);
    }
}
