//! Everything that may be asked of a running broadcast, and why it may be refused.
//!
//! Only names it; [`crate::engine::Control`] takes it to the engine.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// What may be asked of a running broadcast.
///
/// The *current* item is the one on air. Between two items, and after a command that leaves one, it
/// is the one that comes: two [`Command::Next`] at once leave two items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// On to the next item, when the group of pictures on air (two seconds) is over and the item is
    /// ready; the current one stays for one group more until it is. No failure of the item that is
    /// left.
    Next,
    /// Back to the item before the current one in the list, from its beginning; at the list's first
    /// item to that.
    Previous,
    /// To this distance from the current item's beginning (from the cache: to the next keyframe, up
    /// to two seconds behind it); beyond its end as [`Command::Next`]. Refused by a live item.
    Seek(Duration),
    /// Plays what this line of a playlist names after the current item, behind what was queued
    /// before. Edits of the list do not touch it; it is not kept over a restart.
    Queue(String),
    /// Shows the filler until [`Command::Resume`]: files stop, live sources continue unseen.
    Pause,
    /// Ends [`Command::Pause`]: files go on where they stopped, live sources with their newest.
    Resume,
    /// Reads the list anew. What has changed is taken with the next item that is encoded.
    Reload,
    /// What the broadcast is called, for those who show it; empty takes it back.
    Title(String),
    /// The list ends with the current item.
    StopAfterCurrent,
    /// The broadcast ends at once.
    Stop,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Next => f.write_str("next"),
            Self::Previous => f.write_str("previous"),
            Self::Seek(to) => write!(f, "seek to {:.1} s", to.as_secs_f64()),
            // A URL may hold what opens it.
            Self::Queue(_) => f.write_str("queue an entry"),
            Self::Pause => f.write_str("pause"),
            Self::Resume => f.write_str("resume"),
            Self::Reload => f.write_str("reload"),
            Self::Title(title) => write!(f, "title “{title}”"),
            Self::StopAfterCurrent => f.write_str("stop after the current item"),
            Self::Stop => f.write_str("stop"),
        }
    }
}

/// Why a command was not taken. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandRefused {
    /// The broadcast is being stopped.
    #[error("the broadcast is being stopped")]
    Stopped,
    /// Nothing is played: before the start, or while there is nowhere to publish.
    #[error("nothing is being played")]
    NothingPlays,
    /// There is no place in a live source to go to.
    #[error("a live source has no beginning to count from")]
    Live,
    /// More commands came than can be done.
    #[error("too many commands at once")]
    Busy,
}

/// The commands that hold until they are taken back, or to the end: the one place where they are
/// noted.
///
/// The router sets them, the read-ahead acts by them, and the status shows them.
#[derive(Debug, Default)]
pub(crate) struct StandingCommands {
    paused: AtomicBool,
    stops_after_current: AtomicBool,
}

impl StandingCommands {
    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Whether [`Command::Pause`] holds.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Notes [`Command::StopAfterCurrent`]. Answers whether it was noted before.
    pub(crate) fn stop_after_current(&self) -> bool {
        self.stops_after_current.swap(true, Ordering::Relaxed)
    }

    /// Whether [`Command::StopAfterCurrent`] holds.
    pub(crate) fn stops_after_current(&self) -> bool {
        self.stops_after_current.load(Ordering::Relaxed)
    }
}
