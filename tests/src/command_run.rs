//! A broadcast under random commands at random moments over its control socket, compared with what
//! the ingest receives: the stream, the picture, and the as-run log.
//!
//! Each clip has a colour of its own, so that each decoded frame says which item it belongs to.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use fastrand::Rng;
use tgs_control::{
    BroadcastStatus, ControlClient, ControlError, OnAir,
    method::{
        Call, GotoParams, NoParams, QueueAddParams, QueueEntryParams, QueueMoveParams, SeekParams,
        TitleParams,
    },
};
use tgs_rtmp::flv::Kind;

use crate::{
    as_run_log,
    broadcast::{Broadcast, Launch},
    colours::{self, Beginning, COLOURS, Picture},
    flvcheck::Report,
    ingest::{Ingest, Record},
};

/// Length of a clip: no clip ends between most commands.
const CLIP_SECONDS: u32 = 40;

/// Frames per second of the profile.
const FPS: f64 = 30.0;

/// How far status and picture may be apart: a tag travels, and a frame is reordered.
const AT_ONCE: Duration = Duration::from_millis(300);

/// The longest time without a picture.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// How often the status is compared.
const ASK_EVERY: Duration = Duration::from_millis(400);

/// What a run has found.
#[derive(Debug, Default)]
pub struct Found {
    /// Commands sent, and those refused in words.
    pub sent: (usize, usize),
    /// The error of a command that was neither executed nor refused in words.
    pub lost: Option<String>,
    /// Connections to the ingest.
    pub connections: usize,
    /// Deviations of the received stream from an unbroken one.
    pub broken: Vec<String>,
    /// The longest time without a picture, and how long it may be.
    pub longest_gap: (Duration, Duration),
    /// Errors of a decoder, and frames that did not come out of it.
    pub undecoded: Vec<String>,
    /// Statuses compared with the picture, and those that no picture near them agrees with.
    pub compared: usize,
    /// What was wrong.
    pub wrong: Vec<String>,
    /// Entries of the as-run log, and where they do not add up.
    pub entries: usize,
    /// The first place at which the log has a gap or an overlap.
    pub apart: Option<String>,
    /// The cause if the tool died.
    pub died: Option<String>,
}

/// A status, the moment before it was asked for, and the moment of the answer.
struct Asked {
    from: Instant,
    to: Instant,
    on_air: OnAir,
}

/// Sends `commands` random commands over `length`, drawn from `seed`. A picture may be later by
/// `spare` than on a machine of its own. `go_on` is called before each with its number; `false`
/// ends the run.
pub fn run(
    launch: Launch,
    seed: u64,
    (commands, length): (usize, Duration),
    spare: Duration,
    mut go_on: impl FnMut(usize) -> bool,
) -> Result<(Found, String)> {
    let dir = tempfile::Builder::new().prefix("tgs-commands-").tempdir()?;
    let ingest = Ingest::start()?;
    let list = list(dir.path())?;
    let launch = launch.arg("--output").arg(ingest.url("key")).arg("--playlist").arg(list);
    let mut broadcast = launch.keeping(dir.path()).set("CACHE_MAX_GB", "1").start()?;
    broadcast.wait_item("", 1, Duration::from_secs(30))?;
    let mut operator = ControlClient::connect(&dir.path().join("state/control.sock"), "soak")?;
    let mut observer = ControlClient::connect(&dir.path().join("state/control.sock"), "soak-status")?;
    let mut found = Found { longest_gap: (Duration::ZERO, LONGEST_GAP + spare), ..Found::default() };
    let mut rng = Rng::with_seed(seed);
    let mut asked = Vec::new();
    let mut queued = Vec::new();
    let mut paused = false;
    for number in 0..commands {
        // On average, the commands fill the length.
        let wait = length.mul_f64(rng.f64() * 2.0 / commands as f64);
        observe(&mut observer, &mut asked, wait)?;
        if !go_on(number) || broadcast.ended()?.is_some() {
            break;
        }
        let call = draw(&mut rng, &mut paused, &queued);
        found.sent.0 += 1;
        match operator.call(&call) {
            Ok(result) => queued.extend(result["id"].as_u64().filter(|_| matches!(call, Call::QueueAdd(_)))),
            Err(ControlError::Refused(_)) => found.sent.1 += 1,
            Err(error) => found.lost = Some(format!("{call:?}: {error}")),
        }
    }
    operator.call(&Call::Resume(NoParams {}))?;
    observe(&mut observer, &mut asked, Duration::from_secs(3))?;
    found.died = died(&mut broadcast)?;
    ingest.wait_ended(Duration::from_secs(10))?;
    judge(&mut found, &ingest.records(), &asked, dir.path())?;
    Ok((found, broadcast.log()))
}

