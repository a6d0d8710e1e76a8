//! One line of the queue, in playlist syntax.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tgs_core::mask;

use super::restriction;
use crate::source::{self, NamedSource, PlaylistEntry};

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
    /// The directories to which the line is restricted; see [`restriction`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) below: Option<Vec<PathBuf>>,
}

impl QueueLine {
    /// Reads `source`. Fails with words if it names nothing that can be opened; whether it exists
    /// is seen when it is due. With `below` it is restricted. Touches no disk.
    pub(super) fn parse(source: &str, dir: &Path, below: Option<Vec<PathBuf>>) -> Result<Self, String> {
        let source = source.trim();
        if source.len() > MAX_LINE {
            return Err(format!("it has over {MAX_LINE} bytes"));
        }
        let (named, title) = source::named_by_line(source, dir)?;
        if let Some(below) = &below {
            restriction::check(&named, below)?;
        }
        let text = SavedLine { source: source.to_owned(), dir: dir.to_owned(), below };
        Ok(Self { text, named, title })
    }

    /// The items that the line names at present. Opens folders and lists on this machine, unless
    /// the line is restricted.
    pub(super) fn expand(&self) -> Vec<PlaylistEntry> {
        match &self.text.below {
            Some(below) => restriction::expand(&self.named, below),
            None => source::expand(std::slice::from_ref(&self.named)),
        }
    }
}

impl SavedLine {
    /// The line for display.
    pub(super) fn shown(&self) -> String {
        mask::urls(&self.source).into_owned()
    }
}
