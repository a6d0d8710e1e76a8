//! `cargo xtask soak`: broadcasts with the real tgs-stream into a local Telegram for hours while
//! faults occur, and measures every gap at the ingest.
//!
//! Decodes nothing and watches one broadcast; the bench measures many.

mod cluster;
mod stage;

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, IsTerminal, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::RecvTimeoutError,
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use fastrand::Rng;
use tgs_e2e::{
    bin_path::{self, target_dir},
    broadcast::Launch,
    chaos::Chaos,
    command_run, everything_run, programme_run,
    viewer::{Gap, Viewer},
};

use crate::{install, release, step};
use stage::{Fault, Stage};

/// Longest allowed gap between two pictures; after an outage of the ingest, from its return.
const LONGEST_GAP: Duration = Duration::from_secs(2);
/// Allowed growth of tgs-stream's memory, MiB.
const MOST_GROWTH: f64 = 2.0;
/// Allowed memory of tgs-stream, MiB.
const MOST_MEMORY: f64 = 16.0;
/// When the memory at the start is taken.
const WARM: Duration = Duration::from_mins(1);
/// Between two faults, seconds.
const APART: std::ops::RangeInclusive<u64> = 5..=30;
/// A gap that is worth a line in the record of events.
const NOTABLE: Duration = Duration::from_millis(200);
/// The shortest run with a timetable: its slots do not meet.
const LEAST_PROGRAMME: Duration = Duration::from_mins(6);
/// A gap that begins at most this long before a fault is attributed to it.
const JUST_BEFORE: Duration = Duration::from_millis(100);

/// How long, and which faults.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Options {
    /// How long it lasts, also in parts (0.05)
    #[arg(long, value_name = "N", required_unless_present_any = ["full_length", "cluster"])]
    hours: Option<f64>,
    /// Run the long tests at full length instead, such as sixty days in simulated time; the suite
    /// has a part of each
    #[arg(long, conflicts_with_all = ["hours", "chaos", "commands", "programme", "everything", "seed"])]
    full_length: bool,
    /// Play hostile inputs from hostile servers between good items, in place of the faults
    #[arg(long)]
    chaos: bool,
    /// Send 50 random commands a minute over the control socket, in place of the faults
    #[arg(long, conflicts_with = "chaos")]
    commands: bool,
    /// Follow a timetable and let publishers go live, in place of the faults
    #[arg(long, conflicts_with_all = ["chaos", "commands"])]
    programme: bool,
    /// Broadcast with everything on (proxy, three further outputs, recording, viewer check, desk,
    /// bot), in place of the faults
    #[arg(long, conflicts_with_all = ["chaos", "commands", "programme"])]
    everything: bool,
    /// Let this many faults happen to two hosts over three etcd nodes, in place of one broadcast;
    /// root only
    #[arg(long, value_name = "FAULTS", num_args = 0..=1, default_missing_value = "200")]
    #[arg(conflicts_with_all = ["hours", "full_length", "chaos", "commands", "programme", "everything"])]
    cluster: Option<usize>,
    /// Draw the same faults as an earlier run; what they hit is up to the moment
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    /// For each fault (in their order): how often, and the longest gap that followed.
    faults: [(u32, Duration); Fault::ALL.len()],
    /// The longest gap before any fault.
    before: Duration,
    last: Option<(Instant, Fault)>,
    memory: (f64, f64),
    pictures: u64,
    /// Seconds of filler, and of everything.
    media: (f64, f64),
    died: Option<String>,
}

/// Soaks, and prints the table. `false` where a target is missed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if options.full_length {
        return Ok(full_length());
    }
    if let Some(count) = options.cluster {
        return cluster::run(count, options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)));
    }
    let length = Duration::try_from_secs_f64(options.hours.unwrap_or_default() * 3600.0)
        .context("--hours makes no sense")?;
    ensure!(length >= Duration::from_secs(30), "--hours is too short: half a minute is the least");
    install::for_broadcast()?;
    let tools = release::build()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    step::say(&format!("--seed {seed}; log and events are in target/soak"));
    let dir = target_dir("soak")?;
    if options.chaos {
        return chaos(&tools, &dir, length, seed, &stop);
    }
    if options.commands {
        return commands(&tools, &dir, length, seed, &stop);
    }
    if options.programme {
        return programme(&tools, &dir, length, seed, &stop);
    }
    if options.everything {
        return everything(&tools, &dir, length, &stop);
    }
    let mut rng = Rng::with_seed(seed);
    let log = File::create(dir.join("tgs-stream.log"))?;
    let stage = Stage::set(&tools, log, rng.fork())?;
    let events = File::create(dir.join("events.log"))?;
    let mut soak = Soak {
        stage,
        rng,
        events,
        began: Instant::now(),
        length,
        viewer: Viewer::default(),
        seen: Seen::default(),
        terminal: io::stdout().is_terminal(),
        told: Instant::now(),
    };
    soak.play(&stop)?;
    soak.end();
    let (table, good) = table(&soak.seen, soak.began.elapsed(), soak.stage.mended);
    println!("\n{table}");
    fs::write(dir.join("table.txt"), table)?;
    Ok(good)
}

