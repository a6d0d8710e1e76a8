//! The requests to a prepare thread.

use crate::{item::JumpTarget, read_ahead::TargetItem};

/// A request to the prepare thread.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PlaylistRequest {
    /// Return the next item to encode.
    Next,
    /// Continue elsewhere, relative to the target item.
    Jump(TargetItem, JumpTarget),
    /// Request the items after the target item again.
    Replan(TargetItem),
    /// Read the list again.
    Reload,
}
