//! The filler: a slate, or the operator's FILLER file, encoded once and stored on disk. The files
//! of a folder are encoded each on its own and played in turn.
//!
//! Playback reads from disk: a filler that is rarely sent should not occupy memory.

mod folder;

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

use self::folder::{MOST_FILES, files_of, length_of};
use crate::{
    ffmpeg::{
        EncodeJob, EncodeSetup, Encoder, draw,
        loudness::Loudness,
        loudness_run::measure,
        probe::{self, Probe},
    },
    item::{Item, ItemFailure, Media},
    lane_slate::LaneSlate,
    source_failure::last_message,
    timeline::{Silence, Timeline},
};

/// Text of the built-in slate.
const TEXT: &str = "One moment, please";

/// Length of the slate before it repeats: two groups of pictures.
const SLATE_LENGTH: Duration = Duration::from_secs(4);

/// Limit of the files of a FILLER folder together.
const LONGEST: Duration = Duration::from_mins(10);

/// The encoded filler.
#[derive(Debug)]
pub struct Filler {
    /// The slate, or the FILLER files that are ready, in the order of play.
    parts: Vec<FillerPart>,
    /// The part that is played.
    current: usize,
    silence: Silence,
    /// FILLER files that are being encoded.
    coming: Option<PendingFiller>,
    /// Whether `parts` is only the slate, which the first FILLER file replaces.
    is_slate: bool,
    /// What is shown in place of the slate.
    lane_slate: LaneSlate,
    lane_slate_on_air: Option<FillerReader>,
}

#[derive(Debug)]
struct FillerPart {
    tags: FillerReader,
    /// Whether it has no sound of its own.
    silent: bool,
}

/// FILLER files that a thread encodes; the broadcast begins with the slate.
#[derive(Debug)]
struct PendingFiller {
    done: mpsc::Receiver<FillerPart>,
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
    #[error("ffmpeg cannot encode it: {0}")]
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
    /// A file of a FILLER folder is longer than what the folder has left.
    #[error("the files of the folder would be longer than 10 minutes together")]
    TooLong,
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
        let files = files_of(file);
        if files.is_empty() {
            log::warn!("FILLER {} holds no files; the built-in slate is used", file.display());
            return Ok(slate);
        }
        let (send, done) = mpsc::sync_channel(MOST_FILES);
        let (setup, cancel) = (setup.clone(), cancel.clone());
        let stop = cancel.clone();
        let (ffprobe, version, dir) = (ffprobe.to_owned(), version.to_owned(), dir.to_owned());
        let encoder = FillerEncoder { setup, version, ffprobe, dir, cancel };
        // One file that is stored already needs no thread.
        if let [file] = &files[..]
            && let Ok(kept) =
                open(&kept_at(&encoder.dir, &key(&encoder.setup, &encoder.version, TEXT, Some(file))))
        {
            return Ok(Self { parts: vec![FillerPart::of(kept)], is_slate: false, ..slate });
        }
        let work = move || encoder.encode_all(&files, &send);
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
        let (tags, Some(silence)) = kept_slate(setup, version, TEXT, dir, cancel)?.0 else {
            return Err(FillerEncodeError::NoSound.into());
        };
        Ok(Self::of_slate(tags, silence))
    }

    fn of_slate(tags: FillerReader, silence: Silence) -> Self {
        let parts = vec![FillerPart { tags, silent: false }];
        Self {
            parts,
            current: 0,
            silence,
            coming: None,
            is_slate: true,
            lane_slate: LaneSlate::default(),
            lane_slate_on_air: None,
        }
    }

    /// Opens an encoded filler at `path`.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn encoded(path: &Path) -> io::Result<Self> {
        let (tags, silence) = open(path)?;
        let silence = silence.ok_or_else(|| io::Error::other("it has no sound"))?;
        Ok(Self::of_slate(tags, silence))
    }

    /// The sound that replaces missing sound.
    #[must_use]
    pub fn silence(&self) -> Silence {
        self.silence.clone()
    }

    /// Starts the filler from its beginning: with the first FILLER file if any is ready now, else
    /// `lane_slate`, else the slate.
    pub(crate) fn enter(&mut self, timeline: &mut Timeline, lane_slate: LaneSlate) -> io::Result<()> {
        self.current = 0;
        self.lane_slate = lane_slate;
        self.begin_part(timeline)
    }

    /// Puts the next tag on the timeline. At the end the next file follows, then the first again.
    pub fn next(&mut self, timeline: &mut Timeline) -> Result<(), FlvError> {
        let part = &mut self.parts[self.current];
        let tags = self.lane_slate_on_air.as_mut().unwrap_or(&mut part.tags);
        if let Some(tag) = tags.next_tag()? {
            timeline.push(tag);
            return Ok(());
        }
        self.current += 1;
        Ok(self.begin_part(timeline)?)
    }

    fn begin_part(&mut self, timeline: &mut Timeline) -> io::Result<()> {
        while let Some(part) = self.coming.as_ref().and_then(|coming| coming.done.try_recv().ok()) {
            if std::mem::take(&mut self.is_slate) {
                (self.parts, self.current) = (Vec::new(), 0);
            }
            self.parts.push(part);
        }
        self.current %= self.parts.len();
        let own = self.lane_slate.path().filter(|_| self.is_slate);
        let own = own.and_then(|path| files::open_regular(&path).ok());
        self.lane_slate_on_air = own.map(|file| FlvReader::new(BufReader::new(file)));
        let part = &mut self.parts[self.current];
        part.tags.rewind()?;
        timeline.begin(0, 0, part.silent);
        Ok(())
    }
}