/// The tests of which the suite runs a part. Those in simulated time run in the shipped
/// optimisation, but with a panic where a number overflows. `false` where one of them fails.
fn full_length() -> bool {
    let simulated = |name, package, filter| {
        let mut command = bin_path::cargo();
        command.args(["test", "--profile", "release-checked", "--package", package, "--lib"]);
        // They measure the memory of their process, so no other test may run in it.
        command.args(["--", filter, "--test-threads=1", "--show-output"]);
        step::run(name, &mut command)
    };
    let real = |name, binary, filter| {
        let mut command = bin_path::cargo();
        command.args(["test", "--package", "tgs-e2e", "--test", binary, filter, "--", "--show-output"]);
        step::run(name, command.env("TGS_FULL_LENGTH", "1"))
    };
    let model = || {
        let mut command = bin_path::cargo();
        command.args(["test", "--profile", "release-checked", "--package", "tgs-ha", "--test", "model"]);
        command.args(["--", "--show-output"]);
        step::run("all states of the hot standby", &mut command)
    };
    let all = [
        model(),
        simulated("sixty days of the playout", "tgs-playout", "long_run"),
        simulated("a fortnight of a timetable", "tgs-stream", "fortnight"),
        real("two hundred items in step", "anything_plays", "many_items"),
        real("twenty kills of the updater", "ytdlp_update_killed", "kills"),
    ];
    all.iter().all(|passed| *passed)
}

/// A chaos run; its table goes where that of the faults goes. `false` where a target is missed.
fn chaos(tools: &Path, dir: &Path, length: Duration, seed: u64, stop: &AtomicBool) -> Result<bool> {
    let launch = Launch::of(&tools.join("tgs-stream"))?;
    step::say("making the list and its inputs");
    let chaos = Chaos::start(launch, seed, length)?;
    let terminal = io::stdout().is_terminal();
    let every = if terminal { Duration::from_secs(1) } else { WARM };
    let mut due = every;
    let (found, log) = chaos.watch(length, |seen| {
        if seen.lasted >= due {
            due = seen.lasted + every;
            let line = format!(
                "{} of {} · longest gap {:.2} s · {:.1} MiB, with children at most {:.0} MiB",
                clock(seen.lasted),
                clock(length),
                seen.longest_gap.as_secs_f64(),
                seen.own,
                seen.all.0
            );
            progress(terminal, &line);
        }
        !stop.load(Ordering::Relaxed)
    })?;
    fs::write(dir.join("tgs-stream.log"), log)?;
    println!("\n{}: chaos, seed {seed}\n\n{found}", clock(found.lasted));
    fs::write(dir.join("table.txt"), found.to_string())?;
    Ok(found.targets().iter().all(|(met, _)| *met))
}

/// A run of random commands, 50 a minute. `false` where a target is missed.
fn commands(tools: &Path, dir: &Path, length: Duration, seed: u64, stop: &AtomicBool) -> Result<bool> {
    let launch = Launch::of(&tools.join("tgs-stream"))?;
    let count = (length.as_secs_f64() / 60.0 * 50.0) as usize;
    let terminal = io::stdout().is_terminal();
    let (found, log) = command_run::run(launch, seed, count, length, |number| {
        if terminal || number % 50 == 0 {
            progress(terminal, &format!("{number} of {count} commands"));
        }
        !stop.load(Ordering::Relaxed)
    })?;
    fs::write(dir.join("tgs-stream.log"), log)?;
    println!("\ncommands, seed {seed}\n\n{found}");
    fs::write(dir.join("table.txt"), found.to_string())?;
    Ok(found.targets().iter().all(|(met, _)| *met))
}

/// A run with a timetable. `false` where a target is missed.
fn programme(tools: &Path, dir: &Path, length: Duration, seed: u64, stop: &AtomicBool) -> Result<bool> {
    ensure!(length >= LEAST_PROGRAMME, "--hours is too short: a timetable needs six minutes");
    let launch = Launch::of(&tools.join("tgs-stream"))?;
    let plan = programme_run::Plan {
        length,
        kinds: programme_run::FULL.to_vec(),
        item: Duration::from_secs(40),
        preroll: Duration::from_secs(if length < WARM * 10 { 10 } else { 60 }),
        most_off: programme_run::MOST_OFF,
    };
    let (terminal, mut due) = (io::stdout().is_terminal(), Duration::ZERO);
    let (found, log) = programme_run::run(launch, seed, &plan, |lasted| {
        if lasted >= due {
            due = lasted + if terminal { Duration::from_secs(1) } else { WARM };
            progress(terminal, &format!("{} of {}", clock(lasted), clock(length)));
        }
        !stop.load(Ordering::Relaxed)
    })?;
    fs::write(dir.join("tgs-stream.log"), log)?;
    println!("\nprogramme, seed {seed}\n\n{found}");
    fs::write(dir.join("table.txt"), found.to_string())?;
    Ok(found.targets().iter().all(|(met, _)| *met))
}

