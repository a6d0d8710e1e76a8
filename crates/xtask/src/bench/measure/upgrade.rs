//! Upgrades on one host beside restarts: the time without media at the ingest, and the pictures
//! that are missing or shown again.

use std::time::Duration;

use anyhow::{Context, Result};
use tgs_e2e::{
    broadcast::Launch,
    ingest::{Ingest, Record},
    numbered::film,
    upgrades::{breaks, gaps, pictures, upgrade},
};

use super::SPARE;
use crate::bench::{
    plan::Plan,
    report::{Figure, Judged},
};

/// Media before each change.
const PLAYS: usize = 500;

/// Four upgrades and one restart for each pair.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir_in(&plan.dir)?;
    let count = 4 * plan.pairs;
    // An upgrade takes about seven seconds of the film.
    let film = film(dir.path(), (40 + 20 * count) as u32)?;
    let launch = |url: &str| -> Result<Launch> {
        let launch = Launch::of(&plan.tool)?.keeping(dir.path()).arg("--output").arg(url);
        Ok(launch.set("RUST_LOG", "warn").play([&film]))
    };
    let ingest = Ingest::start()?;
    let broadcast = launch(&ingest.url("bench"))?.start()?;
    let mut processes = Vec::new();
    for turn in 1..=count {
        until_media(&ingest, turn)?;
        let (done, process) = upgrade(&dir.path().join("state")).with_context(|| broadcast.log())?;
        println!("   {turn}: {:.3} s by its own count", done.gap_seconds.unwrap_or_default());
        processes.push(process);
    }
    until_media(&ingest, count + 1)?;
    drop(processes);
    let records = ingest.records();
    let seen = pictures(&records, dir.path())?;
    let broken = breaks(&seen).len() as f64;
    let upgrades = gaps(&records)?;
    let ingest = Ingest::start()?;
    for turn in 1..=plan.pairs + 1 {
        let mut broadcast = launch(&ingest.url("bench"))?.start()?;
        until_media(&ingest, turn)?;
        broadcast.stop()?;
    }
    let seconds = |gaps: Vec<Duration>| gaps.iter().map(Duration::as_secs_f64).collect();
    let restarts = gaps(&ingest.records())?;
    Ok(vec![
        Figure {
            name: "without media at an upgrade",
            unit: "s",
            target: 0.5,
            judged: Judged::Worst,
            measured: seconds(upgrades),
            baseline: Some(("restart", seconds(restarts))),
            note: format!("{count} upgrades of one broadcast"),
        },
        Figure {
            name: "places where an upgrade loses or repeats a picture",
            unit: "",
            target: 0.0,
            judged: Judged::Worst,
            measured: vec![broken],
            baseline: None,
            note: format!("of {} pictures", seen.len()),
        },
    ])
}

fn until_media(ingest: &Ingest, connections: usize) -> Result<()> {
    let enough = |records: &[Record]| {
        records.len() >= connections && records[connections - 1].media().count() >= PLAYS
    };
    ingest.wait("media", SPARE, enough)
}
