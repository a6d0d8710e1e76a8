//! The commands to a running broadcast, and the reasons to refuse them.
//!
//! [`crate::engine::Control`] passes them to the engine.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// A command to a running broadcast.
///
/// The *current* item is the one being sent. Between two items, and after a command that leaves the
/// current item, it is the next one: two [`Command::Next`] at once leave two items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Switches to the next item as soon as no picture is missing that is displayed before another
    /// one. While the next item is not ready, the current item goes on, to the end of the next
    /// group of pictures at most. The item that is left does not count as failed.
    Next,
    /// Returns to the beginning of the item before the current one in the list; from the first
    /// item, to its own beginning.
    Previous,
    /// Seeks to this distance from the current item's beginning (in a cache entry, to the next
    /// keyframe, up to two seconds later); beyond the end it acts as [`Command::Next`]. Refused for
    /// a live item.
    Seek(Duration),
    /// Seeks by this many milliseconds from the published position, as [`Command::Seek`] does.
    /// Before the item's beginning it seeks to the beginning. Several at once add up.
    SeekBy(i64),
    /// Continues at the beginning of the programme's entry of this number; see
    /// [`crate::item::JumpTarget::Entry`].
    Goto(u64),
    /// Requests the items after the current one again, because the programme has changed them. The
    /// programme's owner sends it after a change of what follows the current item.
    Replan,
    /// Sends the filler until [`Command::Resume`], as soon as no picture is missing: files stop,
    /// live sources continue unseen.
    Pause,
    /// Ends [`Command::Pause`]: files continue with the group of pictures that the pause has cut
    /// (up to two seconds are shown again), live sources at their live edge.
    Resume,
    /// Reads the list again. Changes take effect with the next item to be encoded.
    Reload,
    /// Sets the broadcast's title for `/status`; an empty title removes it.
    Title(String),
    /// Ends the list with the current item.
    StopAfterCurrent,
    /// Ends the broadcast at once.
    Stop,
}

impl Command {
    /// Whether the command leaves the current item before its end.
    pub(crate) fn leaves_current(&self) -> bool {
        matches!(self, Self::Next | Self::Previous | Self::Seek(_) | Self::SeekBy(_) | Self::Goto(_))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Next => f.write_str("next"),
            Self::Previous => f.write_str("previous"),
            Self::Seek(to) => write!(f, "seek to {:.1} s", to.as_secs_f64()),
            Self::SeekBy(by) => write!(f, "seek by {:.1} s", *by as f64 / 1000.0),
            Self::Goto(_) => f.write_str("go to an entry of the list"),
            Self::Replan => f.write_str("replan"),
            Self::Pause => f.write_str("pause"),
            Self::Resume => f.write_str("resume"),
            Self::Reload => f.write_str("reload"),
            Self::Title(title) => write!(f, "title “{title}”"),
            Self::StopAfterCurrent => f.write_str("stop after the current item"),
            Self::Stop => f.write_str("stop"),
        }
    }
}

/// Why a command was refused. The broadcast's state is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandRefused {
    /// The broadcast is being stopped.
    #[error("the broadcast is being stopped")]
    Stopped,
    /// No item plays: before the start, or while there is no place to publish to.
    #[error("nothing is being played")]
    NothingPlays,
    /// A live source has no positions to seek to.
    #[error("a live source has no beginning to count from")]
    Live,
    /// Too many commands are waiting.
    #[error("too many commands at once")]
    Busy,
}

/// The commands in force until their reversal or the end of the broadcast; the only place that
/// stores them.
///
/// The router sets them, the read-ahead obeys them, and the status shows them.
#[derive(Debug, Default)]
pub(crate) struct StandingCommands {
    paused: AtomicBool,
    stops_after_current: AtomicBool,
}

impl StandingCommands {
    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Whether [`Command::Pause`] is in force.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Records [`Command::StopAfterCurrent`]. Returns whether it was in force before.
    pub(crate) fn stop_after_current(&self) -> bool {
        self.stops_after_current.swap(true, Ordering::Relaxed)
    }

    /// Ends [`Command::StopAfterCurrent`], which an engine has obeyed.
    pub(crate) fn clear_stop(&self) {
        self.stops_after_current.store(false, Ordering::Relaxed);
    }

    /// Whether [`Command::StopAfterCurrent`] is in force.
    pub(crate) fn stops_after_current(&self) -> bool {
        self.stops_after_current.load(Ordering::Relaxed)
    }
}
