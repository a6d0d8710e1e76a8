//! The real `tgs-stream` as a child: started with directories of its own, watched by its log, its
//! pages and its children, and ended.
//!
//! Whether what it sends is right is judged elsewhere (`flvcheck`, `ingest`, `nginx`).

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tgs_control::{AddressFile, Status, StatusClient, http_get};

use crate::bin_path::tgs_stream;

const POLL: Duration = Duration::from_millis(5);

/// Time for one of its pages.
const PAGE_LIMIT: Duration = Duration::from_secs(10);

/// A `tgs-stream` that is to be started.
#[derive(Debug)]
pub struct Launch {
    dir: TempDir,
    state: PathBuf,
    args: Command,
}

impl Launch {
    /// One that writes to `output` (a URL or a `.flv` file).
    pub fn to(output: impl AsRef<OsStr>) -> Result<Self> {
        Ok(Self::new()?.arg("--output").arg(output))
    }

    /// One at 480p, with directories of its own and nothing of this process's environment but the
    /// search path. Metrics on a free port, and every item is encoded each time.
    pub fn new() -> Result<Self> {
        Self::of(tgs_stream())
    }

    /// The same with another copy of the tool.
    pub fn of(tool: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("tgs-broadcast-").tempdir()?;
        let mut args = Command::new("setpriv");
        args.args(["--pdeathsig", "KILL"]).arg(tool);
        args.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        args.env("HOME", dir.path()).env("TMPDIR", dir.path());
        args.env("PROMETHEUS_PORT", "0").env("VIDEO_QUALITY", "480p").env("CACHE_MAX_GB", "0");
        // Away from the developer's own ./.env.
        args.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let own = dir.path().to_owned();
        Ok(Self { dir, state: PathBuf::new(), args }.keeping(&own))
    }

    /// With `state` and `cache` in this directory, which outlives it: for what a restart finds
    /// again.
    #[must_use]
    pub fn keeping(mut self, dir: &Path) -> Self {
        self.state = dir.join("state");
        self.args.env("STATE_DIR", &self.state).env("CACHE_DIR", dir.join("cache"));
        self
    }

    /// With these sources, in this order.
    #[must_use]
    pub fn play(self, sources: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        sources.into_iter().fold(self, Self::arg)
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.arg(arg);
        self
    }

    /// With this setting in the environment.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.args.env(name, value);
        self
    }

    /// With its log in this file, where the methods of [`Broadcast`] do not see it: for runs of any
    /// length.
    #[must_use]
    pub fn log_to(mut self, file: fs::File) -> Self {
        self.args.stderr(file);
        self
    }

    /// Started in this directory.
    #[must_use]
    pub fn within(mut self, dir: &Path) -> Self {
        self.args.current_dir(dir);
        self
    }

    /// Starts it. Call it from a thread that lasts: the process dies with it.
    pub fn start(mut self) -> Result<Broadcast> {
        let began = Instant::now();
        let mut child = self.args.spawn().context("start tgs-stream")?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let reader = child.stderr.take().map(|stderr| follow(stderr, Arc::clone(&log)));
        Ok(Broadcast { dir: self.dir, state: self.state, began, child, status: None, log, reader })
    }

    /// Starts it, waits until it has ended by itself within `limit`, and fails where that was not
    /// with success.
    pub fn finish(self, limit: Duration) -> Result<Broadcast> {
        let mut broadcast = self.start()?;
        let status = broadcast.wait(limit)?;
        ensure!(status.success(), "tgs-stream ended with {status}:\n{}", broadcast.log());
        Ok(broadcast)
    }
}

/// A line of the log, and when it came.
#[derive(Debug, Clone)]
pub struct Line {
    /// The line: time, level, words.
    pub text: String,
    /// When it was read.
    pub at: Instant,
}

fn follow(stderr: ChildStderr, log: Arc<Mutex<Vec<Line>>>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = Line { text: String::from_utf8_lossy(&line).into_owned(), at: Instant::now() };
            log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    })
}

