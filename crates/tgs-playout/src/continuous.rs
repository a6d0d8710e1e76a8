//! One stream from the tags of engine runs that follow each other: its timestamps begin with 0 and
//! never go back, and no codec header in force is repeated.

use std::sync::Arc;

use tgs_rtmp::flv::{Kind, Tag};

/// Time between the last tag of an engine run and the first of the next: one picture.
const RUN_GAP_MS: u64 = 40;

/// The state of such a stream. Script tags are no part of it.
#[derive(Debug, Default)]
pub(crate) struct ContinuousStream {
    /// The engine run of `base`, from 1.
    run: u64,
    /// Time of the run's first tag, and the stream's own time of it.
    base: u64,
    offset: u64,
    /// The stream's time of the last frame of each kind.
    last: [Option<u64>; 2],
    /// Codec headers in force.
    headers: [Option<Arc<[u8]>>; 2],
}

impl ContinuousStream {
    /// `tag` with its time in the stream; `None` if the stream does not need it.
    pub(crate) fn place(&mut self, run: u64, tag: &Tag) -> Option<Tag> {
        let kind = match tag.kind {
            Kind::Video => 0,
            Kind::Audio => 1,
            Kind::Script => return None,
        };
        if self.run != run {
            let newest = self.last.iter().flatten().max();
            self.offset = newest.map_or(0, |newest| newest + RUN_GAP_MS);
            (self.run, self.base) = (run, tag.timestamp);
        }
        if tag.is_sequence_header() {
            let known = &mut self.headers[kind];
            if known.as_ref() == Some(&tag.body) {
                return None;
            }
            *known = Some(tag.body.clone());
        }
        let timestamp = tag.timestamp.saturating_sub(self.base) + self.offset;
        // A frame never comes twice; a header may share the time of its frame.
        if tag.is_frame() {
            if self.last[kind].is_some_and(|last| timestamp <= last) {
                return None;
            }
            self.last[kind] = Some(timestamp);
        }
        Some(Tag { timestamp, ..tag.clone() })
    }
}
