//! Starting a child, and the running child: its pipes, its group and its end.

use std::{
    ffi::OsStr,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::{self, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus},
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{self, Sender, SyncSender},
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions},
};

use super::{command::find_in, shim};
use crate::supervise::contain;

/// Starts a [`super::command`]. `NotFound` and `PermissionDenied` are about the program itself.
pub fn spawn(command: Command) -> io::Result<Child> {
    // Found out here: the shim's exec fails after the start, where nobody but a reader of its stderr would see it.
    let path = command.get_envs().find_map(|(name, value)| (name == "PATH").then_some(value)?);
    find_in(
        shim::program(&command),
        command.get_current_dir().unwrap_or(Path::new("")),
        path.unwrap_or(OsStr::new("/usr/bin:/bin")),
    )?;
    let mut inner = from_lasting_thread(command)?;
    let pid = Pid::from_child(&inner);
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Child { pid, pidfd, inner: Mutex::new(Inner { child: inner, ended: None }) }),
        Err(e) => {
            inner.kill()?;
            inner.wait()?;
            Err(e.into())
        }
    }
}

/// What starts one child.
type Start = Box<dyn FnOnce() -> io::Result<process::Child> + Send>;

type Job = (Start, SyncSender<io::Result<process::Child>>);

/// Starts `command` from a thread that lasts as long as the process: the parent-death signal is sent when the *thread*
/// that started the child ends.
fn from_lasting_thread(mut command: Command) -> io::Result<process::Child> {
    on_lasting_thread(Box::new(move || command.spawn()))
}

/// Runs `start` on the one thread that starts all children. A panic in it fails this child only: were the thread to end, every
/// running child would get its parent-death signal.
pub(super) fn on_lasting_thread(start: Start) -> io::Result<process::Child> {
    static SPAWNER: Mutex<Option<Sender<Job>>> = Mutex::new(None);
    let gone = || io::Error::other("the thread that starts children is gone");
    let (reply, answer) = mpsc::sync_channel(1);
    {
        let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = match spawner.take() {
            Some(jobs) => jobs,
            None => start_spawner()?,
        };
        // The next attempt starts another thread where this one is gone.
        jobs.send((start, reply)).map_err(|_| gone())?;
        *spawner = Some(jobs);
    }
    answer.recv().map_err(|_| gone())?
}

fn start_spawner() -> io::Result<Sender<Job>> {
    let (jobs, todo) = mpsc::channel::<Job>();
    thread::Builder::new().name("spawner".into()).spawn(move || {
        for (start, reply) in todo {
            let started = contain(start);
            // The asker waits for the answer, so it is there to take it.
            let _ = reply.send(started.unwrap_or_else(|panic| Err(io::Error::other(panic.to_string()))));
        }
    })?;
    Ok(jobs)
}

/// A running child and its process group. Shareable: one thread may read its output while another kills it.
///
/// Its group is killed when it ends, when [`Child::kill_group`] is called, and when this is dropped: nothing it started
/// is left behind, unless that has made a group of its own.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pub(super) pidfd: OwnedFd,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    child: process::Child,
    ended: Option<ExitStatus>,
}

impl Child {
    /// The process id, which is the group's id as well.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The pipe to its stdin, once, where the command asked for one.
    pub fn take_stdin(&self) -> Option<ChildStdin> {
        self.lock().child.stdin.take()
    }

    /// The pipe from its stdout, once, where the command asked for one.
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        self.lock().child.stdout.take()
    }

    /// The pipe from its stderr, once, where the command asked for one.
    pub fn take_stderr(&self) -> Option<ChildStderr> {
        self.lock().child.stderr.take()
    }

    /// Gives it and what it will start the lowest priority, where that is permitted.
    pub fn yield_to_others(&self) {
        let lowest = 19;
        if let Err(error) = rustix::process::setpriority_process(Some(self.pid), lowest) {
            log::debug!("a child keeps its priority: {error}");
        }
    }

    /// Sends the child, and it alone, a signal of `signal_hook::consts`.
    pub fn signal(&self, signal: i32) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            // An error means that it has ended.
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, signal);
        }
    }

    /// The processor time it has used so far; `None` where the system does not tell.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        // Behind the name, which may hold anything: state is the 3rd field, user and system time the 14th and 15th.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        let ticks = ticks()?.saturating_add(ticks()?);
        Some(Duration::from_millis(
            ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1),
        ))
    }

    /// Kills the child and everything in its group. Does nothing once it has been waited for.
    pub fn kill_group(&self) {
        self.lock().kill_group(self.pid, &self.pidfd);
    }

    /// Waits until the child has ended, kills what is left of its group, and says how it ended.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            // Without the lock, so that others can kill meanwhile.
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// How the child ended, or `None` while it runs.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut inner = self.lock();
        if inner.ended.is_none() && self.has_ended()? {
            // Before the child is reaped: as long as its zombie holds the id, no other group can have it.
            inner.kill_group(self.pid, &self.pidfd);
            inner.ended = Some(inner.child.wait()?);
        }
        Ok(inner.ended)
    }

    /// Whether somebody has stopped it (SIGSTOP), so that it does nothing until it is told to go on.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let look = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), look).is_ok_and(|found| found.is_some())
    }

    /// Whether the child has ended and is yet to be reaped.
    fn has_ended(&self) -> io::Result<bool> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), look)?.is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn kill_group(&self, pid: Pid, pidfd: &OwnedFd) {
        if self.ended.is_none() {
            // An error means that there is nothing left to kill.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            // It has no group of its own before the shim has made it.
            let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill_group();
        let _ = self.wait();
    }
}
