//! The one connection that the whole broadcast goes out on, and what was sent over it but may not have arrived.
//!
//! [`Publisher`] remembers every tag back to the last keyframe that the server's TCP has acknowledged. When the
//! connection breaks, the next one begins with that keyframe: nothing is skipped, whatever was still on its way. When
//! to connect again is the caller's decision.

mod sink;

use std::{collections::VecDeque, fmt, path::PathBuf, sync::Arc, time::Instant};

use tgs_core::{cancel::Cancel, secret::Secret};

pub(crate) use sink::Sink;

use crate::{
    clock::{Clock, SystemClock},
    flv::{Kind, Tag},
    profile::Profile,
    rtmp::{self, RtmpUrl},
    status::METRICS,
    timeline::{TagOrigin, TimedTag},
};

/// Why a connection ended, as a fragment in words without a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkError(pub String);

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the broadcast goes.
#[derive(Debug, Clone)]
pub enum Output {
    /// An RTMP(S) server, by the native publisher.
    Rtmp(RtmpUrl),
    /// The same by an ffmpeg child that copies (`PUBLISHER=ffmpeg`).
    Ffmpeg {
        /// The ffmpeg executable.
        ffmpeg: PathBuf,
        /// Where to, the stream key included.
        url: Secret<String>,
        /// The same, fit to be shown.
        shown: String,
    },
    /// An FLV file.
    File(PathBuf),
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtmp(target) => write!(f, "{target}"),
            Self::Ffmpeg { shown, .. } => f.write_str(shown),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The connection and its memory.
pub struct Publisher {
    output: Output,
    profile: Profile,
    cancel: Cancel,
    clock: Arc<dyn Clock>,
    open: OpenSink,
    link: Option<Box<dyn Sink>>,
    /// What was sent since the last keyframe that has arrived.
    sent: VecDeque<SentTag>,
    /// The sequence headers in force before that, of picture and sound.
    headers: [Option<Tag>; 2],
    /// The broadcast's time that is time `origin` on this connection.
    base: u64,
    /// The connection's time of its first tag; above 0 only to test clocks that run over.
    first_timestamp: u64,
    /// Bytes that wait to be sent.
    queued: usize,
}

/// Makes one connection to an output.
pub(crate) type OpenSink =
    Box<dyn FnMut(&Output, &Profile, &Cancel) -> Result<Box<dyn Sink>, SinkError> + Send>;

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publisher({}, {} tags kept)", self.output, self.sent.len())
    }
}

struct SentTag {
    placed: TimedTag,
    /// Bytes written on the connection when this had been sent.
    end: u64,
}

/// This much is sent without waiting for more: a fraction of a second of media.
const FLUSH_AT: usize = 32 << 10;

/// The memory is cut to this many bytes even if the server acknowledges nothing: a dead peer is found within 5 s.
const MAX_KEPT: usize = 8 << 20;

impl Publisher {
    /// A publisher that is not connected yet.
    #[must_use]
    pub fn new(output: Output, profile: Profile, first_timestamp: u64, cancel: Cancel) -> Self {
        Self {
            output,
            profile,
            cancel,
            clock: Arc::new(SystemClock),
            open: Box::new(sink::open),
            link: None,
            sent: VecDeque::new(),
            headers: [None, None],
            base: 0,
            first_timestamp,
            queued: 0,
        }
    }

    /// The same over connections that `open` makes, in the time of `clock`.
    #[cfg(test)]
    pub(crate) fn simulated(self, open: OpenSink, clock: Arc<dyn Clock>) -> Self {
        Self { clock, open, ..self }
    }

