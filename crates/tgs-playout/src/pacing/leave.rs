//! When the broadcast leaves the air for another engine; see [`crate::handover`].

use super::{OnAirSource, Playout};
use crate::{handover::Keyframe, read_ahead::Event};

impl Playout {
    /// Whether the broadcast leaves instead of sending `next`.
    pub(super) fn leaves_before(&self, next: &Event) -> bool {
        let Event::Tag(tag) = next else { return false };
        if !tag.is_keyframe() || !self.leaving.is_asked() {
            return false;
        }
        if self.switch.current != 0 {
            return self.leaving.leaves_at_rest();
        }
        let item = self.switch.list.newest();
        item.is_some_and(|item| self.leaving.leaves_before(Keyframe::of(item, tag)))
    }

    /// Whether the broadcast leaves where the filler may end.
    pub(super) fn leaves_without_item(&self) -> bool {
        self.source == OnAirSource::Filler
            && self.timeline.is_whole()
            && self.leaving.is_asked()
            && self.leaving.leaves_at_rest()
    }
}
