//! The directory of the recordings: its lock, its files, and which of them are deleted when.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tgs_control::{RecordListing, RecordedFile, Timestamp};
use tgs_core::{
    cancel::Cancel,
    files::lock::{FileLock, LockError},
};

use crate::place::read_name;

/// Held by the process that records into the directory.
const LOCK: &str = ".tgs-recording.lock";

/// Disk space that recordings leave to others: a twentieth of the disk, and no more than this.
const SPARE: u64 = 1_000_000_000;

/// Entries of the directory that are looked at.
const MOST_ENTRIES: usize = 100_000;

/// A recording in its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingFile {
    /// Its path.
    pub path: PathBuf,
    /// When it begins, to the second.
    pub started: Timestamp,
    /// When its file was last changed: for a closed one, when its media ends.
    pub changed: Timestamp,
    /// Its size.
    pub bytes: u64,
    /// Whether it is closed.
    pub finished: bool,
}

/// How long and how many recordings are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordingLimits {
    /// Age at which a recording is deleted.
    pub keep: Duration,
    /// Size of all recordings together; 0: without a limit.
    pub most: u64,
}

/// The directory, locked.
#[derive(Debug)]
pub struct RecordingStore {
    dir: PathBuf,
    _lock: FileLock,
}

/// The recordings in `dir`, oldest first. Other files are none of ours.
pub fn recordings(dir: &Path) -> io::Result<Vec<RecordingFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)?.take(MOST_ENTRIES) {
        let entry = entry?;
        let Some((started, finished)) = entry.file_name().to_str().and_then(read_name) else { continue };
        // Not of the target of a link.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_file() {
            let changed = meta.modified().map(Timestamp::from).unwrap_or_default();
            found.push(RecordingFile { path: entry.path(), started, changed, bytes: meta.len(), finished });
        }
    }
    found.sort_by(|a, b| (a.started, &a.path).cmp(&(b.started, &b.path)));
    Ok(found)
}

/// The newest `limit` recordings in `dir`, oldest first.
pub fn listing(dir: &Path, limit: usize) -> io::Result<RecordListing> {
    let mut all = recordings(dir)?;
    let bytes = all.iter().map(|file| file.bytes).sum();
    let count = all.len();
    let newest = all.split_off(count.saturating_sub(limit));
    let file = |file: RecordingFile| RecordedFile {
        name: file.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        from: file.started,
        to: file.changed.max(file.started),
        bytes: file.bytes,
        finished: file.finished,
    };
    Ok(RecordListing {
        dir: dir.display().to_string(),
        count,
        bytes,
        files: newest.into_iter().map(file).collect(),
    })
}

impl RecordingStore {
    /// Creates `dir` if it is missing (its parent must exist), and locks it.
    pub fn open(dir: &Path) -> io::Result<Self> {
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let lock = FileLock::take(dir, LOCK.as_ref(), Duration::ZERO, &Cancel::new());
        let lock = lock.map_err(|error| match error {
            LockError::Io(error) => error,
            held => io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("another broadcast records there ({held}); give this one a RECORD_DIR of its own"),
            ),
        })?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    /// The recordings that a crash has left unfinished, except `current`.
    pub fn unfinished(&self, current: Option<&Path>) -> io::Result<Vec<PathBuf>> {
        let all = recordings(&self.dir)?.into_iter();
        Ok(all.filter(|it| !it.finished && Some(&*it.path) != current).map(|it| it.path).collect())
    }

    /// Deletes closed recordings: those over the age, and the oldest while all together are over
    /// the size. Returns the number deleted, and the bytes that all others take.
    pub fn expire(&self, now: Timestamp, limits: RecordingLimits) -> io::Result<(usize, u64)> {
        let all = recordings(&self.dir)?;
        let mut bytes: u64 = all.iter().map(|file| file.bytes).sum();
        let oldest = now.0.saturating_sub(limits.keep.as_millis() as u64);
        let mut deleted = 0;
        for file in all.iter().filter(|file| file.finished) {
            let is_over = limits.most > 0 && bytes > limits.most;
            if file.changed.max(file.started).0 < oldest || is_over {
                match fs::remove_file(&file.path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => deleted += 1,
                }
                bytes -= file.bytes;
            }
        }
        Ok((deleted, bytes))
    }

