//! Channels that encode every item, several at once: the cost of each, and from it how many of them
//! the processors of this machine carry.

use std::{path::Path, thread::available_parallelism};

use anyhow::{Context, Result};
use tgs_e2e::ingest::Ingest;

use super::SPARE;
use crate::bench::{
    material,
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged, median},
};

/// The numbers of channels.
const COUNTS: [usize; 3] = [1, 2, 4];

/// CPU of each by their number.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let clips = material::mixed(&plan.dir, plan.clip_seconds)?;
    let list = plan.file("encoding.txt");
    material::playlist(&list, &clips, clips.len())?;
    let mut costs: Vec<Vec<f64>> = COUNTS.map(|_| Vec::new()).into();
    for turn in 0..plan.pairs {
        for (count, costs) in COUNTS.into_iter().zip(&mut costs) {
            let cost = run(plan, &list, count).with_context(|| format!("{count} channels"))?;
            println!("   {}: {count} channels that encode: {cost:.3} CPU s/s each", turn + 1);
            costs.push(cost);
        }
    }
    let parts = COUNTS.into_iter().zip(&costs);
    let note: Vec<_> = parts.map(|(count, costs)| format!("{:.3} with {count}", median(costs))).collect();
    let many = costs.pop().context("no counts")?;
    let processors = available_parallelism()?.get() as f64;
    let figure = |name, unit, measured: Vec<f64>, baseline, note| Figure {
        name,
        unit,
        target: f64::INFINITY,
        judged: Judged::Median,
        measured,
        baseline,
        note,
    };
    let carried = many.iter().map(|cost| processors / cost).collect();
    let one = Some(("with one channel", costs.swap_remove(0)));
    Ok(vec![
        figure("encoded channels, CPU each with all children", "s/s", many, one, note.join(", ")),
        figure("encoded channels that the processors carry", "channels", carried, None, String::new()),
    ])
}

/// CPU seconds of all processes for each second of media that arrived.
fn run(plan: &Plan, list: &Path, count: usize) -> Result<f64> {
    let ingest = Ingest::start()?;
    let mut channels = Vec::new();
    for number in 0..count {
        let mut command = plan.cached(number, list, &ingest.url(&format!("channel{number}")))?;
        command.env("CACHE_MAX_GB", "0");
        channels.push(Metered::start(&command)?);
    }
    let mut used = 0.0;
    for channel in channels {
        used += channel.finish(SPARE * 5)?.all;
    }
    ingest.wait_ended(SPARE)?;
    let records = ingest.records();
    let millis = records.iter().map(|record| {
        record.media().map(|message| f64::from(message.received.timestamp)).fold(0.0, f64::max)
    });
    Ok(used / (millis.sum::<f64>() / 1000.0))
}
