//! The events from the encode thread to the playout thread.

use std::{sync::Arc, time::Duration};

use tgs_rtmp::flv::{Kind, Tag};

use crate::item::Item;

/// An event in the read-ahead.
#[derive(Debug, Clone)]
pub enum Event {
    /// An item begins.
    Begin(Arc<StartedItem>),
    /// The next tag of the item.
    Tag(Tag),
    /// The item has no more tags.
    End,
}

/// The result of `ReadAhead::take_to_cut`.
#[derive(Debug)]
pub(crate) enum CutTake {
    /// An event that must be sent before another source follows.
    Event(Event),
    /// Another source may follow.
    Cut,
    /// The encoder has not made the pictures that are missing.
    NotReady,
}

/// An item whose tags follow.
#[derive(Debug)]
pub struct StartedItem {
    /// Number of the item in this run, from 1.
    pub seq: u64,
    /// The item; `start` is where its encoder began.
    pub item: Item,
    /// Whether its encoder produces no sound.
    pub silent: bool,
    /// Expected length, from `item.start` on.
    pub expected: Option<Duration>,
}

pub(super) fn is_picture(tag: &Tag) -> bool {
    tag.kind == Kind::Video && tag.is_frame()
}
