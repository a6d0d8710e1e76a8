//! The ingest is away for five seconds: the time until media arrives after its return, and whether
//! media was skipped.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tgs_e2e::ingest::{Ingest, Record};
use tgs_rtmp::flv::{Kind, Tag};

use super::{SPARE, frames};
use crate::bench::{
    material,
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged},
    side::{FIFO, bare_ffmpeg},
};

const AWAY: Duration = Duration::from_secs(5);
const MEDIA_BEFORE: Duration = Duration::from_secs(5);

/// What one outage showed.
struct Outage {
    back_after: f64,
    /// Media time between the last picture before and the first after it, in ms; negative where it
    /// was sent again.
    skipped: f64,
}

/// In turn with a bare ffmpeg through its fifo muxer.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    // Long enough that the list does not end meanwhile.
    let seconds = plan.clip_seconds.max(10);
    let clips = material::mixed(&plan.dir, seconds)?;
    let list = plan.file("outage.txt");
    material::playlist(&list, &clips, clips.len())?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..plan.pairs {
        ours.push(outage(|url| plan.ours(&list, url))?);
        bare.push(outage(|url| Ok(bare_ffmpeg(&clips, seconds, &FIFO, url)))?);
    }
    let back = Figure {
        name: "media again after an outage",
        unit: "s",
        target: 0.75,
        judged: Judged::Median,
        measured: ours.iter().map(|outage| outage.back_after).collect(),
        baseline: Some(("ffmpeg fifo", bare.iter().map(|outage| outage.back_after).collect())),
        note: "counted from the moment the ingest listens again".to_owned(),
    };
    let skipped = Figure {
        name: "skipped by an outage",
        unit: "ms",
        // One frame: the next one.
        target: 34.0,
        judged: Judged::Worst,
        measured: ours.iter().map(|outage| outage.skipped).collect(),
        baseline: Some(("ffmpeg fifo", bare.iter().map(|outage| outage.skipped).collect())),
        note: "negative: sent again from a keyframe before the break".to_owned(),
    };
    Ok(vec![back, skipped])
}

fn outage(command: impl Fn(&str) -> Result<Command>) -> Result<Outage> {
    let mut ingest = Ingest::start()?;
    let metered = Metered::start(&command(&ingest.url("bench"))?)?;
    let enough = |record: &Record| {
        pictures(record).last().is_some_and(|tag| u128::from(tag.timestamp) >= MEDIA_BEFORE.as_millis())
    };
    ingest.wait("media", SPARE, |records| records.first().is_some_and(enough))?;
    ingest.refuse();
    ingest.reset();
    thread::sleep(AWAY);
    ingest.listen()?;
    let back = Instant::now();
    let flowing = |record: &Record| !pictures(record).is_empty();
    ingest.wait("media after the outage", SPARE, |records| records.iter().skip(1).any(flowing))?;
    drop(metered);
    let records = ingest.records();
    let again = records.iter().skip(1).find(|record| flowing(record)).context("no second connection")?;
    let (arrived, _) = frames(again).into_iter().next().context("no frame")?;
    ensure!(arrived >= back, "media arrived before the ingest was back");
    Ok(Outage {
        back_after: arrived.duration_since(back).as_secs_f64(),
        skipped: skipped(&records[0], again)?,
    })
}

/// A new connection may restart its timestamps at 0, so its first picture is matched against the
/// pictures sent before. An unknown picture counts as infinite: a miss.
fn skipped(before: &Record, again: &Record) -> Result<f64> {
    let before = pictures(before);
    let last = before.last().context("no picture before")?.timestamp as f64;
    let first = pictures(again).into_iter().next().context("no picture after")?;
    let sent = before.iter().find(|tag| tag.body == first.body).map(|tag| tag.timestamp as f64);
    let goes_on = (first.timestamp as f64 > last).then_some(first.timestamp as f64);
    Ok(sent.or(goes_on).map_or(f64::INFINITY, |first| first - last))
}

fn pictures(record: &Record) -> Vec<Tag> {
    record.tags().filter(|tag| tag.kind == Kind::Video && tag.is_frame()).collect()
}
