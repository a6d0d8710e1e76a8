//! What a recording costs: CPU and memory of the engine with one beside none, on the same cached
//! items, and that the files are whole.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use tgs_e2e::ingest::Ingest;

use super::{
    SPARE, commands,
    extra::{self, Cost},
};
use crate::bench::{meter::Metered, plan::Plan, report::Figure};

/// The cost of a recording.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let list = commands::filled(plan)?;
    let (mut alone, mut with) = (Vec::new(), Vec::new());
    for turn in 0..plan.pairs {
        let (cpu, memory) = run(plan, &list, None)?;
        let records = plan.file("records");
        let (more_cpu, more_memory) = run(plan, &list, Some(&records))?;
        println!(
            "   {}: {cpu:.4} without, {more_cpu:.4} with, CPU s/s; {memory:.1} and {more_memory:.1} MiB",
            turn + 1
        );
        alone.push((cpu, memory));
        with.push((more_cpu, more_memory));
    }
    Ok(extra::figures(["a recording, CPU", "a recording, memory"], 1, &alone, &with).into())
}

/// The cost of a channel, recorded into `records` or not at all.
fn run(plan: &Plan, list: &Path, records: Option<&Path>) -> Result<Cost> {
    let ingest = Ingest::start()?;
    let mut tool = plan.cached(0, list, &ingest.url("bench"))?;
    if let Some(records) = records {
        let _ = fs::remove_dir_all(records);
        tool.env("RECORD_DIR", records);
    }
    let mut started = Metered::start(&tool)?;
    ingest.wait("media", SPARE, |records| records.iter().any(|r| r.tags().any(|tag| tag.is_frame())))?;
    let cost = extra::cost(&mut started, plan)?;
    if let Some(records) = records {
        let written: u64 =
            fs::read_dir(records)?.flatten().filter_map(|it| Some(it.metadata().ok()?.len())).sum();
        ensure!(written > 0, "nothing was recorded");
    }
    Ok(cost)
}
