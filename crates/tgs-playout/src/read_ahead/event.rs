//! What the encode thread hands to the playout thread.

use std::{sync::Arc, time::Duration};

use tgs_rtmp::flv::{Kind, Tag};

use crate::item::Item;

/// What the encoder's thread hands over.
#[derive(Debug, Clone)]
pub enum Event {
    /// An item begins.
    Begin(Arc<StartedItem>),
    /// The next tag of the item.
    Tag(Tag),
    /// The item has no more tags.
    End,
}

/// An item whose tags follow.
#[derive(Debug)]
pub struct StartedItem {
    /// Number in this run, from 1.
    pub seq: u64,
    /// The item; `start` tells where its encoder began.
    pub item: Item,
    /// Whether its encoder makes no sound.
    pub silent: bool,
    /// How long it will be, from `item.start` on.
    pub expected: Option<Duration>,
}

pub(super) fn is_picture(tag: &Tag) -> bool {
    tag.kind == Kind::Video && tag.is_frame()
}
