//! The prepare and encode threads of the list or a lane, without threads.

use std::{collections::VecDeque, sync::Arc};

use tgs_core::cancel::Cancel;
use tgs_rtmp::flv::{Kind, Tag};

use super::{MS, READ_AHEAD, begin, item, material::Material};
use crate::read_ahead::{Admission, Event, ReadAhead};

/// The encoder of one item.
struct Encoder {
    seq: u64,
    tags: VecDeque<Tag>,
    material: Material,
    began: u64,
    begun: bool,
    sent_pictures: u64,
}

/// A programme that plays its materials in turn.
pub(super) struct SimulatedProgramme {
    pub(super) read_ahead: Arc<ReadAhead>,
    materials: Vec<Material>,
    encoder: Option<Encoder>,
    turn: u64,
    /// Commands that the prepare thread has not applied.
    pub(super) pending: u64,
    /// The item of each turn.
    pub(super) items: Vec<u64>,
    /// Items after which it is over.
    pub(super) ends_after: u64,
}

impl SimulatedProgramme {
    pub(super) fn new(read_ahead: Arc<ReadAhead>, materials: Vec<Material>) -> Self {
        let (encoder, items) = (None, Vec::new());
        Self { read_ahead, materials, encoder, turn: 0, pending: 0, items, ends_after: u64::MAX }
    }

    /// Works up to `now`.
    pub(super) fn encode(&mut self, now: u64, cancel: &Cancel) {
        loop {
            for _ in 0..std::mem::take(&mut self.pending) {
                self.read_ahead.release_request();
            }
            let Some(encoder) = &mut self.encoder else {
                if !self.open(now, cancel) {
                    return;
                }
                continue;
            };
            let material = encoder.material;
            let lasted = (now - encoder.began) / MS;
            let Some(ready) = lasted.checked_sub(material.startup) else { return };
            if encoder.sent_pictures > ready.saturating_mul(material.speed) / 1000
                || self.read_ahead.seconds() >= READ_AHEAD.as_secs_f64()
            {
                return;
            }
            let mut events = Vec::new();
            if !std::mem::replace(&mut encoder.begun, true) {
                events.push(begin(encoder.seq, self.turn - 1, material.silent));
            }
            match encoder.tags.pop_front() {
                Some(tag) => {
                    encoder.sent_pictures += u64::from(tag.kind == Kind::Video && tag.is_frame());
                    events.push(Event::Tag(tag));
                }
                None => events.push(Event::End),
            }
            let ended = matches!(events.last(), Some(Event::End));
            let taken = events.into_iter().all(|event| self.read_ahead.push(event, false, cancel));
            if !taken || ended {
                self.read_ahead.close();
                self.encoder = None;
            }
        }
    }

    /// Begins the next item; `false` after the last.
    fn open(&mut self, now: u64, cancel: &Cancel) -> bool {
        if self.turn >= self.ends_after {
            self.read_ahead.finish();
            return false;
        }
        let material = self.materials[self.turn as usize % self.materials.len()];
        match self.read_ahead.admit(&item(self.turn), cancel) {
            Admission::Admitted(admitted) => {
                let (seq, began) = (admitted.seq, now);
                let tags = material.tags(seq);
                self.encoder = Some(Encoder { seq, tags, material, began, begun: false, sent_pictures: 0 });
                self.items.push(seq);
            }
            Admission::Skipped => self.items.push(0),
            other => panic!("{other:?}"),
        }
        self.turn += 1;
        true
    }
}
