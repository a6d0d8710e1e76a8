//! The files of the as-run log: appending, rotation, expiry and reading. A failed write is
//! repeated, and never stops anything.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    io::{self, Write},
    mem,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tgs_control::{AsRunEntry, Timestamp};

const NAME: &str = "as-run.jsonl";

/// Number of the open entry and the time up to which it was on air.
const ALIVE: &str = "as-run.alive";

/// Size at which a file is rotated: weeks of short clips.
const MAX_FILE: u64 = 8 << 20;

/// The most rotated files: some 500 MB, which only a list of very short items reaches.
const MAX_FILES: usize = 64;

/// Limit of a file that is read: one that was rotated, with a margin.
const MAX_READ: u64 = 2 * MAX_FILE;

/// Limit of the lines kept while they cannot be written.
const MAX_UNWRITTEN: usize = 1000;

/// The files of one STATE_DIR.
#[derive(Debug)]
pub(super) struct LogFiles {
    dir: PathBuf,
    path: PathBuf,
    keep: Duration,
    file: Option<OpenFile>,
    alive: Option<File>,
    /// Entries that could not be written.
    unwritten: VecDeque<AsRunEntry>,
    /// Whether the last write failed.
    failing: bool,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    /// Bytes of complete lines.
    len: u64,
    /// Beginning of the first entry.
    first: Option<Timestamp>,
}

impl LogFiles {
    pub(super) fn new(dir: &Path, keep: Duration) -> Self {
        Self {
            dir: dir.to_owned(),
            path: dir.join(NAME),
            keep,
            file: None,
            alive: None,
            unwritten: VecDeque::new(),
            failing: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The entry that ended last or is open, and the next free number.
    pub(super) fn last_entry(&self) -> (Option<AsRunEntry>, u64) {
        let newest = rotated(&self.dir).pop().map(|(_, path)| path);
        for path in [&self.path].into_iter().chain(&newest) {
            let entries = read(path, true).unwrap_or_else(|error| {
                log::warn!("failed to read {}: {error}; its entries stay as they are", path.display());
                AsRunEntries::new()
            });
            if let Some(n) = entries.values().map(|entry| entry.n).max() {
                // An entry without length may have begun beside an open one.
                let last = entries.into_values().rfind(|entry| entry.end != Some(entry.start));
                return (last, n + 1);
            }
        }
        (None, 1)
    }

    /// Appends the entries, a beginning with fsync. What cannot be written is kept for later.
    pub(super) fn append(&mut self, entries: &[AsRunEntry]) {
        self.unwritten.extend(entries.iter().cloned());
        let surplus = self.unwritten.len().saturating_sub(MAX_UNWRITTEN);
        self.unwritten.drain(..surplus);
        self.retry();
    }

    /// Writes what could not be written before. Logs the first of a series of failures, and the
    /// recovery.
    pub(super) fn retry(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        let result = self.write();
        let failed_before = mem::replace(&mut self.failing, result.is_err());
        match result {
            Ok(()) if failed_before => log::info!("{} is written again", self.path.display()),
            Err(error) if !failed_before => log::warn!(
                "failed to write {}: {error}; the broadcast goes on, and the last {MAX_UNWRITTEN} entries are kept \
                 until they can be written",
                self.path.display()
            ),
            _ => {}
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            self.rotate_if_due()?;
            let file = match &mut self.file {
                Some(file) => file,
                none => none.insert(OpenFile::open(&self.path)?),
            };
            // Up to the next beginning that may follow a rotation.
            let ends = self.unwritten.iter().position(|entry| entry.end.is_none());
            let count = ends.map_or(self.unwritten.len(), |at| at + 1);
            let mut bytes = Vec::new();
            for entry in self.unwritten.iter().take(count) {
                serde_json::to_writer(&mut bytes, entry)?;
                bytes.push(b'\n');
            }
            if let Err(error) = file.append(&bytes) {
                self.file = None;
                return Err(error);
            }
            file.first = file.first.or(self.unwritten.front().map(|entry| entry.start));
            self.unwritten.drain(..count);
        }
        Ok(())
    }

    /// Rotates before a beginning: a complete line is in the file of its beginning.
    fn rotate_if_due(&mut self) -> io::Result<()> {
        let next = self.unwritten.front().filter(|entry| entry.end.is_none());
        let (Some(next), Some(file)) = (next, &self.file) else { return Ok(()) };
        let month = |time: Timestamp| time.to_string()[..7].to_owned();
        let new_month = file.first.is_some_and(|first| month(first) < month(next.start));
        if file.len < MAX_FILE && !new_month {
            return Ok(());
        }
        let now = next.start;
        let stamp = now.to_string().replace(['-', ':', '.'], "");
        fs::rename(&self.path, self.dir.join(format!("as-run-{stamp}.jsonl")))?;
        self.file = None;
        self.expire(now);
        Ok(())
    }

    /// Deletes the files that were rotated before the kept time, and the oldest beyond
    /// [`MAX_FILES`].
    pub(super) fn expire(&self, now: Timestamp) {
        let oldest = now.0.saturating_sub(self.keep.as_millis() as u64);
        let all = rotated(&self.dir);
        let surplus = all.len().saturating_sub(MAX_FILES);
        for (at, (rotated, path)) in all.into_iter().enumerate() {
            if (rotated.0 < oldest || at < surplus)
                && let Err(error) = fs::remove_file(&path)
            {
                log::warn!("failed to delete the old as-run log {}: {error}", path.display());
            }
        }
    }

    /// Saves the time up to which the entry `n` was on air.
    pub(super) fn set_alive(&mut self, n: u64, at: Timestamp) {
        let line = format!("{n:020} {at}\n");
        let path = self.dir.join(ALIVE);
        // Overwritten in place: as long as the line is the same length, one block is written.
        let write = |file: &mut Option<File>| {
            let file = match file {
                Some(file) => file,
                none => none.insert(options().truncate(false).open(&path)?),
            };
            file.write_all_at(line.as_bytes(), 0)?;
            file.sync_data()
        };
        if let Err(error) = write(&mut self.alive) {
            self.alive = None;
            log::debug!("failed to write {}: {error}", self.dir.join(ALIVE).display());
        }
    }

    /// The saved time.
    pub(super) fn alive(&self) -> Option<(u64, Timestamp)> {
        let text = tgs_core::files::read_text(&self.dir.join(ALIVE)).ok()?;
        let (n, at) = text.trim_end().split_once(' ')?;
        Some((n.parse().ok()?, Timestamp::parse(at)?))
    }
}

impl OpenFile {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = options().append(true).open(path)?;
        let mut len = file.metadata()?.len();
        let bytes = if len == 0 { Vec::new() } else { tgs_core::files::read_regular(path, u64::MAX)? };
        if bytes.last().is_some_and(|last| *last != b'\n') {
            // A crash has torn the last line: the next one must not continue it.
            file.write_all(b"\n")?;
            len += 1;
        }
        let first = bytes.split(|byte| *byte == b'\n').find_map(entry_of).map(|entry| entry.start);
        Ok(Self { file, len, first })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.len += bytes.len() as u64,
            // Removes the part of a line that a full disk has accepted.
            Err(_) => self.file.set_len(self.len)?,
        }
        written
    }
}

