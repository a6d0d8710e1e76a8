//! The event queue and its counters: bytes, pictures, groups of pictures. Takes no lock and never
//! waits.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use tgs_core::cancel::Cancel;

use super::{
    event::{Event, StartedItem, is_picture},
    sent_part::SentPart,
    sequence::ItemSequence,
};
use crate::clock::Clock;

/// The item being encoded.
#[derive(Debug, Clone)]
pub(crate) struct AdmittedItem {
    /// Its number in this run, from 1.
    pub(crate) seq: u64,
    /// Set once a command discards the item or the broadcast is cancelled.
    pub(crate) discarded: Cancel,
    pub(super) turn: u64,
    pub(super) live: bool,
    pub(super) title: String,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; no two exclude each other")]
pub(super) struct Buffer {
    pub(super) clock: Arc<dyn Clock>,
    /// The end of a discarded item that is still sent, up to its `End`; taken before `pieces`.
    pub(super) rest: VecDeque<Event>,
    pub(super) pieces: VecDeque<Event>,
    /// The part of the current item that was taken.
    pub(super) sent: SentPart,
    pub(super) bytes: usize,
    /// Number of pictures in `pieces`.
    pub(super) frames: u64,
    /// Complete groups of pictures from which no tag was taken; -1 while an incomplete group is
    /// being taken.
    pub(super) groups: isize,
    /// Whether the last group is incomplete.
    pub(super) group_open: bool,
    /// Whether the item being taken has passed its first keyframe.
    pub(super) taking_item: bool,
    pub(super) over: bool,
    /// Time of the first tag ever added, or added since a command emptied the buffer.
    pub(super) first_picture: Option<Instant>,
    /// Set while the connection is lost: a live item's oldest groups make room for its newest.
    pub(super) at_live_edge: bool,
    /// Number of threads that wait for events.
    pub(super) waiting: usize,
    pub(super) sequence: ItemSequence,
    pub(super) attempt: Option<AdmittedItem>,
    /// Title of the item prepared to follow `attempt`.
    pub(super) prepared: Option<String>,
    /// The item that began last and has no `End` yet.
    pub(super) unended: Option<u64>,
    /// The item taken last.
    pub(super) taken: Option<Arc<StartedItem>>,
    /// Whether a command has discarded items and no item has begun since.
    pub(super) jumping: bool,
    /// Number of commands so far.
    pub(super) commands: u64,
}

impl Buffer {
    pub(super) fn new(fps: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            rest: VecDeque::new(),
            pieces: VecDeque::new(),
            sent: SentPart::new(fps),
            bytes: 0,
            frames: 0,
            groups: 0,
            group_open: false,
            taking_item: false,
            over: false,
            first_picture: None,
            at_live_edge: false,
            waiting: 0,
            sequence: ItemSequence::default(),
            attempt: None,
            prepared: None,
            unended: None,
            taken: None,
            jumping: false,
            commands: 0,
        }
    }

    /// Title of the item after the one being sent, as far as it is known: the encoder runs ahead of
    /// the viewer.
    pub(super) fn next_title(&self) -> Option<String> {
        let begun = self.pieces.iter().find_map(|piece| match piece {
            // A further encoder of the item being sent begins no other item.
            Event::Begin(item) if item.seq != self.sequence.on_air() => Some(item.item.title.clone()),
            _ => None,
        });
        let attempt = || {
            let attempt = self.attempt.as_ref()?;
            let coming = attempt.seq > self.sequence.on_air() && !self.sequence.is_left(attempt.seq);
            coming.then(|| attempt.title.clone())
        };
        let prepared = || self.prepared.clone().filter(|_| !self.sequence.is_over());
        begun.or_else(attempt).or_else(prepared)
    }

    /// Whether the next event begins an item or a group, so that another source may replace it.
    pub(super) fn at_boundary(&self) -> bool {
        match self.rest.front().or(self.pieces.front()) {
            // The rest of a discarded item may be dropped for the next item.
            Some(Event::End) if !self.rest.is_empty() => true,
            None | Some(Event::Begin(_)) => true,
            Some(Event::Tag(tag)) => self.taking_item && tag.is_keyframe(),
            Some(Event::End) => false,
        }
    }

