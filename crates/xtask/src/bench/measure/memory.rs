//! Memory of the engine process over a long paced run.

use anyhow::Result;
use tgs_e2e::nginx::{Nginx, Options};

use crate::bench::{
    material,
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged, median},
};

/// Peak, and growth from the second quarter of the run to the last.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let clips = material::mixed(&plan.dir, plan.clip_seconds)?;
    let list = plan.file("memory.txt");
    let rounds = plan.memory.as_secs() / (u64::from(plan.clip_seconds) * clips.len() as u64) + 2;
    material::playlist(&list, &clips, clips.len() * rounds as usize)?;
    let nginx = Nginx::start_with(&Options { no_recording: true, ..Options::default() })?;
    let usage = Metered::start(&plan.ours(&list, &nginx.url("bench"))?)?.stop_after(plan.memory)?;
    let end = plan.memory.as_secs_f64();
    let between = |from: f64, to: f64| {
        let part = usage.memory.iter().filter(|(at, _)| *at >= end * from && *at < end * to);
        median(&part.map(|&(_, mib)| mib).collect::<Vec<_>>())
    };
    let note = format!("over {:.0} min", end / 60.0);
    Ok(vec![
        Figure {
            name: "memory of the engine, peak",
            unit: "MiB",
            target: 16.0,
            judged: Judged::Worst,
            measured: vec![usage.peak],
            baseline: None,
            note: note.clone(),
        },
        Figure {
            name: "memory of the engine, growth",
            unit: "MiB",
            target: 0.5,
            judged: Judged::Worst,
            measured: vec![between(0.75, 1.0) - between(0.25, 0.5)],
            baseline: None,
            note,
        },
    ])
}
