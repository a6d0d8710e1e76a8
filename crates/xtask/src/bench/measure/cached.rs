//! One channel from the cache beside what else sends ready files: `ffmpeg -re -c copy`, and tgrtmp.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use tgs_e2e::{clips::ffmpeg, flvcheck::Report};

use super::{SPARE, cpu};
use crate::{
    bench::{
        material,
        meter::Metered,
        plan::Plan,
        report::{Figure, Judged, median},
        side::{copying_ffmpeg, tgrtmp},
    },
    install,
};

const FFMPEG: &str = "ffmpeg -re -c copy";
const TGRTMP: &str = "tgrtmp 0.6.0";

/// CPU and memory of each, in turn, and the steps in what arrived.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let list = filled(plan)?;
    let ready = ready_file(plan, &list)?;
    let other = install::tgrtmp().map(|python| Ok::<_, anyhow::Error>((python, repacked(&ready)?)));
    let other = other.transpose()?;
    let (mut ours, mut copies, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..plan.pairs {
        ours.push(cpu::run(plan, |url| plan.cached(0, &list, url))?);
        copies.push(cpu::run(plan, |url| Ok(copying_ffmpeg(&ready, url)))?);
        if let Some((python, file)) = &other {
            others.push(cpu::run(plan, |url| tgrtmp(python, file, url))?);
        }
        let cost = |runs: &[cpu::Run]| runs.last().map_or(f64::NAN, cpu::Run::steady_cost);
        println!(
            "   {}: {:.4} beside {:.4} and {:.4} CPU s/s",
            turn + 1,
            cost(&ours),
            cost(&copies),
            cost(&others)
        );
    }
    let costs = |runs: &[cpu::Run]| runs.iter().map(cpu::Run::steady_cost).collect::<Vec<_>>();
    let peaks = |runs: &[cpu::Run]| runs.iter().map(|run| run.usage.peak).collect::<Vec<_>>();
    let ratios = |of: &[f64], to: &[f64]| of.iter().zip(to).map(|(of, to)| of / to).collect::<Vec<_>>();
    let figure = |name, unit, target, measured, baseline| Figure {
        name,
        unit,
        target,
        judged: Judged::Median,
        measured,
        baseline,
        note: String::new(),
    };
    let step = |name, target, of: fn(&Report) -> u64| {
        let steps = |runs: &[cpu::Run]| runs.iter().map(|run| of(&run.report) as f64).collect::<Vec<_>>();
        let baseline = Some((FFMPEG, steps(&copies)));
        Figure { judged: Judged::Worst, ..figure(name, "ms", target, steps(&ours), baseline) }
    };
    let (own, copy) = (costs(&ours), costs(&copies));
    let ratio = ratios(&own, &copy);
    let mut figures = vec![
        figure("cached channel, CPU with all children", "s/s", 0.010, own.clone(), Some((FFMPEG, copy))),
        figure("cached channel, CPU", "× ffmpeg -re -c copy", 0.5, ratio, None),
        figure("cached channel, peak memory", "MiB", 16.0, peaks(&ours), Some((FFMPEG, peaks(&copies)))),
        step("cached channel, largest step of video", 34.0, |report| report.video.max_step),
        step("cached channel, largest step of audio", 24.0, |report| report.audio.max_step),
    ];
    let whole = |runs: &[cpu::Run]| median(&runs.iter().map(cpu::Run::cost).collect::<Vec<_>>());
    figures[0].note =
        format!("with the start: ours {:.4}, {FFMPEG} {:.4} over the clips", whole(&ours), whole(&copies));
    if others.is_empty() {
        figures[1].note = format!("{TGRTMP} could not be installed here and was not measured");
    } else {
        let theirs = costs(&others);
        let ratio = ratios(&own, &theirs);
        figures.push(figure("cached channel, CPU", "× tgrtmp 0.6.0", 1.0, ratio, Some((TGRTMP, theirs))));
        let memory = ratios(&peaks(&ours), &peaks(&others));
        let baseline = Some((TGRTMP, peaks(&others)));
        figures.push(figure("cached channel, memory", "× tgrtmp 0.6.0", 1.0, memory, baseline));
    }
    Ok(figures)
}

/// A list of the four clips, all of which the cache has.
pub(super) fn filled(plan: &Plan) -> Result<PathBuf> {
    let clips = material::mixed(&plan.dir, plan.clip_seconds)?;
    let list = plan.file("mixed.txt");
    material::playlist(&list, &clips, clips.len())?;
    plan.empty_cache()?;
    encode(plan, &list, "filling.flv")?;
    let kept = tgs_playout::cache::list(&plan.dir.join("cache")).len();
    ensure!(kept == clips.len(), "the cache has {kept} items of {}", clips.len());
    Ok(list)
}

/// What a cached channel sends, as one file.
fn ready_file(plan: &Plan, list: &Path) -> Result<PathBuf> {
    encode(plan, list, "ready.flv")
}

fn encode(plan: &Plan, list: &Path, name: &str) -> Result<PathBuf> {
    let out = plan.file(name);
    let command: Command = plan.cached(0, list, &out.display().to_string())?;
    Metered::start(&command)?.finish(SPARE * 3)?;
    Ok(out)
}

/// The same streams in a container that tgrtmp reads.
fn repacked(flv: &Path) -> Result<PathBuf> {
    let out = flv.with_extension("mp4");
    let args = ["-i", &flv.display().to_string(), "-c", "copy", "-movflags", "+faststart"];
    ffmpeg(&args.map(str::to_owned), &out).context("repack the ready file")?;
    Ok(out)
}