/// A run with everything on. `false` where a target is missed.
fn everything(tools: &Path, dir: &Path, length: Duration, stop: &AtomicBool) -> Result<bool> {
    let tools = everything_run::Tools {
        stream: tools.to_owned(),
        web: release::daemon("tgs-web", "tgs-web", None)?,
        bot: release::daemon("tgs-bot", "tgs-bot-test-dc", Some("test-dc"))?,
    };
    let (terminal, mut due) = (io::stdout().is_terminal(), Duration::ZERO);
    let (found, log) = everything_run::run(&tools, length, |lasted, found| {
        if lasted >= due {
            due = lasted + if terminal { Duration::from_secs(1) } else { WARM };
            let gap = found.longest_gap().as_secs_f64();
            progress(terminal, &format!("{} of {} · longest gap {gap:.2} s", clock(lasted), clock(length)));
        }
        !stop.load(Ordering::Relaxed)
    })?;
    fs::write(dir.join("tgs-stream.log"), log)?;
    println!("\n{}: everything on\n\n{found}", clock(found.lasted));
    fs::write(dir.join("table.txt"), found.to_string())?;
    Ok(found.targets().iter().all(|(met, _)| *met))
}

/// Shows how far it is: over the line before at a terminal, else on a line of its own.
fn progress(terminal: bool, line: &str) {
    if terminal {
        print!("\r\x1b[K{line}");
        let _ = io::stdout().flush();
    } else {
        step::say(line);
    }
}

struct Soak {
    stage: Stage,
    rng: Rng,
    events: File,
    began: Instant,
    length: Duration,
    viewer: Viewer,
    seen: Seen,
    terminal: bool,
    told: Instant,
}