    /// Whether the next event behind the discarded item's begins an item.
    pub(super) fn begins_item(&self) -> bool {
        matches!(self.pieces.front(), Some(Event::Begin(_)))
    }

    pub(super) fn has_end(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Event::End))
    }

    /// Drops the rest of the discarded item.
    pub(super) fn drop_rest(&mut self) {
        self.rest.clear();
        self.sent.clear();
        self.taking_item = false;
        self.sequence.end();
    }

    pub(super) fn add(&mut self, piece: Event) {
        match &piece {
            Event::Begin(item) => {
                self.sequence.begun(item.seq);
                self.unended = Some(item.seq);
            }
            Event::End => self.unended = None,
            Event::Tag(_) => {}
        }
        match &piece {
            Event::Tag(tag) => {
                self.bytes += tag.body.len();
                self.frames += u64::from(is_picture(tag));
                self.first_picture.get_or_insert_with(|| self.clock.now());
                if tag.is_keyframe() {
                    self.groups += isize::from(self.group_open);
                    self.group_open = true;
                }
            }
            Event::End => {
                self.groups += isize::from(self.group_open);
                self.group_open = false;
            }
            Event::Begin(_) => {
                // A further encoder of the same item may begin after a complete group.
                self.groups += isize::from(self.group_open);
                self.group_open = false;
            }
        }
        self.pieces.push_back(piece);
    }

    pub(super) fn remove(&mut self) -> Option<Event> {
        if let Some(piece) = self.rest.pop_front() {
            match &piece {
                Event::Tag(tag) => self.sent.take(tag),
                Event::Begin(_) => {}
                Event::End => self.drop_rest(),
            }
            return Some(piece);
        }
        let piece = self.pieces.pop_front()?;
        match &piece {
            Event::Begin(item) => {
                self.taking_item = false;
                self.sent.clear();
                self.jumping = false;
                self.sequence.shown(item.seq);
                self.taken = Some(Arc::clone(item));
            }
            Event::End => {
                self.taking_item = false;
                self.sent.clear();
                self.sequence.end();
            }
            Event::Tag(tag) => {
                self.sent.take(tag);
                self.bytes -= tag.body.len();
                self.frames -= u64::from(is_picture(tag));
                if tag.is_keyframe() {
                    self.taking_item = true;
                    self.groups -= 1;
                }
            }
        }
        Some(piece)
    }

    pub(super) fn cut_open_group(&mut self) -> u64 {
        if !std::mem::take(&mut self.group_open) {
            return 0;
        }
        let key = self.pieces.iter().rposition(|p| matches!(p, Event::Tag(tag) if tag.is_keyframe()));
        let Some(key) = key.filter(|_| self.groups >= 0) else {
            // Playout has begun this group: its buffered part counts as complete.
            self.groups += 1;
            return 0;
        };
        let mut cut = 0;
        for piece in self.pieces.split_off(key) {
            match &piece {
                Event::Tag(tag) if is_picture(tag) => {
                    self.bytes -= tag.body.len();
                    self.frames -= 1;
                    cut += 1;
                }
                _ => self.pieces.push_back(piece),
            }
        }
        cut
    }

    /// Drops the frames before the second keyframe; keeps headers, beginnings and ends. `false`
    /// without a second keyframe.
    pub(super) fn drop_oldest_group(&mut self) -> bool {
        if self.has_end() {
            // The rest of another item comes first and waits for the viewer.
            return false;
        }
        let is_key = |piece: &Event| matches!(piece, Event::Tag(tag) if tag.is_keyframe());
        let mut keys = self.pieces.iter().enumerate().filter(|(_, p)| is_key(p)).map(|(at, _)| at);
        let (Some(_), Some(second)) = (keys.next(), keys.next()) else { return false };
        let kept: Vec<Event> = self
            .pieces
            .drain(..second)
            .filter(|piece| match piece {
                Event::Tag(tag) if tag.is_frame() => {
                    self.bytes -= tag.body.len();
                    self.frames -= u64::from(is_picture(tag));
                    false
                }
                _ => true,
            })
            .collect();
        for piece in kept.into_iter().rev() {
            self.pieces.push_front(piece);
        }
        self.groups -= 1;
        self.sent.forget_group();
        true
    }
}
