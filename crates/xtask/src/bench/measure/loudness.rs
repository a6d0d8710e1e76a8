//! What LOUDNESS costs: the measuring pass, and playing measured items beside the same without.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use tgs_e2e::clips::ffmpeg;

use super::{SPARE, cpu};
use crate::bench::{
    material,
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged},
};

/// Length of the measured sound.
const SECONDS: u32 = 600;

/// CPU of a measurement for each second of sound, and of a broadcast of measured items.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let clips = material::mixed(&plan.dir, plan.clip_seconds)?;
    let list = plan.file("mixed.txt");
    material::playlist(&list, &clips, clips.len())?;
    // Measures the clips: their measurements are kept beside the cache.
    let mut check = check(plan, "-16");
    check.arg("--playlist").arg(&list);
    Metered::start(&check)?.finish(SPARE)?;
    let (mut passes, mut with, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..plan.pairs {
        passes.push(pass(plan)?);
        let run = |loudness: &str| {
            cpu::run(plan, |url| {
                let mut command = plan.ours(&list, url)?;
                command.env("LOUDNESS", loudness);
                Ok(command)
            })
        };
        // The second runner finds warmer caches, so the order alternates.
        let (one, other) = if turn % 2 == 0 { ("-16", "off") } else { ("off", "-16") };
        let costs = [run(one)?.cost(), run(other)?.cost()];
        let [levelled, bare] = if turn % 2 == 0 { costs } else { [costs[1], costs[0]] };
        println!("   {}: {levelled:.3} beside {bare:.3} CPU s/s", turn + 1);
        with.push(levelled);
        without.push(bare);
    }
    let ratios = with.iter().zip(&without).map(|(with, without)| with / without).collect();
    let figure = |name, unit, target, measured, baseline| Figure {
        name,
        unit,
        target,
        judged: Judged::Median,
        measured,
        baseline,
        note: String::new(),
    };
    Ok(vec![
        figure("loudness, measuring pass, CPU", "s/s of sound", 0.02, passes, None),
        figure(
            "loudness, playing a measured item, CPU",
            "× LOUDNESS=off",
            1.02,
            ratios,
            Some(("off", without)),
        ),
    ])
}

/// `--check` with a new cache directory.
fn check(plan: &Plan, loudness: &str) -> Command {
    let mut command = Command::new(&plan.tool);
    command.arg("--check").env("LOUDNESS", loudness).env("CACHE_DIR", plan.dir.join("cache"));
    command.env("STATE_DIR", plan.dir.join("state")).current_dir(&plan.dir);
    command
}

/// CPU of one measurement for each second of its sound: a check that measures beside one that does
/// not.
fn pass(plan: &Plan) -> Result<f64> {
    let film = long_film(plan)?;
    let fresh = plan.file("loudness-cache");
    let _ = fs::remove_dir_all(&fresh);
    let cost = |loudness: &str| -> Result<f64> {
        let mut command = check(plan, loudness);
        command.arg(&film).env("CACHE_DIR", &fresh);
        Ok(Metered::start(&command)?.finish(SPARE * 2)?.all)
    };
    Ok((cost("-16")? - cost("off")?) / f64::from(SECONDS))
}

/// A file of ten minutes whose sound is stereo AAC.
fn long_film(plan: &Plan) -> Result<PathBuf> {
    let path = plan.file("long-sound.mp4");
    if !path.exists() {
        let made = plan.file("making-long-sound.mp4");
        let how = format!(
            "-f lavfi -i testsrc2=s=320x180:r=25,noise=alls=6:allf=t -f lavfi -i anoisesrc=a=0.1:c=pink:r=48000 \
             -t {SECONDS} -pix_fmt yuv420p -c:v libx264 -preset ultrafast -b:v 1000k -c:a aac -b:a 128k -ac 2"
        );
        let args: Vec<_> = how.split_whitespace().map(str::to_owned).collect();
        ffmpeg(&args, &made).and_then(|()| Ok(fs::rename(&made, &path)?)).context("make the long film")?;
    }
    Ok(path)
}
