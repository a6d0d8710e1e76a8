//! The real `tgs-stream` as a child process: starts it with its own directories, observes its log,
//! pages and children, and ends it.
//!
//! The stream itself is checked elsewhere (`flvcheck`, `ingest`, `nginx`).

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
use tgs_control::{AddressFile, Status, http_get};

use crate::bin_path::tgs_stream;

const POLL: Duration = Duration::from_millis(5);

/// Time limit for a request of a page.
const PAGE_LIMIT: Duration = Duration::from_secs(10);

/// A `tgs-stream` to be started.
#[derive(Debug)]
pub struct Launch {
    dir: TempDir,
    state: PathBuf,
    args: Command,
}

impl Launch {
    /// A launch that writes to `output` (a URL or a `.flv` file).
    pub fn to(output: impl AsRef<OsStr>) -> Result<Self> {
        Ok(Self::new()?.arg("--output").arg(output))
    }

    /// A launch at 480p with its own directories and no environment except the search path. Metrics
    /// use a free port; no item is cached, and none is levelled.
    pub fn new() -> Result<Self> {
        Self::of(tgs_stream())
    }

    /// The same with another copy of the tool.
    pub fn of(tool: &Path) -> Result<Self> {
        Self::through(&[], tool)
    }

    /// The same through a program that runs another, such as nsenter, with these words before the
    /// tool's path.
    pub fn through(words: &[&str], tool: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("tgs-broadcast-").tempdir()?;
        let mut args = Command::new("setpriv");
        // A session of its own, as a unit's: the kernel shares the processors among sessions first,
        // and all tests together are one.
        args.args(["--pdeathsig", "KILL", "setsid"]).args(words).arg(tool);
        args.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        args.env("HOME", dir.path()).env("TMPDIR", dir.path());
        args.env("PROMETHEUS_PORT", "0").env("VIDEO_QUALITY", "360p").env("CACHE_MAX_GB", "0");
        args.env("LOUDNESS", "off");
        // Hides the developer's ./.env.
        args.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let own = dir.path().to_owned();
        Ok(Self { dir, state: PathBuf::new(), args }.keeping(&own))
    }

    /// Puts `state` and `cache` into this directory, which outlives the broadcast, for restarts.
    #[must_use]
    pub fn keeping(mut self, dir: &Path) -> Self {
        self.state = dir.join("state");
        self.args.env("STATE_DIR", &self.state).env("CACHE_DIR", dir.join("cache"));
        self
    }

    /// Adds these sources in order.
    #[must_use]
    pub fn play(self, sources: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        sources.into_iter().fold(self, Self::arg)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.arg(arg);
        self
    }

    /// Adds a setting to the environment.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.args.env(name, value);
        self
    }

    /// Writes the log to this file instead of memory, for runs of any length; the methods of
    /// [`Broadcast`] then see no log.
    #[must_use]
    pub fn log_to(mut self, file: fs::File) -> Self {
        self.args.stderr(file);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn within(mut self, dir: &Path) -> Self {
        self.args.current_dir(dir);
        self
    }

    /// Starts the process. Call it from a long-lived thread: the process dies with the thread.
    pub fn start(mut self) -> Result<Broadcast> {
        let began = Instant::now();
        let mut child = self.args.spawn().context("start tgs-stream")?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let reader = child.stderr.take().map(|stderr| follow(stderr, Arc::clone(&log)));
        Ok(Broadcast { dir: self.dir, state: self.state, began, child, status: None, log, reader })
    }

    /// Starts the process, waits for its exit within `limit`, and fails unless it succeeded.
    pub fn finish(self, limit: Duration) -> Result<Broadcast> {
        let mut broadcast = self.start()?;
        let status = broadcast.wait(limit)?;
        ensure!(status.success(), "tgs-stream ended with {status}:\n{}", broadcast.log());
        Ok(broadcast)
    }
}

/// A line of the log and its time.
#[derive(Debug, Clone)]
pub struct Line {
    /// The line: time, level, message.
    pub text: String,
    /// The time at which it was read.
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

/// A descendant process of the broadcast.
#[derive(Debug, Clone)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// The arguments, including the program.
    pub args: Vec<String>,
}

impl Process {
    /// Whether this is an item's encoder (the sender copies, ffprobe has no codec).
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

    /// Whether the process runs; a zombie does not.
    #[must_use]
    pub fn runs(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.is_some_and(|state| !matches!(state, 'Z' | 'X')) && arguments(self.pid) == self.args
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send(self.pid, signal)
    }
}

/// A started `tgs-stream`. Dropping it kills the process, and shows its log if the test fails.
#[derive(Debug)]
pub struct Broadcast {
    dir: TempDir,
    state: PathBuf,
    /// The start time.
    pub began: Instant,
    child: Child,
    status: Option<ExitStatus>,
    log: Arc<Mutex<Vec<Line>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Broadcast {
    /// The directory of the broadcast's files (`state`, `cache`), removed on drop.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process id.
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

    /// The warnings and errors logged so far.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let bad = |line: &Line| line.text.contains(" WARN ") || line.text.contains(" ERROR ");
        self.locked().iter().filter(|line| bad(line)).map(|line| line.text.clone()).collect()
    }

