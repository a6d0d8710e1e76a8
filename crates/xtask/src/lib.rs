//! `cargo xtask test | demo | bench | soak | dist | docs`: what developers and CI run. Nothing here
//! is installed.

mod bench;
mod cli;
mod demo;
mod dist;
mod install;
mod reference;
mod release;
mod soak;
mod step;
mod suite;

use std::process::ExitCode;

use tgs_core::{error::CliError, exit::Code};

pub use self::cli::Cli;

/// Runs the command line.
pub fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let passed = cli.run().unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        false
    });
    Ok(if passed { Code::Ok } else { Code::Failure }.into())
}
