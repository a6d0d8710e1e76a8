//! Hard starts of a timetable: how far the first picture of each slot is from its second at the
//! ingest, and what a timetable costs a channel that plays from the cache.
//!
//! List and slots are encoded while they play. Each slot has a colour, and a first picture of
//! another one.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use tgs_control::Timestamp;
use tgs_e2e::{
    clips::noisy,
    colours::{self, Beginning},
    flvcheck::Report,
    ingest::Ingest,
    slot_starts::{Pictures, SlotStart, arrivals_of, seconds},
};

use super::{SPARE, cached};
use crate::bench::{
    material,
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged, median},
};

/// Frames per second of the profile.
const FPS: f64 = 30.0;

/// The time between two starts, in seconds: with [`PREROLL`], two or three lanes are open.
const APART: u64 = 5;

/// SCHEDULE_PREROLL.
const PREROLL: Duration = Duration::from_secs(10);

/// From the launch to the first start.
const LEAD: u64 = 20;

/// Length of an item of the list.
const ITEM_MILLIS: u32 = 30_000;

/// The colours of slots, in turn.
const COLOURS: [&str; 2] = ["yellow", "cyan"];

/// Lengths of slots in frames, in turn: each start meets the list's groups of pictures elsewhere.
const SLOT_FRAMES: std::ops::Range<u32> = 60..67;

/// How far from its time a slot is looked for.
const SEARCH: Duration = Duration::from_secs(2);

/// A cached channel with a timetable and one without, in CPU time.
const MOST_COST: f64 = 1.1;

/// When a channel has started, and how long its cost is counted from then on.
const STARTED: Duration = Duration::from_secs(5);
const COUNTED: Duration = Duration::from_secs(40);

/// A start that is to come.
struct Planned {
    at: Timestamp,
    colour: &'static str,
}

/// The starts, then the costs.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let mut figures = starts(plan)?;
    figures.push(cost(plan)?);
    Ok(figures)
}

fn starts(plan: &Plan) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir().context("make a directory for the timetable")?;
    let clips = slot_clips(dir.path())?;
    let list = plan.file("schedule.txt");
    let length = LEAD + APART * plan.hard_starts as u64 + 5;
    let items = length * 1000 / u64::from(ITEM_MILLIS) + 2;
    material::playlist(&list, &[noisy("bench-schedule", ITEM_MILLIS).path()?], items as usize)?;
    let ingest = Ingest::start()?;
    let mut command = plan.repeating(&list, &ingest.url("bench"))?;
    let timetable = dir.path().join("timetable.toml");
    let planned = timetable_of(&timetable, plan.hard_starts, &clips)?;
    command.env("SCHEDULE", &timetable).env("SCHEDULE_PREROLL", format!("{}s", PREROLL.as_secs()));
    Metered::start(&command)?.stop_after(Duration::from_secs(length))?;
    ingest.wait_ended(SPARE)?;
    let arrivals = arrivals_of(&ingest.record()?);
    let report = Report::of_tags(arrivals.iter().map(|(_, tag)| tag));
    let pictures = Pictures::of(&arrivals, dir.path())?;
    ensure!(pictures.errors.is_empty(), "the stream cannot be decoded: {:?}", pictures.errors);
    Ok(figures(&planned, &pictures, &report))
}

/// Clips that are marked at their first picture, of several lengths and alternating colours.
fn slot_clips(dir: &Path) -> Result<Vec<(PathBuf, &'static str)>> {
    let all = SLOT_FRAMES.flat_map(|frames| COLOURS.map(|colour| (frames, colour)));
    all.map(|(frames, colour)| {
        let path = dir.join(format!("{colour}-{frames}.mp4"));
        let millis = f64::from(frames) * 1000.0 / FPS;
        colours::make(colour, millis.round() as u32, Beginning::Marked, &path)?;
        Ok((path, colour))
    })
    .collect()
}