    /// Fails if the disk has less than its spare space left.
    pub fn check_room(&self) -> io::Result<()> {
        let disk = rustix::fs::statvfs(&self.dir)?;
        let (size, free) = (disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize);
        let spare = (size / 20).min(SPARE);
        if size > 0 && free < spare {
            let mb = |bytes: u64| bytes / 1_000_000;
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("the disk has {} MB left, and recordings leave {} MB to others", mb(free), mb(spare)),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::FileTimes, time::UNIX_EPOCH};

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    /// A closed recording of 1000 bytes, of this day of 2026-03.
    fn file(dir: &Path, day: u32, ending: &str) -> PathBuf {
        let path = dir.join(format!("2026-03-{day:02}T00-00-00+0000{ending}"));
        fs::write(&path, [0; 1000]).unwrap();
        let (started, _) = read_name(path.file_name().unwrap().to_str().unwrap()).unwrap();
        let ended = UNIX_EPOCH + Duration::from_millis(started.0) + Duration::from_hours(1);
        let open = fs::File::options().write(true).open(&path).unwrap();
        open.set_times(FileTimes::new().set_modified(ended)).unwrap();
        path
    }

    #[test]
    fn recordings_are_deleted_by_age_and_size_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = RecordingStore::open(dir.path()).unwrap();
        (1..=6).for_each(|day| drop(file(dir.path(), day, ".mkv")));
        let current = file(dir.path(), 1, "-2.mkv.part");
        let other = dir.path().join("2026-03-01 holiday.mkv");
        fs::write(&other, [0; 5000]).unwrap();
        std::os::unix::fs::symlink(&other, dir.path().join("2026-02-01T00-00-00+0000.mkv")).unwrap();
        let now = Timestamp::parse("2026-03-07T00:30:00Z").unwrap();
        let days = || -> Vec<String> {
            let all = recordings(dir.path()).unwrap().into_iter().filter(|it| it.finished);
            all.map(|it| it.path.file_name().unwrap().to_str().unwrap()[8..10].to_owned()).collect()
        };
        let limits = |days: u32, most| RecordingLimits { keep: DAY * days, most };
        assert_eq!(store.expire(now, limits(5, 0)).unwrap(), (1, 6000));
        assert_eq!(days(), ["02", "03", "04", "05", "06"]);
        // What is being written counts, and is not deleted.
        assert_eq!(store.expire(now, limits(30, 3500)).unwrap(), (3, 3000));
        assert_eq!(days(), ["05", "06"]);
        assert_eq!(store.expire(now, limits(30, 1)).unwrap(), (2, 1000));
        assert!(current.exists() && other.exists());
        assert_eq!(store.unfinished(None).unwrap(), std::slice::from_ref(&current));
        assert!(store.unfinished(Some(&current)).unwrap().is_empty());
    }

    #[test]
    fn two_broadcasts_do_not_share_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records");
        let first = RecordingStore::open(&path).unwrap();
        let error = RecordingStore::open(&path).unwrap_err().to_string();
        assert!(error.contains("RECORD_DIR of its own"), "{error}");
        drop(first);
        RecordingStore::open(&path).unwrap();
        // A parent that is missing is a disk that is not mounted.
        assert!(RecordingStore::open(&dir.path().join("a/b")).is_err());
    }

    #[test]
    fn the_newest_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        (1..=3).for_each(|day| drop(file(dir.path(), day, ".mkv")));
        let found = listing(dir.path(), 2).unwrap();
        assert_eq!((found.count, found.bytes, found.files.len()), (3, 3000, 2));
        assert_eq!(found.files[0].name, "2026-03-02T00-00-00+0000.mkv");
        assert_eq!(found.files[0].to.millis_since(found.files[0].from), 3_600_000);
    }
}
