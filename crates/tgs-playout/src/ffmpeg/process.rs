//! A running ffmpeg: its tags, its messages, and its exit.

use std::{
    io::{self, BufReader, Read},
    process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tgs_core::{cancel::Cancel, process};
use tgs_rtmp::flv::{FlvError, FlvReader, Kind, Tag};

use super::{
    loudness::{Loudness, parse_summary},
    messages::{Messages, NewStream},
    stall::{Abandoned, STALL, StallDetector, StallLimits},
};

/// Sound this far ahead of its picture means that pictures are sparse or have ended. ffmpeg
/// interleaves both only within 10 s (`max_interleave_delta`).
const AHEAD: Duration = Duration::from_secs(3);

/// An encoder stopped by a signal for this long is abandoned: only a signal can continue it.
const STOPPED: Duration = Duration::from_secs(1);

/// Sound that ends this much before the picture counts as lost, if another sound stream begins
/// within this distance of its end.
const SOUND_ENDS_MS: u64 = 6000;

/// A running encoder.
#[derive(Debug)]
pub struct Encoder {
    child: Arc<process::Child>,
    tags: FlvReader<BufReader<EncoderPipe>>,
    clock: TimestampUnwrapper,
    watcher: StallDetector,
    abandoned: Option<Abandoned>,
    /// The times that picture and sound have reached, in milliseconds.
    pictures_to: u64,
    sounds_to: u64,
}

/// Extends ffmpeg's FLV timestamps of 31 bits (`put_timestamp` in its flvenc.c), which wrap after
/// 24.8 days of one item.
#[derive(Debug, Default)]
pub(crate) struct TimestampUnwrapper {
    last: u64,
}

impl TimestampUnwrapper {
    const RANGE: u64 = 1 << 31;

    /// The time with these low bits that is nearest to the last time.
    pub(crate) fn unwrap(&mut self, timestamp: u64) -> u64 {
        let round = self.last / Self::RANGE;
        let candidates = (round.saturating_sub(1)..=round + 1).map(|round| round * Self::RANGE + timestamp);
        self.last = candidates.min_by_key(|time| time.abs_diff(self.last)).unwrap_or(timestamp);
        self.last
    }
}

/// How an encoder ended.
#[derive(Debug)]
pub struct EncoderExit {
    /// The exit status of ffmpeg.
    pub status: ExitStatus,
    /// The end of ffmpeg's errors.
    pub messages: String,
    /// Why the encoder was abandoned, if so.
    pub abandoned: Option<Abandoned>,
    /// Whether [`Encoder::finish`] killed the encoder, as opposed to another process.
    pub killed_here: bool,
    /// Damaged or undecodable pictures.
    pub damaged: u64,
    /// Offsets in the file at which other streams begin.
    pub new_streams: Vec<u64>,
    /// Whether the sound ended where another sound stream began.
    pub sound_lost: bool,
    /// The loudness of the original sound, if the encoder metered it.
    pub loudness: Option<Loudness>,
}

impl Encoder {
    /// Starts `command` (from [`EncodeJob::command`](super::args::EncodeJob::command)). Setting
    /// `cancel` ends a waiting read.
    pub fn start(mut command: Command, cancel: &Cancel) -> io::Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = Arc::new(process::spawn(command)?);
        let lost = || io::Error::other("the child has no output pipe");
        let pipe = EncoderPipe {
            stdout: child.take_stdout().ok_or_else(lost)?,
            stderr: child.take_stderr(),
            messages: Messages::default(),
            child: child.clone(),
            stopped: false,
            cancel: cancel.clone(),
        };
        let tags = FlvReader::new(BufReader::with_capacity(64 * 1024, pipe));
        Ok(Self {
            child,
            tags,
            clock: TimestampUnwrapper::default(),
            watcher: StallDetector::default(),
            abandoned: None,
            pictures_to: 0,
            sounds_to: 0,
        })
    }

    /// Sets the limits beyond which the encoder is abandoned.
    pub fn watch(&mut self, watch: StallLimits) {
        self.watcher.set(watch);
        self.pipe().messages.picture = watch.picture.map(|(index, _)| index);
    }

    fn pipe(&mut self) -> &mut EncoderPipe {
        self.tags.get_mut().get_mut()
    }

    /// Lowers the encoder to the lowest CPU priority, as far as the system allows (a unit's system
    /// call filter may not).
    pub fn yield_to_others(&self) {
        self.child.yield_to_others();
    }

    /// Whether the sound is far ahead of the picture. A job with
    /// [`Times::split`](super::probe::Times::split) then adds a held picture.
    #[must_use]
    pub fn is_sound_ahead(&self) -> bool {
        Duration::from_millis(self.sounds_to.saturating_sub(self.pictures_to)) > AHEAD
    }

    /// Whether any sound has come.
    #[must_use]
    pub fn has_sound(&self) -> bool {
        self.sounds_to > 0
    }

    /// The CPU time used so far.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        self.child.cpu_time()
    }

    /// The next tag; `None` at the end. `TimedOut` if the encoder is abandoned, for the reason in
    /// [`EncoderExit`]; `ConnectionAborted` when cancelled.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, FlvError> {
        let began = Instant::now();
        let read = self.tags.next_tag();
        if let Err(FlvError::Io(error)) = &read
            && error.kind() == io::ErrorKind::TimedOut
        {
            let stopped = self.pipe().stopped;
            self.abandoned = Some(if stopped { Abandoned::Stopped } else { Abandoned::Stalled });
        }
        let Some(tag) = read? else { return Ok(None) };
        let timestamp = self.clock.unwrap(tag.timestamp);
        let track = if tag.kind == Kind::Audio { &mut self.sounds_to } else { &mut self.pictures_to };
        *track = timestamp.max(*track);
        let newest = self.pictures_to.max(self.sounds_to);
        let messages = &mut self.pipe().messages;
        messages.now = newest;
        let damaged = messages.damaged;
        self.abandoned = self.watcher.note(timestamp, began.elapsed(), damaged);
        if self.abandoned.is_some() {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        Ok(Some(Tag { timestamp, ..tag }))
    }

    /// Ends the encoder in any state and returns its exit. With `read_to_end`, waits up to a second
    /// for the encoder to exit by itself.
    pub fn finish(self, read_to_end: bool) -> io::Result<EncoderExit> {
        if read_to_end {
            // stdout is closed, so ffmpeg is about to exit; the second is for a loaded machine.
            let deadline = Instant::now() + Duration::from_secs(1);
            while self.child.try_wait()?.is_none() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        let killed_here = self.child.try_wait()?.is_none();
        self.child.kill_group();
        let status = self.child.wait()?;
        let mut pipe = self.tags.into_inner().into_inner();
        pipe.drain_messages();
        pipe.messages.missing_glyphs.warn();
        let (newest, sounds_to) = (self.pictures_to.max(self.sounds_to), self.sounds_to);
        let new = &pipe.messages.new_streams;
        let there = |new: &NewStream| new.sound && new.at.abs_diff(sounds_to) <= SOUND_ENDS_MS;
        let sound_lost = sounds_to + SOUND_ENDS_MS < newest && new.iter().any(there);
        Ok(EncoderExit {
            status,
            abandoned: self.abandoned,
            killed_here,
            damaged: pipe.messages.damaged,
            new_streams: new.iter().map(|new| new.position).collect(),
            sound_lost,
            loudness: parse_summary(&pipe.messages.summary).map(|(lufs, peak)| Loudness {
                lufs,
                peak,
                length: None,
            }),
            messages: pipe.messages.errors(),
        })
    }
}

