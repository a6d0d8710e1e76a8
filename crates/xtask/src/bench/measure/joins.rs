//! Joins as a viewer sees them: the longest silence, and the drift of the broadcast's clock against
//! wall time.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tgs_e2e::ingest::Ingest;
use tgs_rtmp::flv::Tag;

use super::{SPARE, frames};
use crate::bench::{
    material,
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged, median},
    side::{PLAIN, bare_ffmpeg},
};

/// Excluded from the figures: the start is no join.
const SETTLED: Duration = Duration::from_secs(2);

/// Both figures from one run over many short items, beside one ffmpeg an item.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let clips = material::flashing()?;
    let list = plan.file("joins.txt");
    material::playlist(&list, &clips, plan.join_items)?;
    let ingest = Ingest::start()?;
    let command = plan.ours(&list, &ingest.url("bench"))?;
    Metered::start(&command)?.finish(Duration::from_secs(3 * plan.join_items as u64) + SPARE)?;
    let arrived = frames(&ingest.record()?);
    ensure!(!arrived.is_empty(), "nothing arrived");
    let silence = Figure {
        name: "silence at a join",
        unit: "s",
        target: 0.150,
        judged: Judged::Worst,
        measured: vec![longest_wait(&arrived)],
        baseline: Some(("one ffmpeg per item", vec![one_by_one()?])),
        note: format!("longest wait between two frames at the ingest, {} items", plan.join_items),
    };
    let drift = Figure {
        name: "wall clock drift",
        unit: "ms",
        target: 50.0,
        judged: Judged::Worst,
        measured: vec![drift(&arrived) * 1000.0],
        baseline: None,
        note: format!("after {} items, {:.0} s", plan.join_items, spread(&arrived).as_secs_f64()),
    };
    Ok(vec![silence, drift])
}

/// Each clip by an ffmpeg and a connection of its own.
fn one_by_one() -> Result<f64> {
    let ingest = Ingest::start()?;
    for clip in &material::flashing()? {
        let command: Command = bare_ffmpeg(std::slice::from_ref(clip), 0, &PLAIN, &ingest.url("bench"));
        Metered::start(&command)?.finish(SPARE)?;
    }
    ingest.wait_ended(SPARE)?;
    let all: Vec<_> = ingest.records().iter().flat_map(frames).collect();
    Ok(longest_wait(&all))
}

fn spread(arrived: &[(Instant, Tag)]) -> Duration {
    match (arrived.first(), arrived.last()) {
        (Some((first, _)), Some((last, _))) => last.duration_since(*first),
        _ => Duration::ZERO,
    }
}

fn longest_wait(arrived: &[(Instant, Tag)]) -> f64 {
    let Some((began, _)) = arrived.first() else { return f64::NAN };
    let settled = |at: Instant| at.duration_since(*began) > SETTLED;
    arrived
        .windows(2)
        .filter(|pair| settled(pair[0].0))
        .map(|pair| pair[1].0.duration_since(pair[0].0).as_secs_f64())
        .fold(0.0, f64::max)
}

/// How much later (in seconds, either way) media arrives at the end than its timestamps promised at
/// the beginning.
fn drift(arrived: &[(Instant, Tag)]) -> f64 {
    let Some((began, _)) = arrived.first() else { return f64::NAN };
    let late: Vec<(Duration, f64)> = arrived
        .iter()
        .map(|(at, tag)| {
            let wall = at.duration_since(*began);
            (wall, wall.as_secs_f64() - tag.timestamp as f64 / 1000.0)
        })
        .collect();
    let between = |from: Duration, to: Duration| {
        median(
            &late.iter().filter(|(at, _)| *at >= from && *at < to).map(|&(_, late)| late).collect::<Vec<_>>(),
        )
    };
    let whole = spread(arrived) + Duration::from_millis(1);
    (between(whole.saturating_sub(SETTLED), whole) - between(SETTLED, SETTLED * 2)).abs()
}

#[cfg(test)]
mod tests {
    use tgs_rtmp::flv::Kind;

    use super::*;

    #[test]
    fn a_slow_clock_and_a_pause_are_seen() {
        let began = Instant::now();
        // 20 s at 10 frames a second, of which each takes 1 ms too long, with 300 ms of nothing in
        // the middle.
        let arrived: Vec<_> = (0..200_u64)
            .map(|n| {
                let at = began + Duration::from_millis(n * 101 + if n >= 100 { 300 } else { 0 });
                (at, Tag { kind: Kind::Video, timestamp: n * 100, body: [0x17, 1].as_slice().into() })
            })
            .collect();
        assert!((longest_wait(&arrived) - 0.401).abs() < 0.001);
        // From the middle of seconds 2 to 4 to that of the last two: 300 ms and about 160 frames.
        assert!((drift(&arrived) - 0.46).abs() < 0.01, "{}", drift(&arrived));
    }
}
