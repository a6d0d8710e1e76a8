//! Measures the loudness of an item by a run of ffmpeg. The measured sound is mixed as the encoder
//! mixes it.

use std::{
    io::{self, Read},
    path::Path,
    process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tgs_core::process::{self, describe};

use super::{
    input::{skip_options, source_options},
    loudness::{Loudness, METER, parse_summary},
    probe::Probe,
    sound::{SoundOptions, layout, mixed},
};
use crate::{
    item::Media,
    proxy::{ProxyClient, ReadPurpose},
};

/// Rate of the measured sound, which ffmpeg's meter works with.
const RATE: u64 = 48_000;

/// Longest wait for output, also before its beginning.
const STALL: Duration = Duration::from_secs(20);

/// Interval at which a wait for output asks whether to proceed.
const LOOK: Duration = Duration::from_millis(100);

/// Bytes kept of the end of the messages.
const KEPT: usize = 16 << 10;

/// Why a run of ffmpeg gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunFailure {
    /// ffmpeg does not start, or its pipes fail.
    #[error("cannot run ffmpeg: {0}")]
    Io(#[from] io::Error),
    /// No output came for 20 s.
    #[error("no sound came for {} s", STALL.as_secs())]
    Stalled,
    /// The caller ended the measurement.
    #[error("it took too long, or other work came")]
    Ended,
    /// ffmpeg failed.
    #[error("ffmpeg {}", describe(*.0))]
    Failed(ExitStatus),
}

/// Why a sound was not measured.
#[derive(Debug, thiserror::Error)]
pub enum LoudnessError {
    /// ffmpeg does not run, does not go on, or fails.
    #[error("{0}")]
    Run(#[from] RunFailure),
    /// ffmpeg's meter printed no result.
    #[error("ffmpeg printed no loudness")]
    NoSummary,
    /// There is no sound that can be measured.
    #[error("it has no sound that can be measured")]
    NoSound,
}

/// Measures the sound of `media` that `found` names, in one run of `ffmpeg`; at the lowest
/// priority, unless it is `urgent`.
///
/// `proceed` is called before each read of the sound; it may block, which halts ffmpeg, and ends
/// the measurement with `false`. Between two reads at most 20 s pass.
pub fn measure(
    ffmpeg: &Path,
    media: &Media,
    found: &Probe,
    options: &SoundOptions,
    channels: u32,
    urgent: bool,
    proceed: &mut dyn FnMut() -> bool,
) -> Result<Loudness, LoudnessError> {
    let audio = found.audio.filter(|_| !media.live).ok_or(LoudnessError::NoSound)?;
    let source = media.sources.get(audio.source).ok_or(LoudnessError::NoSound)?;
    let mut command = process::command(ffmpeg);
    command.args(["-nostdin", "-hide_banner", "-nostats", "-v", "repeat+level+info"]);
    let client = (!source.is_file()).then(|| ProxyClient::with_ffmpeg(source, ReadPurpose::Playback, ffmpeg));
    if let Some(client) = &client {
        client.apply(&mut command);
    }
    command.args(source_options(source)).args(skip_options(found.skip_bytes));
    if !media.part.in_point.is_zero() {
        command.arg("-ss").arg(format!("{:.3}", media.part.in_point.as_secs_f64()));
    }
    command.arg("-i").arg(client.as_ref().map_or_else(|| source.url.clone(), |it| it.input_url(source)));
    let sound = mixed(&audio, options, channels);
    command.args(["-filter_complex", &format!("[0:{}]{sound},{METER}[a]", audio.index), "-map", "[a]"]);
    if let Some(length) = media.part.length() {
        command.arg("-t").arg(format!("{:.3}", length.as_secs_f64()));
    }
    // A pipe that is not read halts ffmpeg; a byte a sample is enough to count them.
    command.args(["-c:a", "pcm_u8", "-f", "u8", "pipe:1"]);
    let (bytes, messages) = run(command, urgent, proceed)?;
    let (lufs, peak) = parse_summary(&messages).ok_or(LoudnessError::NoSummary)?;
    let per_second = RATE * u64::from(layout_channels(channels));
    let length = Duration::from_secs_f64(bytes as f64 / per_second as f64);
    Ok(Loudness { lufs, peak, length: Some(length) })
}

fn layout_channels(channels: u32) -> u32 {
    if layout(channels) == "mono" { 1 } else { 2 }
}

/// Runs `command` to its end. Returns the number of bytes on its stdout and the end of its stderr.
fn run(
    mut command: Command,
    urgent: bool,
    proceed: &mut dyn FnMut() -> bool,
) -> Result<(u64, String), RunFailure> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = process::spawn(command)?;
    if !urgent {
        child.yield_to_others();
    }
    let lost = || io::Error::other("the child has no pipes");
    let mut pipes = Pipes {
        stdout: child.take_stdout().ok_or_else(lost)?,
        stderr: Some(child.take_stderr().ok_or_else(lost)?),
        messages: Vec::new(),
    };
    let (mut bytes, mut buffer) = (0, vec![0; 64 << 10]);
    let mut newest = Instant::now();
    loop {
        let asked = Instant::now();
        if !proceed() {
            return Err(RunFailure::Ended);
        }
        // A halt by the caller is no stall.
        newest += asked.elapsed();
        if !pipes.wait()? {
            if newest.elapsed() > STALL {
                return Err(RunFailure::Stalled);
            }
            continue;
        }
        match pipes.stdout.read(&mut buffer)? {
            0 => break,
            read => bytes += read as u64,
        }
        newest = Instant::now();
    }
    let status = child.wait()?;
    pipes.drain()?;
    if !status.success() {
        return Err(RunFailure::Failed(status));
    }
    Ok((bytes, String::from_utf8_lossy(&pipes.messages).into_owned()))
}

/// The pipes from the child. Each wait drains stderr, so that ffmpeg cannot block on it.
struct Pipes {
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    messages: Vec<u8>,
}

impl Pipes {
    /// Waits up to [`LOOK`]; returns whether stdout is readable.
    fn wait(&mut self) -> io::Result<bool> {
        let mut fds = vec![PollFd::new(&self.stdout, PollFlags::IN)];
        fds.extend(self.stderr.as_ref().map(|stderr| PollFd::new(stderr, PollFlags::IN)));
        let patience = Timespec { tv_sec: 0, tv_nsec: LOOK.as_nanos() as _ };
        match poll(&mut fds, Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        let (sound, messages) = (ready(0), ready(1));
        if messages {
            self.read_messages()?;
        }
        Ok(sound)
    }

    fn read_messages(&mut self) -> io::Result<()> {
        let mut some = [0; 4096];
        if let Some(stderr) = &mut self.stderr {
            let read = stderr.read(&mut some)?;
            if read == 0 {
                self.stderr = None;
            }
            self.messages.extend_from_slice(&some[..read]);
            let surplus = self.messages.len().saturating_sub(KEPT);
            self.messages.drain(..surplus);
        }
        Ok(())
    }

    /// Reads the remaining messages of an exited child.
    fn drain(&mut self) -> io::Result<()> {
        while self.stderr.is_some() {
            self.read_messages()?;
        }
        Ok(())
    }
}
