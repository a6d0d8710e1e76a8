//! A broadcast in which every other item is hostile, by its content or its server, with
//! measurements from the view of viewer, machine and operator.

pub mod inputs;
pub mod servers;

use std::{
    fmt, fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    broadcast::{Broadcast, Launch, Line, resident},
    clips::noisy,
    ingest::{Ingest, Message, Setup},
    viewer::Viewer,
};
use inputs::INPUTS;
use servers::{Manner, Server};

/// Longest acceptable time without a new picture.
const LONGEST_GAP: Duration = Duration::from_secs(2);
/// Memory limit of tgs-stream in MiB.
const MOST_OWN: f64 = 64.0;
/// Memory limit of tgs-stream and its children in MiB.
const MOST_ALL: f64 = 700.0;
/// Log line limit per minute.
const MOST_LINES: usize = 200;
/// Duration of the shortest good item in seconds, which bounds the number of items.
const SHORTEST: u64 = 3;
/// Interval between memory measurements.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The measurements of a run.
#[derive(Debug, Default)]
pub struct Seen {
    /// Duration of the run.
    pub lasted: Duration,
    /// Longest time without a new picture.
    pub longest_gap: Duration,
    /// Time since the start at which that gap ended, and the last log line before it.
    pub gap_at: (Duration, String),
    /// Number of new pictures.
    pub pictures: u64,
    /// Peak memory of the tool in MiB.
    pub own: f64,
    /// Peak memory of the tool and its children together in MiB, and the arguments of the largest
    /// child at that time.
    pub all: (f64, String),
    /// Most log lines in any minute.
    pub lines: usize,
    /// Number of good items shown.
    pub good: usize,
    /// A good item that was skipped.
    pub missed: Option<String>,
    /// Number of connections to the ingest.
    pub connections: usize,
    /// The cause if the tool died.
    pub died: Option<String>,
}

/// A chaos run. Dropping it removes its directories.
#[derive(Debug)]
pub struct Chaos {
    _dir: tempfile::TempDir,
    _ingest: Ingest,
    messages: Receiver<(usize, Message)>,
    broadcast: Broadcast,
    viewer: Viewer,
    seen: Seen,
}

impl Chaos {
    /// Starts `launch` (still without output and sources) with a list drawn from `seed`, long
    /// enough for `length`.
    pub fn start(launch: Launch, seed: u64, length: Duration) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("tgs-chaos-").tempdir()?;
        let (pass_on, messages) = mpsc::channel();
        let ingest = Ingest::start_with(Setup { pass_on: Some(pass_on), ..Setup::default() })?;
        let list = list(dir.path(), seed, length)?;
        let broadcast = launch
            .arg("--output")
            .arg(ingest.url("key"))
            .arg("--playlist")
            .arg(list)
            .set("CACHE_MAX_GB", "1")
            .set("RUST_LOG", "info")
            .start()?;
        Ok(Self {
            _dir: dir,
            _ingest: ingest,
            messages,
            broadcast,
            viewer: Viewer::default(),
            seen: Seen::default(),
        })
    }

    /// Observes for `length`, or until `go_on`, called about four times a second, returns false.
    /// Returns the measurements and the log.
    pub fn watch(mut self, length: Duration, mut go_on: impl FnMut(&Seen) -> bool) -> Result<(Seen, String)> {
        let mut looked = Instant::now();
        while self.broadcast.began.elapsed() < length {
            match self.messages.recv_timeout(LOOK_EVERY) {
                Ok((connection, message)) => self.take(connection, &message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the ingest is gone"),
            }
            if looked.elapsed() < LOOK_EVERY {
                continue;
            }
            looked = Instant::now();
            if let Some(status) = self.broadcast.ended()? {
                self.seen.died = Some(format!("tgs-stream ended by itself with {status}"));
                break;
            }
            self.look();
            if !go_on(&self.seen) {
                break;
            }
        }
        Ok(self.end())
    }

    fn take(&mut self, connection: usize, message: &Message) {
        self.seen.connections = self.seen.connections.max(connection + 1);
        if let Some(gap) = self.viewer.take(connection, message) {
            self.seen.pictures += 1;
            self.judge(gap.length(None));
        }
    }

    fn judge(&mut self, gap: Duration) {
        if gap > self.seen.longest_gap {
            let said = self.broadcast.lines().last().map(|line| line.text.clone());
            self.seen.longest_gap = gap;
            self.seen.gap_at = (self.broadcast.began.elapsed(), said.unwrap_or_default());
        }
    }

    /// Measures the memory of all processes.
    fn look(&mut self) {
        self.seen.lasted = self.broadcast.began.elapsed();
        let own = resident(self.broadcast.pid()).unwrap_or_default();
        self.seen.own = self.seen.own.max(own);
        let children = self.broadcast.processes();
        let sizes: Vec<f64> = children.iter().map(|child| resident(child.pid).unwrap_or_default()).collect();
        let all = own + sizes.iter().sum::<f64>();
        if all > self.seen.all.0 {
            let largest = children.iter().zip(&sizes).max_by(|a, b| a.1.total_cmp(b.1));
            let words = largest.map(|(child, size)| format!("{size:.0} MiB: {}", child.args.join(" ")));
            self.seen.all = (all, words.unwrap_or_default());
        }
    }

    fn end(mut self) -> (Seen, String) {
        if let Some(gap) = self.viewer.waiting() {
            self.judge(gap.length(None));
        }
        if self.seen.died.is_none()
            && let Err(error) = self.broadcast.stop()
        {
            self.seen.died = Some(format!("it does not end in order: {error:#}"));
        }
        self.seen.lines = most_in_a_minute(&self.broadcast.lines());
        let good: Vec<String> =
            self.broadcast.on_air().into_iter().filter(|title| title.starts_with("good-")).collect();
        self.seen.good = good.len();
        self.seen.missed =
            (0..good.len()).map(good_name).zip(&good).find(|(due, is)| due != *is).map(|(due, _)| due);
        (self.seen, self.broadcast.log())
    }
}

