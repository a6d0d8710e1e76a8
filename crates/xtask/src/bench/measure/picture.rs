//! CPU of the encoding of a clip that is deinterlaced or tone-mapped, beside that of the same clip
//! without.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use tgs_e2e::clips::ffmpeg;

use super::SPARE;
use crate::bench::{
    material,
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged},
};

/// A figure's name, its target, and the options that make the clip with and without.
type Comparison = (&'static str, f64, [(&'static str, &'static str); 2]);

const COMPARED: [Comparison; 2] = [
    (
        "deinterlacing 1080i50, CPU",
        1.25,
        [
            (
                "interlaced.mkv",
                "-vf interlace=scan=tff:lowpass=0,setfield=tff -c:v mpeg2video -b:v 20M -flags +ilme+ildct -top 1",
            ),
            ("progressive.mkv", "-vf framestep=2 -c:v mpeg2video -b:v 20M"),
        ],
    ),
    (
        "tone-mapping HDR10 of 1080 lines, CPU",
        2.5,
        [
            (
                "hdr.mkv",
                "-vf framestep=2,format=yuv420p10 -c:v ffv1 -colorspace bt2020nc -color_primaries bt2020 \
                 -color_trc smpte2084 -color_range tv",
            ),
            (
                "sdr.mkv",
                "-vf framestep=2,format=yuv420p10 -c:v ffv1 -colorspace bt709 -color_primaries bt709 \
                 -color_trc bt709 -color_range tv",
            ),
        ],
    ),
];

pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    COMPARED.iter().map(|compared| compare(plan, compared)).collect()
}

fn compare(plan: &Plan, (name, target, clips): &Comparison) -> Result<Figure> {
    let [with, without] = clips.map(|(file, how)| clip(plan, file, how));
    let (with, without) = (with?, without?);
    // What is created once exists before the first measured run.
    cost(plan, &without)?;
    let mut ratios = Vec::new();
    let mut costs = Vec::new();
    for _ in 0..plan.pairs {
        let (own, bare) = (cost(plan, &with)?, cost(plan, &without)?);
        println!("   {name}: {own:.2} beside {bare:.2} CPU s");
        costs.push(format!("{own:.2}/{bare:.2}"));
        ratios.push(own / bare);
    }
    Ok(Figure {
        name,
        unit: "× the clip without",
        target: *target,
        judged: Judged::Median,
        measured: ratios,
        baseline: None,
        note: format!("CPU s: {}", costs.join(" ")),
    })
}

/// The clip, made once.
fn clip(plan: &Plan, name: &str, how: &str) -> Result<PathBuf> {
    let path = plan.file(&format!("{}s-{name}", plan.clip_seconds));
    if !path.exists() {
        let seconds = plan.clip_seconds;
        let text = format!("-f lavfi -i testsrc2=s=1920x1080:r=50,noise=alls=6:allf=t -t {seconds} {how}");
        let args: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        let made = plan.file(&format!("making-{name}"));
        ffmpeg(&args, &made).with_context(|| format!("make {name}"))?;
        fs::rename(&made, &path).with_context(|| format!("keep {name}"))?;
    }
    Ok(path)
}

/// CPU seconds of all processes that play the clip once into a file.
fn cost(plan: &Plan, clip: &PathBuf) -> Result<f64> {
    let list = plan.file("picture.txt");
    material::playlist(&list, std::slice::from_ref(clip), 1)?;
    let out = plan.file("picture.flv");
    let _ = fs::remove_file(&out);
    let command = plan.ours(&list, &out.display().to_string())?;
    Ok(Metered::start(&command)?.finish(SPARE * 5)?.all)
}