/// A process below the broadcast.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its arguments, the program first.
    pub args: Vec<String>,
}

impl Process {
    /// Whether this encodes an item (the sender copies, ffprobe has no codec).
    #[must_use]
    pub fn is_encoder(&self) -> bool {
        self.args.iter().any(|arg| arg == "libx264")
            && self.args.first().is_some_and(|p| p.ends_with("ffmpeg"))
    }

    /// Whether this is the ffmpeg of PUBLISHER=ffmpeg.
    #[must_use]
    pub fn is_sender(&self) -> bool {
        self.args.iter().any(|arg| arg == "fifo")
    }

    /// Whether it still runs; a zombie does not.
    #[must_use]
    pub fn runs(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.is_some_and(|state| !matches!(state, 'Z' | 'X')) && arguments(self.pid) == self.args
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send(self.pid, signal)
    }
}

/// A `tgs-stream` that was started. Dropping it kills it, and shows its log where the test fails.
#[derive(Debug)]
pub struct Broadcast {
    dir: TempDir,
    state: PathBuf,
    /// When it was started.
    pub began: Instant,
    child: Child,
    status: Option<ExitStatus>,
    log: Arc<Mutex<Vec<Line>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Broadcast {
    /// The directory that holds everything of it (`state`, `cache`), removed in the end.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The lines logged so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.locked().clone()
    }

    /// The log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.locked().iter().flat_map(|line| [line.text.as_str(), "\n"]).collect()
    }

    /// The lines logged so far that are warnings or errors.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let bad = |line: &Line| line.text.contains(" WARN ") || line.text.contains(" ERROR ");
        self.locked().iter().filter(|line| bad(line)).map(|line| line.text.clone()).collect()
    }

    /// The titles of the items shown so far, in order.
    #[must_use]
    pub fn on_air(&self) -> Vec<String> {
        let title = |line: &Line| Some(line.text.split_once(" INFO  on air: ")?.1.to_owned());
        self.locked().iter().filter_map(title).collect()
    }

    /// Waits for a line of the log that holds all of `words`, from its beginning on.
    pub fn wait_log(&self, words: &[&str], within: Duration) -> Result<Line> {
        self.wait_log_nth(words, 1, within)
    }

    /// Waits for the `nth` (from 1) line that holds all of `words`.
    pub fn wait_log_nth(&self, words: &[&str], nth: usize, within: Duration) -> Result<Line> {
        let holds = |line: &&Line| words.iter().all(|word| line.text.contains(word));
        self.until(&format!("line {nth} with {words:?}"), within, || {
            self.locked().iter().filter(holds).nth(nth - 1).cloned()
        })
    }

    /// Waits until `check` has an answer; fails with the log after `within`, saying `what` was
    /// waited for.
    pub fn until<T>(&self, what: &str, within: Duration, check: impl FnMut() -> Option<T>) -> Result<T> {
        until(what, within, check).with_context(|| format!("the log:\n{}", self.log()))
    }

    /// The answer of one of its pages: status code and body.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let answer = http_get::get(self.address()?, path, PAGE_LIMIT).context("read its page")?;
        Ok((answer.code, answer.body))
    }

    fn address(&self) -> Result<SocketAddr> {
        let file = AddressFile::in_dir(&self.state);
        until("its address", PAGE_LIMIT, || file.read().ok())
    }

    /// What /status says.
    pub fn status(&self) -> Result<Status> {
        Ok(StatusClient::new(self.address()?).status()?)
    }

    /// The value of a metric, its labels as they are written
    /// (`tgs_item_failures_total{reason="missing"}`).
    pub fn metric(&self, name: &str) -> Result<f64> {
        let page = self.get("/metrics")?.1;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|v| v.parse().ok()).with_context(|| format!("no metric {name} in\n{page}"))
    }

    /// Waits until a metric is at least `least`.
    pub fn wait_metric(&self, name: &str, least: f64, within: Duration) -> Result<()> {
        self.until(&format!("{name} ≥ {least}"), within, || self.metric(name).ok().filter(|v| *v >= least))
            .map(drop)
    }

    /// Its children and theirs.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        below(self.pid())
    }

    /// Waits for a process below it that is `such`.
    pub fn wait_process(&self, within: Duration, such: impl Fn(&Process) -> bool) -> Result<Process> {
        self.until("a child", within, || self.processes().into_iter().find(&such))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send(self.pid(), signal)
    }

    /// How it ended, where it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Waits until it has ended; everything it logged can be read then.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        while self.ended()?.is_none() {
            if Instant::now() > deadline {
                bail!("tgs-stream has not ended after {within:?}; its log:\n{}", self.log());
            }
            thread::sleep(POLL);
        }
        // A child that outlives it would hold the pipe open, which is not this function's matter.
        let limit = Duration::from_secs(2);
        let _ = until("the log's end", limit, || self.reader.as_ref()?.is_finished().then_some(()));
        self.status.context("no status")
    }

    /// Tells it to stop (SIGTERM); fails unless it ends with success within 3 s. Answers how long
    /// it took.
    pub fn stop(&mut self) -> Result<Duration> {
        let told = Instant::now();
        self.signal(Signal::TERM)?;
        let status = self.wait(Duration::from_secs(3))?;
        ensure!(status.success(), "tgs-stream ended with {status}; its log:\n{}", self.log());
        Ok(told.elapsed())
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Line>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Broadcast {
    fn drop(&mut self) {
        // It may be gone already, and the parent-death signal is behind it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the log of tgs-stream:\n{}", self.log());
        }
    }
}

