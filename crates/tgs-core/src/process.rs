//! Child processes: none outlives the tool, none sees a secret in its environment, and none leaves children of its own.
//!
//! A child is started through the tool's own executable, which makes a session of its own, sets the parent-death signal and then becomes the
//! program ("exec shim"), held to what [`crate::confine`] says: std offers that step only as unsafe code in the forked child. When the tool is killed the
//! kernel kills the child; its grandchildren are reached by the process group, and after a `kill -9` of the tool by the
//! unit's cgroup only.
//!
//! Nothing here restarts or interprets what runs.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::PermissionsExt, process::CommandExt, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{self, ChildStderr, ChildStdin, ChildStdout, Command, ExitCode, ExitStatus, Output, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Sender, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions},
};

use crate::{
    cancel::Cancel,
    confine::{self, Confinement},
    supervise::contain,
    user::Ids,
};

/// First argument of a process that is to become another program. Behind it: the parent, what the child is held to, this
/// again, the program and its arguments.
const EXEC: &str = "__exec";

/// Behind [`EXEC`] and the parent: whose the child is to be.
const USER: &str = "user";

/// This process's own executable, also when the file has been replaced or deleted since.
const SELF_EXE: &str = "/proc/self/exe";

/// What a child may know of our environment.
pub(crate) const PASSED_ON: [&str; 14] = [
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "XDG_CACHE_HOME",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// Whether this program's `main` begins with [`shim`], so that it can be asked to become another one.
static HAS_SHIM: AtomicBool = AtomicBool::new(false);

/// The first line of every tool's `main`: where this process was started as the shim of a child, becomes that child.
/// Otherwise `None`, and the tool goes on.
///
/// A result means that the program could not be started (126) or that the tool is already gone (125); `main` ends with it.
#[must_use]
pub fn shim() -> Option<ExitCode> {
    let mut args = env::args_os().skip(1);
    if args.next().as_deref() != Some(OsStr::new(EXEC)) {
        HAS_SHIM.store(true, Ordering::SeqCst);
        return None;
    }
    let parent = args.next().unwrap_or_default();
    let held: Vec<_> = args.by_ref().take_while(|arg| arg != EXEC).collect();
    let program = args.next().unwrap_or_default();
    let name = program.to_string_lossy();
    // Without a terminal there is none that a child, or what it starts, could type into (TIOCSTI).
    if let Err(e) = rustix::process::setsid() {
        eprintln!("failed to start {name}: failed to give it a session of its own: {e}");
        return Some(ExitCode::from(126));
    }
    // Before the signal, which a change of user takes back.
    let user = held.iter().position(|arg| arg == USER).and_then(|at| held.get(at + 1)?.to_str());
    if let Some(user) = user
        && let Err(e) =
            Ids::from_arg(user).ok_or(io::ErrorKind::InvalidInput.into()).and_then(|ids| ids.assume())
    {
        eprintln!("failed to start {name}: failed to become another user: {e}");
        return Some(ExitCode::from(126));
    }
    if let Err(e) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("failed to start {name}: failed to tie it to its parent: {e}");
        return Some(ExitCode::from(126));
    }
    // The parent may have died before the signal was set.
    let alive = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if alive.is_none_or(|pid| *pid != *parent) {
        return Some(ExitCode::from(125));
    }
    if user.is_none()
        && !held.is_empty()
        && let Err(e) = Confinement::from_args(&held).enforce()
    {
        eprintln!("failed to start {name}: failed to confine it: {e}");
        return Some(ExitCode::from(126));
    }
    let args: Vec<_> = args.collect();
    let mut e = Command::new(&program).args(&args).exec();
    // Another user runs this program itself, also where he could not go to find it.
    if user.is_some() && e.kind() == io::ErrorKind::PermissionDenied {
        e = Command::new(SELF_EXE).args(&args).exec();
    }
    eprintln!("failed to start {name}: {e}");
    Some(ExitCode::from(126))
}

/// A command that runs `program` (a path, or a name looked up in PATH) as a child in a session of its own, with empty
/// stdin and nothing in its environment but an allow-list (search path, home, locale, time zone, temporary directory,
/// certificates, proxies, cache directory). Start it with [`spawn`] or [`output`].
///
/// It is held to what [`confine::children`] was told, and finds its scratch directory in `TMPDIR` and `XDG_CACHE_HOME`.
///
/// In a program whose `main` does not begin with [`shim`] (a test) the child is neither tied to the parent's death nor
/// confined.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let confinement = confine::current();
    let mut command = command_of(program.as_ref(), confinement.map(Confinement::to_args).unwrap_or_default());
    if let Some(confinement) = confinement.filter(|held| held.scratch.is_dir()) {
        command.env("TMPDIR", &confinement.scratch);
        command.env("XDG_CACHE_HOME", confinement.scratch.join(confine::CACHE));
    }
    command
}

/// A [`command`] for a program of ours, which may read and write what this process may.
#[must_use]
pub fn trusted(program: impl AsRef<OsStr>) -> Command {
    command_of(program.as_ref(), Vec::new())
}

/// A [`trusted`] command for this program itself, which is to run as another user. Only the shim can become one.
pub(crate) fn as_user(program: &OsStr, ids: &Ids) -> io::Result<Command> {
    if !HAS_SHIM.load(Ordering::SeqCst) {
        return Err(io::Error::other("this program cannot start itself as another user"));
    }
    Ok(command_of(program, vec![USER.into(), ids.to_arg()]))
}