    /// The time that it waits in.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Where it publishes, fit to be shown.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Whether it writes a file: what cannot be written there is lost, and trying again would begin it anew.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self.output, Output::File(_))
    }

    /// Connects once. The error says in words what is wrong.
    pub fn connect(&mut self) -> Result<(), SinkError> {
        self.link = Some((self.open)(&self.output, &self.profile, &self.cancel)?);
        Ok(())
    }

    /// Begins a new connection's stream: the headers, then what may not have arrived over the one before.
    pub fn resume(&mut self) -> Result<(), SinkError> {
        let Some(first) = self.sent.front() else { return Ok(()) };
        self.base = first.placed.tag.timestamp;
        let sent = std::mem::take(&mut self.sent);
        let none = TagOrigin { run: 0, offset_ms: 0 };
        // From here on they are a part of what was sent.
        for header in std::mem::take(&mut self.headers).into_iter().flatten() {
            let tag = Tag { timestamp: self.base, ..header };
            let _ = self.queue(TimedTag { tag, origin: none });
        }
        for placed in sent.into_iter().map(|sent| sent.placed) {
            // An error shows again at the flush; all of them stay in the memory.
            let _ = self.queue(placed);
        }
        self.flush()
    }

    /// Forgets what was sent: the next connection begins with the next tag, which must be a keyframe.
    pub fn forget(&mut self, next: u64) {
        self.sent.clear();
        self.headers = [None, None];
        self.base = next;
    }

    /// Sends one tag, or leaves it for the next [`Publisher::flush`], where few have gathered: waking the kernel and the
    /// other side is most of what a tag costs, so those that are due together go together.
    pub fn send(&mut self, placed: TimedTag) -> Result<(), SinkError> {
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

    /// Waits until `until`, serving the connection.
    pub fn wait(&mut self, until: Instant) -> Result<(), SinkError> {
        if let Some(link) = &mut self.link {
            return link.wait(until);
        }
        let _ = self.clock.wait(until.saturating_duration_since(self.clock.now()), &self.cancel);
        Ok(())
    }

    /// Gives the connection up. Answers the broadcast's time up to which everything has arrived.
    pub fn lose(&mut self) -> Option<u64> {
        let arrived = self.arrived().map(|sent| sent.placed.tag.timestamp);
        self.trim();
        self.link = None;
        self.queued = 0;
        for sent in &mut self.sent {
            sent.end = u64::MAX;
        }
        arrived.or_else(|| self.sent.front().map(|sent| sent.placed.tag.timestamp))
    }

    /// What was published last, for certain.
    #[must_use]
    pub fn published(&self) -> Option<TagOrigin> {
        let frame = |sent: &&SentTag| sent.placed.tag.is_frame();
        self.sent.range(..self.arrived_count()?).rfind(frame).map(|sent| sent.placed.origin)
    }

    /// Seconds of media sent and not acknowledged.
    #[must_use]
    pub fn queue_seconds(&self) -> f64 {
        let (Some(last), arrived) = (self.sent.back(), self.arrived()) else { return 0.0 };
        let from = arrived.or(self.sent.front()).map_or(0, |sent| sent.placed.tag.timestamp);
        last.placed.tag.timestamp.saturating_sub(from) as f64 / 1000.0
    }

    /// Ends the connection in order.
    pub fn goodbye(&mut self) {
        if let Some(mut link) = self.link.take() {
            // What cannot be sent any more is not waited for.
            let _ = link.flush();
            link.goodbye();
        }
    }

    fn queue(&mut self, placed: TimedTag) -> Result<(), SinkError> {
        let timestamp = placed.tag.timestamp.saturating_sub(self.base) + self.first_timestamp;
        let tag = Tag { timestamp, ..placed.tag.clone() };
        // Kept even when it could not be sent: the next connection sends it.
        if placed.tag.is_frame() || placed.tag.is_sequence_header() {
            self.sent.push_back(SentTag { placed, end: u64::MAX });
        }
        self.queued += tag.body.len();
        self.link.as_mut().ok_or_else(not_connected)?.queue(&tag)
    }

    /// Sends what was left to wait.
    pub fn flush(&mut self) -> Result<(), SinkError> {
        if self.queued == 0 {
            return Ok(());
        }
        let link = self.link.as_mut().ok_or_else(not_connected)?;
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

    /// Forgets what comes before the last keyframe that has arrived.
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

fn not_connected() -> SinkError {
    SinkError("not connected".into())
}

/// Reads an output as the operator writes it: an RTMP(S) URL, or a path that ends in `.flv`.
pub fn parse_output(text: &str, by_ffmpeg: Option<PathBuf>) -> Result<Output, String> {
    if !text.contains("://") {
        let path = PathBuf::from(text);
        let flv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("flv"));
        return if flv {
            Ok(Output::File(path))
        } else {
            Err("it is neither an rtmp:// or rtmps:// URL nor a file name that ends in .flv".into())
        };
    }
    let target = RtmpUrl::parse(text).map_err(|error: rtmp::TargetError| error.to_string())?;
    Ok(match by_ffmpeg {
        Some(ffmpeg) => {
            Output::Ffmpeg { ffmpeg, url: Secret::new(text.to_owned()), shown: target.to_string() }
        }
        None => Output::Rtmp(target),
    })
}

#[cfg(test)]
mod tests;
