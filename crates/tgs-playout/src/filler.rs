//! The filler: a slate, or the operator's FILLER file, encoded once and stored on disk.
//!
//! Playback reads from disk: a filler that is rarely sent should not occupy memory.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Seek, Write},
    path::{Path, PathBuf},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tgs_core::{
    cancel::Cancel,
    digest, files,
    supervise::{Panic, contain},
};
use tgs_rtmp::flv::{self, FlvError, FlvReader, Kind};

use crate::{
    ffmpeg::{EncodeJob, EncodeSetup, Encoder, probe},
    item::{Item, ItemFailure, Media},
    source_failure::last_message,
    timeline::{Silence, Timeline},
};

/// Text of the built-in slate.
const TEXT: &str = "One moment, please";

/// Length of the slate before it repeats: two groups of pictures.
const SLATE_LENGTH: Duration = Duration::from_secs(4);

/// The encoded filler.
#[derive(Debug)]
pub struct Filler {
    tags: FillerReader,
    silence: Silence,
    /// Whether the filler has no sound of its own.
    silent: bool,
    /// The FILLER file while it is being encoded.
    coming: Option<PendingFiller>,
}

/// A FILLER file that a thread encodes; the broadcast begins with the slate.
#[derive(Debug)]
struct PendingFiller {
    done: mpsc::Receiver<(FillerReader, Option<Silence>)>,
    cancel: Cancel,
    thread: Option<JoinHandle<()>>,
}

