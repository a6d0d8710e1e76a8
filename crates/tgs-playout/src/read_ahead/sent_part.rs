//! The part of the item being sent that playout has taken: its display order, and the tags of its
//! current group of pictures.

use tgs_rtmp::flv::Tag;

use super::event::is_picture;
use crate::display_order::{DisplayOrder, composition_frames, composition_ms};

/// Limit of tags kept of a group: several times the longest group that an encoder may make.
const MAX_TAGS: usize = 1024;

/// The part of the item being sent that playout has taken.
#[derive(Debug)]
pub(super) struct SentPart {
    fps: u64,
    order: DisplayOrder,
    shown_to: u64,
    /// The tags of the current group, from its keyframe on.
    group: Vec<Tag>,
}

impl SentPart {
    pub(super) fn new(fps: u64) -> Self {
        Self { fps, order: DisplayOrder::default(), shown_to: 0, group: Vec::new() }
    }

    /// Begins an item, or an item's further part.
    pub(super) fn clear(&mut self) {
        *self = Self { group: std::mem::take(&mut self.group), ..Self::new(self.fps) };
        self.group.clear();
    }

    /// Drops the current group's tags: its rest is gone.
    pub(super) fn forget_group(&mut self) {
        self.group.clear();
    }

    pub(super) fn take(&mut self, tag: &Tag) {
        if is_picture(tag) {
            self.order.push(composition_frames(tag, self.fps));
            let shown = tag.timestamp + composition_ms(tag);
            self.shown_to = self.shown_to.max(shown + 1000 / self.fps);
        }
        if tag.is_keyframe() || self.group.len() >= MAX_TAGS {
            self.group.clear();
        }
        if tag.is_keyframe() || !self.group.is_empty() {
            self.group.push(tag.clone());
        }
    }

    pub(super) fn fps(&self) -> u64 {
        self.fps
    }

    /// Time at which the display of the taken pictures ends, in ms on the encoder's clock.
    pub(super) fn shown_to(&self) -> u64 {
        self.shown_to
    }

    /// Removes the tags of the current group.
    pub(super) fn take_group(&mut self) -> Vec<Tag> {
        std::mem::take(&mut self.group)
    }

    /// The pictures of the item that were taken.
    pub(super) fn order(&self) -> &DisplayOrder {
        &self.order
    }
}