impl Soak {
    fn play(&mut self, stop: &AtomicBool) -> Result<()> {
        let warm = WARM.min(self.length / 3);
        let mut next_fault = Instant::now() + Duration::from_secs(15).min(self.length / 3);
        while self.began.elapsed() < self.length && !stop.load(Ordering::Relaxed) {
            if let Some(status) = self.stage.broadcast.ended()? {
                self.seen.died = Some(format!("tgs-stream ended by itself with {status}"));
                return Ok(());
            }
            let wake = self.stage.next_mend().map_or(next_fault, |at| at.min(next_fault));
            let wait = wake.saturating_duration_since(Instant::now()).min(Duration::from_millis(500));
            match self.stage.messages.recv_timeout(wait) {
                Ok((connection, message)) => {
                    if let Some(gap) = self.viewer.take(connection, &message) {
                        self.seen.pictures += 1;
                        self.judge(gap);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the ingest is gone"),
            }
            self.stage.mend()?;
            if next_fault <= Instant::now() {
                next_fault = Instant::now() + Duration::from_secs(self.rng.u64(APART));
                self.fault()?;
            }
            if self.seen.memory.0 == 0.0 && self.began.elapsed() >= warm {
                self.seen.memory.0 = self.stage.memory()?;
            }
            self.tell();
        }
        self.seen.memory.1 = self.stage.memory()?;
        let metric = |name| self.stage.broadcast.metric(name);
        self.seen.media = (metric("tgs_filler_seconds_total")?, metric("tgs_output_media_seconds_total")?);
        Ok(())
    }

    fn fault(&mut self) -> Result<()> {
        // Before it begins: what it does shows while it is done.
        let at = Instant::now();
        let Some((fault, words)) = self.stage.inject()? else { return Ok(()) };
        self.seen.last = Some((at, fault));
        self.seen.faults[fault as usize].0 += 1;
        self.note(&format!("{} {words}", fault.name()))
    }

    fn judge(&mut self, gap: Gap) {
        let length = gap.length(self.stage.ingest_back);
        let cause = self.seen.last.filter(|(at, _)| *at < gap.to && *at < gap.from + JUST_BEFORE + length);
        let longest = match cause {
            Some((_, fault)) => &mut self.seen.faults[fault as usize].1,
            None => &mut self.seen.before,
        };
        *longest = (*longest).max(length);
        if length >= NOTABLE {
            let cause = cause.map_or("before any fault", |(_, fault)| fault.name());
            // The record is informative: the soak continues if it cannot be written.
            let _ = self.note(&format!("{:.2} s without a new picture ({cause})", length.as_secs_f64()));
        }
    }

    /// A picture that never arrives is a gap as well.
    fn end(&mut self) {
        while let Ok((connection, message)) = self.stage.messages.try_recv() {
            if let Some(gap) = self.viewer.take(connection, &message) {
                self.judge(gap);
            }
        }
        if let Some(gap) = self.viewer.waiting().filter(|_| !self.stage.ingest_away) {
            self.judge(gap);
        }
        if self.seen.died.is_none()
            && let Err(error) = self.stage.broadcast.stop()
        {
            self.seen.died = Some(format!("it does not end in order: {error:#}"));
        }
    }

    /// Into the record of events.
    fn note(&mut self, words: &str) -> Result<()> {
        writeln!(self.events, "{} {words}", clock(self.began.elapsed())).context("write the events")
    }

    fn tell(&mut self) {
        let every = if self.terminal { Duration::from_secs(1) } else { (self.length / 20).max(WARM) };
        if self.told.elapsed() < every {
            return;
        }
        self.told = Instant::now();
        let line = format!(
            "{} of {} · {} faults · longest gap {:.2} s · {:.1} MiB",
            clock(self.began.elapsed()),
            clock(self.length),
            self.seen.count(),
            self.seen.longest().as_secs_f64(),
            self.stage.memory().unwrap_or(f64::NAN)
        );
        progress(self.terminal, &line);
    }
}

impl Seen {
    fn count(&self) -> u32 {
        self.faults.iter().map(|(count, _)| count).sum()
    }

    fn longest(&self) -> Duration {
        self.faults.iter().map(|(_, gap)| *gap).fold(self.before, Duration::max)
    }
}

/// Hours, minutes, seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The table, and whether every target is kept.
fn table(seen: &Seen, lasted: Duration, mended: (u32, u32)) -> (String, bool) {
    let mut text = format!(
        "{}: {} faults, {} pictures\n\n{:<28} {:>8}  longest gap after it\n",
        clock(lasted),
        seen.count(),
        seen.pictures,
        "fault",
        "injected"
    );
    let before = ("(before the first)", (0, seen.before));
    let rows = Fault::ALL.iter().map(|fault| (fault.name(), seen.faults[*fault as usize]));
    for (name, (count, gap)) in std::iter::once(before).chain(rows) {
        let _ = writeln!(text, "{name:<28} {count:>8}  {:.2} s", gap.as_secs_f64());
    }
    let (start, end) = seen.memory;
    let (filler, all) = seen.media;
    let _ = writeln!(
        text,
        "\nfiller: {filler:.0} s of {all:.0} s\nsessions: {} replaced by the standby, {} by a new string in .env\n\
         memory: {start:.1} MiB at the start, {end:.1} MiB at the end\n",
        mended.0, mended.1
    );
    let targets = [
        (
            seen.longest() <= LONGEST_GAP,
            format!(
                "longest gap of the viewer {:.2} s (target ≤ {:.2} s; after an ingest's absence from its return)",
                seen.longest().as_secs_f64(),
                LONGEST_GAP.as_secs_f64()
            ),
        ),
        (
            end - start <= MOST_GROWTH && end <= MOST_MEMORY,
            format!(
                "memory {:+.1} MiB to {end:.1} MiB (target ≤ {MOST_GROWTH:+.1} MiB and ≤ {MOST_MEMORY:.1} MiB)",
                end - start
            ),
        ),
        (seen.pictures > 0, "pictures arrived".to_owned()),
        (
            seen.died.is_none(),
            seen.died.clone().unwrap_or_else(|| "tgs-stream lived to the end, and ended in order".to_owned()),
        ),
    ];
    for (met, words) in &targets {
        let _ = writeln!(text, "{:<4} {words}", if *met { "ok" } else { "MISS" });
    }
    (text, targets.iter().all(|(met, _)| *met))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_is_missed() {
        let mut seen = Seen { memory: (10.0, 11.0), pictures: 100, ..Seen::default() };
        seen.faults[Fault::Kill as usize] = (3, Duration::from_millis(40));
        let (text, good) = table(&seen, Duration::from_secs(3661), (1, 2));
        assert!(good, "{text}");
        assert!(text.starts_with("01:01:01: 3 faults, 100 pictures\n"), "{text}");
        seen.faults[Fault::Url as usize] = (1, Duration::from_secs(3));
        let (text, good) = table(&seen, Duration::from_mins(1), (0, 0));
        assert!(!good && text.contains("MISS longest gap of the viewer 3.00 s"), "{text}");
        let died = Seen { died: Some("gone".to_owned()), memory: (9.0, 9.0), pictures: 1, ..Seen::default() };
        assert!(!table(&died, Duration::from_mins(1), (0, 0)).1);
    }
}
