//! What a command discards of the buffer: all but the group on air and one more.

use super::{buffer::Buffer, event::Event};

/// The item that a command means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TargetItem {
    /// Its [`Item::turn`]; `None` where it has not been prepared yet.
    pub(crate) turn: Option<u64>,
    /// How many entries of the list are to be left before it.
    pub(crate) skip: u64,
}

/// The encoded items that a command discards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discard {
    /// All of them: the list goes on elsewhere.
    All,
    /// Those after the current one: something comes between.
    Later,
}

impl Buffer {
    /// Place and liveness of an item that was opened.
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

    /// Takes out what was left, but for the end of what is on air.
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
        if leaves && self.rest.is_empty() {
            head.truncate(end_of_shown(&head));
            self.rest = head.into();
            self.rest.push_back(Event::End);
        }
        self.end_where_asked();
    }

    /// Nothing more comes where the list was to end with an item that is all here.
    pub(super) fn end_where_asked(&mut self) {
        let going = self.attempt.as_ref().is_some_and(|attempt| !self.sequence.is_left(attempt.seq));
        self.over |= self.sequence.is_over() && !going;
    }
}

/// How much of an item that was left is still shown: the group on air, and one more for the next
/// item to get ready in.
fn end_of_shown(head: &[Event]) -> usize {
    let ends = |piece: &Event| match piece {
        Event::Tag(tag) => tag.is_keyframe(),
        Event::End => true,
        Event::Begin(_) => false,
    };
    let mut ends = head.iter().enumerate().filter(|(_, piece)| ends(piece)).map(|(at, _)| at);
    let first = ends.next();
    ends.next().or(first).unwrap_or(head.len())
}
