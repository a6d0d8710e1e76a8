//! Checks that ffmpeg and ffprobe run.

use std::{path::Path, time::Duration};

use tgs_core::{
    cancel::Cancel,
    process::{self, RunError},
};

use super::config::{EngineError, ToolError};

/// Checks that ffmpeg and ffprobe run; returns the first line of `ffmpeg -version`.
pub fn check_tools(ffmpeg: &Path, ffprobe: &Path, cancel: &Cancel) -> Result<String, EngineError> {
    version(ffprobe, cancel)?;
    version(ffmpeg, cancel)
}

/// Loading the libraries on a busy disk is slow: ten seconds were measured beside a build.
const VERSION_TIME_OUT: Duration = Duration::from_secs(25);

fn version(program: &Path, cancel: &Cancel) -> Result<String, EngineError> {
    let fail = |why| EngineError::NoFfmpeg { program: program.to_owned(), why };
    let mut command = process::command(program);
    command.arg("-version");
    let output = process::output(command, VERSION_TIME_OUT, 1 << 20, cancel).map_err(|e| match e {
        RunError::Start { source, .. } => fail(ToolError::Start(source)),
        other => fail(ToolError::Run(other)),
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next() {
        Some(line) if output.status.success() => Ok(line.to_owned()),
        _ => Err(fail(ToolError::Version(output.status))),
    }
}
