//! The connection of the broadcast, and the tags sent over it that may not have arrived.
//!
//! [`Publisher`] keeps every tag back to the last keyframe that the server's TCP has acknowledged.
//! After a lost connection the next one begins with that keyframe, so no media is skipped. The
//! caller decides when to reconnect.

use std::{collections::VecDeque, fmt, sync::Arc, time::Instant};

use tgs_core::{cancel::Cancel, permit::Permit};
use tgs_rtmp::flv::{Kind, Tag};

use crate::{
    clock::{Clock, SystemClock},
    output::Output,
    profile::Profile,
    sink::{self, FLUSH_AT, Sink, SinkError, ffmpeg::FfmpegSink, file::FileSink},
    status::METRICS,
    timeline::{TagOrigin, TimedTag},
};

/// The connection and its unacknowledged tags.
pub(crate) struct Publisher {
    output: Output,
    profile: Profile,
    cancel: Cancel,
    clock: Arc<dyn Clock>,
    open: OpenSink,
    link: Option<Box<dyn Sink>>,
    /// Tags sent since the last keyframe that has arrived.
    sent: VecDeque<SentTag>,
    /// Video and audio sequence headers in force before `sent`.
    headers: [Option<Tag>; 2],
    /// Broadcast time that corresponds to `first_timestamp` on this connection.
    base: u64,
    /// Timestamp of the connection's first tag; above 0 only to test clock overflow.
    first_timestamp: u64,
    /// Whether a tag was sent over this connection.
    begun: bool,
    /// Bytes queued for the next flush.
    queued: usize,
    /// The number of [`OutputSlot::changes`] at the last attempt to connect.
    named: u64,
}

/// Opens one connection to an output.
pub(crate) type OpenSink =
    Box<dyn FnMut(&Output, &Profile, &Cancel) -> Result<Box<dyn Sink>, SinkError> + Send>;

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publisher({}, {} tags kept)", self.output, self.sent.len())
    }
}

struct SentTag {
    placed: TimedTag,
    /// Bytes written on the connection once this tag was sent; `u64::MAX` before.
    end: u64,
}

/// Limit of the kept bytes when the server acknowledges nothing: a dead peer is detected within
/// 5 s.
const MAX_KEPT: usize = 8 << 20;

impl Publisher {
    /// A publisher without a connection.
    #[must_use]
    pub(crate) fn new(output: Output, profile: Profile, first_timestamp: u64, cancel: Cancel) -> Self {
        Self {
            output,
            profile,
            cancel,
            clock: Arc::new(SystemClock),
            open: opener(Permit::always()),
            link: None,
            sent: VecDeque::new(),
            headers: [None, None],
            base: 0,
            first_timestamp,
            begun: false,
            queued: 0,
            named: 0,
        }
    }

    /// A publisher whose connections send under `permit`.
    pub(crate) fn under(self, permit: Permit) -> Self {
        Self { open: opener(permit), ..self }
    }

