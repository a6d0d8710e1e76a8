//! Runs the children of an update: logs their output by line and limits their time.

use std::{
    process::{Command, Output},
    time::Duration,
};

use tgs_core::{
    cancel::Cancel,
    process::{self, RunError},
};

/// In bytes: a pip report of a dozen packages is below 1 MB, yt-dlp's JSON of a page below 2 MB.
const MAX_OUTPUT: usize = 32 << 20;

/// Whether stdout is logged or returned as the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdout {
    Logged,
    Answer,
}

/// Runs `command` for at most `limit` and logs each output line with the prefix `name`.
pub(crate) fn run(
    name: &str,
    command: Command,
    stdout: Stdout,
    limit: Duration,
    cancel: &Cancel,
) -> Result<Output, RunError> {
    let output = process::output(command, limit, MAX_OUTPUT, cancel)?;
    if stdout == Stdout::Logged {
        log_lines(name, &output.stdout);
    }
    log_lines(name, &output.stderr);
    Ok(output)
}

/// Maximum length of a logged line, in characters: pip lists all versions of a package in one line.
const LINE: usize = 500;

fn log_lines(name: &str, printed: &[u8]) {
    for line in String::from_utf8_lossy(printed).lines().filter(|line| !line.trim().is_empty()) {
        match line.char_indices().nth(LINE) {
            Some((end, _)) => log::info!("{name}: {} [...]", &line[..end]),
            None => log::info!("{name}: {line}"),
        }
    }
}
