//! What further outputs cost: CPU and memory of the engine with 1, 4 and 16 of them beside none, on
//! the same cached items, by plain RTMP.

use std::{sync::mpsc, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use tgs_e2e::ingest::{Ingest, Message, Setup};

use super::{SPARE, commands};
use crate::bench::{
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged, median},
};

/// From the first media of the last output to the window: the cache is read ahead, the bursts of
/// the connections are over.
const SETTLED: Duration = Duration::from_secs(6);

/// An output, in CPU seconds per second and MiB.
const MOST_COST: f64 = 0.0015;
const MOST_MEMORY: f64 = 3.0;

/// How many outputs, and the names of the figures.
const COUNTS: [(u16, &str, &str); 3] = [
    (1, "an output beside the main one, CPU", "an output beside the main one, memory"),
    (4, "each of 4 outputs beside the main one, CPU", "each of 4 outputs beside the main one, memory"),
    (16, "each of 16 outputs beside the main one, CPU", "each of 16 outputs beside the main one, memory"),
];

/// The cost of each output by their number.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let list = commands::filled(plan)?;
    let mut figures = Vec::new();
    let mut alone = Vec::new();
    for _ in 0..plan.pairs {
        alone.push(run(plan, &list, 0)?);
    }
    let (alone_cpu, alone_memory): (Vec<_>, Vec<_>) = alone.into_iter().unzip();
    let note = format!(
        "of a cached channel at {:.4} s/s and {:.1} MiB without",
        median(&alone_cpu),
        median(&alone_memory)
    );
    for (count, cpu_name, memory_name) in COUNTS {
        let (mut cpu, mut memory) = (Vec::new(), Vec::new());
        for turn in 0..plan.pairs {
            let (used, resident) = run(plan, &list, count)?;
            println!("   {count} outputs, {}: {used:.4} CPU s/s, {resident:.1} MiB", turn + 1);
            cpu.push((used - median(&alone_cpu)) / f64::from(count));
            memory.push((resident - median(&alone_memory)) / f64::from(count));
        }
        let figure = |name, unit, target, measured| Figure {
            name,
            unit,
            target,
            judged: Judged::Median,
            measured,
            baseline: None,
            note: note.clone(),
        };
        figures.push(figure(cpu_name, "s/s", MOST_COST, cpu));
        figures.push(figure(memory_name, "MiB", MOST_MEMORY, memory));
    }
    Ok(figures)
}

/// CPU seconds a second and resident MiB of a channel with so many further outputs.
fn run(plan: &Plan, list: &std::path::Path, count: u16) -> Result<(f64, f64)> {
    let main = Ingest::start()?;
    // Counts connections with media; keeps nothing.
    let (pass_on, media) = mpsc::channel();
    let others = Ingest::start_with(Setup { pass_on: Some(pass_on), ..Setup::default() })?;
    let mut tool = plan.cached(0, list, &main.url("bench"))?;
    let outputs: Vec<_> = (0..count).map(|n| format!("o{n}={}", others.url(&format!("key{n}")))).collect();
    tool.env("ALSO_OUTPUT_URLS", outputs.join(" "));
    let mut started = Metered::start(&tool)?;
    main.wait("media", SPARE, |records| records.iter().any(|r| r.tags().any(|tag| tag.is_frame())))?;
    let mut seen = vec![false; usize::from(count)];
    while seen.contains(&false) {
        let (number, message): (usize, Message) =
            media.recv_timeout(SPARE).context("media of each output")?;
        if message.tag().is_some_and(|tag| tag.is_frame()) {
            *seen.get_mut(number).context("an output connected again")? = true;
        }
    }
    // Its messages are dropped from now on.
    drop(media);
    thread::sleep(SETTLED);
    let before = started.so_far()?;
    thread::sleep(plan.window);
    let after = started.so_far()?;
    let resident = after.memory.last().context("no memory was measured")?.1;
    ensure!(others.records().len() == usize::from(count), "an output connected again");
    Ok(((after.all - before.all) / plan.window.as_secs_f64(), resident))
}
