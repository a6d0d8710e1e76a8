//! Sound against picture after many items, by flashes and beeps in the decoded result.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tgs_e2e::flvcheck::alignment;

use super::SPARE;
use crate::bench::{
    material,
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged},
};

/// Writes the list to a file, as fast as it encodes, and measures every flash in it.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let clips = material::flashing()?;
    let list = plan.file("sync.txt");
    material::playlist(&list, &clips, plan.sync_items)?;
    let out = plan.file("sync.flv");
    let command = plan.ours(&list, &out.display().to_string())?;
    Metered::start(&command)?.finish(Duration::from_secs(3 * plan.sync_items as u64) + SPARE)?;
    let measured = alignment(&out)?;
    let (low, high) = measured.range().context("no flash with a beep in the result")?;
    // Each item flashes once or twice.
    ensure!(measured.offsets.len() >= plan.sync_items, "{} flashes are too few", measured.offsets.len());
    let note = format!("{low:+.1}…{high:+.1} ms over {} items, to a file", plan.sync_items);
    Ok(vec![Figure {
        name: "audio against video",
        unit: "ms",
        target: 12.0,
        judged: Judged::Worst,
        // To a hundredth: what lies below that is the dust of f64 arithmetic.
        measured: vec![(low.abs().max(high.abs()) * 100.0).round() / 100.0],
        baseline: None,
        note,
    }])
}