fn died(broadcast: &mut Broadcast) -> Result<Option<String>> {
    if let Some(status) = broadcast.ended()? {
        return Ok(Some(format!("tgs-stream ended by itself with {status}")));
    }
    Ok(broadcast.stop().err().map(|error| format!("it does not end in order: {error:#}")))
}

/// A list of the clips.
fn list(dir: &Path) -> Result<PathBuf> {
    for (name, _) in COLOURS {
        colours::make(name, CLIP_SECONDS * 1000, Beginning::Plain, &dir.join(format!("{name}.mp4")))?;
    }
    let list = dir.join("list.txt");
    fs::write(&list, COLOURS.map(|(name, _)| format!("{name}.mp4\n")).concat())?;
    Ok(list)
}

/// Draws a command. A pause is followed by a resume.
fn draw(rng: &mut Rng, paused: &mut bool, queued: &[u64]) -> Call {
    let none = NoParams {};
    if std::mem::take(paused) {
        return Call::Resume(none);
    }
    let source = || format!("{}.mp4", COLOURS[0].0);
    let old = |rng: &mut Rng| rng.choice(queued.iter().copied()).unwrap_or(1);
    match rng.u8(..20) {
        0..=4 => Call::Next(none),
        5 | 6 => Call::Previous(none),
        7..=9 => Call::Goto(GotoParams { index: Some(rng.usize(..COLOURS.len())), id: None }),
        10 | 11 => Call::Seek(SeekParams { to: Some(f64::from(CLIP_SECONDS) * 1.1 * rng.f64()), by: None }),
        12 | 13 => Call::Seek(SeekParams { to: None, by: Some(rng.f64() * 40.0 - 20.0) }),
        14 | 15 => {
            *paused = true;
            Call::Pause(none)
        }
        16 => {
            let (name, _) = COLOURS[rng.usize(..COLOURS.len())];
            let position = rng.bool().then_some(0);
            Call::QueueAdd(QueueAddParams { source: format!("{name}.mp4"), position, below: None })
        }
        17 => Call::QueueMove(QueueMoveParams { id: old(rng), position: rng.usize(..3) }),
        18 if rng.bool() => Call::QueueRemove(QueueEntryParams { id: old(rng) }),
        18 => Call::QueueClear(none),
        _ if rng.bool() => Call::TitleSet(TitleParams { text: source() }),
        _ => Call::PlaylistReload(none),
    }
}

/// Asks for the status again and again for `length`.
fn observe(client: &mut ControlClient, asked: &mut Vec<Asked>, length: Duration) -> Result<()> {
    let end = Instant::now() + length;
    loop {
        let from = Instant::now();
        let status: BroadcastStatus = client.get(&Call::Status(NoParams {}))?;
        asked.push(Asked { from, to: Instant::now(), on_air: status.status.engine.on_air });
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(ASK_EVERY.min(left));
    }
}

