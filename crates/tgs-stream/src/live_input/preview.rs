//! The publisher's stream as FLV for operators, before it is on air.

use std::{sync::Arc, time::Duration};

use super::{
    buffer::{Cursor, ReadStep},
    flv::write_flv,
    shared::SharedLive,
};

/// Limit of previews at once.
const MOST: u32 = 4;

/// A preview; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct LivePreview {
    shared: Arc<SharedLive>,
    cursor: Cursor,
    is_first: bool,
}

/// Why there is no preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PreviewRefused {
    /// Nobody publishes.
    #[error("no publisher sends at present")]
    NoPublisher,
    /// [`MOST`] are open.
    #[error("{MOST} previews are open, and more are not allowed")]
    TooMany,
}

impl LivePreview {
    pub(super) fn new(shared: &Arc<SharedLive>) -> Result<Self, PreviewRefused> {
        if !shared.add_preview(MOST) {
            return Err(PreviewRefused::TooMany);
        }
        let Some(cursor) = shared.cursor() else {
            shared.remove_preview();
            return Err(PreviewRefused::NoPublisher);
        };
        Ok(Self { shared: Arc::clone(shared), cursor, is_first: true })
    }

    /// What is new, as FLV; waits for it at most `patience`. `Some(empty)`: nothing yet; `None`:
    /// the publisher's stream is over.
    pub(crate) fn read(&mut self, patience: Duration) -> Option<Vec<u8>> {
        match self.shared.read(&mut self.cursor, patience) {
            ReadStep::Over => None,
            ReadStep::Wait => Some(Vec::new()),
            ReadStep::Tags(headers, tags) => {
                let mut bytes = Vec::new();
                let file_header = std::mem::take(&mut self.is_first);
                write_flv(&mut bytes, file_header, headers.as_ref(), &tags);
                Some(bytes)
            }
        }
    }
}

impl Drop for LivePreview {
    fn drop(&mut self) {
        self.shared.remove_preview();
    }
}