    /// A publisher over connections from `open`, timed by `clock`.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn simulated(self, open: OpenSink, clock: Arc<dyn Clock>) -> Self {
        Self { clock, open, ..self }
    }

    /// The clock that waits use.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// The output; its `Display` hides the stream key.
    #[must_use]
    pub(crate) fn output(&self) -> &Output {
        &self.output
    }

    /// Whether the output is a file: reopening after a failed write would truncate the file.
    #[must_use]
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.output, Output::File(_))
    }

    /// Whether another output is named since the last attempt to connect, or none any more.
    pub(crate) fn is_moved(&self) -> bool {
        matches!(&self.output, Output::Later(slot) if slot.changes() != self.named)
    }

    /// Opens a connection once.
    pub(crate) fn connect(&mut self) -> Result<(), SinkError> {
        if let Output::Later(slot) = &self.output {
            self.named = slot.changes();
        }
        self.begun = false;
        self.link = Some((self.open)(&self.output, &self.profile, &self.cancel)?);
        Ok(())
    }

    /// Begins a new connection's stream: the headers, then the tags that may not have arrived over
    /// the previous one.
    pub(crate) fn resume(&mut self) -> Result<(), SinkError> {
        let Some(first) = self.sent.front() else { return Ok(()) };
        self.base = first.placed.tag.timestamp;
        let sent = std::mem::take(&mut self.sent);
        let none = TagOrigin { seq: 0, offset_ms: 0 };
        // The headers now become part of `sent`.
        for header in std::mem::take(&mut self.headers).into_iter().flatten() {
            let tag = Tag { timestamp: self.base, ..header };
            let _ = self.queue(TimedTag { tag, origin: none });
        }
        for placed in sent.into_iter().map(|sent| sent.placed) {
            // The flush reports the error again; all tags stay in `sent`.
            let _ = self.queue(placed);
        }
        self.flush()
    }

    /// Forgets the sent tags: the next connection begins with the next tag, which must be a
    /// keyframe. So does this one, if it has not begun.
    pub(crate) fn forget(&mut self, next: u64) {
        self.sent.clear();
        self.headers = [None, None];
        if !self.begun {
            self.base = next;
        }
    }

    /// Keeps a tag for the next connection.
    pub(crate) fn keep(&mut self, placed: TimedTag) {
        if placed.tag.is_frame() || placed.tag.is_sequence_header() {
            self.sent.push_back(SentTag { placed, end: u64::MAX });
        }
    }

    /// Sends one tag, or queues it for the next [`Publisher::flush`] below [`FLUSH_AT`] bytes: the
    /// wake-ups of kernel and peer dominate the cost of a tag, so tags that are due together are
    /// sent together.
    pub(crate) fn send(&mut self, placed: TimedTag) -> Result<(), SinkError> {
        let (kind, bytes) = (placed.tag.kind, placed.tag.body.len());
        let picture = kind == Kind::Video && placed.tag.is_frame();
        let keyframe = placed.tag.is_keyframe();
        self.queue(placed)?;
        if self.queued >= FLUSH_AT {
            self.flush()?;
        }
        METRICS.output_bytes.inc_by(bytes as u64);
        if picture {
            METRICS.output_seconds.inc_by(1.0 / f64::from(self.profile.fps));
        }
        if keyframe {
            self.trim();
        }
        Ok(())
    }

    /// Waits until `until` and serves the connection.
    pub(crate) fn wait(&mut self, until: Instant) -> Result<(), SinkError> {
        if let Some(link) = &mut self.link {
            return link.wait(until);
        }
        let _ = self.clock.wait(until.saturating_duration_since(self.clock.now()), &self.cancel);
        Ok(())
    }

    /// Closes the connection cleanly. What may not have arrived is sent again over the next one.
    pub(crate) fn part(&mut self) {
        let _ = self.flush();
        self.trim();
        self.goodbye();
        self.lose();
    }

    /// Closes a lost connection. Returns the broadcast time up to which everything has arrived.
    pub(crate) fn lose(&mut self) -> Option<u64> {
        let arrived = self.arrived().map(|sent| sent.placed.tag.timestamp);
        self.trim();
        self.link = None;
        self.queued = 0;
        for sent in &mut self.sent {
            sent.end = u64::MAX;
        }
        arrived.or_else(|| self.sent.front().map(|sent| sent.placed.tag.timestamp))
    }

    /// Origin of the last frame that has arrived.
    #[must_use]
    pub(crate) fn published(&self) -> Option<TagOrigin> {
        let frame = |sent: &&SentTag| sent.placed.tag.is_frame();
        self.sent.range(..self.arrived_count()?).rfind(frame).map(|sent| sent.placed.origin)
    }

    /// Seconds of media sent and not acknowledged.
    #[must_use]
    pub(crate) fn queue_seconds(&self) -> f64 {
        let (Some(last), arrived) = (self.sent.back(), self.arrived()) else { return 0.0 };
        let from = arrived.or(self.sent.front()).map_or(0, |sent| sent.placed.tag.timestamp);
        last.placed.tag.timestamp.saturating_sub(from) as f64 / 1000.0
    }

    /// The codec headers and the tags sent since the last keyframe; empty before the first.
    pub(crate) fn current_group(&self) -> Vec<Tag> {
        let key = self.sent.iter().rposition(|sent| sent.placed.tag.is_keyframe());
        let Some(key) = key else { return Vec::new() };
        let timestamp = self.sent[key].placed.tag.timestamp;
        let mut headers = self.headers.clone();
        for SentTag { placed: TimedTag { tag, .. }, .. } in self.sent.range(..key) {
            if tag.is_sequence_header() {
                headers[usize::from(tag.kind == Kind::Audio)] = Some(tag.clone());
            }
        }
        let headers = headers.into_iter().flatten().map(|tag| Tag { timestamp, ..tag });
        headers.chain(self.sent.range(key..).map(|sent| sent.placed.tag.clone())).collect()
    }

    /// Closes the connection cleanly.
    pub(crate) fn goodbye(&mut self) {
        if let Some(mut link) = self.link.take() {
            // A failed last flush is not retried.
            let _ = link.flush();
            link.goodbye();
        }
    }

    fn queue(&mut self, placed: TimedTag) -> Result<(), SinkError> {
        let timestamp = placed.tag.timestamp.saturating_sub(self.base) + self.first_timestamp;
        let tag = Tag { timestamp, ..placed.tag.clone() };
        self.begun = true;
        // Also if sending fails.
        self.keep(placed);
        self.queued += tag.body.len();
        self.link.as_mut().ok_or(SinkError::NotConnected)?.queue(&tag)
    }

    /// Sends the queued tags.
    pub(crate) fn flush(&mut self) -> Result<(), SinkError> {
        if self.queued == 0 {
            return Ok(());
        }
        let link = self.link.as_mut().ok_or(SinkError::NotConnected)?;
        link.flush()?;
        let end = link.written();
        for queued in self.sent.iter_mut().rev().take_while(|sent| sent.end == u64::MAX) {
            queued.end = end;
        }
        self.queued = 0;
        Ok(())
    }

    fn arrived(&self) -> Option<&SentTag> {
        self.sent.get(self.arrived_count()?.checked_sub(1)?)
    }

    fn arrived_count(&self) -> Option<usize> {
        let acked = self.link.as_ref()?.acked();
        Some(self.sent.partition_point(|sent| sent.end <= acked))
    }

    /// Drops the tags before the last keyframe that has arrived.
    fn trim(&mut self) {
        let Some(acked) = self.link.as_ref().map(|link| link.acked()) else { return };
        let arrived = self.sent.partition_point(|sent| sent.end <= acked);
        let is_key = |sent: &SentTag| sent.placed.tag.is_keyframe();
        let mut from = self.sent.range(..arrived).rposition(is_key).unwrap_or(0);
        let kept =
            |from: usize| self.sent.range(from..).map(|sent| sent.placed.tag.body.len()).sum::<usize>();
        while kept(from) > MAX_KEPT {
            match self.sent.range(from + 1..).position(is_key) {
                Some(next) => from += 1 + next,
                None => break,
            }
        }
        for SentTag { placed: TimedTag { tag, .. }, .. } in self.sent.drain(..from) {
            if tag.is_sequence_header() {
                let of = usize::from(tag.kind == Kind::Audio);
                self.headers[of] = Some(tag);
            }
        }
    }
}

fn opener(permit: Permit) -> OpenSink {
    Box::new(move |output, profile, cancel| open(output, profile, cancel, &permit))
}

/// Opens one connection.
fn open(
    output: &Output,
    profile: &Profile,
    cancel: &Cancel,
    permit: &Permit,
) -> Result<Box<dyn Sink>, SinkError> {
    Ok(match output {
        Output::Rtmp(target, proxies) => {
            Box::new(sink::rtmp::open(target, proxies, profile, cancel, permit)?)
        }
        Output::Ffmpeg { ffmpeg, url, .. } => Box::new(FfmpegSink::start(ffmpeg, url, profile, cancel)?),
        Output::File(path) => Box::new(FileSink::create(path, profile)?),
        Output::Later(slot) => return open(&slot.get().ok_or(SinkError::Unnamed)?, profile, cancel, permit),
    })
}

#[cfg(test)]
mod tests;
