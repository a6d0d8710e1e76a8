//! The command line.

use std::process::ExitCode;

/// Runs the tool.
#[must_use]
pub fn main() -> ExitCode {
    eprintln!("not written yet");
    ExitCode::FAILURE
}