fn options() -> fs::OpenOptions {
    let mut options = File::options();
    // O_NONBLOCK: the path may be a FIFO planted by another user.
    options.write(true).create(true).mode(0o640);
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    options
}

/// The rotated files with the times of their rotation, oldest first.
fn rotated(dir: &Path) -> Vec<(Timestamp, PathBuf)> {
    let Ok(found) = fs::read_dir(dir) else { return Vec::new() };
    let time = |name: &str| {
        let stamp = name.strip_prefix("as-run-")?.strip_suffix(".jsonl")?;
        let (year, month, day) = (stamp.get(..4)?, stamp.get(4..6)?, stamp.get(6..8)?);
        let (hour, minute, second) = (stamp.get(9..11)?, stamp.get(11..13)?, stamp.get(13..15)?);
        Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}.{}", stamp.get(15..)?))
    };
    let mut all: Vec<_> = found
        .flatten()
        .filter_map(|entry| Some((time(entry.file_name().to_str()?)?, entry.path())))
        .collect();
    all.sort();
    all
}

fn entry_of(line: &[u8]) -> Option<AsRunEntry> {
    serde_json::from_slice(line).ok().filter(|entry: &AsRunEntry| entry.n > 0)
}

/// Entries in order of time: both lines of an entry have the same beginning and number.
type AsRunEntries = BTreeMap<(Timestamp, u64), AsRunEntry>;

/// The entries of a file; a missing file has none. Damaged lines are skipped, with a
/// warning if `warn`.
fn read(path: &Path, warn: bool) -> io::Result<AsRunEntries> {
    let bytes = match tgs_core::files::read_regular(path, MAX_READ) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(AsRunEntries::new()),
        read => read?,
    };
    let mut entries = AsRunEntries::new();
    let mut damaged = Vec::new();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        match entry_of(line) {
            Some(entry) => drop(entries.insert((entry.start, entry.n), entry)),
            None if line.is_empty() => {}
            None => damaged.push(at + 1),
        }
    }
    if let Some(first) = damaged.first().filter(|_| warn) {
        log::warn!(
            "{} line {first} is damaged and skipped ({} damaged lines in the file)",
            path.display(),
            damaged.len()
        );
    }
    Ok(entries)
}

/// The newest `limit` entries that began at or after `since`, oldest first.
pub(super) fn list(dir: &Path, since: Option<Timestamp>, limit: usize) -> io::Result<Vec<AsRunEntry>> {
    let since = since.unwrap_or_default();
    let mut paths: Vec<_> =
        rotated(dir).into_iter().filter(|(rotated, _)| *rotated >= since).map(|(_, path)| path).collect();
    paths.push(dir.join(NAME));
    let mut all = AsRunEntries::new();
    for path in paths.iter().rev() {
        let mut entries = read(path, false)?;
        entries.retain(|key, _| key.0 >= since && !all.contains_key(key));
        all.append(&mut entries);
        if all.len() >= limit {
            break;
        }
    }
    let surplus = all.len().saturating_sub(limit);
    Ok(all.into_values().skip(surplus).collect())
}
