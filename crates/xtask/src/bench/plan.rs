//! The parameters of all measurements, and the commands of tgs-stream that they share.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

/// Parameters of all measurements.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) tool: PathBuf,
    pub(super) dir: PathBuf,
    pub(super) pairs: usize,
    pub(super) clip_seconds: u32,
    pub(super) sync_items: usize,
    pub(super) join_items: usize,
    /// How often each command is sent.
    pub(super) command_turns: usize,
    /// How many slots begin.
    pub(super) hard_starts: usize,
    pub(super) memory: Duration,
    pub(super) channels: u16,
    /// How long many channels are measured.
    pub(super) window: Duration,
}

impl Plan {
    /// tgs-stream over the list once.
    pub(super) fn ours(&self, playlist: &Path, output: &str) -> Result<Command> {
        let mut command = self.repeating(playlist, output)?;
        command.arg("--once");
        Ok(command)
    }

    /// tgs-stream over the list again and again, its state and cache in a directory of the bench's
    /// own. A timetable is followed only so.
    pub(super) fn repeating(&self, playlist: &Path, output: &str) -> Result<Command> {
        let state = self.dir.join("state");
        fs::create_dir_all(&state).with_context(|| format!("make {}", state.display()))?;
        let mut command = Command::new(&self.tool);
        command.args(["--from-start", "--output", output, "--playlist"]).arg(playlist);
        command.env("STATE_DIR", &state).env("CACHE_DIR", self.dir.join("cache"));
        // The other sides leave the sound as it is; --only loudness has the cost.
        command.env("LOUDNESS", "off");
        // Without the cache: the encoding is measured.
        command.env("CACHE_MAX_GB", "0");
        command.env("PROMETHEUS_PORT", "0").env("RUST_LOG", "warn").current_dir(&state);
        Ok(command)
    }

    /// The same from the cache, or into it. `channel` names its state.
    pub(super) fn cached(&self, channel: usize, playlist: &Path, output: &str) -> Result<Command> {
        let mut command = self.ours(playlist, output)?;
        self.in_cache(&mut command, channel)?;
        Ok(command)
    }

    /// Lets the command use the cache. `channel` names its state.
    pub(super) fn in_cache(&self, command: &mut Command, channel: usize) -> Result<()> {
        let state = self.dir.join(format!("state-{channel}"));
        fs::create_dir_all(&state).with_context(|| format!("make {}", state.display()))?;
        command.env("STATE_DIR", state).env("CACHE_MAX_GB", "20");
        Ok(())
    }

    /// Removes every encoded item.
    pub(super) fn empty_cache(&self) -> Result<()> {
        let freed = tgs_playout::cache::clear(&self.dir.join("cache"));
        freed.map(drop).context("empty the bench's cache")
    }

    /// A file of the bench's directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}
