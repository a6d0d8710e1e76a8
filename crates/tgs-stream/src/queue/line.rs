//! One line of the queue, in playlist syntax. No I/O.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tgs_core::mask;

use crate::source::{self, NamedSource};

/// The longest line, in bytes.
pub(crate) const MAX_LINE: usize = 4096;

/// A line that names one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueueLine {
    pub(super) text: SavedLine,
    pub(super) named: NamedSource,
    pub(super) title: String,
}

/// A line as it is saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedLine {
    pub(super) source: String,
    /// The base of a relative path.
    pub(super) dir: PathBuf,
}

impl QueueLine {
    /// Reads `source`. Fails with words if it names nothing that can be opened; whether it exists
    /// is seen when it is due.
    pub(super) fn parse(source: &str, dir: &Path) -> Result<Self, String> {
        let source = source.trim();
        if source.len() > MAX_LINE {
            return Err(format!("it has over {MAX_LINE} bytes"));
        }
        let (named, title) = source::named_by_line(source, dir)?;
        let text = SavedLine { source: source.to_owned(), dir: dir.to_owned() };
        Ok(Self { text, named, title })
    }
}

impl SavedLine {
    /// The line for display.
    pub(super) fn shown(&self) -> String {
        mask::urls(&self.source).into_owned()
    }
}
