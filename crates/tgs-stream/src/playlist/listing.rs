//! Reads the sources of the command line and the playlist file, and watches the file.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail, ensure};
use tgs_core::files::FileVersion;

use crate::{
    list::NotAList,
    source::{self, NamedSource},
};

/// The places that name entries.
#[derive(Debug)]
pub(crate) struct Listing {
    sources: Vec<NamedSource>,
    file: Option<PathBuf>,
}

/// The minimum interval between two reported changes.
const CHANGES_EVERY: Duration = Duration::from_secs(5);

/// Detects edits of the playlist file without reading it.
#[derive(Debug)]
pub struct PlaylistWatch {
    listing: Listing,
    version: Option<FileVersion>,
    /// When a change was reported last.
    reported: Option<Instant>,
}

impl PlaylistWatch {
    /// Whether the file has changed since the last call. Changes within 5 s are reported together.
    pub fn changed(&mut self) -> bool {
        self.changed_at(Instant::now())
    }

    fn changed_at(&mut self, now: Instant) -> bool {
        if self.reported.is_some_and(|reported| now.saturating_duration_since(reported) < CHANGES_EVERY) {
            return false;
        }
        let version = self.listing.version();
        let changed = std::mem::replace(&mut self.version, version) != version;
        if changed {
            self.reported = Some(now);
        }
        changed
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => file.display().fmt(f),
            None => f.write_str("the command line"),
        }
    }
}

impl Listing {
    pub(crate) fn new(sources: Vec<NamedSource>, file: Option<PathBuf>) -> Self {
        // Entries must have the same identity in every working directory.
        let file = file.map(|file| std::path::absolute(&file).unwrap_or(file));
        Self { sources, file }
    }

    /// The file's version; `None` without a regular file. A pipe can be read only once.
    pub(super) fn version(&self) -> Option<FileVersion> {
        FileVersion::of_regular(self.file.as_ref()?)
    }

    /// Watches for changes since `version`.
    pub(super) fn watch(&self, version: Option<FileVersion>) -> PlaylistWatch {
        PlaylistWatch {
            listing: Self { sources: Vec::new(), file: self.file.clone() },
            version,
            reported: None,
        }
    }

    /// All named sources; at least one.
    pub(crate) fn read(&self) -> anyhow::Result<Vec<NamedSource>> {
        let mut named = self.sources.clone();
        if let Some(file) = &self.file {
            named.extend(read_file(file)?);
        }
        ensure!(
            !named.is_empty(),
            "{self} names nothing to play: write a path or a URL on a line, or name a SOURCE"
        );
        Ok(named)
    }
}

fn read_file(file: &Path) -> anyhow::Result<Vec<NamedSource>> {
    let shown = file.display();
    let advice = || {
        format!("cannot read the playlist {shown} (name a SOURCE, or another file by --playlist or PLAYLIST)")
    };
    let bytes = source::read_playlist(file).with_context(advice)?;
    match source::named_in(file, &bytes) {
        Ok(named) => Ok(named),
        Err(NotAList::Hls) => bail!("{shown} is an HLS playlist, not a list of entries: name it as a SOURCE"),
        Err(NotAList::Other(what)) => Err(anyhow!("it is {what}")).with_context(advice),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn changes_are_reported_every_five_seconds_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("list.txt");
        fs::write(&file, "").unwrap();
        let listing = Listing::new(Vec::new(), Some(file.clone()));
        let mut watch = listing.watch(listing.version());
        let begun = Instant::now();
        let mut reported = Vec::new();
        for second in 0..60 {
            fs::write(&file, "x".repeat(second + 1)).unwrap();
            if watch.changed_at(begun + Duration::from_secs(second as u64)) {
                reported.push(second);
            }
        }
        assert_eq!(reported, (0..60).step_by(5).collect::<Vec<_>>());
        // The last change is not lost.
        assert!(watch.changed_at(begun + Duration::from_secs(61)));
        assert!(!watch.changed_at(begun + Duration::from_secs(90)));
    }
}
