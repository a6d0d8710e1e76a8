//! How soon after its start the tool sends.

use anyhow::{Context, Result};
use tgs_e2e::ingest::Ingest;
use tgs_rtmp::flv::Tag;

use super::{SPARE, frames};
use crate::bench::{
    material,
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged},
    side::{PLAIN, bare_ffmpeg},
};

/// From the start of the process to the first frame at the ingest, in turn with the bare ffmpeg.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let clips = material::mixed(&plan.dir, plan.clip_seconds)?;
    let list = plan.file("start.txt");
    material::playlist(&list, &clips, clips.len())?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..plan.pairs {
        let ingest = Ingest::start()?;
        ours.push(first_frame(&ingest, &Metered::start(&plan.ours(&list, &ingest.url("bench"))?)?)?);
        let ingest = Ingest::start()?;
        let command = bare_ffmpeg(&clips, plan.clip_seconds, &PLAIN, &ingest.url("bench"));
        bare.push(first_frame(&ingest, &Metered::start(&command)?)?);
    }
    Ok(vec![Figure {
        name: "start to the first media",
        unit: "s",
        target: 1.0,
        judged: Judged::Median,
        measured: ours,
        baseline: Some(("bare ffmpeg", bare)),
        note: String::new(),
    }])
}

fn first_frame(ingest: &Ingest, started: &Metered) -> Result<f64> {
    ingest.wait("media", SPARE, |records| records.iter().any(|r| r.tags().any(|tag: Tag| tag.is_frame())))?;
    let record = ingest.record()?;
    let (arrived, _) = frames(&record).into_iter().next().context("no frame")?;
    Ok(arrived.duration_since(started.began()).as_secs_f64())
}
