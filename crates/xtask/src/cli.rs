//! The command line.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{bench, demo, dist, reference, soak, suite};

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                  everything CI runs
  cargo xtask demo                  watch a playlist of mixed clips as one live stream
  cargo xtask bench --quick         the figures, from one short pair of runs
  cargo xtask soak --hours 0.05     faults upon faults, for three minutes
  cargo xtask dist                  the Debian package and the archive for a deploy
  cargo xtask docs                  docs/reference, docs/design/states.md and .env.template from the code";

/// Tests, demo, bench, soak and packages of this workspace. Each installs what it needs on Debian
/// and Ubuntu, and says so.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Format, lints, documentation, shell scripts, unit and end-to-end tests. Exits 1 if any of
    /// them fails.
    Test,
    /// Play made-up clips of all kinds to a local ingest with the real tgs-stream, until Ctrl-C.
    #[command(after_help = "Examples:\n  cargo xtask demo\n  cargo xtask demo --seconds 30")]
    Demo {
        /// End by itself after N seconds.
        #[arg(long, value_name = "N")]
        seconds: Option<u64>,
    },
    /// Measure cost and smoothness beside a bare ffmpeg. Exits 1 if a figure misses its target.
    /// Takes some two hours.
    #[command(
        after_help = "Examples:\n  cargo xtask bench --quick\n  cargo xtask bench --only cpu --pairs 7\n  \
                      cargo xtask bench --channels 50 --markdown"
    )]
    Bench(bench::Options),
    /// Broadcast for hours while one fault follows the other. Exits 1 if a viewer waits too long or
    /// it dies.
    #[command(
        after_help = "Examples:\n  cargo xtask soak --hours 0.05\n  cargo xtask soak --hours 0.34 --commands\n  cargo xtask soak --hours 1 --programme\n  cargo xtask soak --hours 1 --everything\n  cargo xtask soak --hours 24 --seed 7\n  cargo xtask soak --cluster=200\n  cargo xtask soak --full-length"
    )]
    Soak(soak::Options),
    /// Build the Debian package, the archive for a deploy, manual pages and completions into
    /// target/dist.
    #[command(after_help = "Examples:\n  cargo xtask dist\n  cargo xtask dist --profile dev")]
    Dist {
        /// The cargo profile of the programs.
        #[arg(long, value_name = "NAME", default_value = "release")]
        profile: String,
    },
    /// Write the generated pages of `docs`, and `.env.template`; tests compare them with the code.
    #[command(after_help = "Examples:\n  cargo xtask docs")]
    Docs,
}

impl Cli {
    /// Runs the task; `false` if it ran and its result is bad (already printed).
    pub(crate) fn run(self) -> Result<bool> {
        match self.task {
            Task::Test => suite::run(),
            Task::Demo { seconds } => demo::run(seconds),
            Task::Bench(options) => bench::run(&options),
            Task::Soak(options) => soak::run(&options),
            Task::Dist { profile } => dist::run(&profile),
            Task::Docs => reference::run(),
        }
    }
}
