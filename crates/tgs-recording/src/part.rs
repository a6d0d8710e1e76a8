//! A recording that is being written, and the repair of one that a crash has left.

use std::{
    fs::{self, File, FileTimes},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use tgs_control::Timestamp;
use tgs_rtmp::flv::Tag;

use crate::{
    index::{HEAD_SPACE, RecordingIndex},
    matroska::{
        HeadPlaces, RecordedChapter, RecordedKeyframe, RecordedTracks, add_chapter, chapters_element,
        closing, clusters, cues_element, file_head, note, plain_title, read_head,
    },
    place::{finished_path, free_path},
};

/// Chapters of one file; further ones are left out.
const MOST_CHAPTERS: usize = 10_000;

/// Length that the last picture is counted with.
const PICTURE_MS: u64 = 40;

/// A recording in progress. Dropping it leaves a file that [`repair`] can close.
#[derive(Debug)]
pub struct RecordingPart {
    file: File,
    path: PathBuf,
    codecs: Option<RecordedTracks>,
    places: HeadPlaces,
    started: Timestamp,
    /// Bytes of whole elements.
    len: u64,
    keyframes: Vec<RecordedKeyframe>,
    chapters: Vec<RecordedChapter>,
    /// Chapters that the file does not contain yet.
    notes: Vec<RecordedChapter>,
    /// When its last frame ends.
    end: u64,
}

impl RecordingPart {
    /// Creates a recording in `dir`, whose time 0 is `started`; `stem` is its name without an
    /// ending.
    pub fn create(dir: &Path, stem: &str, started: Timestamp, codecs: RecordedTracks) -> io::Result<Self> {
        let path = free_path(dir, stem)?;
        let file = File::options().read(true).write(true).create_new(true).mode(0o640).open(&path)?;
        let head = file_head(&codecs, started);
        let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "the codec headers are too long");
        let known = read_head(&head).filter(|_| head.len() <= HEAD_SPACE).ok_or_else(unreadable);
        let places = known.and_then(|known| file.write_all_at(&head, 0).map(|()| known.places));
        let places = places.inspect_err(|_| drop(fs::remove_file(&path)))?;
        Ok(Self {
            file,
            path,
            codecs: Some(codecs),
            places,
            started,
            len: head.len() as u64,
            keyframes: Vec::new(),
            chapters: Vec::new(),
            notes: Vec::new(),
            end: 0,
        })
    }

    /// The path while it is being written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The codec headers of its frames.
    #[must_use]
    pub fn codecs(&self) -> Option<&RecordedTracks> {
        self.codecs.as_ref()
    }

    /// The time of its time 0.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.len
    }

    /// Its length in milliseconds.
    #[must_use]
    pub fn millis(&self) -> u64 {
        self.end
    }

    /// Appends these frames, whose times count from the file's beginning, and waits until they are
    /// on the disk. After an error the file is as before.
    pub fn append(&mut self, tags: &[Tag]) -> io::Result<()> {
        let mut bytes: Vec<u8> = self.notes.iter().flat_map(note).collect();
        let offset = bytes.len();
        let mut keyframes = Vec::new();
        let at = self.len + offset as u64;
        let (media, last) = clusters(tags, |time, offset| {
            keyframes.push(RecordedKeyframe { time, at: at + offset as u64 });
        });
        if media.is_empty() {
            return Ok(());
        }
        bytes.extend(media);
        let written = self.file.write_all_at(&bytes, self.len).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += bytes.len() as u64;
        self.keyframes.extend(keyframes);
        self.end = self.end.max(last.map_or(0, |last| last + PICTURE_MS));
        for chapter in self.notes.drain(..) {
            add_chapter(&mut self.chapters, chapter);
        }
        Ok(())
    }

    /// Notes what begins at `time` milliseconds, written with the next frames. A keyframe within
    /// `snap` milliseconds gives the exact time.
    pub fn note_chapter(&mut self, time: u64, title: &str, snap: u64) {
        if self.chapters.len() + self.notes.len() < MOST_CHAPTERS {
            let nearest = self.keyframes.iter().rev().take(20).map(|it| it.time);
            let nearest = nearest.min_by_key(|known| known.abs_diff(time));
            let exact = nearest.filter(|known| known.abs_diff(time) <= snap).unwrap_or(time);
            self.notes.push(RecordedChapter { time: exact, title: plain_title(title) });
        }
    }

    /// Makes the file seekable and gives it its final name, which it returns. A file without a
    /// frame is deleted. After an error the file can still be repaired.
    pub fn close(mut self) -> io::Result<Option<PathBuf>> {
        if self.end == 0 {
            fs::remove_file(&self.path)?;
            return Ok(None);
        }
        for chapter in std::mem::take(&mut self.notes) {
            add_chapter(&mut self.chapters, chapter);
        }
        self.chapters.retain(|chapter| chapter.time < self.end);
        let cues = cues_element(&self.keyframes, &self.places);
        let chapters = chapters_element(&self.chapters, self.end);
        let chapters_at = self.len + cues.len() as u64;
        let end = chapters_at + chapters.len() as u64;
        let chapters_at = (!chapters.is_empty()).then_some(chapters_at);
        let tail = [cues, chapters].concat();
        let write = || {
            self.file.write_all_at(&tail, self.len)?;
            // The head must not name what is not on the disk yet.
            self.file.sync_data()?;
            for (at, bytes) in closing(&self.places, (self.len, chapters_at), self.end, end) {
                self.file.write_all_at(&bytes, at)?;
            }
            let ended = UNIX_EPOCH + Duration::from_millis(self.started.0 + self.end);
            let _ = self.file.set_times(FileTimes::new().set_modified(ended));
            self.file.sync_all()
        };
        if let Err(error) = write() {
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        let path = finished_path(&self.path)?;
        fs::rename(&self.path, &path)?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(Some(path))
    }
}

/// Closes the recording at `path`, which a crash has left: what is damaged at its end is removed.
/// Returns its final name and its length in milliseconds; `None` if it contained no frame, and was
/// deleted.
pub fn repair(path: &Path) -> io::Result<Option<(PathBuf, u64)>> {
    let file = File::options().read(true).write(true).open(path)?;
    let index = match RecordingIndex::walk(&file) {
        Ok(index) => index,
        // Not even its head was written.
        Err(error) if error.kind() == io::ErrorKind::InvalidData && file.metadata()?.len() < 64 << 10 => {
            fs::remove_file(path)?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    file.set_len(index.media_end)?;
    let part = RecordingPart {
        file,
        path: path.to_owned(),
        codecs: None,
        places: index.places,
        started: index.started,
        len: index.media_end,
        keyframes: index.keyframes,
        chapters: index.chapters,
        notes: Vec::new(),
        end: index.end,
    };
    let millis = part.end;
    Ok(part.close()?.map(|path| (path, millis)))
}
