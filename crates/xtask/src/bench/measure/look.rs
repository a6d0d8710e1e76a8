//! CPU of the encoding with a logo and the names of each item, beside the same without.

use std::process::Command;

use anyhow::Result;
use tgs_e2e::clips::ffmpeg;

use super::cpu::{Run, run};
use crate::bench::{
    material,
    plan::Plan,
    report::{Figure, Judged},
};

/// Both sides are tgs-stream over the same clips, without a cache.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let clips = material::mixed(&plan.dir, plan.clip_seconds)?;
    let list = plan.file("look.txt");
    material::playlist(&list, &clips, clips.len())?;
    let logo = plan.file("logo.png");
    let graph = "-f lavfi -i color=red@0.7:s=200x200,format=rgba -frames:v 1";
    ffmpeg(&graph.split(' ').map(str::to_owned).collect::<Vec<_>>(), &logo)?;
    let bare = |url: &str| plan.ours(&list, url);
    let drawn = |url: &str| -> Result<Command> {
        let mut command = plan.ours(&list, url)?;
        command.env("LOGO", &logo).env("LOGO_OPACITY", "0.8").env("NOW_PLAYING", "overlay");
        Ok(command)
    };
    // Fillers are encoded once, before the first measured run.
    for side in [&bare as &dyn Fn(&str) -> Result<Command>, &drawn] {
        run(plan, side)?;
    }
    let (mut with, mut without): (Vec<Run>, Vec<Run>) = (Vec::new(), Vec::new());
    for turn in 0..plan.pairs {
        // The second runner finds warmer caches, so the order alternates.
        if turn % 2 == 0 {
            with.push(run(plan, drawn)?);
            without.push(run(plan, bare)?);
        } else {
            without.push(run(plan, bare)?);
            with.push(run(plan, drawn)?);
        }
    }
    let costs =
        |runs: &[Run]| runs.iter().map(|run| format!("{:.3}", run.cost())).collect::<Vec<_>>().join(" ");
    Ok(vec![Figure {
        name: "logo and names, CPU with all children",
        unit: "× without",
        target: 1.08,
        judged: Judged::Median,
        measured: with.iter().zip(&without).map(|(with, without)| with.cost() / without.cost()).collect(),
        baseline: None,
        note: format!("CPU s/s: with {}; without {}", costs(&with), costs(&without)),
    }])
}
