//! `cargo xtask test | demo | bench | soak | dist`: what developers and CI run. Nothing here is installed.

mod bench;
mod cli;
mod demo;
mod dist;
mod install;
mod release;
mod soak;
mod step;
mod suite;

use std::process::ExitCode;

use clap::Parser;
use tgs_core::{exit::Code, process};

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = process::shim() {
        return code;
    }
    match cli::Cli::parse().run() {
        Ok(true) => Code::Ok.into(),
        Ok(false) => Code::Failure.into(),
        Err(e) => {
            eprintln!("xtask: {e:#}");
            Code::Failure.into()
        }
    }
}