/// Waits until `check` has an answer; fails after `within`, saying `what` was waited for.
pub fn until<T>(what: &str, within: Duration, mut check: impl FnMut() -> Option<T>) -> Result<T> {
    let until = Instant::now() + within;
    loop {
        if let Some(found) = check() {
            return Ok(found);
        }
        ensure!(Instant::now() < until, "waited {within:?} for {what}");
        thread::sleep(POLL);
    }
}

/// A directory that holds `ffmpeg`, which is the script `text` (of `sh`; `$REAL` is the real
/// ffmpeg), and the real ffprobe beside it. Answers the path for FFMPEG_PATH.
pub fn wrapped_ffmpeg(dir: &Path, text: &str) -> Result<PathBuf> {
    let real = |name| tgs_core::process::find(name).with_context(|| format!("find {name}"));
    let script = format!("#!/bin/sh\nREAL='{}'\n{text}\n", real("ffmpeg")?.display());
    std::os::unix::fs::symlink(real("ffprobe")?, dir.join("ffprobe"))?;
    executable(&dir.join("ffmpeg"), &script)
}

/// Writes an executable file, and answers its path.
pub fn executable(path: &Path, text: &str) -> Result<PathBuf> {
    // Written by a process of its own: where a test forks at the same moment, our own open file
    // would be "busy".
    let mut child = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .context("run sh")?;
    child.stdin.take().context("no stdin")?.write_all(text.as_bytes())?;
    ensure!(child.wait()?.success(), "cannot write {}", path.display());
    Ok(path.to_owned())
}

/// The arguments of a process; empty if the process does not exist.
fn arguments(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let args = bytes.split(|&b| b == 0).map(|arg| String::from_utf8_lossy(arg).into_owned());
    let mut args: Vec<String> = args.collect();
    args.pop();
    args
}

/// What has `pid` above it.
fn below(pid: u32) -> Vec<Process> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<(u32, u32)> = pids
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut family = vec![pid];
    // A child may be listed before its parent.
    while let Some(&(child, _)) = all.iter().find(|(pid, up)| family.contains(up) && !family.contains(pid)) {
        family.push(child);
    }
    family.into_iter().skip(1).map(|pid| Process { pid, args: arguments(pid) }).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything: state, parent.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(pid.cast_signed()).context("pid 0")?;
    kill_process(pid, signal).with_context(|| format!("send {signal:?}"))
}
