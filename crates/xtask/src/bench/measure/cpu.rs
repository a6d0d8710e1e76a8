//! CPU time for each second of output, and the largest steps in what nginx-rtmp recorded of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tgs_e2e::{flvcheck::Report, ingest::Ingest, nginx::Nginx};

use super::{SPARE, frames};
use crate::bench::{
    material,
    meter::{Metered, Usage},
    plan::Plan,
    report::{Figure, Judged},
    side::{PLAIN, bare_ffmpeg},
};

/// One run of one side.
pub(super) struct Run {
    pub(super) usage: Usage,
    pub(super) report: Report,
    /// CPU seconds until [`STARTED`].
    start_up: f64,
    seconds: f64,
}

/// Who runs so long has started: what is run once has been.
const STARTED: Duration = Duration::from_secs(5);

/// Our side's and the bare ffmpeg's runs, in turn.
struct Pairs {
    ours: Vec<Run>,
    bare: Vec<Run>,
}

impl Pairs {
    /// `set` configures our side before each run.
    fn run(plan: &Plan, set: impl Fn(&mut Command) -> Result<()>) -> Result<Self> {
        let clips = material::mixed(&plan.dir, plan.clip_seconds)?;
        let list = plan.file("mixed.txt");
        material::playlist(&list, &clips, clips.len())?;
        let ours = |url: &str| {
            let mut command = plan.ours(&list, url)?;
            set(&mut command)?;
            Ok(command)
        };
        let bare = |url: &str| Ok(bare_ffmpeg(&clips, plan.clip_seconds, &PLAIN, url));
        warm_up(plan, &clips)?;
        let mut pairs = Self { ours: Vec::new(), bare: Vec::new() };
        for turn in 0..plan.pairs {
            // The second runner finds warmer caches, so the order alternates.
            let mut first = (turn % 2 == 0).then(|| run(plan, ours)).transpose()?;
            let other = run(plan, bare)?;
            let own = first.take().map_or_else(|| run(plan, ours), Ok)?;
            println!("   {}: {:.3} beside {:.3} CPU s/s", turn + 1, own.cost(), other.cost());
            pairs.ours.push(own);
            pairs.bare.push(other);
        }
        Ok(pairs)
    }

    fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.bare).map(|(ours, bare)| ours.cost() / bare.cost()).collect()
    }

    fn ratio(&self, name: &'static str, target: f64) -> Figure {
        let costs =
            |runs: &[Run]| runs.iter().map(|run| format!("{:.3}", run.cost())).collect::<Vec<_>>().join(" ");
        Figure {
            name,
            unit: "× bare ffmpeg",
            target,
            judged: Judged::Median,
            measured: self.ratios(),
            baseline: None,
            note: format!("CPU s/s: ours {}; bare ffmpeg {}", costs(&self.ours), costs(&self.bare)),
        }
    }

    fn step(&self, name: &'static str, target: f64, of: fn(&Report) -> u64) -> Figure {
        let steps = |runs: &[Run]| runs.iter().map(|run| of(&run.report) as f64).collect();
        Figure {
            name,
            unit: "ms",
            target,
            judged: Judged::Worst,
            measured: steps(&self.ours),
            baseline: Some(("bare ffmpeg", steps(&self.bare))),
            note: String::new(),
        }
    }
}

impl Run {
    /// CPU seconds for each second of what arrived.
    pub(super) fn cost(&self) -> f64 {
        self.usage.all / self.seconds
    }

    /// The same without the start: what it costs by the day.
    pub(super) fn steady_cost(&self) -> f64 {
        (self.usage.all - self.start_up) / (self.seconds - STARTED.as_secs_f64())
    }
}

/// CPU of everything, of the engine alone, and the steps.
pub(crate) fn native(plan: &Plan) -> Result<Vec<Figure>> {
    let pairs = Pairs::run(plan, |_| Ok(()))?;
    let engine = Figure {
        name: "CPU, engine process alone",
        unit: "s/s",
        target: 0.010,
        judged: Judged::Median,
        measured: pairs.ours.iter().map(|run| run.usage.own / run.seconds).collect(),
        baseline: None,
        note: String::new(),
    };
    Ok(vec![
        pairs.ratio("CPU, all children", 1.03),
        engine,
        pairs.step("largest step of video", 34.0, |report| report.video.max_step),
        pairs.step("largest step of audio", 24.0, |report| report.audio.max_step),
    ])
}