    /// The same without those of the filler, which a busy machine shows at any time: an encoder
    /// begins late, or pauses.
    #[must_use]
    pub fn warnings_but_filler(&self) -> Vec<String> {
        self.warnings().into_iter().filter(|line| !line.contains(" WARN  filler on air: ")).collect()
    }

    /// The titles of the items broadcast so far, in order.
    #[must_use]
    pub fn on_air(&self) -> Vec<String> {
        let title = |line: &Line| Some(line.text.split_once(" INFO  on air: ")?.1.to_owned());
        self.locked().iter().filter_map(title).collect()
    }

    /// Waits for the `nth` (from 1) time that an item whose title begins with `title` is on air.
    /// The filler does not count.
    pub fn wait_item(&self, title: &str, nth: usize, within: Duration) -> Result<()> {
        let begun = || self.on_air().iter().filter(|item| item.starts_with(title)).count();
        self.until(&format!("item {nth} with “{title}”"), within, || (begun() >= nth).then_some(()))
    }

    /// Waits for a line that contains all of `words`, searching the whole log.
    pub fn wait_log(&self, words: &[&str], within: Duration) -> Result<Line> {
        self.wait_log_nth(words, 1, within)
    }

    /// Waits for the `nth` (from 1) line that contains all of `words`.
    pub fn wait_log_nth(&self, words: &[&str], nth: usize, within: Duration) -> Result<Line> {
        let holds = |line: &&Line| words.iter().all(|word| line.text.contains(word));
        self.until(&format!("line {nth} with {words:?}"), within, || {
            self.locked().iter().filter(holds).nth(nth - 1).cloned()
        })
    }

    /// Waits until `check` returns a value; fails after `within` with the log and `what`.
    pub fn until<T>(&self, what: &str, within: Duration, check: impl FnMut() -> Option<T>) -> Result<T> {
        until(what, within, check).with_context(|| format!("the log:\n{}", self.log()))
    }

    /// Requests one of its pages: status code and body.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let answer = http_get::get(self.address()?, path, PAGE_LIMIT).context("read its page")?;
        Ok((answer.code, answer.body))
    }

    fn address(&self) -> Result<SocketAddr> {
        let file = AddressFile::in_dir(&self.state);
        until("its address", PAGE_LIMIT, || file.read().ok())
    }

    /// The parsed /status page.
    pub fn status(&self) -> Result<Status> {
        let (code, body) = self.get("/status")?;
        ensure!(code == 200, "/status answers {code}");
        Ok(serde_json::from_str(&body)?)
    }

    /// The value of a metric, with labels as printed (`tgs_item_failures_total{reason="missing"}`).
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

    /// All descendant processes.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        below(self.pid())
    }

    /// Waits for a descendant process that satisfies `such`.
    pub fn wait_process(&self, within: Duration, such: impl Fn(&Process) -> bool) -> Result<Process> {
        self.until("a child", within, || self.processes().into_iter().find(&such))
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send(self.pid(), signal)
    }

    /// The exit status, if the process has exited.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Waits for the exit; the log is complete afterwards.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        while self.ended()?.is_none() {
            if Instant::now() > deadline {
                bail!("tgs-stream has not ended after {within:?}; its log:\n{}", self.log());
            }
            thread::sleep(POLL);
        }
        // A surviving child may hold the pipe open, hence the limit.
        let limit = Duration::from_secs(2);
        let _ = until("the log's end", limit, || self.reader.as_ref()?.is_finished().then_some(()));
        self.status.context("no status")
    }

    /// Stops the broadcast (SIGTERM); fails unless it exits with success within 10 s, the unit's
    /// limit. Returns the time taken.
    pub fn stop(&mut self) -> Result<Duration> {
        let told = Instant::now();
        self.signal(Signal::TERM)?;
        let status = self.wait(Duration::from_secs(10))?;
        ensure!(status.success(), "tgs-stream ended with {status}; its log:\n{}", self.log());
        Ok(told.elapsed())
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Line>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Broadcast {
    fn drop(&mut self) {
        // Best effort: the process may have exited, and the parent-death signal also kills it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the log of tgs-stream:\n{}", self.log());
        }
    }
}

/// The resident memory of a process in MiB; `None` if the process does not exist.
#[must_use]
pub fn resident(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// Waits until `check` returns a value; fails after `within` with `what`.
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

/// Creates `ffmpeg` in `dir` as the shell script `text` (`$REAL` is the real ffmpeg), and the real
/// ffprobe beside it. Returns the path for FFMPEG_PATH.
pub fn wrapped_ffmpeg(dir: &Path, text: &str) -> Result<PathBuf> {
    let real = |name| tgs_core::process::find(name).with_context(|| format!("find {name}"));
    let script = format!("#!/bin/sh\nREAL='{}'\n{text}\n", real("ffmpeg")?.display());
    std::os::unix::fs::symlink(real("ffprobe")?, dir.join("ffprobe"))?;
    executable(&dir.join("ffmpeg"), &script)
}

/// Writes an executable file and returns its path.
pub fn executable(path: &Path, text: &str) -> Result<PathBuf> {
    // A separate process writes the file: a fork of another test at this time would inherit an open
    // descriptor and cause ETXTBSY.
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

/// The descendants of `pid`.
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
    // Fields after the process name, which may contain any character: state, parent.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(pid.cast_signed()).context("pid 0")?;
    kill_process(pid, signal).with_context(|| format!("send {signal:?}"))
}
