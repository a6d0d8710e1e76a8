//! The ways out: RTMP of our own, an ffmpeg that copies, a file.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::{ChildStdin, Stdio},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tgs_core::{
    cancel::Cancel,
    process::{self, Child, describe},
    secret::Secret,
};

use super::{FLUSH_AT, Output, SinkError};
use crate::{
    flv::{self, Kind, Tag},
    profile::Profile,
    rtmp::RtmpConnection,
};

/// An ffmpeg that takes nothing for this long is replaced.
const STALL: Duration = Duration::from_secs(10);

/// How long one attempt to connect may take.
const CONNECT_TIME_OUT: Duration = Duration::from_secs(10);

/// One way out. Times on it are the connection's own.
pub(crate) trait Sink: Send {
    /// Takes one tag, to be sent by the next `flush` at the latest.
    fn queue(&mut self, tag: &Tag) -> Result<(), SinkError>;
    /// Sends what is queued; blocks while the way is full.
    fn flush(&mut self) -> Result<(), SinkError>;
    /// Waits, serving what the other side says.
    fn wait(&mut self, until: Instant) -> Result<(), SinkError>;
    /// Bytes sent so far.
    fn written(&self) -> u64;
    /// Bytes of these that have arrived.
    fn acked(&self) -> u64;
    /// Ends it in order, within a second or two.
    fn goodbye(self: Box<Self>);
}

/// Makes one connection.
pub(super) fn open(output: &Output, profile: &Profile, cancel: &Cancel) -> Result<Box<dyn Sink>, SinkError> {
    Ok(match output {
        Output::Rtmp(target) => Box::new(
            RtmpConnection::open(target, profile, cancel, CONNECT_TIME_OUT)
                .map_err(|error| SinkError(error.to_string()))?,
        ),
        Output::Ffmpeg { ffmpeg, url, .. } => Box::new(FfmpegSink::start(ffmpeg, url, profile, cancel)?),
        Output::File(path) => Box::new(
            FileSink::create(path, profile)
                .map_err(|error| SinkError(format!("cannot write {}: {error}", path.display())))?,
        ),
    })
}

impl Sink for RtmpConnection {
    fn queue(&mut self, tag: &Tag) -> Result<(), SinkError> {
        RtmpConnection::queue(self, tag);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        RtmpConnection::flush(self).map_err(|error| SinkError(error.to_string()))
    }

    fn wait(&mut self, until: Instant) -> Result<(), SinkError> {
        RtmpConnection::wait(self, until).map_err(|error| SinkError(error.to_string()))
    }

    fn written(&self) -> u64 {
        RtmpConnection::written(self)
    }

    fn acked(&self) -> u64 {
        RtmpConnection::acked(self)
    }

    fn goodbye(self: Box<Self>) {
        RtmpConnection::goodbye(*self);
    }
}

/// An FLV file, written as it comes.
struct FileSink {
    file: BufWriter<File>,
    written: u64,
}

impl FileSink {
    fn create(path: &PathBuf, profile: &Profile) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&flv::FILE_HEADER)?;
        flv::write_tag(&mut file, &metadata_tag(profile))?;
        Ok(Self { file, written: 0 })
    }
}

impl Sink for FileSink {
    fn queue(&mut self, tag: &Tag) -> Result<(), SinkError> {
        flv::write_tag(&mut self.file, tag)
            .map_err(|error| SinkError(format!("cannot write the file: {error}")))?;
        self.written += tag.body.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn wait(&mut self, until: Instant) -> Result<(), SinkError> {
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
        if let Err(error) = self.file.flush().and_then(|()| self.file.get_ref().sync_all()) {
            log::error!("the end of the file may be missing: {error}");
        }
    }
}

/// The metadata of a file, as a tag.
fn metadata_tag(profile: &Profile) -> Tag {
    Tag { kind: Kind::Script, timestamp: 0, body: profile.flv_body().into() }
}

/// An ffmpeg child that copies what it reads to the server and reconnects by itself.
struct FfmpegSink {
    child: Child,
    stdin: Option<ChildStdin>,
    cancel: Cancel,
    buffer: Vec<u8>,
    written: u64,
    /// When something was last given to it.
    given: Instant,
}

/// ffmpeg is given what has gathered this often: waking it for each frame costs more than copying the frame.
const GATHER: Duration = Duration::from_millis(100);

impl FfmpegSink {
    fn start(
        ffmpeg: &PathBuf,
        url: &Secret<String>,
        profile: &Profile,
        cancel: &Cancel,
    ) -> Result<Self, SinkError> {
        let mut command = process::command(ffmpeg);
        // The fifo muxer's options as measured to come back 0.25 s after the server does.
        command
            .args([
                "-hide_banner",
                "-nostats",
                "-v",
                "error",
                "-probesize",
                "200k",
                // Not 20 frames of waiting to find out the rate: the copy needs none, and a viewer is waiting.
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
            .map_err(|e| SinkError(format!("cannot start {}: {e}", ffmpeg.display())))?;
        let stdin = child.take_stdin().ok_or_else(|| SinkError("ffmpeg has no input".into()))?;
        rustix::io::ioctl_fionbio(&stdin, true)
            .map_err(|e| SinkError(format!("cannot prepare ffmpeg's input: {e}")))?;
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

    /// Gives it all that is queued.
    fn give(&mut self) -> Result<(), SinkError> {
        self.given = Instant::now();
        let (mut from, mut moved) = (0, Instant::now());
        while from < self.buffer.len() {
            let Some(stdin) = &mut self.stdin else {
                return Err(SinkError("ffmpeg's input is closed".into()));
            };
            match stdin.write(&self.buffer[from..]) {
                Ok(count) => (from, moved) = (from + count, Instant::now()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let timeout = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
                    let _ = poll(&mut [PollFd::new(stdin, PollFlags::OUT)], Some(&timeout));
                    if self.cancel.is_cancelled() {
                        return Err(SinkError("stopped".into()));
                    }
                    if moved.elapsed() > STALL {
                        return Err(SinkError("the ffmpeg that publishes took no data for 10 s".into()));
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
        let how = self.child.wait().map_or_else(|e| e.to_string(), describe);
        SinkError(format!("the ffmpeg that publishes ended: {how}"))
    }
}

impl Sink for FfmpegSink {
    fn queue(&mut self, tag: &Tag) -> Result<(), SinkError> {
        flv::write_tag(&mut self.buffer, tag).map_err(|e| SinkError(e.to_string()))
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        if self.given.elapsed() < GATHER && self.buffer.len() < FLUSH_AT { Ok(()) } else { self.give() }
    }

    fn wait(&mut self, until: Instant) -> Result<(), SinkError> {
        // Nothing is said back; a dead child shows at the next write.
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
        // What cannot be given any more is not waited for.
        let _ = self.give();
        self.stdin = None;
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
