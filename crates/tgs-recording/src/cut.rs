//! A part of the recordings as one Matroska stream, cut at keyframes.
//!
//! Files that follow each other are joined. Times at which nothing was recorded are left out, and
//! named. Frames are copied; only the times of the clusters change.

use std::{collections::VecDeque, fs::File, io, os::unix::fs::FileExt, path::Path, time::Duration};

use tgs_control::{RecordCut, RecordGap, RecordMoment, Timestamp};

use crate::{
    index::{RecordingIndex, whole_element},
    matroska::{CLUSTER, RecordedChapter, RecordedKeyframe, TIME_IN_CLUSTER, stream_head},
    place::RecordingZone,
    store::{RecordingFile, recordings},
};

/// The longest cut.
pub const LONGEST_CUT: Duration = Duration::from_hours(24);

/// The most files of a cut: they are open at once.
const MOST_FILES: usize = 256;

/// A longer time between two files is left out.
const MAX_GAP: u64 = 3000;

/// Slack for the names of files, which have seconds.
const SLACK: u64 = 2000;

/// The largest element that is copied.
const MAX_ELEMENT: u64 = 64 << 20;

/// Why there is no cut.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// `to` is not behind `from`.
    #[error("the end of the cut is not behind its beginning")]
    Backwards,
    /// The cut is too long.
    #[error("a cut has at most {} hours", LONGEST_CUT.as_secs() / 3600)]
    TooLong,
    /// The cut has too many files.
    #[error("the cut has parts of {0} files, and {MOST_FILES} is the limit; cut a shorter time")]
    TooManyFiles(usize),
    /// Nothing was recorded in that time.
    #[error("nothing was recorded between {0} and {1}; tgs-ctl record list shows what was")]
    Nothing(String, String),
    /// The format of picture or sound changes, and one file cannot hold both.
    #[error(
        "the format of picture or sound changes at {0}, and one file cannot hold both; cut up to that time, and \
             from it on"
    )]
    FormatChanges(String),
    /// A recording cannot be read.
    #[error("read {name}: {source}")]
    Read {
        /// The file's name.
        name: String,
        /// The cause.
        source: io::Error,
    },
}

/// The bytes of a cut, in order.
#[derive(Debug)]
pub struct CutStream {
    head: Option<Vec<u8>>,
    pieces: VecDeque<CutPiece>,
}

/// A part of one file.
#[derive(Debug)]
struct CutPiece {
    file: File,
    at: u64,
    end: u64,
    /// Added to the times of its clusters.
    shift: i64,
}

/// What of one file belongs to a cut.
#[derive(Debug)]
struct Selection {
    file: File,
    index: RecordingIndex,
    first: RecordedKeyframe,
    /// The time of the cluster of `first`: when its first frame is decoded.
    decoded: u64,
    /// Position and time of the end.
    end: (u64, u64),
}

impl Selection {
    fn begins(&self) -> u64 {
        self.index.started.0 + self.first.time
    }

    fn ends(&self) -> u64 {
        self.index.started.0 + self.end.1
    }
}

/// Plans the cut of the recordings in `dir`, from the last keyframe at or before `from` to the
/// first at or behind `to`.
pub fn cut(
    dir: &Path,
    from: Timestamp,
    to: Timestamp,
    zone: &RecordingZone,
) -> Result<(RecordCut, CutStream), CutError> {
    if to <= from {
        return Err(CutError::Backwards);
    }
    if u128::from(to.millis_since(from)) > LONGEST_CUT.as_millis() {
        return Err(CutError::TooLong);
    }
    let read = |name: &Path, source| CutError::Read { name: name.display().to_string(), source };
    let all = recordings(dir).map_err(|error| read(dir, error))?;
    let files: Vec<_> = candidates(&all, from, to).collect();
    if files.len() > MOST_FILES {
        return Err(CutError::TooManyFiles(files.len()));
    }
    let mut selected = Vec::new();
    for file in files {
        let found = select(&file.path, from, to).map_err(|error| read(&file.path, error))?;
        selected.extend(found);
    }
    let Some(first) = selected.first() else {
        return Err(CutError::Nothing(zone.shown(from), zone.shown(to)));
    };
    if let Some(other) = selected.iter().find(|other| other.index.tracks != first.index.tracks) {
        return Err(CutError::FormatChanges(zone.shown(Timestamp(other.begins()))));
    }
    Ok(join(selected, zone))
}

/// The files that may have a part of the time.
fn candidates(all: &[RecordingFile], from: Timestamp, to: Timestamp) -> impl Iterator<Item = &RecordingFile> {
    let follows = all.iter().skip(1).map(|next| Some(next.started)).chain([None]);
    all.iter().zip(follows).filter_map(move |(file, next)| {
        let is_before = next.is_some_and(|next| next.0 + SLACK <= from.0);
        (!is_before && file.started < to).then_some(file)
    })
}

