//! A tool as the first process of a container.
//!
//! The kernel hands orphans to PID 1, which must reap them, and ignores signals for which PID 1 has
//! no handler. So the first process runs the tool as its child, forwards signals to it, reaps, and
//! ends with the tool's exit code; the kernel then kills the rest. Does not restart the tool.

use std::{
    env, io,
    io::IsTerminal,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{self, Command, ExitCode, ExitStatus},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2},
    iterator::Signals,
};

use super::shim::SELF_EXE;

/// Signals that the tools know, or that end them.
const FORWARDED: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// Runs the tool as a child if this process is PID 1, and returns the child's exit code; otherwise
/// returns `None`.
pub(crate) fn init() -> Option<ExitCode> {
    let run = || {
        run().unwrap_or_else(|error| {
            eprintln!("failed to run the tool as a child of PID 1: {error}");
            ExitCode::from(126)
        })
    };
    (process::id() == 1).then(run)
}

fn run() -> io::Result<ExitCode> {
    // Before the start: no signal is lost.
    let mut signals = Signals::new(FORWARDED.iter().chain([&SIGCHLD]))?;
    let mut args = env::args_os();
    let mut command = Command::new(SELF_EXE);
    command.arg0(args.next().unwrap_or_default()).args(args);
    let tool = Pid::from_child(&command.spawn()?);
    // A terminal sends these to its foreground processes, the tool included.
    let from_terminal = |signal| io::stdin().is_terminal() && matches!(signal, SIGINT | SIGQUIT);
    for signal in signals.forever() {
        if signal == SIGCHLD {
            if let Some(ended) = reap(tool) {
                return Ok(exit_code(ended));
            }
        } else if let Some(signal) = Signal::from_named_raw(signal).filter(|_| !from_terminal(signal)) {
            // The tool is not reaped, so the id is its own.
            let _ = kill_process(tool, signal);
        }
    }
    Err(io::Error::other("no more signals"))
}

/// Reaps every process that has ended; returns the status of the tool if it is among them.
fn reap(tool: Pid) -> Option<ExitStatus> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == tool {
            ended = Some(ExitStatus::from_raw(status.as_raw()));
        }
    }
    ended
}

/// The exit code, or 128 and the number of the signal as a shell has it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
