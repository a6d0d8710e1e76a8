//! Children of one run: their words go to the log, line by line, and their time is limited.

use std::{
    process::{Command, Output},
    time::Duration,
};

use tgs_core::{
    cancel::Cancel,
    process::{self, RunError},
};

/// A report of pip with the descriptions of a dozen packages is below a megabyte, yt-dlp's word on a page with all its
/// formats and subtitles below two.
const MAX_OUTPUT: usize = 32 << 20;

/// Whether stdout is words for the log or an answer for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdout {
    Logged,
    Answer,
}

/// Runs `command`, at most for `limit`, and logs what it prints, each line behind `name`.
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

/// pip can list every version of a package in one line; so many characters of it tell all there is to know.
const LINE: usize = 500;

fn log_lines(name: &str, printed: &[u8]) {
    for line in String::from_utf8_lossy(printed).lines().filter(|line| !line.trim().is_empty()) {
        match line.char_indices().nth(LINE) {
            Some((end, _)) => log::info!("{name}: {} [...]", &line[..end]),
            None => log::info!("{name}: {line}"),
        }
    }
}

/// What went wrong in the words of a child: its last line that begins with `ERROR`, else its last one.
pub(crate) fn reason(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = text.lines().rev().find_map(|line| line.trim().strip_prefix("ERROR:"));
    match error.or_else(|| lines.next_back()) {
        Some(line) => line.trim().chars().take(300).collect(),
        None => process::describe(output.status),
    }
}
