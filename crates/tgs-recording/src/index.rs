//! What a recording contains, read from its file: keyframes, chapters, and where the media ends.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use tgs_control::Timestamp;

use crate::{
    ebml::{ElementHead, LONGEST_HEAD, head},
    matroska::{
        CHAPTERS, CLUSTER, CLUSTER_START, CUES, FileHead, HeadPlaces, RecordedChapter, RecordedKeyframe,
        VOID, add_chapter, last_shown, read_chapters, read_cluster_start, read_cues, read_head, read_note,
    },
};

/// The longest head of a file.
pub(crate) const HEAD_SPACE: usize = 16 << 10;

/// Limit of a table (cues, chapters) and of the last cluster.
const MAX_TABLE: u64 = 64 << 20;

/// Limit of a note.
const MAX_NOTE: u64 = 16 << 10;

/// As in `part`: the length of the last picture.
const PICTURE_MS: u64 = 40;

/// What a recording contains.
#[derive(Debug, Clone)]
pub struct RecordingIndex {
    /// The time of its time 0.
    pub started: Timestamp,
    /// Its keyframes in order.
    pub keyframes: Vec<RecordedKeyframe>,
    /// Its chapters in order.
    pub chapters: Vec<RecordedChapter>,
    /// When its last frame ends, in milliseconds from its beginning.
    pub end: u64,
    /// Where its last cluster ends.
    pub media_end: u64,
    /// The description of its tracks; equal for files whose frames can follow each other.
    pub(crate) tracks: Vec<u8>,
    pub(crate) places: HeadPlaces,
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Reads up to `len` bytes at `at`; fewer at the end of the file.
fn read_at(file: &File, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut have = 0;
    while have < len {
        match file.read_at(&mut bytes[have..], at + have as u64) {
            Ok(0) => break,
            Ok(read) => have += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(have);
    Ok(bytes)
}

fn file_head_of(file: &File) -> io::Result<FileHead> {
    read_head(&read_at(file, 0, HEAD_SPACE)?).ok_or_else(|| damaged("it is no recording of this program"))
}

/// The head of the element at `at`, if all of the element is in a file of `len` bytes.
pub(crate) fn whole_element(file: &File, at: u64, len: u64) -> io::Result<Option<(ElementHead, u64)>> {
    let found = head(&read_at(file, at, LONGEST_HEAD)?);
    Ok(found.and_then(|found| {
        let end = (at + found.len as u64).checked_add(found.size?)?;
        (end <= len).then_some((found, end))
    }))
}

impl RecordingIndex {
    /// Reads the index of the recording at `path`, closed or not.
    pub fn open(path: &Path) -> io::Result<(File, Self)> {
        let file = tgs_core::files::open_regular(path)?;
        let index = Self::read(&file)?;
        Ok((file, index))
    }

    fn read(file: &File) -> io::Result<Self> {
        let head = file_head_of(file)?;
        let (Some(cues), Some(end)) = (head.cues, head.duration) else { return Self::walk(file) };
        let table = |at: u64, id: u32| {
            let found = whole_element(file, at, file.metadata()?.len())?;
            let found = found.filter(|(found, _)| found.id == id);
            let (found, end) = found.ok_or_else(|| damaged("its tables are missing"))?;
            let begins = at + found.len as u64;
            if end - begins > MAX_TABLE {
                return Err(damaged("its tables are too long"));
            }
            read_at(file, begins, (end - begins) as usize)
        };
        let chapters = head.chapters.and_then(|at| table(at, CHAPTERS).ok());
        Ok(Self {
            keyframes: read_cues(&table(cues, CUES)?, &head.places),
            chapters: chapters.as_deref().map(read_chapters).unwrap_or_default(),
            end,
            media_end: cues,
            started: head.started,
            places: head.places,
            tracks: head.tracks,
        })
    }

    /// Reads the index from the clusters themselves, for a file that is not closed. Ends before the
    /// first element that is damaged or not whole.
    pub(crate) fn walk(file: &File) -> io::Result<Self> {
        let head = file_head_of(file)?;
        let len = file.metadata()?.len();
        let mut at = head.places.end;
        let mut index = Self {
            started: head.started,
            keyframes: Vec::new(),
            chapters: Vec::new(),
            end: 0,
            media_end: at,
            tracks: head.tracks,
            places: head.places,
        };
        let mut newest = Vec::new();
        while let Some((found, end)) = whole_element(file, at, len)? {
            let body = at + found.len as u64;
            match found.id {
                CLUSTER => {
                    let start = read_at(file, body, CLUSTER_START.min((end - body) as usize))?;
                    let Some(start) = read_cluster_start(&start) else { break };
                    if let Some(time) = start.keyframe {
                        index.keyframes.push(RecordedKeyframe { time, at });
                    }
                    newest.push((at, body, end));
                }
                VOID if end - body <= MAX_NOTE => {
                    if let Some(chapter) = read_note(&read_at(file, body, (end - body) as usize)?) {
                        add_chapter(&mut index.chapters, chapter);
                    }
                }
                VOID => {}
                _ => break,
            }
            at = end;
        }
        // Titles behind the last cluster stay.
        index.media_end = at;
        index.end_with_last_whole(file, newest)?;
        Ok(index)
    }

    /// Ends with the newest cluster whose blocks are whole: a loss of power leaves holes.
    fn end_with_last_whole(&mut self, file: &File, mut clusters: Vec<(u64, u64, u64)>) -> io::Result<()> {
        while let Some((at, body, end)) = clusters.pop() {
            let blocks = read_at(file, body, (end - body).min(MAX_TABLE) as usize)?;
            if let Some(last) = last_shown(&blocks) {
                self.end = last + PICTURE_MS;
                break;
            }
            self.media_end = at;
            self.keyframes.retain(|keyframe| keyframe.at != at);
        }
        Ok(())
    }

    /// The time of the cluster at `at`.
    pub(crate) fn cluster_time(file: &File, at: u64) -> io::Result<u64> {
        let bytes = read_at(file, at, LONGEST_HEAD + CLUSTER_START)?;
        let body = head(&bytes).filter(|found| found.id == CLUSTER).and_then(|found| bytes.get(found.len..));
        let start = body.and_then(read_cluster_start);
        start.map(|start| start.time).ok_or_else(|| damaged("a cluster is missing"))
    }
}
