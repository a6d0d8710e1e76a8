//! `--check`: resolves and probes every entry, in the list's order, and prints its length and
//! loudness, or its failure.

use std::{
    fmt,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, ensure};
use tgs_core::{mask, time::clock};
use tgs_playout::{
    item::{FailureReason, ItemFailure},
    loudness::LoudnessMeter,
};

use crate::{
    check_loudness::LoudnessCheck,
    playlist::{Listing, title_of},
    resolver::{Resolved, Resolver},
    source::{self, NamedSource, PlaylistEntry},
};

/// Writes a line for each entry and a total to `out`, and the current entry to `progress` (a
/// terminal). With a `meter`, the loudness of files is measured, for a minute at most. Returns
/// whether every entry can be played.
///
/// Fails if the list names nothing, `out` cannot be written, or the resolver is cancelled.
pub fn check(
    sources: Vec<NamedSource>,
    file: Option<PathBuf>,
    resolver: &Resolver,
    meter: Option<LoudnessMeter>,
    out: &mut dyn Write,
    progress: Option<&mut dyn Write>,
) -> anyhow::Result<bool> {
    let named = Listing::new(sources, file).read()?;
    let mut todo = source::expand(&named);
    todo.reverse();
    let loudness = meter.map(LoudnessCheck::new);
    let all =
        report(todo, resolver, loudness.as_ref(), out, progress).context("failed to write what was found")?;
    ensure!(!resolver.cancel.is_cancelled(), "stopped before the end");
    Ok(all)
}

fn report(
    mut todo: Vec<PlaylistEntry>,
    resolver: &Resolver,
    loudness: Option<&LoudnessCheck>,
    out: &mut dyn Write,
    mut progress: Option<&mut dyn Write>,
) -> io::Result<bool> {
    let mut totals = CheckTotals::default();
    // The list being expanded, and how many of its entries have been taken.
    let mut opened = (String::new(), 0);
    while let Some(entry) = todo.pop() {
        if let Some(terminal) = &mut progress {
            let title: String = entry.title().chars().take(60).collect();
            write!(
                terminal,
                "\r\x1b[Kchecking {} of {}: {title}",
                totals.entries + 1,
                totals.entries + 1 + todo.len()
            )?;
            terminal.flush()?;
        }
        let found = match resolver.resolve(&entry) {
            Ok(Resolved::Entries(mut found)) => {
                let root = entry.key.within.first().unwrap_or(&entry.key.item);
                if opened.0 != *root {
                    opened = (root.clone(), 0);
                }
                // The limit of a broadcast.
                found.truncate(source::MAX_REMOTE.saturating_sub(opened.1).max(1));
                opened.1 += found.len();
                todo.extend(found.into_iter().rev());
                continue;
            }
            Ok(Resolved::Arriving) => Err(entry.failure(still_copied())),
            Ok(Resolved::Media { media, title }) => resolver
                .probe(&media)
                .map(|probe| {
                    let loss = probe.loss().map(|loss| format!(" ({loss})")).unwrap_or_default();
                    let heard = loudness.and_then(|it| it.of(&media, &probe, &resolver.cancel));
                    let heard = heard.map(|heard| format!("  {heard}")).unwrap_or_default();
                    let length = PlayLength::of(media.live, probe.duration);
                    (title_of(&entry, title) + &loss, length, heard)
                })
                .map_err(|failure| entry.failure(failure)),
            Err(failure) => Err(failure),
        };
        if let Some(terminal) = &mut progress {
            write!(terminal, "\r\x1b[K")?;
            terminal.flush()?;
        }
        if resolver.cancel.is_cancelled() {
            return Ok(false);
        }
        totals.add(&found);
        let (number, item) = (totals.entries, source::one_line(&entry.key.item));
        let line = match found {
            Ok((title, length, heard)) => format!("{length:>9}  {title}  <{item}>{heard}"),
            Err(failure) => format!("{:>9}  {}  <{item}>: {failure}", "CANNOT", entry.title()),
        };
        writeln!(out, "{number:>5}  {}", mask::urls(&line))?;
        out.flush()?;
    }
    writeln!(out, "{totals}")?;
    Ok(totals.bad == 0)
}

/// Why a file that is being copied is not played yet.
pub(crate) fn still_copied() -> ItemFailure {
    ItemFailure::new(FailureReason::Unplayable, "the file is still being copied")
}

/// An entry's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PlayLength {
    Known(Duration),
    Unknown,
    Live,
}

impl PlayLength {
    fn of(live: bool, duration: Option<Duration>) -> Self {
        match duration {
            Some(duration) => Self::Known(duration),
            None if live => Self::Live,
            None => Self::Unknown,
        }
    }
}

impl fmt::Display for PlayLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(duration) => f.pad(&clock(*duration)),
            Self::Unknown => f.pad("unknown"),
            Self::Live => f.pad("live"),
        }
    }
}

#[derive(Debug, Default)]
struct CheckTotals {
    entries: usize,
    bad: usize,
    endless: usize,
    length: Duration,
}

impl CheckTotals {
    fn add(&mut self, found: &Result<(String, PlayLength, String), ItemFailure>) {
        self.entries += 1;
        match found {
            Ok((_, PlayLength::Known(length), _)) => self.length = self.length.saturating_add(*length),
            Ok(_) => self.endless += 1,
            Err(_) => self.bad += 1,
        }
    }
}

impl fmt::Display for CheckTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} can be played, {}", self.entries - self.bad, self.entries, clock(self.length))?;
        if self.endless > 0 {
            write!(f, " and {} live or of unknown length", self.endless)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(format!("[{:>9}]", PlayLength::of(true, None)), "[     live]");
        assert_eq!(PlayLength::of(false, None).to_string(), "unknown");
    }
}
