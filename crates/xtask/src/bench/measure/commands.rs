//! From a command at the control socket to the first picture at the ingest that it leads to.
//!
//! The items are long and cached. A command ends a group of pictures early, so its picture is the
//! first keyframe that comes sooner after the one before than keyframes do.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tgs_control::{
    ControlClient,
    method::{Call, NoParams, SeekParams},
};
use tgs_e2e::{clips::clip, ingest::Ingest};
use tgs_rtmp::flv::Tag;

use super::{SPARE, frames};
use crate::bench::{
    Plan, material,
    meter::Metered,
    report::{Figure, Judged, median},
};

/// Length of each of the two items; no item ends by itself.
const ITEM_MILLIS: u32 = 120_000;

/// Distance of keyframes within an item, and of the shortest wait between two commands.
const GROUP_MILLIS: u64 = 2000;

/// How far a keyframe may be from [`GROUP_MILLIS`] after the one before.
const NEAR_MILLIS: u64 = 40;

/// The commands in turn: none comes near the end of an item, and each has an item before and after.
fn commands() -> [(&'static str, Call); 5] {
    let seek = SeekParams { to: Some(30.0), by: None };
    [
        ("next, to its first picture", Call::Next(NoParams {})),
        ("previous, to its first picture", Call::Previous(NoParams {})),
        ("seek, to its first picture", Call::Seek(seek)),
        ("pause, to the filler", Call::Pause(NoParams {})),
        ("resume, to the item", Call::Resume(NoParams {})),
    ]
}

/// Each command several times, at different distances from a keyframe.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let list = filled(plan)?;
    let dir = tempfile::tempdir().context("make a directory for the socket")?;
    let socket = dir.path().join("control.sock");
    let ingest = Ingest::start()?;
    let mut tool = plan.cached(0, &list, &ingest.url("bench"))?;
    tool.env("CONTROL_SOCKET", &socket);
    let started = Metered::start(&tool)?;
    ingest.wait("media", SPARE, |records| records.iter().any(|r| r.tags().any(|tag| tag.is_frame())))?;
    let mut client = ControlClient::connect(&socket, "bench")?;
    let mut sent = Vec::new();
    for turn in 0..plan.command_turns {
        for (which, (_, call)) in commands().iter().enumerate() {
            // Moments spread over the group: the step shares no divisor with the commands.
            let step = (turn * 5 + which) as u64 * 370 % GROUP_MILLIS;
            thread::sleep(Duration::from_millis(GROUP_MILLIS + step));
            sent.push(Instant::now());
            client.call(call)?;
        }
    }
    thread::sleep(Duration::from_millis(2 * GROUP_MILLIS));
    let arrived = frames(&ingest.record()?);
    drop(started);
    figures(&sent, &arrived)
}

fn figures(sent: &[Instant], arrived: &[(Instant, Tag)]) -> Result<Vec<Figure>> {
    let keys: Vec<&(Instant, Tag)> = arrived.iter().filter(|(_, tag)| tag.is_keyframe()).collect();
    let mut took: [Vec<f64>; 5] = Default::default();
    for (n, at) in sent.iter().enumerate() {
        let until = sent.get(n + 1);
        let after =
            keys.windows(2).filter(|pair| pair[1].0 > *at && until.is_none_or(|end| pair[1].0 < *end));
        let early = |pair: &&[&(Instant, Tag)]| {
            let apart = pair[1].1.timestamp.saturating_sub(pair[0].1.timestamp);
            apart + NEAR_MILLIS < GROUP_MILLIS
        };
        // A command at a group's very end is obeyed where a keyframe was due.
        let effect = after.clone().find(early).or_else(|| after.clone().next());
        let (name, _) = &commands()[n % took.len()];
        let (came, _) = effect.with_context(|| format!("no keyframe after: {name}"))?[1];
        took[n % 5].push(came.duration_since(*at).as_secs_f64() * 1000.0);
    }
    let figure = |((name, _), measured): ((&'static str, Call), Vec<f64>)| Figure {
        name,
        unit: "ms",
        target: 1000.0,
        judged: Judged::Worst,
        note: format!("median {:.0} ms of {}; cached items", median(&measured), measured.len()),
        measured,
        baseline: None,
    };
    Ok(commands().into_iter().zip(took).map(figure).collect())
}

/// A list of two long clips, both of which the cache has.
pub(super) fn filled(plan: &Plan) -> Result<std::path::PathBuf> {
    let clips = [
        clip("commands25", (640, 360), "25", 44_100, ITEM_MILLIS).path()?,
        clip("commands30", (640, 360), "30", 48_000, ITEM_MILLIS).path()?,
    ];
    let list = plan.file("commands.txt");
    material::playlist(&list, &clips, clips.len())?;
    let out = plan.file("commands.flv");
    let into = |out: &Path| plan.cached(0, &list, &out.display().to_string());
    Metered::start(&into(&out)?)?.finish(SPARE * 10)?;
    Ok(list)
}
