//! A broadcast with a timetable: hard and soft starts and publishers that go live, compared with
//! what the ingest receives and with the as-run log.

mod found;
mod live;
mod receiver;
mod timetable;

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use fastrand::Rng;

pub use self::{
    found::{Found, MOST_OFF},
    live::{Client, Leaving},
    timetable::{FULL, Kind},
};
use self::{
    receiver::Receiver,
    timetable::{Agenda, LIST},
};
use crate::{
    as_run_log,
    broadcast::{Broadcast, Launch, Line},
    colours::{self, Beginning},
    flvcheck::Report,
    nginx::free_port,
    slot_starts::Pictures,
};

/// How often the ingest's recording is read: the accuracy of the times of arrival.
const LOOK: Duration = Duration::from_millis(4);

/// The parameters of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long it lasts.
    pub length: Duration,
    /// What interrupts the list, in any order.
    pub kinds: Vec<Kind>,
    /// Length of an item of the list.
    pub item: Duration,
    /// SCHEDULE_PREROLL.
    pub preroll: Duration,
    /// How far a start may be off by its arrival: more than [`MOST_OFF`] only where other
    /// processes delay the measurement.
    pub most_off: Duration,
}

/// Runs `plan` with slots drawn from `seed`. `go_on` is called about twice a second with the time
/// since the start; `false` ends the run.
pub fn run(
    launch: Launch,
    seed: u64,
    plan: &Plan,
    mut go_on: impl FnMut(Duration) -> bool,
) -> Result<(Found, String)> {
    let dir = tempfile::Builder::new().prefix("tgs-programme-").tempdir()?;
    let dir = dir.path();
    let mut receiver = Receiver::start()?;
    let list = list(dir, plan.item)?;
    timetable::write(dir, &[])?;
    let launch = launch.arg("--output").arg(receiver.url()).arg("--playlist").arg(list).keeping(dir);
    let launch = launch.set("CACHE_MAX_GB", "1").set("SCHEDULE", dir.join("timetable.toml"));
    let input = format!("rtmp://127.0.0.1:{}/live", free_port()?);
    let launch = launch.set("LIVE_INPUT", &input).set("LIVE_KEY", live::KEY);
    let preroll = format!("{}s", plan.preroll.as_secs());
    let mut agenda = timetable::draw(&mut Rng::with_seed(seed), plan);
    timetable::make_clips(dir, &agenda.slots)?;
    let mut broadcast = launch.set("SCHEDULE_PREROLL", preroll).start()?;
    broadcast.wait_item("", 1, Duration::from_mins(1))?;
    agenda.begin();
    timetable::write(dir, &agenda.slots)?;
    let mut found = Found::new(receiver.name(), plan.most_off);
    let began = Instant::now();
    let mut told = began;
    while began.elapsed() < plan.length {
        receiver.look()?;
        agenda.lives.iter_mut().try_for_each(|live| live.drive(&format!("{input}/{}", live::KEY)))?;
        if told.elapsed() >= Duration::from_millis(500) {
            told = Instant::now();
            if !go_on(began.elapsed()) || broadcast.ended()?.is_some() {
                break;
            }
        }
        thread::sleep(LOOK);
    }
    found.died = died(&mut broadcast)?;
    judge(&mut found, receiver, &agenda, &broadcast.lines(), dir)?;
    Ok((found, broadcast.log()))
}

fn died(broadcast: &mut Broadcast) -> Result<Option<String>> {
    if let Some(status) = broadcast.ended()? {
        return Ok(Some(format!("tgs-stream ended by itself with {status}")));
    }
    Ok(broadcast.stop().err().map(|error| format!("it does not end in order: {error:#}")))
}

/// A list of clips of `length`, whose colours no slot has.
fn list(dir: &Path, length: Duration) -> Result<std::path::PathBuf> {
    for colour in LIST {
        let millis = length.as_millis() as u32;
        colours::make(colour, millis, Beginning::Plain, &dir.join(format!("{colour}.mp4")))?;
    }
    let list = dir.join("list.txt");
    fs::write(&list, LIST.map(|colour| format!("{colour}.mp4\n")).concat())?;
    Ok(list)
}

fn judge(found: &mut Found, receiver: Receiver, agenda: &Agenda, log: &[Line], dir: &Path) -> Result<()> {
    let (arrivals, connections) = receiver.finish()?;
    found.connections = connections;
    let tags: Vec<_> = arrivals.iter().map(|(_, tag)| tag).collect();
    found.broken = Report::of_tags(tags).problems(30.0, 44_100.0);
    let pictures = Pictures::of(&arrivals, dir).context("decode what the ingest has received")?;
    let entries = as_run_log::read(&dir.join("state/as-run.jsonl"))?;
    found.judge_slots(&pictures, &agenda.slots, &entries);
    found.judge_lives(&pictures, &agenda.lives, &live::visits(log));
    found.judge_log(&entries);
    Ok(())
}
