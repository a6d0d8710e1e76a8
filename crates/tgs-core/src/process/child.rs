//! Starts children and controls a running one: its pipes, process group and exit.

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

/// Starts a [`super::command()`]. `NotFound` and `PermissionDenied` refer to the program itself.
pub fn spawn(command: Command) -> io::Result<Child> {
    // Look the program up here: the shim's exec fails after the start, visible on stderr only.
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

/// A function that starts one child.
type Start = Box<dyn FnOnce() -> io::Result<process::Child> + Send>;

type Job = (Start, SyncSender<io::Result<process::Child>>);

/// Starts `command` from a thread that lives as long as the process: the kernel sends the
/// parent-death signal when the *thread* that started the child ends.
fn from_lasting_thread(mut command: Command) -> io::Result<process::Child> {
    on_lasting_thread(Box::new(move || command.spawn()))
}

/// Runs `start` on the single thread that starts all children. A panic in it fails this child only:
/// if the thread ended, all running children would get the parent-death signal.
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
        // If the spawner has ended, the next call starts a new one.
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
            // The caller waits for the answer, so the send cannot fail.
            let _ = reply.send(started.unwrap_or_else(|panic| Err(io::Error::other(panic.to_string()))));
        }
    })?;
    Ok(jobs)
}

/// A running child and its process group. Threads can share it: one reads the output, another
/// kills.
///
/// The group is killed when the child exits, by [`Child::kill_group`], and on drop. Only a
/// descendant that left the group survives.
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
    /// The process id, which is also the process group id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Takes the pipe to stdin; `None` if already taken or not requested.
    pub fn take_stdin(&self) -> Option<ChildStdin> {
        self.lock().child.stdin.take()
    }

    /// Takes the pipe from stdout; `None` if already taken or not requested.
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        self.lock().child.stdout.take()
    }

    /// Takes the pipe from stderr; `None` if already taken or not requested.
    pub fn take_stderr(&self) -> Option<ChildStderr> {
        self.lock().child.stderr.take()
    }

    /// Gives the child the lowest priority (nice 19), which new descendants inherit, if permitted.
    pub fn yield_to_others(&self) {
        let lowest = 19;
        if let Err(error) = rustix::process::setpriority_process(Some(self.pid), lowest) {
            log::debug!("failed to lower the priority of a child: {error}");
        }
    }

    /// Sends a signal of `signal_hook::consts` to the child, not to its group.
    pub fn signal(&self, signal: i32) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            // An error means that the child has exited.
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, signal);
        }
    }

    /// CPU time used so far; `None` if /proc does not provide it.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        // The name (field 2) may contain any character. utime and stime are fields 14 and 15.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        let ticks = ticks()?.saturating_add(ticks()?);
        Some(Duration::from_millis(
            ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1),
        ))
    }

    /// Kills the child and its group. Does nothing once the child is reaped.
    pub fn kill_group(&self) {
        self.lock().kill_group(self.pid, &self.pidfd);
    }

    /// Waits for the child to exit, kills the rest of its group, and returns its exit status.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            // Poll without the lock, so that other threads can kill.
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Returns the exit status, or `None` while the child runs.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut inner = self.lock();
        if inner.ended.is_none() && self.has_ended()? {
            // Kill before reaping: while the zombie holds the id, no other group can get it.
            inner.kill_group(self.pid, &self.pidfd);
            inner.ended = Some(inner.child.wait()?);
        }
        Ok(inner.ended)
    }

    /// Whether the child is stopped (SIGSTOP).
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let look = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), look).is_ok_and(|found| found.is_some())
    }

    /// Whether the child has exited and must be reaped.
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
            // An error means that no process remains.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            // Until the shim calls setsid, the group does not exist.
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
