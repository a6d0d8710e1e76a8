//! Runs one side and measures its CPU time, children included, and its memory.

use std::{
    fs::{self, File},
    io::{Read, Seek},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use nix::time::ClockId;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// How often memory and the end are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// The kernel's unit of the times in /proc, the same on every Linux that Rust's std runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a run used.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    /// CPU seconds of the process and all its children.
    pub(super) all: f64,
    /// CPU seconds of the process itself.
    pub(super) own: f64,
    /// Resident memory of the process itself: seconds since the start, MiB.
    pub(super) memory: Vec<(f64, f64)>,
    /// Its peak in MiB.
    pub(super) peak: f64,
}

/// A measured process. Dropping it kills it; its children end by their parent-death signal.
#[derive(Debug)]
pub(super) struct Metered {
    child: Child,
    began: Instant,
    log: File,
    usage: Usage,
}

impl Metered {
    /// Starts `command` (its program is looked up in the search path). Call it from a thread that
    /// lasts as long.
    pub(super) fn start(command: &Command) -> Result<Self> {
        // setpriv becomes the program: the process id stays, and what it costs is too little to
        // count.
        let mut tied = Command::new("setpriv");
        tied.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                tied.env(name, value);
            }
        }
        if let Some(dir) = command.get_current_dir() {
            tied.current_dir(dir);
        }
        let log = tempfile::tempfile().context("make a file for the log")?;
        let began = Instant::now();
        let child = tied
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        Ok(Self { child, began, log, usage: Usage::default() })
    }

    /// When it was started.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU seconds that it and its children used in the `time` from its start.
    pub(super) fn start_up(&mut self, time: Duration) -> Result<f64> {
        thread::sleep(time.saturating_sub(self.began.elapsed()));
        Ok(self.so_far()?.all)
    }

    /// What it has used up to now; it must still run. Children count once they have ended.
    pub(super) fn so_far(&mut self) -> Result<Usage> {
        ensure!(!self.has_ended()?, "it ended by itself and said:\n{}", self.said());
        self.look();
        self.account()?;
        Ok(self.usage.clone())
    }

    /// Waits for its end, which must be a success and within `limit`.
    pub(super) fn finish(mut self, limit: Duration) -> Result<Usage> {
        let status = self.wait(limit)?;
        ensure!(status.success(), "it ended with {status} and said:\n{}", self.said());
        Ok(std::mem::take(&mut self.usage))
    }

    /// Lets it run for `time`, asks it to end (SIGTERM) and waits for that.
    pub(super) fn stop_after(mut self, time: Duration) -> Result<Usage> {
        while self.began.elapsed() < time {
            ensure!(!self.has_ended()?, "it ended by itself and said:\n{}", self.said());
            self.look();
            thread::sleep(LOOK);
        }
        kill_process(self.pid()?, Signal::TERM)?;
        let status = self.wait(time + Duration::from_secs(10))?;
        ensure!(
            status.success() || status.signal() == Some(15),
            "it ended with {status} and said:\n{}",
            self.said()
        );
        Ok(std::mem::take(&mut self.usage))
    }

    fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        while !self.has_ended()? {
            ensure!(self.began.elapsed() < limit, "it still runs after {limit:?} and says:\n{}", self.said());
            self.look();
            thread::sleep(LOOK);
        }
        // Before it is reaped: /proc still has its totals.
        self.account()?;
        Ok(self.child.wait()?)
    }

    /// The last lines of its log.
    fn said(&mut self) -> String {
        let mut text = String::new();
        let read = self.log.rewind().and_then(|()| self.log.read_to_string(&mut text));
        if let Err(e) = read {
            return format!("(its log cannot be read: {e})");
        }
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn has_ended(&self) -> Result<bool> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(self.pid()?), look)?.is_some())
    }

    fn pid(&self) -> Result<Pid> {
        Pid::from_raw(self.id().cast_signed()).context("pid 0")
    }

    fn look(&mut self) {
        // Gone while it ends.
        let Ok(status) = fs::read_to_string(format!("/proc/{}/status", self.id())) else { return };
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse::<f64>().ok()
        };
        if let (Some(now), Some(peak)) = (kib("VmRSS"), kib("VmHWM")) {
            self.usage.memory.push((self.began.elapsed().as_secs_f64(), now / 1024.0));
            self.usage.peak = peak / 1024.0;
        }
    }

    fn account(&mut self) -> Result<()> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // The program's name in parentheses may hold anything; behind it come the state and twelve
        // more before the times of the children.
        let (_, fields) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
        let children: Vec<f64> =
            fields.split_whitespace().skip(13).take(2).filter_map(|t| t.parse().ok()).collect();
        ensure!(children.len() == 2, "cannot read /proc/PID/stat");
        // A channel from the cache uses less in a run than a few of those ticks: its own time by
        // the finer clock.
        let clock = ClockId::pid_cpu_clock_id(nix::unistd::Pid::from_raw(self.id().cast_signed()))?;
        self.usage.own = Duration::from(clock.now()?).as_secs_f64();
        self.usage.all = self.usage.own + children.iter().sum::<f64>() / TICKS_PER_SECOND;
        Ok(())
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        // Both fail if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_counted_apart() {
        let busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        let mut command = Command::new("sh");
        command.args(["-c", &format!("sh -c '{busy}'; sh -c '{busy}'; true")]);
        let usage = Metered::start(&command).unwrap().finish(Duration::from_mins(1)).unwrap();
        assert!(usage.all >= 0.1, "{usage:?}");
        assert!(usage.own < usage.all / 2.0, "{usage:?}");
        assert!(usage.peak > 0.1, "{usage:?}");
    }

    #[test]
    fn a_failure_is_no_measurement() {
        let start =
            || Metered::start(Command::new("sh").args(["-c", "echo no such thing >&2; exit 3"])).unwrap();
        let error = start().finish(Duration::from_mins(1)).unwrap_err().to_string();
        assert!(error.ends_with("exit status: 3 and said:\nno such thing"), "{error}");
        assert!(start().stop_after(Duration::from_mins(1)).is_err());
    }
}
