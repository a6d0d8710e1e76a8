//! The thread of one further output: connects, sends, and connects again after a loss.
//!
//! A new connection begins at the newest keyframe, with headers and timestamps from 0: what the
//! server has missed is not sent later, since its viewers watch the present.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tgs_control::PublisherState;
use tgs_core::{backoff::Backoff, cancel::Cancel, permit::Permit};
use tgs_rtmp::{client::RtmpConnection, metadata::Metadata};

use super::{
    queue::{TagQueue, TagReader},
    state::FurtherOutput,
};
use crate::{
    continuous::ContinuousStream,
    quiet_log::QuietLog,
    sink::{FLUSH_AT, SinkError},
    upstream::UpstreamDialler,
};

/// Time limit of one connection attempt.
const CONNECT_TIME_OUT: Duration = Duration::from_secs(10);

/// Interval at which the queue is sent: the wake-ups of kernel and peer dominate the cost of an
/// output. Players buffer seconds.
const GATHER: Duration = Duration::from_millis(250);

/// Delays after failures, from the first to the longest. A refused key is soon a rare question:
/// services block clients that ask often.
const DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// A connection that lasted longer than this makes the delays begin anew.
const STEADY: Duration = Duration::from_secs(30);

/// The same message is logged again after this time at the earliest.
const SILENCE: Duration = Duration::from_mins(10);

/// The thread of one further output.
#[derive(Debug)]
pub(super) struct OutputThread {
    output: Arc<FurtherOutput>,
    queue: TagQueue,
    metadata: Metadata,
    cancel: Cancel,
    permit: Permit,
    backoff: Backoff,
    /// When the current connection was made.
    connected: Option<Instant>,
    /// Whether the last connection was lost.
    lost: bool,
    /// Whether it was a short one: a server that takes and drops connections is no news.
    short: bool,
    failure: QuietLog,
    slow: QuietLog,
}

impl OutputThread {
    pub(super) fn new(
        output: Arc<FurtherOutput>,
        queue: TagQueue,
        metadata: Metadata,
        cancel: Cancel,
    ) -> Self {
        Self {
            output,
            queue,
            metadata,
            cancel,
            permit: Permit::always(),
            backoff: Backoff::new(DELAYS.0, DELAYS.1),
            connected: None,
            lost: false,
            short: false,
            failure: QuietLog::default(),
            slow: QuietLog::default(),
        }
    }

    /// The same, sending under `permit`.
    pub(super) fn under(self, permit: Permit) -> Self {
        Self { permit, ..self }
    }

    /// Publishes whenever an engine runs and the output is not paused, until it is cancelled.
    pub(super) fn run(&mut self) {
        while !self.cancel.wait(GATHER) {
            if self.output.is_paused() || !self.queue.is_running() {
                self.output.show(PublisherState::Connecting);
                continue;
            }
            let ended = self.publish();
            let connected = self.connected.take();
            self.output.metrics.queue_seconds.set(0.0);
            match ended {
                Err(error) if !self.is_stopped() => self.failed(connected, &error),
                _ => {
                    self.output.show(PublisherState::Connecting);
                    (self.lost, self.short) = (false, false);
                    self.backoff.reset();
                }
            }
        }
    }

    /// Publishes over one connection, until it is lost, or no longer wanted.
    fn publish(&mut self) -> Result<(), SinkError> {
        let (cancel, output) = (self.cancel.clone(), self.output.clone());
        let stopped = move || cancel.is_cancelled() || output.is_paused();
        let target = &self.output.target;
        let dialler = UpstreamDialler::new(self.output.proxies.clone(), self.permit.clone());
        let mut link = RtmpConnection::open_by(&dialler, target, &self.metadata, stopped, CONNECT_TIME_OUT)?;
        self.connected = Some(Instant::now());
        if std::mem::take(&mut self.lost) {
            self.output.metrics.reconnects.inc();
        }
        let level = if self.short { log::Level::Debug } else { log::Level::Info };
        let through = self.output.proxies.current().map(|proxy| format!(" through {proxy}"));
        let (name, through) = (&self.output.name, through.unwrap_or_default());
        self.output.show(PublisherState::Connected);
        log::log!(level, "output {name}: connected to {target}{through}");
        let (reader, mut stream) = (self.queue.reader(), ContinuousStream::default());
        loop {
            let sent = self.send(&mut link, &reader, &mut stream);
            if self.is_stopped() || !self.queue.is_flowing() {
                link.goodbye();
                return Ok(());
            }
            sent?;
            // Answers the server, and sees whether it has closed.
            link.wait(Instant::now())?;
            self.cancel.wait(GATHER);
        }
    }

    /// Sends everything that waits.
    fn send(
        &mut self,
        link: &mut RtmpConnection,
        reader: &TagReader,
        stream: &mut ContinuousStream,
    ) -> Result<(), SinkError> {
        loop {
            let taken = reader.take(FLUSH_AT);
            self.output.metrics.queue_seconds.set(taken.waiting.as_secs_f64());
            if !taken.dropped.is_zero() {
                self.note_dropped(taken.dropped);
            }
            if taken.tags.is_empty() {
                return Ok(());
            }
            let mut bytes = 0;
            for tag in taken.tags.iter().filter_map(|tag| stream.place(1, tag)) {
                bytes += tag.body.len() as u64;
                link.queue(&tag);
            }
            link.flush()?;
            self.output.metrics.sent_bytes.inc_by(bytes);
        }
    }

    fn note_dropped(&mut self, dropped: Duration) {
        let (name, seconds) = (&self.output.name, dropped.as_secs_f64());
        self.output.metrics.dropped_seconds.inc_by(seconds);
        if self.slow.is_due("", Instant::now(), SILENCE) {
            log::warn!("output {name}: the line or the server is too slow; {seconds:.0} s are skipped there");
        }
    }

    /// Shows and logs the failure, and waits.
    fn failed(&mut self, connected: Option<Instant>, error: &SinkError) {
        let (name, target, cause) = (&self.output.name, &self.output.target, error.to_string());
        self.lost |= connected.is_some();
        self.short = connected.is_some_and(|at| at.elapsed() <= STEADY);
        let steady = connected.is_some_and(|at| at.elapsed() > STEADY);
        if steady {
            self.backoff.reset();
        }
        self.output.show(PublisherState::Reconnecting { cause: cause.clone() });
        if self.failure.is_due(&cause, Instant::now(), SILENCE) || steady {
            let what = if connected.is_some() { "lost the connection" } else { "cannot publish" };
            log::warn!("output {name}: {what} to {target}: {cause}; trying again");
        }
        let end = Instant::now() + self.backoff.next_delay();
        while Instant::now() < end && !self.output.is_paused() && !self.cancel.wait(GATHER) {}
    }

    fn is_stopped(&self) -> bool {
        self.cancel.is_cancelled() || self.output.is_paused()
    }
}
