//! Runs a child to completion with bounded output and run time, and describes exit statuses.

use std::{
    io::{self, Read},
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    child::{Child, spawn},
    shim,
};
use crate::cancel::Cancel;

/// Why [`output`] returns no output.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The program is missing, is not executable, or could not be started.
    #[error("failed to start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// Reading the output or waiting failed.
    #[error("failed to read what {program} prints: {source}")]
    Io {
        /// The program.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// The program exceeded its time limit and was killed.
    #[error("{program} did not finish within {} s", after.as_secs_f32())]
    TimedOut {
        /// The program.
        program: String,
        /// The time limit.
        after: Duration,
    },
    /// The program printed more than its limit and was killed.
    #[error("{program} printed more than {max_bytes} bytes")]
    TooMuch {
        /// The program.
        program: String,
        /// The limit for stdout.
        max_bytes: usize,
    },
    /// The caller's [`Cancel`] was set and the program was killed.
    #[error("{program} was stopped")]
    Cancelled {
        /// The program.
        program: String,
    },
}

/// Interval at which a running [`output`] checks its [`Cancel`].
const CANCEL_EVERY: Duration = Duration::from_millis(50);

/// Runs `command` to completion and returns its output, for any exit status. Kills its group after
/// `timeout`, on `cancel`, or when stdout exceeds `max_bytes`. Keeps the last `max_bytes` of
/// stderr: the reason of a failure comes last.
pub fn output(
    mut command: Command,
    timeout: Duration,
    max_bytes: usize,
    cancel: &Cancel,
) -> Result<Output, RunError> {
    let program = shim::program(&command).to_string_lossy().into_owned();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = match spawn(command) {
        Ok(child) => child,
        Err(source) => return Err(RunError::Start { program, source }),
    };
    let read = collect(&child, Instant::now() + timeout, max_bytes, cancel);
    let status = |child: &Child| child.wait().map_err(Stop::Io);
    match read.and_then(|(stdout, stderr)| Ok(Output { status: status(&child)?, stdout, stderr })) {
        Ok(output) => Ok(output),
        Err(Stop::Io(source)) => Err(RunError::Io { program, source }),
        Err(Stop::TimedOut) => Err(RunError::TimedOut { program, after: timeout }),
        Err(Stop::TooMuch) => Err(RunError::TooMuch { program, max_bytes }),
        Err(Stop::Cancelled) => Err(RunError::Cancelled { program }),
    }
}

/// A [`RunError`] without its program.
enum Stop {
    Io(io::Error),
    TimedOut,
    TooMuch,
    Cancelled,
}

/// Reads stdout and stderr until the child exits.
fn collect(
    child: &Child,
    deadline: Instant,
    max_bytes: usize,
    cancel: &Cancel,
) -> Result<(Vec<u8>, Vec<u8>), Stop> {
    let (mut out, mut err) = (child.take_stdout(), child.take_stderr());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut ended = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if left.is_zero() {
            return Err(Stop::TimedOut);
        }
        // After the child exits, read only buffered data: a process that left the group could keep
        // the pipes open forever.
        let pause = if ended { Duration::ZERO } else { left.min(CANCEL_EVERY) };
        let ready = readable(child, out.as_ref(), err.as_ref(), pause).map_err(Stop::Io)?;
        if ready.out {
            read_some(&mut out, &mut stdout).map_err(Stop::Io)?;
        }
        if ready.err {
            read_some(&mut err, &mut stderr).map_err(Stop::Io)?;
            let excess = stderr.len().saturating_sub(max_bytes);
            stderr.drain(..excess);
        }
        if stdout.len() > max_bytes {
            return Err(Stop::TooMuch);
        }
        if ended && !ready.out && !ready.err {
            return Ok((stdout, stderr));
        }
        ended |= ready.ended;
    }
}

/// Readiness of the two pipes and of the pidfd.
#[derive(Default)]
struct Ready {
    out: bool,
    err: bool,
    ended: bool,
}

fn readable(
    child: &Child,
    out: Option<&ChildStdout>,
    err: Option<&ChildStderr>,
    pause: Duration,
) -> io::Result<Ready> {
    // The pidfd takes the place of a closed pipe.
    let fd = child.pidfd.as_fd();
    let mut fds = [out.map_or(fd, AsFd::as_fd), err.map_or(fd, AsFd::as_fd), fd]
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    let pause = Timespec::try_from(pause).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut fds, Some(&pause)) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok(Ready::default()),
        Err(e) => return Err(e.into()),
    }
    let [out_ready, err_ready, ended] = fds.map(|fd| !fd.revents().is_empty());
    Ok(Ready { out: out.is_some() && out_ready, err: err.is_some() && err_ready, ended })
}

/// Reads available data from `pipe`; closes it at end of file.
fn read_some(pipe: &mut Option<impl Read>, into: &mut Vec<u8>) -> io::Result<()> {
    let Some(open) = pipe else { return Ok(()) };
    let mut chunk = [0; 16 * 1024];
    match open.read(&mut chunk) {
        Ok(0) => *pipe = None,
        Ok(n) => into.extend_from_slice(&chunk[..n]),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
        Err(e) => return Err(e),
    }
    Ok(())
}

/// Describes how a process ended: "exited with 1", "killed by SIGKILL".
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => match signal_hook::low_level::signal_name(signal) {
            Some(name) => format!("killed by {name}"),
            None => format!("killed by signal {signal}"),
        },
        (None, None) => status.to_string(),
    }
}