impl FillerPart {
    fn of((tags, sound): (FillerReader, Option<Silence>)) -> Self {
        Self { tags, silent: sound.is_none() }
    }
}

/// Encodes FILLER files.
struct FillerEncoder {
    setup: EncodeSetup,
    version: String,
    ffprobe: PathBuf,
    dir: PathBuf,
    cancel: Cancel,
}

impl FillerEncoder {
    /// Encodes `files` in turn, up to [`LONGEST`], and sends each as soon as it is ready.
    fn encode_all(&self, files: &[PathBuf], send: &mpsc::SyncSender<FillerPart>) {
        let mut left = LONGEST;
        for file in files {
            let mut length = Duration::ZERO;
            let key = key(&self.setup, &self.version, TEXT, Some(file));
            let limit = if files.len() > 1 { Some(left) } else { None };
            let part = Filler::kept(&self.dir, &key, |out| {
                let made = contain(|| self.encode(file, limit, out));
                made.unwrap_or_else(|panic| Err(FillerEncodeError::Panicked(panic)))
            });
            match part {
                Ok(part) => {
                    log::info!("FILLER {} is ready", file.display());
                    length = length_of(&kept_at(&self.dir, &key)).unwrap_or_default();
                    let _ = send.send(FillerPart::of(part));
                }
                Err(_) if self.cancel.is_cancelled() => return,
                Err(error) if files.len() == 1 => {
                    log::warn!("FILLER {} cannot be used, the built-in slate is: {error}", file.display());
                }
                Err(error) => log::warn!("FILLER {} is left out: {error}", file.display()),
            }
            left = left.saturating_sub(length);
            if left.is_zero() {
                return;
            }
        }
    }

    fn encode(&self, file: &Path, limit: Option<Duration>, out: &mut File) -> Result<(), FillerEncodeError> {
        let item = item(file);
        let mut found = probe::probe(&self.ffprobe, &item.media, self.setup.wanted(), &self.cancel)?;
        if let Some(limit) = limit
            && found.duration.is_some_and(|length| length > limit)
        {
            return Err(FillerEncodeError::TooLong);
        }
        found.loudness = loudness(&self.setup, &item, &found, &self.cancel);
        draw::prepare_item(&self.setup, &item, &mut found, Some(draw::LONG), &self.cancel);
        encode(&EncodeJob::item(&item, &found, &self.setup), &self.setup, &self.cancel, out)
    }
}

/// The loudness of the FILLER file, if it is to be levelled.
fn loudness(setup: &EncodeSetup, item: &Item, found: &Probe, cancel: &Cancel) -> Option<Loudness> {
    let (options, channels) = (&setup.processing.sound, setup.profile.channels);
    options.loudness?;
    let mut proceed = || !cancel.is_cancelled();
    measure(&setup.ffmpeg, &item.media, found, options, channels, false, &mut proceed)
        .inspect_err(|why| log::debug!("the loudness of FILLER is not measured: {why}"))
        .ok()
}

/// Encodes the slate with `text` into `dir`, unless it is there, and returns its path.
pub(crate) fn slate_with(
    setup: &EncodeSetup,
    version: &str,
    text: &str,
    dir: &Path,
    cancel: &Cancel,
) -> Result<PathBuf, FillerError> {
    kept_slate(setup, version, text, dir, cancel).map(|(_, path)| path)
}

/// A filler's media, its last frame of sound, and its path.
type KeptFiller = ((FillerReader, Option<Silence>), PathBuf);

/// The slate with `text`, from `dir` or newly encoded.
fn kept_slate(
    setup: &EncodeSetup,
    version: &str,
    text: &str,
    dir: &Path,
    cancel: &Cancel,
) -> Result<KeptFiller, FillerError> {
    let make = |out: &mut File| {
        encode(&EncodeJob::slate(setup, text, SLATE_LENGTH), setup, cancel, out).or_else(|_| {
            // An ffmpeg without libass still encodes a slate without text.
            out.rewind().and_then(|()| out.set_len(0))?;
            encode(&EncodeJob::slate(setup, "", SLATE_LENGTH), setup, cancel, out)
        })
    };
    let key = key(setup, version, text, None);
    let slate = Filler::kept(dir, &key, make).map(|slate| (slate, kept_at(dir, &key)));
    slate.or_else(|error| {
        // A full or read-only cache directory must not stop the broadcast.
        log::warn!("{error}; the filler is made for this run only");
        let slate = Filler::kept(&setup.scratch, &key, make)?;
        Ok((slate, kept_at(&setup.scratch, &key)))
    })
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
fn key(setup: &EncodeSetup, version: &str, text: &str, file: Option<&Path>) -> String {
    let encoding =
        format!("{:?} {:?} {:?} {version} {file:?} {text}", setup.profile, setup.processing, setup.extra);
    let mut content = String::new();
    if let Some(meta) = file.and_then(|f| f.metadata().ok()) {
        let changed = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        content = format!("{} {changed:?}{}", meta.len(), file.map(draw::side_files).unwrap_or_default());
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
