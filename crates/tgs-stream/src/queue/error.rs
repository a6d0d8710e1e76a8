//! The limits of the queue, and why a change of it is refused.

use std::path::PathBuf;

/// The longest queue.
pub const MAX_ENTRIES: usize = 1000;

/// Why a change of the queue was refused. The queue is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// [`MAX_ENTRIES`] is reached.
    #[error("the queue holds {MAX_ENTRIES} entries, which is its limit; remove one first")]
    Full,
    /// The source is too long, or nothing that can be opened.
    #[error("the source cannot be queued: {0}")]
    Unplayable(String),
    /// No entry has this ID.
    #[error("the queue has no entry {0}; it may have been played already")]
    NoEntry(u64),
    /// The entry's last item is on air.
    #[error("entry {0} of the queue is on air; the command next ends it")]
    OnAir(u64),
    /// The file cannot be written.
    #[error("cannot save the queue in {}: {why}", path.display())]
    NotSaved {
        /// The file.
        path: PathBuf,
        /// The error.
        why: String,
    },
}
