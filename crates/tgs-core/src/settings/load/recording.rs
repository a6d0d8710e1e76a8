//! Reads the settings of the recording.

use super::Reader;
use crate::settings::{
    parse::{gigabytes, path},
    recording::{RecordSettings, keep, segment},
};

impl Reader<'_> {
    /// `None` without `RECORD_DIR`. Problems of the others are reported in any case.
    pub(super) fn recording(&mut self) -> Option<RecordSettings> {
        let dir = self.optional("RECORD_DIR", path);
        let (segment, keep) = (self.value("RECORD_SEGMENT", segment), self.value("RECORD_KEEP", keep));
        let most_bytes = self.value("RECORD_MAX_GB", gigabytes);
        Some(RecordSettings { dir: dir?, segment: segment?, keep: keep?, most_bytes: most_bytes? })
    }
}
