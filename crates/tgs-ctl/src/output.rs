//! Writes results to stdout. A reader that closes the pipe ends the tool without an error.

use std::{
    env,
    io::{self, ErrorKind, IsTerminal, Write, stdout},
};

use anyhow::anyhow;
use rustix::termios::tcgetwinsize;
use serde_json::Value;
use tgs_core::error::CliError;

use crate::text::{TerminalStyle, plain_json};

/// Whether the reader of stdout still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputReader {
    /// It reads.
    Present,
    /// It has closed the pipe.
    Gone,
}

/// Writes bytes to stdout.
pub(crate) fn write(bytes: &[u8]) -> Result<OutputReader, CliError> {
    let mut out = stdout().lock();
    reader(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Tells a closed pipe from other errors.
pub(crate) fn reader(written: io::Result<()>) -> Result<OutputReader, CliError> {
    match written {
        Ok(()) => Ok(OutputReader::Present),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(OutputReader::Gone),
        Err(error) => Err(anyhow!(error).context("write to stdout").into()),
    }
}

/// Writes lines to stdout.
pub(crate) fn lines(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Result<OutputReader, CliError> {
    let text: String =
        lines.into_iter().flat_map(|line| [line.as_ref().to_owned(), "\n".to_owned()]).collect();
    write(text.as_bytes())
}

/// Writes an indented JSON document.
pub(crate) fn json(value: &Value) -> Result<OutputReader, CliError> {
    lines([plain_json(&format!("{value:#}"))])
}

/// Whether stdout is a terminal that understands control sequences.
pub(crate) fn is_terminal() -> bool {
    stdout().is_terminal() && env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// The style for stdout.
pub(crate) fn style() -> TerminalStyle {
    let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    TerminalStyle { colour: is_terminal() && !no_colour }
}

/// Columns and rows of the terminal; `None` if stdout is no terminal.
pub(crate) fn size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(stdout()).ok().filter(|_| stdout().is_terminal())?;
    let or = |value: u16, default| if value == 0 { default } else { usize::from(value) };
    Some((or(size.ws_col, 80), or(size.ws_row, 24)))
}