fn good_name(number: usize) -> String {
    format!("good-{number:04}")
}

/// The list: good and hostile items alternate.
fn list(dir: &Path, seed: u64, length: Duration) -> Result<PathBuf> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let files = dir.join("inputs");
    fs::create_dir(&files)?;
    let server = Server::start(&files)?;
    let clips = [noisy("chaos1", 4000).path()?, noisy("chaos2", 3400).path()?];
    let mut lines = Vec::new();
    for number in 0..=(length.as_secs() / SHORTEST) as usize {
        let good = dir.join(good_name(number)).with_extension("mp4");
        std::os::unix::fs::symlink(&clips[number % clips.len()], &good)?;
        lines.extend([good.as_os_str().as_bytes(), b"\n"].concat());
        let hostile = inputs::make(&files, rng.usize(..INPUTS.len()))?;
        let name = hostile.file_name().context("no name")?.to_string_lossy().into_owned();
        let line = match rng.choice(Manner::ALL) {
            Some(manner) if rng.bool() && hostile.is_file() => server.url(manner, &name).into_bytes(),
            _ => hostile.as_os_str().as_bytes().to_vec(),
        };
        lines.extend([&line[..], b"\n"].concat());
    }
    let list = dir.join("list.txt");
    fs::write(&list, lines)?;
    Ok(list)
}

/// Most log lines within any minute.
fn most_in_a_minute(lines: &[Line]) -> usize {
    let (mut most, mut end) = (0, 0);
    for (at, line) in lines.iter().enumerate() {
        while lines.get(end).is_some_and(|other| other.at - line.at < Duration::from_mins(1)) {
            end += 1;
        }
        most = most.max(end - at);
    }
    most
}

impl Seen {
    /// The targets: whether each is met, and its description.
    #[must_use]
    pub fn targets(&self) -> Vec<(bool, String)> {
        let gap = self.longest_gap.as_secs_f64();
        let (at, said) = &self.gap_at;
        vec![
            (
                self.longest_gap <= LONGEST_GAP,
                format!(
                    "longest gap {gap:.2} s (target ≤ {:.2} s), {:.0} s from the start: {said}",
                    LONGEST_GAP.as_secs_f64(),
                    at.as_secs_f64()
                ),
            ),
            (self.pictures > 0, format!("{} pictures arrived", self.pictures)),
            (self.connections == 1, format!("{} connection(s) to the ingest (target 1)", self.connections)),
            (
                self.own <= MOST_OWN,
                format!("tgs-stream took {:.1} MiB (target ≤ {MOST_OWN:.0} MiB)", self.own),
            ),
            (
                self.all.0 <= MOST_ALL,
                format!(
                    "with its children {:.0} MiB (target ≤ {MOST_ALL:.0} MiB); {}",
                    self.all.0, self.all.1
                ),
            ),
            (
                self.lines < MOST_LINES,
                format!("{} lines of log in a minute (target < {MOST_LINES})", self.lines),
            ),
            (
                self.good > 0 && self.missed.is_none(),
                match &self.missed {
                    Some(title) => format!("{title} was passed over"),
                    None => format!("{} good items played, each in its turn", self.good),
                },
            ),
            (
                self.died.is_none(),
                self.died
                    .clone()
                    .unwrap_or_else(|| "tgs-stream lived to the end, and ended in order".to_owned()),
            ),
        ]
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (met, words) in self.targets() {
            writeln!(f, "{:<4} {words}", if met { "ok" } else { "MISS" })?;
        }
        Ok(())
    }
}
