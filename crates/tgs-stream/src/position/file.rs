//! `position.json`: the positions of several lists. An unreadable file means no positions.

use std::{fs, io, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::list_key::{FNV_DIGITS, ListKey};
use crate::{
    playlist::{Bookmark, QueuedPosition, ResumePoint},
    state_file::{self, StateFileError},
};

const VERSION: u32 = 1;

/// Lists remembered: enough for those an operator alternates between.
pub(super) const MAX_LISTS: usize = 8;

/// More than eight positions need, each saved twice.
pub(super) const MAX_FILE: u64 = 1024 * 1024;

/// A place in a list and the offset into its item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The item, and what finds it in an edited or shuffled list.
    #[serde(flatten)]
    pub bookmark: Bookmark,
    /// The published length of the item, in milliseconds from its beginning.
    pub offset_ms: u64,
    /// The queued item that is on air before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<QueuedPosition>,
    /// Whether the round continues after the bookmark's entry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after: bool,
}

impl From<ResumePoint> for Position {
    fn from(point: ResumePoint) -> Self {
        let ResumePoint { bookmark, offset, queued, after } = point;
        Self { bookmark, offset_ms: offset.as_millis() as u64, queued, after }
    }
}

impl From<Position> for ResumePoint {
    fn from(position: Position) -> Self {
        let Position { bookmark, offset_ms, queued, after } = position;
        Self { bookmark, offset: Duration::from_millis(offset_ms), queued, after }
    }
}

impl Position {
    /// Whether both are in the same item.
    pub(crate) fn is_in_item_of(&self, other: &Self) -> bool {
        let queued =
            |position: &Self| position.queued.as_ref().map(|queued| (queued.id, queued.item.clone()));
        self.bookmark == other.bookmark && queued(self) == queued(other)
    }
}

/// The positions of several lists, the one played last first.
///
/// A list has an entry under each key of its [`ListKey`]. An older version replaces only the entry
/// that it knows, so the two may differ.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PositionFile {
    version: u32,
    lists: Vec<SavedList>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedList {
    list: String,
    #[serde(flatten)]
    position: Position,
}

impl SavedList {
    fn is_of(&self, list: &ListKey) -> bool {
        [&list.key, &list.before].contains(&&self.list)
    }
}

impl PositionFile {
    /// Reads the file. On any error, returns no positions and moves a malformed file aside.
    pub(super) fn open(path: &Path) -> Self {
        let problem = match Self::read(path) {
            Ok(positions) => return positions,
            Err(StateFileError::Io(e)) if e.kind() == io::ErrorKind::NotFound => return Self::default(),
            Err(problem) => problem,
        };
        let aside = path.with_extension("json.broken");
        let shown = path.display();
        // An I/O error says nothing about the content: the file stays.
        if matches!(problem, StateFileError::Io(_)) {
            log::warn!("failed to read {shown}: {problem}; starting from the beginning");
        } else if let Err(e) = fs::rename(path, &aside) {
            log::warn!(
                "failed to read {shown}: {problem}; starting from the beginning (not saved aside: {e})"
            );
        } else {
            log::warn!(
                "failed to read {shown}: {problem}; starting from the beginning, the file is saved as {}",
                aside.display()
            );
        }
        Self::default()
    }

    pub(super) fn read(path: &Path) -> Result<Self, StateFileError> {
        state_file::read(path, VERSION, MAX_FILE)
    }

    /// The position saved last, under either key.
    pub(super) fn get(&self, list: &ListKey) -> Option<&Position> {
        self.lists.iter().find(|entry| entry.is_of(list)).map(|entry| &entry.position)
    }

    pub(super) fn set(&mut self, list: &ListKey, position: Option<&Position>) {
        self.lists.retain(|entry| !entry.is_of(list));
        if let Some(position) = position {
            // The older key first: an older version reads eight entries back, from the first.
            let entry = |list: &String| SavedList { list: list.clone(), position: position.clone() };
            self.lists.splice(..0, [&list.before, &list.key].map(entry));
        }
        // Entries of other lists cannot be paired, but a list has at most one of each kind.
        let mut counts = [0; 2];
        self.lists.retain(|entry| {
            let count = &mut counts[usize::from(entry.list.len() == FNV_DIGITS)];
            *count += 1;
            *count <= MAX_LISTS
        });
    }

    pub(super) fn write(&mut self, path: &Path) -> io::Result<()> {
        self.version = VERSION;
        // Item ids may be URLs with passwords.
        tgs_core::files::replace(path, &self.bytes()?, 0o600)
    }

    /// The content, limited to what is read back: drops the oldest entries, then followers.
    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let bytes = serde_json::to_vec(self)?;
            if bytes.len() as u64 <= MAX_FILE {
                return Ok(bytes);
            }
            let oldest = if self.lists.len() > 1 { self.lists.pop() } else { None };
            let followers = self.lists.first_mut().map(|entry| &mut entry.position.bookmark.followed_by);
            if oldest.is_none() && followers.and_then(Vec::pop).is_none() {
                return Err(io::Error::other("the names of the item and its lists are too long"));
            }
        }
    }
}
