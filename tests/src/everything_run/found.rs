//! What a run with everything on has shown, and whether that is good enough.

use std::{collections::BTreeMap, fmt, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};

use super::{arguments_of, daemons::Daemon, names_below};
use crate::{
    broadcast::{Broadcast, resident},
    telegram::Scene,
};

/// The longest time without a picture that is allowed.
const LONGEST_GAP: Duration = Duration::from_secs(1);
/// Allowed growth of a daemon's memory once everything has happened once, MiB.
const MOST_GROWTH: f64 = 2.0;
/// The daemons whose memory is measured.
const NAMES: [&str; 3] = ["tgs-stream", "tgs-web", "tgs-bot"];

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// How long it lasted.
    pub lasted: Duration,
    /// Per output: pictures, connections, and the longest time without a picture.
    pub outputs: BTreeMap<&'static str, (u64, usize, Duration)>,
    /// Memory of the daemons in MiB: once everything has happened once, and now.
    pub memory: [(f64, f64); 3],
    /// How often everything was searched for secrets, and where one was found.
    pub searched: (u32, Option<String>),
    /// Recorded segments, their seconds, and what is wrong with them.
    pub recorded: (usize, f64, Vec<String>),
    /// What the viewer check said, and how often.
    pub viewer_checks: BTreeMap<String, u32>,
    /// What died.
    pub died: Option<String>,
}

impl Found {
    /// The longest time without a picture at any output.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        self.outputs.values().map(|(_, _, gap)| *gap).max().unwrap_or_default()
    }

    pub(super) fn note_gap(&mut self, output: &'static str, gap: Duration, connections: usize) {
        let seen = self.outputs.entry(output).or_default();
        *seen = (seen.0 + 1, connections, seen.2.max(gap));
    }

    pub(super) fn note_wait(&mut self, output: &'static str, wait: Duration) {
        let seen = self.outputs.entry(output).or_default();
        seen.2 = seen.2.max(wait);
    }

    pub(super) fn note_memory(&mut self, pids: [u32; 3], warm: bool) -> Result<()> {
        for ((start, now), pid) in self.memory.iter_mut().zip(pids) {
            *now = resident(pid).context("a daemon is gone")?;
            if *start == 0.0 && warm {
                *start = *now;
            }
        }
        Ok(())
    }

    /// Searches logs, pages, arguments and state for secrets.
    pub(super) fn look(&mut self, scene: &Scene, broadcast: &Broadcast, daemons: &[Daemon]) -> Result<()> {
        self.searched.0 += 1;
        let mut seen = scene.no_secret_in(broadcast);
        for daemon in daemons {
            let text = daemon.log()? + &arguments_of(daemon.pid());
            seen = seen.and_then(|()| scene.no_secret_in_text(daemon.name, &text));
        }
        self.note_viewer_check(broadcast);
        if let Err(error) = seen {
            self.searched.1.get_or_insert(error.to_string());
        }
        Ok(())
    }

    fn note_viewer_check(&mut self, broadcast: &Broadcast) {
        let check = broadcast.status().ok().and_then(|status| status.telegram).and_then(|it| it.viewer_check);
        let said = match check {
            None => "nothing yet".to_owned(),
            Some(check) => match (check.picture, check.failure) {
                (_, Some(failure)) => failure,
                (Some(picture), None) => format!("{picture:?}"),
                (None, None) => "no picture yet".to_owned(),
            },
        };
        *self.viewer_checks.entry(said).or_default() += 1;
    }

    pub(super) fn search_names(&mut self, scene: &Scene, recordings: &Path) {
        if let Err(error) = scene.no_secret_in_text("the names of recordings", &names_below(recordings)) {
            self.searched.1.get_or_insert(error.to_string());
        }
    }

    /// Decodes the timestamps of all recorded segments.
    pub(super) fn judge_recordings(&mut self, dir: &Path) -> Result<()> {
        let (count, seconds, wrong) = &mut self.recorded;
        let entries = fs::read_dir(dir).context("read RECORD_DIR")?.flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "mkv"));
        files.sort();
        for file in files {
            let mut probe = Command::new("ffprobe");
            probe.args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"]).arg(&file);
            let output = probe.output().context("run ffprobe")?;
            let errors = String::from_utf8_lossy(&output.stderr);
            if !errors.is_empty() {
                wrong.push(format!("{}: {}", file.display(), errors.trim()));
            }
            *count += 1;
            *seconds += String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0.0);
        }
        Ok(())
    }

    /// The targets, and whether each is met.
    #[must_use]
    pub fn targets(&self) -> Vec<(bool, String)> {
        let gap = self.longest_gap();
        let whole = self.outputs.len() == 4 && self.outputs.values().all(|(pictures, ..)| *pictures > 0);
        let growth = self.memory.map(|(start, now)| now - start);
        let (count, seconds, wrong) = &self.recorded;
        let missing = self.lasted.as_secs_f64() - seconds;
        vec![
            (
                whole && gap <= LONGEST_GAP,
                format!("longest time without a picture {:.2} s (target ≤ 1 s)", gap.as_secs_f64()),
            ),
            (
                self.outputs.values().all(|(_, connections, _)| *connections == 1),
                "one connection for each output".to_owned(),
            ),
            (
                growth.iter().all(|growth| *growth <= MOST_GROWTH),
                format!("memory grows by at most {MOST_GROWTH:.1} MiB"),
            ),
            (
                self.searched.1.is_none(),
                self.searched.1.clone().unwrap_or_else(|| {
                    format!("no secret is seen anywhere, searched {} times", self.searched.0)
                }),
            ),
            (
                *count > 0 && wrong.is_empty() && missing.abs() <= 5.0,
                format!("{count} recorded segments, {seconds:.0} s in all; {}", wrong.join("; ")),
            ),
            (
                self.viewer_checks.contains_key("Good")
                    && self.viewer_checks.keys().all(|said| said == "Good" || said.ends_with(" yet")),
                format!("the viewer check said: {:?}", self.viewer_checks),
            ),
            (
                self.died.is_none(),
                self.died.clone().unwrap_or_else(|| "everything lived to the end".to_owned()),
            ),
        ]
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<12} {:>9} {:>12}  longest without a picture", "output", "pictures", "connections")?;
        for (name, (pictures, connections, gap)) in &self.outputs {
            writeln!(f, "{name:<12} {pictures:>9} {connections:>12}  {:.2} s", gap.as_secs_f64())?;
        }
        writeln!(f, "\n{:<12} {:>15} {:>10}", "daemon", "warm", "at the end")?;
        for (name, (start, end)) in NAMES.iter().zip(self.memory) {
            writeln!(f, "{name:<12} {start:>11.1} MiB {end:>6.1} MiB")?;
        }
        writeln!(f)?;
        for (met, words) in self.targets() {
            writeln!(f, "{:<4} {words}", if met { "ok" } else { "MISS" })?;
        }
        Ok(())
    }
}
