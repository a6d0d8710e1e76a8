//! Where the group of pictures being sent may be cut, and what a cut takes along and puts back.

use tgs_rtmp::flv::{Kind, Tag};

use super::{
    buffer::Buffer,
    event::{Event, is_picture},
};

/// Limit of events searched for the sound that belongs to the pictures taken: about two groups.
const MAX_SEARCHED: usize = 512;

impl Buffer {
    /// Whether another source may follow the tags taken so far: at a group's beginning, and where
    /// no picture is missing that is displayed before another one.
    pub(super) fn may_cut(&self) -> bool {
        match self.rest.front().or(self.pieces.front()) {
            // An item that is sent to its end is not paused before that.
            Some(Event::End) => !self.rest.is_empty(),
            Some(_) => self.at_boundary() || self.sent.order().is_whole(),
            None => self.sent.order().is_whole(),
        }
    }

    /// Whether a paused item continues with a keyframe.
    pub(super) fn at_resting_place(&self) -> bool {
        self.at_boundary() || self.sent.order().is_empty()
    }

    /// Takes the next sound that is heard while the taken pictures are displayed: a cut comes
    /// behind it.
    pub(super) fn remove_sound(&mut self) -> Option<Event> {
        if self.sent.order().is_empty() {
            return None;
        }
        let rest = !self.rest.is_empty();
        let queue = if rest { &mut self.rest } else { &mut self.pieces };
        let heard =
            |tag: &Tag| tag.kind == Kind::Audio && tag.is_frame() && tag.timestamp < self.sent.shown_to();
        let at = queue
            .iter()
            .take(MAX_SEARCHED)
            .map_while(|piece| if let Event::Tag(tag) = piece { Some(tag) } else { None })
            .position(heard)?;
        let piece = queue.remove(at)?;
        if let Event::Tag(tag) = &piece {
            if !rest {
                self.bytes -= tag.body.len();
            }
            self.sent.take(tag);
        }
        Some(piece)
    }

    /// Puts the taken part of the current group back if its rest is still here. Returns the time of
    /// the keyframe with which the item continues, as far as it is known.
    pub(super) fn rewind(&mut self) -> Option<u64> {
        if !self.rest.is_empty() || self.sequence.is_between() {
            return None;
        }
        let next = self.pieces.iter().find_map(|piece| match piece {
            Event::Tag(tag) => is_picture(tag).then_some(Some(tag)),
            Event::Begin(_) | Event::End => Some(None),
        });
        match next {
            Some(Some(key)) if key.is_keyframe() => return Some(key.timestamp),
            Some(Some(_)) => {}
            // The encoder may still be in the group.
            None if self.group_open && self.groups < 0 => {}
            Some(None) | None => return None,
        }
        let group = self.sent.take_group();
        let began = group.first()?.timestamp;
        for tag in group.into_iter().rev() {
            self.bytes += tag.body.len();
            self.frames += u64::from(is_picture(&tag));
            self.pieces.push_front(Event::Tag(tag));
        }
        self.groups += 1;
        self.sent.clear();
        Some(began)
    }
}
