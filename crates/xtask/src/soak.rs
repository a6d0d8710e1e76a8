//! `cargo xtask soak`: broadcasts with the real tgs-stream into a local Telegram for hours while
//! faults occur, and measures every gap at the ingest.
//!
//! Decodes nothing and watches one broadcast; the bench measures many.

mod cluster;
mod faults;
mod progress;

use std::{
    fs,
    io::{self, IsTerminal},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use tgs_e2e::{
    bin_path::{self, target_dir},
    broadcast::Launch,
    chaos::Chaos,
    command_run, everything_run, programme_run,
};

use self::progress::{WARM, clock, progress};
use crate::{install, release, step};

/// The shortest run with a timetable: its slots do not meet.
const LEAST_PROGRAMME: Duration = Duration::from_mins(6);

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
    faults::run(&tools, &dir, length, seed, &stop)
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
    let (found, log) = command_run::run(launch, seed, (count, length), Duration::ZERO, |number| {
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
