//! Many cached channels at once: the cost of each, and the worst figures of any viewer, as their
//! number grows.
//!
//! All of them send to the recording ingest of this process, which keeps nothing and notes the
//! arrival of every frame of every channel. What it costs is not counted, but it works on the same
//! processors: a real server would as well.

use std::{
    fs,
    sync::mpsc::{self, Receiver},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tgs_e2e::ingest::{Ingest, Message, Setup};
use tgs_rtmp::flv::Kind;

use super::cached;
use crate::bench::{
    material,
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged, median},
};

/// Between two starts: instances of a real machine do not begin their items at the same moment.
const APART: Duration = Duration::from_millis(100);

/// The numbers of channels, up to the planned one.
const SERIES: [u16; 6] = [1, 10, 50, 100, 200, 500];

/// From the last start to the beginning of the window that counts.
const SETTLED: Duration = Duration::from_secs(4);

/// Result of one run.
struct Run {
    /// CPU seconds a second and channel.
    cpu: f64,
    /// The median of the channels' resident memory, and the most that one ever had.
    memory: f64,
    peak: f64,
    /// The same without what the channels share: each has its part of the program.
    own_memory: f64,
    /// The most open files of any.
    files: f64,
    /// From the first start until every channel has sent a frame, in seconds.
    started: f64,
    worst: Seen,
}

/// Observations of one channel, or the worst of all.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    last_video: Option<u32>,
    last_audio: Option<u32>,
    last_arrival: Option<Instant>,
    first_frame: Option<Instant>,
    video_step: u32,
    audio_step: u32,
    silence: Duration,
}

/// Runs one channel and more of them, up to the planned number, and at last all of these started at
/// the same moment.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let short = cached::filled(plan)?;
    let entries = std::fs::read_to_string(&short)?;
    let clips: Vec<_> = entries.lines().map(Into::into).collect();
    let list = plan.file("channels.txt");
    let most = APART * u32::from(plan.channels) + SETTLED + plan.window + Duration::from_mins(1);
    let rounds = most.as_secs() / (u64::from(plan.clip_seconds) * clips.len() as u64) + 1;
    material::playlist(&list, &clips, clips.len() * rounds as usize)?;
    let fewer = SERIES.into_iter().filter(|count| *count < plan.channels);
    let counts: Vec<_> = fewer.chain([plan.channels]).map(usize::from).collect();
    let mut runs: Vec<Vec<Run>> = counts.iter().map(|_| Vec::new()).collect();
    for turn in 0..plan.pairs {
        for (count, runs) in counts.iter().zip(&mut runs) {
            let run = run(plan, &list, *count, APART).with_context(|| format!("{count} channels"))?;
            println!(
                "   {}: {count} channels: {:.4} CPU s/s, {:.1} MiB ({:.1} of its own) and {} files each; largest \
                 steps {} and {} ms, silence {:.3} s",
                turn + 1,
                run.cpu,
                run.memory,
                run.own_memory,
                run.files,
                run.worst.video_step,
                run.worst.audio_step,
                run.worst.silence.as_secs_f64()
            );
            runs.push(run);
        }
    }
    let at_once =
        (0..plan.pairs).map(|_| Ok(run(plan, &list, plan.channels.into(), Duration::ZERO)?.started));
    let at_once: Vec<f64> = at_once.collect::<Result<_>>().context("all channels at once")?;
    let mut figures = figures(&counts, &runs);
    figures.push(Figure {
        name: "many channels, all started at once, until the last sends",
        unit: "s",
        target: f64::INFINITY,
        judged: Judged::Worst,
        measured: at_once,
        baseline: None,
        note: format!("{} channels", plan.channels),
    });
    Ok(figures)
}

fn figures(counts: &[usize], runs: &[Vec<Run>]) -> Vec<Figure> {
    let (one, many) = (&runs[0], &runs[runs.len() - 1]);
    let note = |of: fn(&Run) -> f64, digits: usize| {
        let parts = counts.iter().zip(runs).map(|(count, runs)| {
            let values: Vec<f64> = runs.iter().map(of).collect();
            format!("{:.digits$} with {count}", median(&values))
        });
        parts.collect::<Vec<_>>().join(", ")
    };
    let figure = |name, unit, target, judged, of: fn(&Run) -> f64, digits| Figure {
        name,
        unit,
        target,
        judged,
        measured: many.iter().map(of).collect(),
        baseline: Some(("with one channel", one.iter().map(of).collect())),
        note: note(of, digits),
    };
    let growth = |name, of: fn(&Run) -> f64| Figure {
        name,
        unit: "× one channel alone",
        target: 1.1,
        judged: Judged::Median,
        measured: many.iter().zip(one).map(|(many, one)| of(many) / of(one)).collect(),
        baseline: None,
        note: String::new(),
    };
    let (median, worst) = (Judged::Median, Judged::Worst);
    vec![
        figure("many channels, CPU each", "s/s", 0.010, median, |run| run.cpu, 4),
        growth("many channels, CPU each", |run| run.cpu),
        figure("many channels, memory each", "MiB", 16.0, median, |run| run.memory, 1),
        growth("many channels, memory each", |run| run.memory),
        figure(
            "many channels, memory each without shared parts",
            "MiB",
            16.0,
            median,
            |run| run.own_memory,
            1,
        ),
        figure("many channels, open files each", "files", 100.0, worst, |run| run.files, 0),
        figure("many channels, peak memory of any", "MiB", 16.0, worst, |run| run.peak, 1),
        figure(
            "many channels, largest step of video",
            "ms",
            34.0,
            worst,
            |run| run.worst.video_step.into(),
            0,
        ),
        figure(
            "many channels, largest step of audio",
            "ms",
            24.0,
            worst,
            |run| run.worst.audio_step.into(),
            0,
        ),
        figure("many channels, longest silence", "s", 0.150, worst, |run| run.worst.silence.as_secs_f64(), 3),
    ]
}

