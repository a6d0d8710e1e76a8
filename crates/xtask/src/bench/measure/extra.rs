//! What is added to a cached channel, such as further outputs: its CPU and memory above those of
//! the channel alone.

use std::{thread, time::Duration};

use anyhow::{Context, Result};

use crate::bench::{
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged, median},
};

/// From the first media to the window: the cache is read ahead, the bursts of connections are over.
const SETTLED: Duration = Duration::from_secs(6);

/// What each addition may cost, in CPU seconds per second and MiB.
const MOST_COST: f64 = 0.0015;
const MOST_MEMORY: f64 = 3.0;

/// CPU seconds a second and resident MiB of a channel.
pub(super) type Cost = (f64, f64);

/// The cost of a channel whose media flows.
pub(super) fn cost(started: &mut Metered, plan: &Plan) -> Result<Cost> {
    thread::sleep(SETTLED);
    let before = started.so_far()?;
    thread::sleep(plan.window);
    let after = started.so_far()?;
    let resident = after.memory.last().context("no memory was measured")?.1;
    Ok(((after.all - before.all) / plan.window.as_secs_f64(), resident))
}

/// The figures of `count` additions that are alike, by the runs `with` them beside those `alone`.
/// `names` are those of CPU and memory.
pub(super) fn figures(names: [&'static str; 2], count: u16, alone: &[Cost], with: &[Cost]) -> [Figure; 2] {
    let (alone_cpu, alone_memory): (Vec<_>, Vec<_>) = alone.iter().copied().unzip();
    let (cpu, memory): (Vec<_>, Vec<_>) = with.iter().copied().unzip();
    let (base_cpu, base_memory) = (median(&alone_cpu), median(&alone_memory));
    let note = format!("of a cached channel at {base_cpu:.4} s/s and {base_memory:.1} MiB without");
    let figure = |name, unit, target, all: Vec<f64>, base| Figure {
        name,
        unit,
        target,
        judged: Judged::Median,
        measured: all.into_iter().map(|value| (value - base) / f64::from(count)).collect(),
        baseline: None,
        note: note.clone(),
    };
    [
        figure(names[0], "s/s", MOST_COST, cpu, base_cpu),
        figure(names[1], "MiB", MOST_MEMORY, memory, base_memory),
    ]
}