impl Drop for PendingFiller {
    /// Ends the thread, its ffmpeg and the half-written file with the broadcast.
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type FillerReader = FlvReader<BufReader<File>>;

/// Why the filler could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum FillerError {
    /// The filler file could not be written or read.
    #[error("cannot keep the filler in {} (make room there, or name another by CACHE_DIR)", path.display())]
    Io {
        /// Path of the filler file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// ffmpeg could not encode the filler.
    #[error("ffmpeg cannot encode the slate: {0}")]
    Encode(#[from] FillerEncodeError),
}

/// Why a filler could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum FillerEncodeError {
    /// ffmpeg does not start.
    #[error("cannot start ffmpeg: {0}")]
    Start(#[source] io::Error),
    /// The FILLER file cannot be probed.
    #[error(transparent)]
    Probe(#[from] ItemFailure),
    /// The end of ffmpeg is unknown, or the file for its output cannot be emptied.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// ffmpeg's output cannot be read or stored.
    #[error("{0}")]
    Flv(#[from] FlvError),
    /// ffmpeg failed, or gave no picture.
    #[error("{message}")]
    Ffmpeg {
        /// ffmpeg's last message.
        message: String,
    },
    /// The encoded slate has no sound.
    #[error("it has no sound")]
    NoSound,
    /// The encoding panicked.
    #[error("{0}")]
    Panicked(Panic),
}

impl Filler {
    /// Opens the stored filler of this setup. If it is missing, encodes the slate before returning
    /// and the FILLER file in a thread. If FILLER cannot be used, logs a warning and keeps the
    /// slate.
    pub fn prepare(
        setup: &EncodeSetup,
        version: &str,
        ffprobe: &Path,
        file: Option<&Path>,
        dir: &Path,
        cancel: &Cancel,
    ) -> Result<Self, FillerError> {
        let slate = Self::slate(setup, version, dir, cancel)?;
        let Some(file) = file else { return Ok(slate) };
        let key = key(setup, version, Some(file));
        if let Ok((tags, sound)) = open(&kept_at(dir, &key)) {
            return Ok(Self { tags, silent: sound.is_none(), ..slate });
        }
        let (send, done) = mpsc::sync_channel(1);
        let (setup, cancel) = (setup.clone(), cancel.clone());
        let stop = cancel.clone();
        let (ffprobe, file, dir) = (ffprobe.to_owned(), file.to_owned(), dir.to_owned());
        let work = move || {
            let own = Self::kept(&dir, &key, |out| {
                let item = item(&file);
                let made = contain(|| {
                    let found = probe::probe(&ffprobe, &item.media, setup.wanted(), &cancel)?;
                    encode(&EncodeJob::item(&item, &found, &setup), &setup, &cancel, out)
                });
                made.unwrap_or_else(|panic| Err(FillerEncodeError::Panicked(panic)))
            });
            match own {
                Ok(own) => {
                    log::info!("FILLER {} is ready", file.display());
                    let _ = send.send(own);
                }
                Err(_) if cancel.is_cancelled() => {}
                Err(error) => {
                    log::warn!("FILLER {} cannot be used, the built-in slate is: {error}", file.display());
                }
            }
        };
        let thread = thread::Builder::new().name("filler".into()).spawn(work);
        let thread = thread
            .map_err(|error| log::warn!("FILLER cannot be used: failed to start a thread: {error}"))
            .ok();
        Ok(Self { coming: Some(PendingFiller { done, cancel: stop, thread }), ..slate })
    }

    /// Opens the filler stored under `key`, or makes it. A new file appears under its name only
    /// when complete.
    fn kept(
        dir: &Path,
        key: &str,
        make: impl FnOnce(&mut File) -> Result<(), FillerEncodeError>,
    ) -> Result<(FillerReader, Option<Silence>), FillerError> {
        let path = kept_at(dir, key);
        let at = |source| FillerError::Io { path: path.clone(), source };
        if let Ok(kept) = open(&path) {
            return Ok(kept);
        }
        let mut new = tempfile::Builder::new().prefix(".filler-").tempfile_in(dir).map_err(at)?;
        make(new.as_file_mut())?;
        new.as_file().sync_all().map_err(at)?;
        new.persist(&path).map_err(|error| at(error.error))?;
        open(&path).map_err(at)
    }

    /// The slate of this setup, from `dir` or newly encoded.
    fn slate(setup: &EncodeSetup, version: &str, dir: &Path, cancel: &Cancel) -> Result<Self, FillerError> {
        let make = |out: &mut File| {
            encode(&EncodeJob::slate(setup, TEXT, SLATE_LENGTH), setup, cancel, out).or_else(|_| {
                // An ffmpeg without the drawtext filter still encodes a slate without text.
                out.rewind().and_then(|()| out.set_len(0))?;
                encode(&EncodeJob::slate(setup, "", SLATE_LENGTH), setup, cancel, out)
            })
        };
        let key = key(setup, version, None);
        let slate = Self::kept(dir, &key, make).or_else(|error| {
            // A full or read-only cache directory must not stop the broadcast.
            log::warn!("{error}; the filler is made for this run only");
            Self::kept(&setup.scratch, &key, make)
        })?;
        let (tags, Some(silence)) = slate else {
            return Err(FillerEncodeError::NoSound.into());
        };
        Ok(Self { tags, silence, silent: false, coming: None })
    }

    /// Opens an encoded filler at `path`.
    #[cfg(test)]
    pub(crate) fn encoded(path: &Path) -> io::Result<Self> {
        let (tags, silence) = open(path)?;
        let silence = silence.ok_or_else(|| io::Error::other("it has no sound"))?;
        Ok(Self { tags, silence, silent: false, coming: None })
    }

    /// The sound that replaces missing sound.
    #[must_use]
    pub fn silence(&self) -> Silence {
        self.silence.clone()
    }

    /// Starts the filler from its beginning, or the FILLER file if that is ready now.
    pub fn enter(&mut self, timeline: &mut Timeline) -> io::Result<()> {
        if let Some((tags, sound)) = self.coming.as_ref().and_then(|coming| coming.done.try_recv().ok()) {
            (self.tags, self.silent) = (tags, sound.is_none());
        }
        self.tags.rewind()?;
        timeline.begin(0, 0, self.silent);
        Ok(())
    }

    /// Puts the next tag on the timeline, and starts again at the end.
    pub fn next(&mut self, timeline: &mut Timeline) -> Result<(), FlvError> {
        match self.tags.next_tag()? {
            Some(tag) => timeline.push(tag),
            None => self.enter(timeline)?,
        }
        Ok(())
    }
}

/// Path of the filler with this key.
fn kept_at(dir: &Path, key: &str) -> PathBuf {
    dir.join(format!("filler-{key}.flv"))
}

fn item(file: &Path) -> Item {
    let url = format!("file:{}", file.display());
    let media = Media::at(url, false);
    Item { id: file.display().to_string(), turn: 0, title: String::new(), start: Duration::ZERO, media }
}

/// Hashes everything that the encoded filler depends on.
fn key(setup: &EncodeSetup, version: &str, file: Option<&Path>) -> String {
    let encoding = format!("{:?} {:?} {version} {file:?} {TEXT}", setup.profile, setup.extra);
    let mut content = String::new();
    if let Some(meta) = file.and_then(|f| f.metadata().ok()) {
        let changed = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        content = format!("{} {changed:?}", meta.len());
    }
    digest::key([encoding, content])
}

/// Opens an encoded filler and returns its last frame of sound, if any: in the slate that frame is
/// silence.
fn open(path: &Path) -> io::Result<(FillerReader, Option<Silence>)> {
    let file = files::open_regular(path)?;
    // Marks the file as used; unused fillers are removed after 30 days.
    let _ = file.set_modified(SystemTime::now());
    let mut tags = FlvReader::new(BufReader::new(file));
    let (mut header, mut frame) = (None, None);
    let mut pictures = false;
    while let Some(tag) = tags.next_tag().map_err(io::Error::other)? {
        match tag.kind {
            Kind::Audio if tag.is_frame() => frame = Some(tag.body),
            Kind::Audio => header = Some(tag.body),
            _ => pictures |= tag.is_keyframe(),
        }
    }
    if !pictures {
        return Err(io::Error::other("it holds no picture"));
    }
    Ok((tags, header.zip(frame).map(|(header, frame)| Silence { header, frame })))
}

/// Encodes a job into an FLV file.
fn encode(
    job: &EncodeJob,
    setup: &EncodeSetup,
    cancel: &Cancel,
    out: &mut File,
) -> Result<(), FillerEncodeError> {
    let mut encoder = Encoder::start(job.command(setup), cancel).map_err(FillerEncodeError::Start)?;
    let mut out = BufWriter::new(out);
    let mut keyframes = 0;
    let mut copy = || -> Result<(), FlvError> {
        out.write_all(&flv::FILE_HEADER)?;
        while let Some(tag) = encoder.next_tag()? {
            keyframes += usize::from(tag.is_keyframe());
            flv::write_tag(&mut out, &tag)?;
        }
        Ok(out.flush()?)
    };
    let copied = copy();
    let ended = encoder.finish(copied.is_ok())?;
    copied?;
    if keyframes == 0 || !ended.status.success() {
        return Err(FillerEncodeError::Ffmpeg { message: last_message(&ended.messages) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use tgs_rtmp::flv::Tag;

    #[test]
    fn a_broken_file_is_no_filler() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.flv");
        fs::write(&path, flv::FILE_HEADER).unwrap();
        assert!(open(&path).is_err());
        let mut bytes = flv::FILE_HEADER.to_vec();
        let frame = |kind, body: &[u8]| Tag { kind, timestamp: 0, body: body.into() };
        flv::write_tag(&mut bytes, &frame(Kind::Video, &[0x17, 1, 0, 0, 0, 9])).unwrap();
        flv::write_tag(&mut bytes, &frame(Kind::Audio, &[0xaf, 0, 0x12, 0x10])).unwrap();
        flv::write_tag(&mut bytes, &frame(Kind::Audio, &[0xaf, 1, 7])).unwrap();
        fs::write(&path, &bytes).unwrap();
        assert_eq!(*open(&path).unwrap().1.unwrap().frame, [0xaf, 1, 7]);
        fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        assert!(open(&path).is_err());
    }
}