fn command_of(program: &OsStr, held: Vec<OsString>) -> Command {
    let mut command = if HAS_SHIM.load(Ordering::SeqCst) {
        let mut shim = Command::new(SELF_EXE);
        shim.arg(EXEC).arg(process::id().to_string()).args(held).arg(EXEC).arg(program);
        shim
    } else {
        let mut direct = Command::new(program);
        direct.process_group(0);
        direct
    };
    let kept = env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(|n| PASSED_ON.contains(&n) || n.starts_with("LC_")));
    command.env_clear().envs(kept).stdin(Stdio::null());
    command
}

/// The program a [`command`] is to run, not the shim in front of it.
fn program(command: &Command) -> &OsStr {
    let mut args = command.get_args();
    let own = command.get_program();
    if own == SELF_EXE && args.next() == Some(OsStr::new(EXEC)) {
        args.skip_while(|arg| *arg != EXEC).nth(1).unwrap_or(own)
    } else {
        own
    }
}

/// The executable file that `program` names: looked up in this process's PATH unless it holds a slash.
pub fn find(program: impl AsRef<OsStr>) -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    find_in(program.as_ref(), Path::new(""), &path)
}

fn find_in(program: &OsStr, dir: &Path, path: &OsStr) -> io::Result<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        let file = dir.join(program);
        return executable(&file).map(|()| file);
    }
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "not found in PATH");
    if program.is_empty() {
        return Err(failed);
    }
    for dir in env::split_paths(path) {
        let file = dir.join(program);
        match executable(&file) {
            Ok(()) => return Ok(file),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => failed = e,
            Err(_) => {}
        }
    }
    Err(failed)
}

fn executable(file: &Path) -> io::Result<()> {
    let meta = file.metadata()?;
    if meta.is_file() && meta.permissions().mode() & 0o111 != 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "not an executable file"))
}

/// Starts a [`command`]. `NotFound` and `PermissionDenied` are about the program itself.
pub fn spawn(command: Command) -> io::Result<Child> {
    // Found out here: the shim's exec fails after the start, where nobody but a reader of its stderr would see it.
    let path = command.get_envs().find_map(|(name, value)| (name == "PATH").then_some(value)?);
    find_in(
        program(&command),
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
fn on_lasting_thread(start: Start) -> io::Result<process::Child> {
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
    pidfd: OwnedFd,
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

/// Why [`output`] has no output to give.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The program is missing, is not executable, or could not be started.
    #[error("failed to start {program}: {source}")]
    Start {
        /// What was to be run.
        program: String,
        /// Why it does not run.
        source: io::Error,
    },
    /// Reading its output or waiting for it failed.
    #[error("failed to read what {program} prints: {source}")]
    Io {
        /// What was run.
        program: String,
        /// What failed.
        source: io::Error,
    },
    /// It ran longer than it may, and was killed.
    #[error("{program} did not finish within {} s", after.as_secs_f32())]
    TimedOut {
        /// What was run.
        program: String,
        /// How long it was given.
        after: Duration,
    },
    /// It printed more than it may, and was killed.
    #[error("{program} printed more than {max_bytes} bytes")]
    TooMuch {
        /// What was run.
        program: String,
        /// How much it may print on stdout.
        max_bytes: usize,
    },
    /// The caller's [`Cancel`] was set, and it was killed.
    #[error("{program} was stopped")]
    Cancelled {
        /// What was run.
        program: String,
    },
}

/// How often a running [`output`] looks at its [`Cancel`].
const CANCEL_EVERY: Duration = Duration::from_millis(50);

/// Runs `command` to its end and gives what it printed, whatever its exit status. After `timeout`, on `cancel`, or when
/// stdout exceeds `max_bytes`, its whole group is killed. Of stderr the last `max_bytes` are kept: the reason of a
/// failure comes last.
pub fn output(
    mut command: Command,
    timeout: Duration,
    max_bytes: usize,
    cancel: &Cancel,
) -> Result<Output, RunError> {
    let program = program(&command).to_string_lossy().into_owned();
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

/// A [`RunError`] that does not know its program yet.
enum Stop {
    Io(io::Error),
    TimedOut,
    TooMuch,
    Cancelled,
}

/// Reads stdout and stderr until the child has ended.
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
        // Once the child has ended only what the pipes still hold is taken: a process that left the group could keep
        // them open for ever.
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

/// What [`collect`] can do without blocking.
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
    // A pipe that has ended is asked no more; the pidfd stands in for it.
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

/// Takes what `pipe` holds; at its end, closes it.
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

/// How a process ended, in words: "exited with 1", "killed by SIGKILL".
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("killed by {}", SignalName(signal)),
        (None, None) => status.to_string(),
    }
}

struct SignalName(i32);

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The signals that end a process, by their Linux numbers.
        let name = match self.0 {
            1 => "SIGHUP",
            2 => "SIGINT",
            3 => "SIGQUIT",
            4 => "SIGILL",
            6 => "SIGABRT",
            7 => "SIGBUS",
            8 => "SIGFPE",
            9 => "SIGKILL",
            11 => "SIGSEGV",
            13 => "SIGPIPE",
            14 => "SIGALRM",
            15 => "SIGTERM",
            24 => "SIGXCPU",
            25 => "SIGXFSZ",
            31 => "SIGSYS",
            other => return write!(f, "signal {other}"),
        };
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests;
