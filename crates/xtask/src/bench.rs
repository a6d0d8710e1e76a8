//! `cargo xtask bench`: what the broadcast costs and how smooth it is, beside a bare ffmpeg that
//! does the same.
//!
//! Both sides run on this machine in one run, turn by turn, on the same clips and with the same
//! encoder options. The targets are those of the project's plan; nothing here is part of the tests.

mod material;
mod measure;
mod meter;
mod plan;
mod report;
mod side;

use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use tgs_e2e::bin_path::{target_dir, workspace};

use crate::{install, release};
use plan::Plan;
use report::Figure;

/// What is measured, and how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Measure only this (may be given several times)
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Name>,
    /// Runs of each side where the sides are compared
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// Length of each of the four clips whose encoding is compared
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..))]
    clip_seconds: u32,
    /// How long the engine's memory is watched
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    memory_minutes: u32,
    /// Measure what the cache is for, with up to so many channels at once
    ///
    /// That is --only cached --only first-pass --only channels.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    channels: Option<u16>,
    /// Print the table as Markdown too, as docs/design/performance.md has it
    #[arg(long)]
    markdown: bool,
    /// One pair, few items, one minute: whether it works, not how good it is
    #[arg(long)]
    quick: bool,
}

/// One measurement; it may fill several lines of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// CPU of all processes and of the engine alone, largest steps at the ingest
    Cpu,
    /// The same with PUBLISHER=ffmpeg, and its sender killed
    PublisherFfmpeg,
    /// Sound against picture after 200 items
    Sync,
    /// Waits of a subscriber at joins, and drift of the clock, over 100 items
    Joins,
    /// From the start of the tool to the first media
    Start,
    /// The ingest away for 5 s
    Outage,
    /// Upgrades on one host beside restarts
    Upgrade,
    /// From a command to its first picture
    Commands,
    /// A monitor of the broadcast
    Monitors,
    /// Further outputs of a broadcast: 1, 4 and 16
    Outputs,
    /// A recording of the broadcast
    Recording,
    /// Hard starts of a timetable at the ingest, and what a timetable costs
    Schedule,
    /// Memory of the engine process
    Memory,
    /// A channel from the cache beside ffmpeg -re -c copy and tgrtmp
    Cached,
    /// The encoding that fills the cache beside a bare ffmpeg
    FirstPass,
    /// Many channels from one cache at once
    Channels,
    /// Several channels at once that encode every item
    Encoding,
    /// The encoding with logo and names beside that without
    Look,
    /// What deinterlacing and tone-mapping add to the encoding of the same clip
    Picture,
    /// Measuring the loudness of a file, and playing measured items
    Loudness,
}

/// What --channels measures.
const WITH_CACHE: [Name; 3] = [Name::Cached, Name::FirstPass, Name::Channels];

/// Measures, prints the table and writes it to `target/bench.json`. `false` where a figure misses
/// its target.
pub(crate) fn run(options: &Options) -> Result<bool> {
    install::for_broadcast()?;
    let plan = options.plan()?;
    let all = Name::value_variants();
    let wanted = match (&options.only[..], options.channels) {
        ([], None) => all,
        ([], Some(_)) => &WITH_CACHE,
        (only, _) => only,
    };
    let machine = report::machine();
    let mut figures: Vec<Figure> = Vec::new();
    for &name in all.iter().filter(|name| wanted.contains(name)) {
        println!(
            "── measure {}",
            name.to_possible_value().map_or(String::new(), |v| v.get_name().to_owned())
        );
        figures.extend(match name {
            Name::Cpu => measure::cpu::native(&plan)?,
            Name::PublisherFfmpeg => measure::cpu::through_ffmpeg(&plan)?,
            Name::Sync => measure::sync::measure(&plan)?,
            Name::Joins => measure::joins::measure(&plan)?,
            Name::Start => measure::start::measure(&plan)?,
            Name::Outage => measure::outage::measure(&plan)?,
            Name::Upgrade => measure::upgrade::measure(&plan)?,
            Name::Commands => measure::commands::measure(&plan)?,
            Name::Monitors => measure::monitors::measure(&plan)?,
            Name::Outputs => measure::outputs::measure(&plan)?,
            Name::Recording => measure::recording::measure(&plan)?,
            Name::Schedule => measure::schedule::measure(&plan)?,
            Name::Memory => measure::memory::measure(&plan)?,
            Name::Cached => measure::cached::measure(&plan)?,
            Name::FirstPass => measure::cpu::first_pass(&plan)?,
            Name::Channels => measure::channels::measure(&plan)?,
            Name::Encoding => measure::encoding::measure(&plan)?,
            Name::Look => measure::look::measure(&plan)?,
            Name::Picture => measure::picture::measure(&plan)?,
            Name::Loudness => measure::loudness::measure(&plan)?,
        });
        // Written after each measurement, so that a failure later loses nothing.
        report::write_json(&figures, &workspace().join("target/bench.json"))?;
    }
    report::print_table(&figures);
    if options.markdown {
        report::print_markdown(&figures, &machine);
    }
    Ok(figures.iter().all(Figure::met))
}

impl Options {
    fn plan(&self) -> Result<Plan> {
        let tools = release::build()?;
        let quick = |full, short| if self.quick { short } else { full };
        Ok(Plan {
            tool: tools.join("tgs-stream"),
            dir: target_dir("bench")?,
            pairs: if self.quick { 1 } else { usize::from(self.pairs) },
            clip_seconds: if self.quick { self.clip_seconds.min(5) } else { self.clip_seconds },
            sync_items: quick(200, 12),
            join_items: quick(100, 6),
            command_turns: quick(20, 4),
            hard_starts: quick(100, 20),
            channels: self.channels.unwrap_or(50),
            window: Duration::from_secs(if self.quick { 12 } else { 30 }),
            memory: Duration::from_secs(60 * u64::from(if self.quick { 1 } else { self.memory_minutes })),
        })
    }
}