/// Writes a timetable of `count` hard starts.
fn timetable_of(path: &Path, count: usize, clips: &[(PathBuf, &'static str)]) -> Result<Vec<Planned>> {
    let first = seconds(SystemTime::now()) as u64 + LEAD;
    let mut text = "timezone = \"UTC\"\n".to_owned();
    let mut planned = Vec::new();
    for (number, (clip, colour)) in clips.iter().cycle().take(count).enumerate() {
        let at = Timestamp((first + APART * number as u64) * 1000);
        let (written, clip) = (at.to_string(), clip.display());
        let (date, time) = (&written[..10], &written[11..19]);
        let _ = write!(text, "[[slot]]\nname = \"{number}\"\ndays = \"{date}\"\nat = \"{time}\"\n");
        let _ = writeln!(text, "play = \"{clip}\"");
        planned.push(Planned { at, colour });
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(planned)
}

fn figures(planned: &[Planned], pictures: &Pictures, report: &Report) -> Vec<Figure> {
    let found: Vec<(f64, SlotStart)> = planned
        .iter()
        .filter_map(|slot| {
            let at = slot.at.as_system_time();
            Some((seconds(at), pictures.start_of(slot.colour, at, SEARCH)?))
        })
        .collect();
    let well = found.iter().filter(|(_, start)| start.is_first).count();
    let millis = |of: fn(&SlotStart) -> f64| -> Vec<f64> {
        found.iter().map(|(at, start)| (of(start) - at) * 1000.0).collect()
    };
    let (arrival, stream) = (millis(|start| start.at), millis(|start| start.by_timestamp));
    let early: Vec<f64> = stream.iter().map(|off| (-off / 1000.0 * FPS).max(0.0)).collect();
    let off = |values: &[f64]| values.iter().map(|value| value.abs()).collect::<Vec<_>>();
    let signed = |values: &[f64]| {
        let least = values.iter().copied().fold(f64::NAN, f64::min);
        let most = values.iter().copied().fold(f64::NAN, f64::max);
        format!("{least:+.0}…{most:+.0} ms, median {:+.0} ms, − is early", median(values))
    };
    let figure = |name, unit, target, measured| Figure {
        name,
        unit,
        target,
        judged: Judged::Worst,
        measured,
        baseline: None,
        note: String::new(),
    };
    let with = |note: String, figure: Figure| Figure { note, ..figure };
    let lost = planned.len() - well;
    let unordered =
        report.video.repeated + report.video.backward + report.audio.repeated + report.audio.backward;
    vec![
        with(signed(&arrival), figure("hard start, off its second", "ms", 100.0, off(&arrival))),
        with(signed(&stream), figure("hard start, off by its timestamp", "ms", 100.0, off(&stream))),
        figure("hard start, the item before ends early", "frames", 3.0, early),
        with(
            format!("of {}", planned.len()),
            figure("hard starts without their first picture", "slots", 0.0, vec![lost as f64]),
        ),
        figure("hard starts, repeated or backward timestamps", "tags", 0.0, vec![unordered as f64]),
        figure("hard starts, largest step of video", "ms", 34.0, vec![report.video.max_step as f64]),
        figure("hard starts, largest step of audio", "ms", 24.0, vec![report.audio.max_step as f64]),
        figure("hard starts, longest silence", "s", 0.150, vec![pictures.longest_gap.as_secs_f64()]),
    ]
}

/// CPU seconds a second of a cached channel, after its start.
fn cost_of(plan: &Plan, list: &Path, timetable: Option<&Path>) -> Result<f64> {
    let ingest = Ingest::start()?;
    let mut command = plan.repeating(list, &ingest.url("bench"))?;
    plan.in_cache(&mut command, 0)?;
    if let Some(file) = timetable {
        command.env("SCHEDULE", file);
    }
    let mut channel = Metered::start(&command)?;
    let before = channel.start_up(STARTED)?;
    let after = channel.start_up(STARTED + COUNTED)?;
    channel.stop_after(STARTED + COUNTED)?;
    Ok((after - before) / COUNTED.as_secs_f64())
}

/// A cached channel with a timetable whose only slot is hours away, beside one without.
fn cost(plan: &Plan) -> Result<Figure> {
    let list = cached::filled(plan)?;
    let timetable = plan.file("far.toml");
    let far = Timestamp((seconds(SystemTime::now()) as u64 + 12 * 3600) * 1000).to_string();
    let text =
        format!("timezone = \"UTC\"\n[[slot]]\nname = \"far\"\nat = \"{}\"\nplay = \"far/\"\n", &far[11..19]);
    fs::write(&timetable, text).with_context(|| format!("write {}", timetable.display()))?;
    let with = || cost_of(plan, &list, Some(&timetable));
    let without = || cost_of(plan, &list, None);
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for turn in 0..plan.pairs {
        // The second runner finds warmer caches, so the order alternates.
        let first = (turn % 2 == 0).then(with).transpose()?;
        other.push(without()?);
        one.push(first.map_or_else(with, Ok)?);
        println!("   {}: {:.4} with a timetable, {:.4} without, CPU s/s", turn + 1, one[turn], other[turn]);
    }
    Ok(Figure {
        name: "cached channel with a timetable, CPU",
        unit: "× without",
        target: MOST_COST,
        judged: Judged::Median,
        measured: one.iter().zip(&other).map(|(with, without)| with / without).collect(),
        baseline: None,
        note: format!(
            "CPU s/s: {:.4} with a slot in twelve hours, {:.4} without",
            median(&one),
            median(&other)
        ),
    })
}
