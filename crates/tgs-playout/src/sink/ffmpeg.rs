//! An ffmpeg child that copies its input to the server and reconnects by itself
//! (`PUBLISHER=ffmpeg`).

use std::{
    io::{self, Write},
    path::Path,
    process::{ChildStdin, Stdio},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tgs_core::{
    cancel::Cancel,
    process::{self, Child},
    secret::Secret,
};
use tgs_rtmp::flv::{self, Tag};

use super::{FLUSH_AT, Sink, SinkError, file::metadata_tag};
use crate::profile::Profile;

/// An ffmpeg that reads nothing for this long is replaced.
const STALL: Duration = Duration::from_secs(10);

/// An ffmpeg child that copies its input to the server and reconnects by itself.
pub(crate) struct FfmpegSink {
    child: Child,
    stdin: Option<ChildStdin>,
    cancel: Cancel,
    buffer: Vec<u8>,
    written: u64,
    /// Time of the last write to the pipe.
    given: Instant,
}

/// Interval of writes to the pipe: waking ffmpeg for each frame costs more than copying the frame.
const GATHER: Duration = Duration::from_millis(100);

impl FfmpegSink {
    pub(crate) fn start(
        ffmpeg: &Path,
        url: &Secret<String>,
        profile: &Profile,
        cancel: &Cancel,
    ) -> Result<Self, SinkError> {
        let mut command = process::command(ffmpeg);
        // With these options of the fifo muxer ffmpeg resumes 0.25 s after the server (measured).
        command
            .args([
                "-hide_banner",
                "-nostats",
                "-v",
                "error",
                "-probesize",
                "200k",
                // Skips the wait of 20 frames for the frame rate: a stream copy needs no rate, and
                // the wait delays the start.
                "-fpsprobesize",
                "0",
                "-f",
                "flv",
                "-i",
                "pipe:0",
            ])
            .args([
                "-c",
                "copy",
                "-map",
                "0",
                "-flags",
                "+global_header",
                "-f",
                "fifo",
                "-fifo_format",
                "flv",
            ])
            .args(["-attempt_recovery", "1", "-recover_any_error", "1", "-drop_pkts_on_overflow", "1"])
            .args(["-recovery_wait_time", "0.5", "-restart_with_keyframe", "1", "-queue_size", "1000"])
            .arg(url.expose())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = process::spawn(command)
            .map_err(|source| SinkError::Start { program: ffmpeg.to_owned(), source })?;
        let stdin = child.take_stdin().ok_or_else(|| SinkError::Pipe(io::ErrorKind::BrokenPipe.into()))?;
        rustix::io::ioctl_fionbio(&stdin, true).map_err(|error| SinkError::Pipe(error.into()))?;
        let mut link = Self {
            child,
            stdin: Some(stdin),
            cancel: cancel.clone(),
            buffer: flv::FILE_HEADER.to_vec(),
            written: 0,
            given: Instant::now(),
        };
        link.queue(&metadata_tag(profile))?;
        Ok(link)
    }

    /// Writes the whole buffer to the pipe.
    fn give(&mut self) -> Result<(), SinkError> {
        self.given = Instant::now();
        let (mut from, mut moved) = (0, Instant::now());
        while from < self.buffer.len() {
            let Some(stdin) = &mut self.stdin else {
                return Err(SinkError::Pipe(io::ErrorKind::BrokenPipe.into()));
            };
            match stdin.write(&self.buffer[from..]) {
                Ok(count) => (from, moved) = (from + count, Instant::now()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let timeout = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
                    let _ = poll(&mut [PollFd::new(stdin, PollFlags::OUT)], Some(&timeout));
                    if self.cancel.is_cancelled() {
                        return Err(SinkError::Cancelled);
                    }
                    if moved.elapsed() > STALL {
                        return Err(SinkError::Stalled);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.stdin = None;
                    self.child.kill_group();
                    return Err(self.ended());
                }
            }
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn ended(&self) -> SinkError {
        SinkError::Ended(self.child.wait())
    }
}

impl Sink for FfmpegSink {
    fn queue(&mut self, tag: &Tag) -> Result<(), SinkError> {
        flv::write_tag(&mut self.buffer, tag).map_err(SinkError::Pipe)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        if self.given.elapsed() < GATHER && self.buffer.len() < FLUSH_AT { Ok(()) } else { self.give() }
    }

    fn wait(&mut self, until: Instant) -> Result<(), SinkError> {
        // The pipe carries no replies; a dead child shows at the next write.
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        Ok(())
    }

    fn written(&self) -> u64 {
        self.written
    }

    fn acked(&self) -> u64 {
        self.written
    }

    fn goodbye(mut self: Box<Self>) {
        // A failed last write is not retried.
        let _ = self.give();
        self.stdin = None;
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
