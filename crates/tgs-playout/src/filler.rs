//! What is shown when there is nothing to show: a slate, or the operator's FILLER file, encoded once and kept.
//!
//! It is read from disk while it plays: it must not cost memory all the time for what rarely happens.

use std::{
    collections::hash_map::DefaultHasher,
    fs::{self, File},
    hash::{Hash, Hasher},
    io::{self, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use tgs_core::{cancel::Cancel, files};

use crate::{
    encoder::{Encoder, Job, Setup, last_message},
    flv::{self, FlvError, Kind, Reader},
    item::{Item, Media, Source},
    probe,
    timeline::{Silence, Timeline},
};

/// What the built-in slate says.
const TEXT: &str = "One moment, please";

/// How long the slate is before it repeats: two groups of pictures.
const SLATE_LENGTH: Duration = Duration::from_secs(4);

/// The encoded filler.
#[derive(Debug)]
pub struct Filler {
    tags: Reader<BufReader<File>>,
    silence: Silence,
}

/// Why there is no filler.
#[derive(Debug, thiserror::Error)]
pub enum FillerError {
    /// It could not be kept or read.
    #[error("cannot keep the filler in {}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// ffmpeg could not make it.
    #[error("ffmpeg cannot encode the slate: {0}")]
    Encode(String),
}

impl Filler {
    /// Opens the kept filler of this setup, or encodes it. A FILLER file that cannot be used is told with a WARN and
    /// the slate is taken instead.
    pub fn prepare(
        setup: &Setup,
        version: &str,
        ffprobe: &Path,
        file: Option<&Path>,
        dir: &Path,
        cancel: &Cancel,
    ) -> Result<Self, FillerError> {
        let slate = Self::kept(dir, key(setup, version, None), || {
            encode(&Job::slate(setup, TEXT, SLATE_LENGTH), setup, cancel)
                // An ffmpeg built without the text filter still makes a bare slate.
                .or_else(|_| encode(&Job::slate(setup, "", SLATE_LENGTH), setup, cancel))
        })?;
        let Some(file) = file else { return Ok(slate) };
        let own = Self::kept(dir, key(setup, version, Some(file)), || {
            let item = item(file);
            let found = probe::probe(ffprobe, &item.media, cancel).map_err(|f| f.to_string())?;
            encode(&Job::item(&item, &found, setup), setup, cancel)
        });
        match own {
            Ok(own) => Ok(Self { silence: slate.silence, ..own }),
            Err(error) => {
                log::warn!("FILLER {} cannot be used, the built-in slate is: {error}", file.display());
                Ok(slate)
            }
        }
    }

    fn kept(
        dir: &Path,
        key: u64,
        make: impl FnOnce() -> Result<Vec<u8>, String>,
    ) -> Result<Self, FillerError> {
        let path = dir.join(format!("filler-{key:016x}.flv"));
        let at = |source| FillerError::Io { path: path.clone(), source };
        if let Ok(kept) = Self::open(&path) {
            return Ok(kept);
        }
        let bytes = make().map_err(FillerError::Encode)?;
        fs::create_dir_all(dir).map_err(at)?;
        files::replace(&path, &bytes, 0o644).map_err(at)?;
        Self::open(&path).map_err(at)
    }

    /// Opens an encoded filler and finds its silence.
    fn open(path: &Path) -> io::Result<Self> {
        let mut tags = Reader::new(BufReader::new(File::open(path)?));
        let (mut header, mut frame) = (None, None);
        let mut pictures = false;
        loop {
            match tags.next_tag() {
                Ok(None) => break,
                Ok(Some(tag)) if tag.kind == Kind::Audio && tag.is_frame() => frame = Some(tag.body),
                Ok(Some(tag)) if tag.kind == Kind::Audio => header = Some(tag.body),
                Ok(Some(tag)) => pictures |= tag.is_keyframe(),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        match (header, frame) {
            (Some(header), Some(frame)) if pictures => Ok(Self { tags, silence: Silence { header, frame } }),
            _ => Err(io::Error::other("it holds no picture or no sound")),
        }
    }

    /// What is put where there is no sound.
    #[must_use]
    pub fn silence(&self) -> Silence {
        self.silence.clone()
    }

    /// Goes on air from its beginning.
    pub fn enter(&mut self, timeline: &mut Timeline) -> io::Result<()> {
        self.tags.rewind()?;
        timeline.begin(0, 0, false);
        Ok(())
    }

    /// Puts the next tag on the timeline; from the beginning again at the end.
    pub fn next(&mut self, timeline: &mut Timeline) -> Result<(), FlvError> {
        match self.tags.next_tag()? {
            Some(tag) => timeline.push(tag),
            None => self.enter(timeline)?,
        }
        Ok(())
    }
}

impl Reader<BufReader<File>> {
    /// Reads from the beginning again.
    fn rewind(&mut self) -> io::Result<()> {
        self.restart(|file| file.seek(SeekFrom::Start(0)).map(|_| ()))
    }
}

fn item(file: &Path) -> Item {
    let url = format!("file:{}", file.display());
    let media = Media { sources: vec![Source { url, headers: Vec::new() }], live: false, expires: None };
    Item { id: file.display().to_string(), title: String::new(), start: Duration::ZERO, media }
}

/// Names everything that the encoded filler depends on.
fn key(setup: &Setup, version: &str, file: Option<&Path>) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{:?} {:?} {version} {file:?} {TEXT}", setup.profile, setup.extra).hash(&mut hasher);
    if let Some(meta) = file.and_then(|f| f.metadata().ok()) {
        let changed = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        (meta.len(), changed).hash(&mut hasher);
    }
    hasher.finish()
}

/// Encodes a task into an FLV file's bytes.
fn encode(job: &Job, setup: &Setup, cancel: &Cancel) -> Result<Vec<u8>, String> {
    let mut encoder =
        Encoder::start(job.command(setup), cancel).map_err(|e| format!("cannot start ffmpeg: {e}"))?;
    let mut bytes = flv::FILE_HEADER.to_vec();
    let mut keyframes = 0;
    let read = loop {
        match encoder.next_tag() {
            Ok(Some(tag)) => {
                keyframes += usize::from(tag.is_keyframe());
                flv::write_tag(&mut bytes, &tag).map_err(|e| e.to_string())?;
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.to_string()),
        }
    };
    let ended = encoder.finish(read.is_ok()).map_err(|e| e.to_string())?;
    read?;
    if keyframes == 0 || !ended.status.success() {
        return Err(last_message(&ended.messages));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::Tag;

    #[test]
    fn a_broken_file_is_no_filler() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.flv");
        fs::write(&path, flv::FILE_HEADER).unwrap();
        assert!(Filler::open(&path).is_err());
        let mut bytes = flv::FILE_HEADER.to_vec();
        let frame = |kind, body: &[u8]| Tag { kind, timestamp: 0, body: body.into() };
        flv::write_tag(&mut bytes, &frame(Kind::Video, &[0x17, 1, 0, 0, 0, 9])).unwrap();
        flv::write_tag(&mut bytes, &frame(Kind::Audio, &[0xaf, 0, 0x12, 0x10])).unwrap();
        flv::write_tag(&mut bytes, &frame(Kind::Audio, &[0xaf, 1, 7])).unwrap();
        fs::write(&path, &bytes).unwrap();
        assert_eq!(*Filler::open(&path).unwrap().silence().frame, [0xaf, 1, 7]);
        fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        assert!(Filler::open(&path).is_err());
    }
}
