//! The file of an entry: tags, the index, and a footer that locates the index. Reads one group of
//! pictures at a time and verifies its checksum before returning any of it.
//!
//! ```text
//! FLV header │ tags … │ index (JSON) │ tags length u64 │ index length u64 │ CRC-32 u32 │ magic
//! ```
//!
//! Numbers are little-endian. A player reads the file as FLV with trailing data.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use tgs_core::files;
use tgs_rtmp::flv::{self, FILE_HEADER, Tag};

/// The last bytes of a complete entry; the digit is the format version.
const MAGIC: [u8; 8] = *b"tgsitem1";

const FOOTER: u64 = 28;

/// Limit of the index size: an item takes 30 bytes for every two seconds.
const MAX_INDEX: u64 = 64 << 20;

/// Limit of a group's size in bytes: two seconds at ten times the largest bitrate.
const MAX_GROUP: u64 = 16 << 20;

/// Keyframes less than this many milliseconds apart are the same picture.
const SAME_PICTURE: u64 = 15;

/// Size of the write buffer. The C library keeps as much in reserve for each of a dozen threads:
/// 256 KiB took 2.4 MiB more after ten minutes of `cargo xtask soak`.
const BUFFER: usize = 32 << 10;

/// The index behind the tags.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EntryIndex {
    /// The item's title.
    pub(super) title: String,
    /// Whether the picture is a slate that shows the title.
    pub(super) slate: bool,
    /// Whether the item has no sound.
    pub(super) silent: bool,
    /// The item's probed length in milliseconds.
    pub(super) millis: u64,
    /// The groups of pictures, in order.
    pub(super) groups: Vec<IndexedGroup>,
}

/// A keyframe and the tags up to the next keyframe. The first group also holds the tags before its
/// keyframe.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u32)", into = "(u64, u64, u32)")]
pub(super) struct IndexedGroup {
    /// The keyframe's time in milliseconds.
    at: u64,
    /// Offset of the group's first byte in the file.
    offset: u64,
    /// CRC-32 of the group's bytes.
    sum: u32,
}

impl From<(u64, u64, u32)> for IndexedGroup {
    fn from((at, offset, sum): (u64, u64, u32)) -> Self {
        Self { at, offset, sum }
    }
}

impl From<IndexedGroup> for (u64, u64, u32) {
    fn from(group: IndexedGroup) -> Self {
        (group.at, group.offset, group.sum)
    }
}

/// An open entry.
#[derive(Debug)]
pub struct CacheEntry {
    file: File,
    path: PathBuf,
    /// Offset of the end of the tags.
    end: u64,
    index: EntryIndex,
}

/// The entry is damaged and cannot be played from `at` on.
#[derive(Debug)]
pub struct DamagedEntry {
    /// Offset from the item's beginning.
    pub at: Duration,
}

impl CacheEntry {
    /// Opens the entry at `path`; `InvalidData` if the entry is incomplete.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = files::open_regular(path)?;
        let bad = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        let length = file.metadata()?.len();
        let footer_at = length.checked_sub(FOOTER).ok_or_else(|| bad("it is too short"))?;
        let mut footer = [0; FOOTER as usize];
        file.read_exact_at(&mut footer, footer_at)?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|n| footer[at + n]));
        let (end, index_length) = (number(0), number(8));
        let sum = u32::from_le_bytes(std::array::from_fn(|n| footer[16 + n]));
        if footer[20..] != MAGIC
            || index_length > MAX_INDEX
            || end.checked_add(index_length) != Some(footer_at)
        {
            return Err(bad("its end is missing"));
        }
        let mut bytes = vec![0; index_length as usize];
        file.read_exact_at(&mut bytes, end)?;
        if crc32fast::hash(&bytes) != sum {
            return Err(bad("its index is damaged"));
        }
        let index: EntryIndex =
            serde_json::from_slice(&bytes).map_err(|_| bad("its index cannot be read"))?;
        let starts = index.groups.iter().map(|group| group.offset);
        let ends = starts.clone().skip(1).chain([end]);
        if index.groups.is_empty() || starts.zip(ends).any(|(from, to)| to <= from || to - from > MAX_GROUP) {
            return Err(bad("its index makes no sense"));
        }
        Ok(Self { file, path: path.to_owned(), end, index })
    }

    /// The item's title when it was encoded.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.index.title
    }

    /// The item's length.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_millis(self.index.millis)
    }

    /// Whether the item has no sound.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.index.silent
    }

    /// Whether the picture suits an item of this `title`: a slate shows its title.
    pub(super) fn shows(&self, title: &str) -> bool {
        !self.index.slate || self.index.title == title
    }

    /// Whether a keyframe lies at `from`, to within a picture.
    #[must_use]
    pub(crate) fn begins_at(&self, from: Duration) -> bool {
        let from = from.as_millis() as u64;
        let next = self.index.groups.iter().find(|group| group.at >= from);
        next.is_some_and(|group| group.at - from < SAME_PICTURE)
    }

    /// Plays the entry from the first keyframe at or after `from`, or else from the last one, and
    /// marks the entry as used now.
    ///
    /// Not from the keyframe before: a stored position is up to two seconds old already.
    #[must_use]
    pub fn play(self, from: Duration) -> CachePlayback {
        // The modification time orders eviction. A failure only makes the entry go too early.
        let _ = self.file.set_modified(SystemTime::now());
        let from = from.as_millis() as u64;
        let next = self.index.groups.partition_point(|group| group.at < from);
        let next = next.min(self.index.groups.len() - 1);
        CachePlayback { entry: self, next, begun: false, bytes: Vec::new() }
    }

    /// Reads a group's bytes and verifies their checksum.
    fn read(&self, which: usize, into: &mut Vec<u8>) -> Option<()> {
        let group = self.index.groups[which];
        let end = self.index.groups.get(which + 1).map_or(self.end, |next| next.offset);
        into.resize((end - group.offset) as usize, 0);
        self.file.read_exact_at(into, group.offset).ok()?;
        (crc32fast::hash(into) == group.sum).then_some(())
    }
}

