//! The beginning of a response's body, kept in a file.

use std::{fs::File, io, os::unix::fs::FileExt};

/// Size limit of the kept part: ffprobe reads 5 MB of an unseekable stream.
const MAX_KEPT: u64 = 16 << 20;

/// The beginning of a body, in a file without a name.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    pub(super) len: u64,
}

impl Spool {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile()?, len: 0 })
    }

    /// Adds `bytes`; `false` beyond the limit or if the write fails.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let fits = self.len + bytes.len() as u64 <= MAX_KEPT;
        let written = fits && self.file.write_all_at(bytes, self.len).is_ok();
        self.len += if written { bytes.len() as u64 } else { 0 };
        written
    }

    /// Reads from `at`; 0 bytes at the end.
    pub(super) fn read(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(into, at)
    }
}
