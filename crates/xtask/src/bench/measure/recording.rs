//! What a recording costs: CPU and memory of the engine with one beside none, on the same cached
//! items, and that the files are whole.

use std::{fs, path::Path, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use tgs_e2e::ingest::Ingest;

use super::{SPARE, commands};
use crate::bench::{
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged, median},
};

/// From the first media to the window: the cache is read ahead.
const SETTLED: Duration = Duration::from_secs(6);

/// As an output may cost, in CPU seconds per second and MiB.
const MOST_COST: f64 = 0.0015;
const MOST_MEMORY: f64 = 3.0;

/// The cost of a recording.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let list = commands::filled(plan)?;
    let (mut alone, mut with) = (Vec::new(), Vec::new());
    for turn in 0..plan.pairs {
        alone.push(run(plan, &list, None)?);
        let records = plan.file("records");
        with.push(run(plan, &list, Some(&records))?);
        println!("   {}: {:?} without, {:?} with (CPU s/s, MiB)", turn + 1, alone[turn], with[turn]);
    }
    let (alone_cpu, alone_memory): (Vec<_>, Vec<_>) = alone.into_iter().unzip();
    let note = format!(
        "of a cached channel at {:.4} s/s and {:.1} MiB without",
        median(&alone_cpu),
        median(&alone_memory)
    );
    let figure = |name, unit, target, measured| Figure {
        name,
        unit,
        target,
        judged: Judged::Median,
        measured,
        baseline: None,
        note: note.clone(),
    };
    let more = |all: &[f64], base: &[f64]| all.iter().map(|value| value - median(base)).collect();
    let (cpu, memory): (Vec<_>, Vec<_>) = with.into_iter().unzip();
    Ok(vec![
        figure("a recording, CPU", "s/s", MOST_COST, more(&cpu, &alone_cpu)),
        figure("a recording, memory", "MiB", MOST_MEMORY, more(&memory, &alone_memory)),
    ])
}

/// CPU seconds a second and resident MiB of a channel, recorded into `records` or not at all.
fn run(plan: &Plan, list: &Path, records: Option<&Path>) -> Result<(f64, f64)> {
    let ingest = Ingest::start()?;
    let mut tool = plan.cached(0, list, &ingest.url("bench"))?;
    if let Some(records) = records {
        let _ = fs::remove_dir_all(records);
        tool.env("RECORD_DIR", records);
    }
    let mut started = Metered::start(&tool)?;
    ingest.wait("media", SPARE, |records| records.iter().any(|r| r.tags().any(|tag| tag.is_frame())))?;
    thread::sleep(SETTLED);
    let before = started.so_far()?;
    thread::sleep(plan.window);
    let after = started.so_far()?;
    let resident = after.memory.last().context("no memory was measured")?.1;
    if let Some(records) = records {
        let written: u64 =
            fs::read_dir(records)?.flatten().filter_map(|it| Some(it.metadata().ok()?.len())).sum();
        ensure!(written > 0, "nothing was recorded");
    }
    Ok(((after.all - before.all) / plan.window.as_secs_f64(), resident))
}