/// A playing entry.
#[derive(Debug)]
pub struct CachePlayback {
    entry: CacheEntry,
    next: usize,
    begun: bool,
    bytes: Vec<u8>,
}

impl CachePlayback {
    /// The next group of pictures, the sequence headers before the first; `None` at the end.
    pub fn next_group(&mut self) -> Option<Result<Vec<Tag>, DamagedEntry>> {
        let group = *self.entry.index.groups.get(self.next)?;
        let damaged = DamagedEntry { at: Duration::from_millis(group.at) };
        let mut tags = Vec::with_capacity(192);
        if !self.begun && self.next > 0 {
            // Playback from half-way needs the sequence headers of the first group.
            let Some(first) = self.tags_of(0) else { return Some(Err(damaged)) };
            tags.extend(first.into_iter().filter(Tag::is_sequence_header));
        }
        self.begun = true;
        let Some(own) = self.tags_of(self.next) else { return Some(Err(damaged)) };
        tags.extend(own);
        self.next += 1;
        Some(Ok(tags))
    }

    fn tags_of(&mut self, which: usize) -> Option<Vec<Tag>> {
        self.entry.read(which, &mut self.bytes)?;
        let mut rest = &self.bytes[..];
        let mut tags = Vec::new();
        while !rest.is_empty() {
            let (tag, behind) = flv::split_tag(rest)?;
            tags.push(tag);
            rest = behind;
        }
        Some(tags)
    }

    /// Removes the entry from the cache, because it is damaged.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.entry.path);
    }
}

/// Writes an entry's file. The caller decides when the entry is complete.
#[derive(Debug)]
pub(super) struct EntryWriter {
    out: BufWriter<File>,
    groups: Vec<IndexedGroup>,
    /// Of the open group: the time of its keyframe, once that has come, and the offset of its first
    /// byte.
    at: Option<u64>,
    offset: u64,
    length: u64,
    sum: crc32fast::Hasher,
}

impl EntryWriter {
    /// Starts an entry in `file`, which must be empty.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(BUFFER, file);
        out.write_all(&FILE_HEADER)?;
        let length = FILE_HEADER.len() as u64;
        Ok(Self { out, groups: Vec::new(), at: None, offset: length, length, sum: crc32fast::Hasher::new() })
    }

    /// Bytes written so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn push(&mut self, tag: &Tag) -> io::Result<()> {
        if tag.is_keyframe() {
            if self.at.is_some() {
                self.close_group();
            }
            self.at.get_or_insert(tag.timestamp);
        }
        flv::write_tag(&mut ChecksumWriter(self), tag)
    }

    fn close_group(&mut self) {
        if let Some(at) = self.at.take() {
            let sum = std::mem::take(&mut self.sum).finalize();
            self.groups.push(IndexedGroup { at, offset: self.offset, sum });
            self.offset = self.length;
        }
    }

    /// Syncs the written data to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_data()
    }

    /// Writes the index and the footer, and syncs the file to disk. Returns the file, which still
    /// holds the caller's lock.
    pub(super) fn finish(mut self, mut index: EntryIndex) -> io::Result<File> {
        self.close_group();
        index.groups = self.groups;
        let bytes = serde_json::to_vec(&index)?;
        self.out.write_all(&bytes)?;
        self.out.write_all(&self.length.to_le_bytes())?;
        self.out.write_all(&(bytes.len() as u64).to_le_bytes())?;
        self.out.write_all(&crc32fast::hash(&bytes).to_le_bytes())?;
        self.out.write_all(&MAGIC)?;
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Counts the written bytes and adds them to the group's checksum.
struct ChecksumWriter<'a>(&'a mut EntryWriter);

impl Write for ChecksumWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.0.out.write(bytes)?;
        self.0.sum.update(&bytes[..count]);
        self.0.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.out.flush()
    }
}