fn judge(found: &mut Found, records: &[Record], asked: &[Asked], dir: &Path) -> Result<()> {
    found.connections = records.len();
    let record = records.first().context("nothing has connected to the ingest")?;
    let tags: Vec<_> = record.tags().collect();
    found.broken = Report::of_tags(&tags).problems(FPS, 44_100.0);
    let is_frame = |tag: &tgs_rtmp::flv::Tag| tag.kind == Kind::Video && tag.is_frame();
    let frames: Vec<(Duration, Instant)> = record
        .media()
        .filter_map(|m| m.tag().filter(|tag| is_frame(tag)).map(|tag| (tag.timestamp, m.arrived)))
        .map(|(timestamp, arrived)| (Duration::from_millis(timestamp), arrived))
        .collect();
    found.longest_gap.0 = frames.windows(2).map(|pair| pair[1].1 - pair[0].1).max().unwrap_or_default();
    // A frame that was read late was due earlier: the times are continuous.
    let base = frames.iter().filter_map(|(time, arrived)| arrived.checked_sub(*time)).min();
    let base = base.context("no frame has arrived")?;
    let file = dir.join("received.flv");
    record.write_flv(&file)?;
    let (colours, errors) = colours::decode(&file)?;
    found.undecoded = errors;
    if colours.len() != frames.len() {
        found.undecoded.push(format!("{} of {} frames were decoded", colours.len(), frames.len()));
    }
    let shown: Vec<_> = frames.into_iter().zip(colours.into_iter().map(clip_of)).collect();
    for asked in asked {
        let said = match &asked.on_air {
            OnAir::Item(item) => Some(item.title.as_str()),
            OnAir::Filler { .. } => None,
            OnAir::Starting | OnAir::Stopped => continue,
        };
        let near = |(time, arrived): (Duration, Instant)| {
            arrived + AT_ONCE >= asked.from && base + time <= asked.to + AT_ONCE
        };
        let mut seen = shown.iter().filter(|(frame, _)| near(*frame)).map(|(_, clip)| *clip).peekable();
        if seen.peek().is_none() {
            continue;
        }
        found.compared += 1;
        let seen: Vec<_> = seen.collect();
        if !seen.contains(&said) {
            let at = asked.from.duration_since(base);
            found.wrong.push(format!("{:.1} s: {said:?} is said, {:?} is seen", at.as_secs_f64(), seen[0]));
        }
    }
    let entries = as_run_log::read(&dir.join("state/as-run.jsonl"))?;
    (found.entries, found.apart) = (entries.len(), as_run_log::apart(&entries));
    Ok(())
}

/// The clip with this colour; `None` for the filler.
fn clip_of(colour: [u8; 3]) -> Option<&'static str> {
    match colours::picture_of(colour) {
        Picture::Clip(name) => Some(name),
        Picture::Mark | Picture::Other => None,
    }
}

impl Found {
    /// The targets: whether each is met, and its description.
    #[must_use]
    pub fn targets(&self) -> Vec<(bool, String)> {
        let or = |faults: &[String], well: String| {
            if faults.is_empty() { well } else { format!("{}: {}", faults.len(), faults.join("; ")) }
        };
        vec![
            (
                self.lost.is_none() && self.sent.1 < self.sent.0,
                self.lost.clone().unwrap_or_else(|| {
                    format!("{} commands, {} of them refused in words", self.sent.0, self.sent.1)
                }),
            ),
            (self.connections == 1, format!("{} connection(s) to the ingest (target 1)", self.connections)),
            (self.broken.is_empty(), or(&self.broken, "one unbroken stream".to_owned())),
            (
                self.longest_gap.0 <= self.longest_gap.1,
                format!("longest time without a picture {:.2} s", self.longest_gap.0.as_secs_f64()),
            ),
            (self.undecoded.is_empty(), or(&self.undecoded, "every frame was decoded".to_owned())),
            (
                self.compared > 0 && self.wrong.is_empty(),
                or(&self.wrong, format!("{} statuses agree with the picture", self.compared)),
            ),
            (
                self.entries > 0 && self.apart.is_none(),
                self.apart.clone().unwrap_or_else(|| format!("{} as-run entries add up", self.entries)),
            ),
            (
                self.died.is_none(),
                self.died.clone().unwrap_or_else(|| "tgs-stream lived to the end".to_owned()),
            ),
        ]
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (met, words) in self.targets() {
            writeln!(f, "{:<4} {words}", if met { "ok" } else { "MISS" })?;
        }
        Ok(())
    }
}
