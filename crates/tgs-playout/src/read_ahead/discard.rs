//! Removes discarded items from the buffer, except the current group and one more.

use super::{
    buffer::Buffer,
    event::{Event, is_picture},
};
use crate::display_order::{DisplayOrder, composition_frames};

/// The item that a command refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TargetItem {
    /// Its [`Item::turn`]; `None` if it is not prepared yet.
    pub(crate) turn: Option<u64>,
    /// Number of list entries to skip before it.
    pub(crate) skip: u64,
}

/// The encoded items that a command discards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discard {
    /// All items: the list continues elsewhere.
    All,
    /// The items after the current one: a queued entry comes first.
    Later,
}

impl Buffer {
    /// `turn` and liveness of an admitted item.
    pub(super) fn find(&self, seq: u64) -> Option<(u64, bool)> {
        let begun = self.pieces.iter().filter_map(|piece| match piece {
            Event::Begin(item) => Some(item),
            _ => None,
        });
        let found = self.taken.iter().chain(begun).find(|item| item.seq == seq);
        let attempt = || self.attempt.as_ref().filter(|attempt| attempt.seq == seq);
        found
            .map(|item| (item.item.turn, item.item.media.live))
            .or_else(|| attempt().map(|attempt| (attempt.turn, attempt.live)))
    }

    /// Removes discarded items, except the end of the item being sent.
    pub(super) fn cut(&mut self) {
        if let Some(attempt) = self.attempt.as_ref().filter(|attempt| self.sequence.is_left(attempt.seq)) {
            attempt.discarded.cancel();
        }
        let on_air = self.sequence.on_air();
        let leaves = !self.sequence.is_between() && self.sequence.is_left(on_air);
        self.jumping = true;
        let mut seq = on_air;
        let (mut head, mut kept) = (Vec::new(), Vec::new());
        for piece in self.pieces.drain(..) {
            if let Event::Begin(item) = &piece {
                seq = item.seq;
            }
            if seq == on_air && leaves {
                head.push(piece);
            } else if !self.sequence.is_left(seq) {
                kept.push(piece);
            }
        }
        (self.bytes, self.frames, self.groups, self.group_open) = (0, 0, 0, false);
        for piece in kept {
            self.add(piece);
        }
        if self.pieces.is_empty() {
            // The speed of the next item's encoder shows from its first picture on.
            self.first_picture = None;
        }
        if leaves && self.rest.is_empty() {
            head.truncate(end_of_shown(&head, self.sent.order().clone(), self.sent.fps()));
            self.rest = head.into();
            self.rest.push_back(Event::End);
        }
        self.end_where_asked();
    }

    /// Marks the programme as over if the list was to end with an item that is fully buffered.
    pub(super) fn end_where_asked(&mut self) {
        let going = self.attempt.as_ref().is_some_and(|attempt| !self.sequence.is_left(attempt.seq));
        self.over |= self.sequence.is_over() && !going;
    }
}

/// Number of events still sent of a discarded item, unless the next item gets ready before: the
/// current group, and one more. Of a group that its encoder has not finished, the part that misses
/// no picture.
fn end_of_shown(head: &[Event], mut order: DisplayOrder, fps: u64) -> usize {
    let ends = |piece: &Event| match piece {
        Event::Tag(tag) => tag.is_keyframe(),
        Event::End => true,
        Event::Begin(_) => false,
    };
    let mut ends = head.iter().enumerate().filter(|(_, piece)| ends(piece)).map(|(at, _)| at);
    let first = ends.next();
    if let Some(end) = ends.next().or(first) {
        return end;
    }
    let mut whole = order.is_whole().then_some(0);
    for (at, piece) in head.iter().enumerate() {
        if let Event::Tag(tag) = piece
            && is_picture(tag)
        {
            order.push(composition_frames(tag, fps));
        }
        whole = order.is_whole().then_some(at + 1).or(whole);
    }
    whole.unwrap_or(head.len())
}