fn run(plan: &Plan, list: &std::path::Path, count: usize, apart: Duration) -> Result<Run> {
    let (pass_on, messages) = mpsc::channel();
    let ingest = Ingest::start_with(Setup { pass_on: Some(pass_on), ..Setup::default() })?;
    let watch = thread::spawn(move || watch(&messages));
    let mut channels = Vec::new();
    for number in 0..count {
        let url = ingest.url(&format!("channel{number}"));
        channels.push(Metered::start(&plan.cached(number, list, &url)?)?);
        sleep(apart);
    }
    let first = channels.first().context("no channel")?.began();
    ingest.wait("every channel", super::SPARE * 3, |records| records.len() == count)?;
    sleep(SETTLED);
    let began = Instant::now();
    let used = |channels: &mut Vec<Metered>| -> Result<Vec<_>> {
        channels.iter_mut().map(Metered::so_far).collect()
    };
    let before = used(&mut channels)?;
    sleep(plan.window);
    let after = used(&mut channels)?;
    let seconds = began.elapsed().as_secs_f64();
    let mut own: Vec<(f64, f64)> = Vec::new();
    for channel in &channels {
        own.push((own_memory(channel.id())?, open_files(channel.id())?));
    }
    drop(channels);
    // The watcher thread ends with the last sender.
    let connections = ingest.records().len();
    ingest.set(Setup::default());
    ingest.wait_ended(super::SPARE)?;
    drop(ingest);
    let seen = watch.join().ok().context("the watcher of the channels failed")?;
    ensure!(connections == count, "{connections} connections of {count} channels: one was made again");
    ensure!(seen.len() == count, "only {} of {count} channels sent", seen.len());
    let cpu: f64 = after.iter().zip(&before).map(|(after, before)| after.all - before.all).sum();
    let memory: Vec<f64> =
        after.iter().filter_map(|usage| usage.memory.last()).map(|(_, mib)| *mib).collect();
    Ok(Run {
        cpu: cpu / seconds / count as f64,
        memory: median(&memory),
        peak: after.iter().map(|usage| usage.peak).fold(0.0, f64::max),
        own_memory: median(&own.iter().map(|(memory, _)| *memory).collect::<Vec<_>>()),
        files: own.iter().map(|(_, files)| *files).fold(0.0, f64::max),
        started: seen
            .iter()
            .filter_map(|seen| seen.first_frame)
            .max()
            .map_or(f64::NAN, |last| last.saturating_duration_since(first).as_secs_f64()),
        worst: seen.into_iter().fold(Seen::default(), Seen::worse),
    })
}

/// The memory of a process in MiB, with its part of what several processes share.
fn own_memory(pid: u32) -> Result<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
    let kib: f64 = pss.context("no Pss in /proc/PID/smaps_rollup")?.parse()?;
    Ok(kib / 1024.0)
}

fn open_files(pid: u32) -> Result<f64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as f64)
}

/// What each channel showed up to the end, by the number of its connection.
fn watch(messages: &Receiver<(usize, Message)>) -> Vec<Seen> {
    let mut all = Vec::new();
    for (channel, message) in messages {
        if all.len() <= channel {
            all.resize(channel + 1, (Seen::default(), message.arrived));
        }
        let (seen, began) = &mut all[channel];
        let settled = message.arrived.duration_since(*began) > Duration::from_secs(2);
        seen.take(&message, settled);
    }
    all.into_iter().map(|(seen, _)| seen).collect()
}

impl Seen {
    /// The start is no join: waits count once the pace has `settled`.
    fn take(&mut self, message: &Message, settled: bool) {
        let Some(tag) = message.tag().filter(tgs_rtmp::flv::Tag::is_frame) else { return };
        self.first_frame.get_or_insert(message.arrived);
        let (last, step) = match tag.kind {
            Kind::Video => (&mut self.last_video, &mut self.video_step),
            _ => (&mut self.last_audio, &mut self.audio_step),
        };
        let now = tag.timestamp as u32;
        // A clock that goes backwards is a step that no target allows.
        *step = (*step).max(last.replace(now).map_or(0, |last| now.wrapping_sub(last)));
        if let Some(last) = self.last_arrival.replace(message.arrived).filter(|_| settled) {
            self.silence = self.silence.max(message.arrived.duration_since(last));
        }
    }

    fn worse(self, other: Self) -> Self {
        Self {
            video_step: self.video_step.max(other.video_step),
            audio_step: self.audio_step.max(other.audio_step),
            silence: self.silence.max(other.silence),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use tgs_rtmp::chunk::{Received, kind};

    use super::*;

    #[test]
    fn steps_and_waits_are_seen() {
        let began = Instant::now();
        let mut seen = Seen::default();
        for (timestamp, at, settled) in [(0, 0, false), (33, 900, false), (67, 930, true), (167, 1130, true)]
        {
            let received = Received {
                chunk_stream: 6,
                kind: kind::VIDEO,
                stream: 1,
                timestamp,
                body: vec![0x27, 1, 0, 0, 0, 9],
            };
            seen.take(&Message { received, arrived: began + Duration::from_millis(at) }, settled);
        }
        assert_eq!((seen.video_step, seen.audio_step), (100, 0));
        assert_eq!(seen.silence, Duration::from_millis(200));
    }
}