/// What of the file at `path` is in the time, if anything.
fn select(path: &Path, from: Timestamp, to: Timestamp) -> io::Result<Option<Selection>> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let (file, index) = match RecordingIndex::open(path) {
        // Closed meanwhile.
        Err(error) if gone(&error) && is_unfinished(path) => {
            return select(&path.with_extension(""), from, to);
        }
        // Deleted meanwhile, or its head is not written yet.
        Err(error) if gone(&error) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData && is_unfinished(path) => return Ok(None),
        opened => opened?,
    };
    let (begins, ends) = (index.started.0, index.started.0 + index.end);
    if ends <= from.0 || begins >= to.0 {
        return Ok(None);
    }
    let (from, to) = (from.0.saturating_sub(begins), to.0 - begins);
    let before = index.keyframes.partition_point(|keyframe| keyframe.time <= from);
    let Some(first) = index.keyframes.get(before.saturating_sub(1)).copied() else { return Ok(None) };
    let behind = index.keyframes.iter().find(|keyframe| keyframe.time >= to && keyframe.at > first.at);
    let end = behind.map_or((index.media_end, index.end), |keyframe| (keyframe.at, keyframe.time));
    let decoded = RecordingIndex::cluster_time(&file, first.at)?;
    Ok(Some(Selection { file, index, first, decoded, end }))
}

fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "part")
}

/// Puts the selections on one clock.
fn join(selected: Vec<Selection>, zone: &RecordingZone) -> (RecordCut, CutStream) {
    let moment = |at: u64| RecordMoment { utc: Timestamp(at), local: zone.shown(Timestamp(at)) };
    let from = selected.first().map_or(0, Selection::begins);
    let (mut to, mut end) = (from, 0_i64);
    let (mut pieces, mut missing) = (VecDeque::new(), Vec::new());
    let (mut chapters, mut tracks) = (Vec::<RecordedChapter>::new(), Vec::new());
    for selection in selected {
        let begins = selection.begins();
        let shift = if pieces.is_empty() {
            -(selection.decoded as i64)
        } else {
            let gap = begins as i64 - to as i64;
            if gap > MAX_GAP as i64 {
                missing.push(RecordGap { from: moment(to), to: moment(begins) });
            }
            let kept = if (-1000..=MAX_GAP as i64).contains(&gap) { gap } else { 0 };
            end + kept - selection.first.time as i64
        };
        let moved = |time: u64| (time as i64).saturating_add(shift).max(0) as u64;
        add_chapters(&mut chapters, &selection, moved);
        (to, end) = (selection.ends(), moved(selection.end.1) as i64);
        tracks = selection.index.tracks;
        let (at, end) = (selection.first.at, selection.end.0);
        pieces.push_back(CutPiece { file: selection.file, at, end, shift });
    }
    let head = stream_head(&tracks, Timestamp(from), end as u64, &chapters);
    let media: u64 = pieces.iter().map(|piece| piece.end - piece.at).sum();
    let cut = RecordCut {
        format: "matroska".to_owned(),
        from: moment(from),
        to: moment(to),
        seconds: end as f64 / 1000.0,
        bytes: head.len() as u64 + media,
        missing,
    };
    (cut, CutStream { head: Some(head), pieces })
}

/// Adds the chapters of a selection. One that continues the chapter before is left out.
fn add_chapters(all: &mut Vec<RecordedChapter>, selection: &Selection, moved: impl Fn(u64) -> u64) {
    let (first, of_file) = (selection.first.time, &selection.index.chapters);
    let current = of_file.iter().rev().find(|chapter| chapter.time <= first);
    if let Some(current) = current
        && all.last().is_none_or(|last| last.title != current.title)
    {
        all.push(RecordedChapter { time: moved(first), title: current.title.clone() });
    }
    let later = of_file.iter().filter(|it| it.time > first && it.time < selection.end.1);
    all.extend(later.map(|it| RecordedChapter { time: moved(it.time), title: it.title.clone() }));
}

impl CutStream {
    /// The next bytes of the stream; `None` at its end.
    pub fn next_bytes(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(head) = self.head.take() {
            return Ok(Some(head));
        }
        while self.pieces.front().is_some_and(|piece| piece.at >= piece.end) {
            self.pieces.pop_front();
        }
        let Some(piece) = self.pieces.front_mut() else { return Ok(None) };
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a recording is damaged");
        let (found, end) = whole_element(&piece.file, piece.at, piece.end)?.ok_or_else(damaged)?;
        if end - piece.at > MAX_ELEMENT {
            return Err(damaged());
        }
        let mut bytes = vec![0; (end - piece.at) as usize];
        piece.file.read_exact_at(&mut bytes, piece.at)?;
        piece.at = end;
        if found.id == CLUSTER {
            let begins = found.len + TIME_IN_CLUSTER;
            let time = bytes.get_mut(begins..begins + 8).ok_or_else(damaged)?;
            let old = time.iter().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
            let new = (old as i64).saturating_add(piece.shift).max(0);
            time.copy_from_slice(&new.to_be_bytes());
        }
        Ok(Some(bytes))
    }
}