/// ffmpeg's stdout. Each read drains stderr as well, so that ffmpeg cannot block on it.
#[derive(Debug)]
struct EncoderPipe {
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    messages: Messages,
    child: Arc<process::Child>,
    /// Whether a signal has stopped the child for [`STOPPED`].
    stopped: bool,
    cancel: Cancel,
}

/// Interval at which a waiting read checks for cancellation.
const LOOK: Duration = Duration::from_millis(100);

impl Read for EncoderPipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let began = Instant::now();
        let mut stopped: Option<Instant> = None;
        loop {
            let (ready, chatter) = self.wait()?;
            if chatter {
                self.read_messages();
            }
            if ready {
                return self.stdout.read(buf);
            }
            if self.cancel.is_cancelled() {
                // Not `Interrupted`: callers in between would retry.
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            stopped = self.child.is_stopped().then(|| stopped.unwrap_or_else(Instant::now));
            self.stopped = stopped.is_some_and(|since| since.elapsed() >= STOPPED);
            if self.stopped || began.elapsed() >= STALL {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

impl EncoderPipe {
    /// Waits up to [`LOOK`]; returns whether stdout and stderr are readable.
    fn wait(&self) -> io::Result<(bool, bool)> {
        let mut fds = vec![PollFd::new(&self.stdout, PollFlags::IN)];
        fds.extend(self.stderr.as_ref().map(|e| PollFd::new(e, PollFlags::IN)));
        let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK.as_nanos() as _ };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ok((ready(0), ready(1)))
    }

    fn read_messages(&mut self) {
        let Some(stderr) = &mut self.stderr else { return };
        let mut some = [0; 1024];
        match stderr.read(&mut some) {
            Ok(0) | Err(_) => self.stderr = None,
            Ok(n) => self.messages.push(&some[..n]),
        }
    }

    /// Reads the remaining messages of an exited child.
    fn drain_messages(&mut self) {
        while self.stderr.is_some() && self.wait().is_ok_and(|(_, chatter)| chatter) {
            self.read_messages();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_begins_again_goes_on() {
        let mut clock = TimestampUnwrapper::default();
        let end = TimestampUnwrapper::RANGE - 1;
        let times = [end - 40, end, 32, end - 3, 20, 65].map(|time| clock.unwrap(time));
        assert_eq!(times, [end - 40, end, end + 33, end - 3, end + 21, end + 66]);
    }
}