/// CPU of the pass that encodes and fills an empty cache.
pub(crate) fn first_pass(plan: &Plan) -> Result<Vec<Figure>> {
    let pairs = Pairs::run(plan, |command| {
        plan.empty_cache()?;
        command.env("CACHE_MAX_GB", "20");
        Ok(())
    })?;
    Ok(vec![
        pairs.ratio("first pass, CPU with all children", 1.04),
        pairs.step("first pass, largest step of video", 34.0, |report| report.video.max_step),
        pairs.step("first pass, largest step of audio", 24.0, |report| report.audio.max_step),
    ])
}

/// CPU with PUBLISHER=ffmpeg, and how soon media is back once its sender is killed.
pub(crate) fn through_ffmpeg(plan: &Plan) -> Result<Vec<Figure>> {
    let pairs = Pairs::run(plan, |command| {
        command.env("PUBLISHER", "ffmpeg");
        Ok(())
    })?;
    let mut back = Vec::new();
    for _ in 0..plan.pairs {
        back.push(sender_killed(plan)?);
    }
    let back = Figure {
        name: "PUBLISHER=ffmpeg, sender killed: back after",
        unit: "s",
        target: 0.75,
        judged: Judged::Median,
        measured: back,
        baseline: None,
        note: "from the kill to the first frame of the new connection".to_owned(),
    };
    Ok(vec![pairs.ratio("CPU, PUBLISHER=ffmpeg", 1.05), back])
}

/// Files that are created once (filler, verdict on FFMPEG_ARGS) exist before the first measured
/// run.
fn warm_up(plan: &Plan, clips: &[PathBuf]) -> Result<()> {
    let list = plan.file("warm-up.txt");
    material::playlist(&list, clips, 1)?;
    let out = plan.file("warm-up.flv");
    Metered::start(&plan.ours(&list, &out.display().to_string())?)?.finish(SPARE)?;
    Ok(())
}

/// One side once over the four clips, to an nginx-rtmp that records it and whose own cost is not
/// counted.
pub(super) fn run(plan: &Plan, command: impl Fn(&str) -> Result<Command>) -> Result<Run> {
    let nginx = Nginx::start()?;
    let length = Duration::from_secs(u64::from(plan.clip_seconds) * 4);
    let mut metered = Metered::start(&command(&nginx.url("bench"))?)?;
    let start_up = metered.start_up(STARTED)?;
    let usage = metered.finish(length + SPARE)?;
    let report = Report::of_file(&nginx.recording()?)?;
    let seconds = (report.video.last - report.video.first) as f64 / 1000.0;
    ensure!(
        (seconds - length.as_secs_f64()).abs() < 2.0,
        "{seconds} s arrived of {length:?}: not all of it was played"
    );
    Ok(Run { usage, report, start_up, seconds })
}

fn sender_killed(plan: &Plan) -> Result<f64> {
    let clips = material::mixed(&plan.dir, plan.clip_seconds.max(10))?;
    let list = plan.file("killed.txt");
    material::playlist(&list, &clips, clips.len())?;
    let ingest = Ingest::start()?;
    let url = ingest.url("bench");
    let mut command = plan.ours(&list, &url)?;
    command.env("PUBLISHER", "ffmpeg");
    let metered = Metered::start(&command)?;
    let flowing = |records: &[tgs_e2e::ingest::Record], which: usize| {
        records
            .get(which)
            .is_some_and(|record| record.tags().filter(tgs_rtmp::flv::Tag::is_frame).count() > 0)
    };
    ingest.wait("media", SPARE, |records| flowing(records, 0))?;
    // Into the steady state, not into the first burst.
    thread::sleep(Duration::from_secs(3));
    let sender = sender_of(metered.id(), &url)?;
    let killed = Instant::now();
    kill_process(sender, Signal::KILL)?;
    ingest.wait("media after the kill", SPARE, |records| flowing(records, 1))?;
    let records = ingest.records();
    let (arrived, _) = frames(&records[1]).into_iter().next().context("no frame")?;
    Ok(arrived.duration_since(killed).as_secs_f64())
}

/// The child of `parent` that was given the address.
fn sender_of(parent: u32, url: &str) -> Result<Pid> {
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok()) else {
            continue;
        };
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(url) && parent_of(&path) == Some(parent) {
            return Pid::from_raw(pid).context("pid 0");
        }
    }
    anyhow::bail!("no child of process {parent} sends to {url}")
}

fn parent_of(process: &Path) -> Option<u32> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}
