//! Knows the loudness of items: measures them, and keeps the measurements beside the cache.
//!
//! A measurement is a file of one line in `CACHE_DIR/loudness`, named by a hash of the content, the
//! part and the stream. Content that changes has another name. Unlike the entries of the cache,
//! measurements do not depend on the profile or the version of the encoder.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tgs_core::{
    digest,
    files::{read_text, replace},
};

use crate::{
    cache,
    ffmpeg::{
        Probe,
        loudness::{Gain, Loudness, LoudnessTarget, gain},
        loudness_run::{LoudnessError, measure},
        sound::SoundOptions,
    },
    item::Media,
};

/// Name of the directory under CACHE_DIR.
const DIRECTORY: &str = "loudness";

/// Most measurements to keep; the oldest are removed at the next start.
const MOST: usize = 50_000;

/// Version of the measurement: those of another version are not used.
const VERSION: u32 = 1;

/// A file that a killed writer left is removed after this time.
const LEFT_BEHIND: Duration = Duration::from_hours(24);

/// Measures items for one target, and remembers their loudness.
#[derive(Debug, Clone)]
pub struct LoudnessMeter {
    ffmpeg: PathBuf,
    sound: SoundOptions,
    target: LoudnessTarget,
    channels: u32,
    image_duration: Duration,
    dir: PathBuf,
}

impl LoudnessMeter {
    /// A meter for sound with these options, mixed to `channels`, with its measurements in
    /// `cache_dir`. `None` if the options leave the loudness as it is.
    #[must_use]
    pub fn open(
        ffmpeg: &Path,
        sound: &SoundOptions,
        channels: u32,
        image_duration: Duration,
        cache_dir: &Path,
    ) -> Option<Self> {
        let dir = cache_dir.join(DIRECTORY);
        let target = sound.loudness?;
        sweep(&dir);
        Some(Self { ffmpeg: ffmpeg.to_owned(), sound: sound.clone(), target, channels, image_duration, dir })
    }

    /// The target in LUFS.
    #[must_use]
    pub fn target(&self) -> f64 {
        self.target.lufs
    }

    /// The gain of a sound with this loudness.
    #[must_use]
    pub fn gain(&self, loudness: &Loudness) -> Gain {
        gain(loudness, &self.target)
    }

    /// The kept measurement of the sound that `found` names in `media`.
    #[must_use]
    pub fn known(&self, media: &Media, found: &Probe) -> Option<Loudness> {
        Self::read(&self.path(media, found)?)
    }

    /// The same, measured now if it is not known; see [`measure`] for `urgent` and `proceed`.
    pub fn measure(
        &self,
        media: &Media,
        found: &Probe,
        urgent: bool,
        proceed: &mut dyn FnMut() -> bool,
    ) -> Result<Loudness, LoudnessError> {
        // The name is computed before: it must not name content newer than the measured one.
        let path = self.path(media, found);
        if let Some(known) = path.as_deref().and_then(Self::read) {
            return Ok(known);
        }
        let measured = measure(&self.ffmpeg, media, found, &self.sound, self.channels, urgent, proceed)?;
        if let Some(path) = path {
            self.write(&path, &measured);
        }
        Ok(measured)
    }

    /// Keeps a measurement that an encoder made.
    pub(crate) fn keep(&self, media: &Media, found: &Probe, measured: &Loudness) {
        if let Some(path) = self.path(media, found) {
            self.write(&path, measured);
        }
    }

    fn path(&self, media: &Media, found: &Probe) -> Option<PathBuf> {
        let content = cache::identity(media, self.image_duration)?;
        let audio = found.audio?;
        let stream = format!("{} {} {}", audio.source, audio.index, found.skip_bytes);
        let how =
            format!("{:?} {} {VERSION}", self.sound.side.filter(|_| audio.channels == 2), self.channels);
        Some(self.dir.join(digest::key([content, stream, how, format!("{:?}", media.part)])))
    }

    fn read(path: &Path) -> Option<Loudness> {
        let loudness = parse(&read_text(path).ok()?)?;
        // Marks the file as used.
        if let Ok(file) = fs::File::open(path) {
            let _ = file.set_modified(SystemTime::now());
        }
        Some(loudness)
    }

    /// A measurement that cannot be written is made again the next time.
    fn write(&self, path: &Path, loudness: &Loudness) {
        let written =
            fs::create_dir_all(&self.dir).and_then(|()| replace(path, line(loudness).as_bytes(), 0o644));
        if let Err(error) = written {
            log::debug!("a loudness is not kept in {}: {error}", self.dir.display());
        }
    }
}

fn line(loudness: &Loudness) -> String {
    let length = loudness.length.map_or("-".to_owned(), |length| format!("{:.6}", length.as_secs_f64()));
    format!("{} {} {length}\n", loudness.lufs, loudness.peak)
}

fn parse(text: &str) -> Option<Loudness> {
    let mut words = text.strip_suffix('\n')?.split(' ');
    let mut level = || {
        let value: f64 = words.next()?.parse().ok()?;
        (value == f64::NEG_INFINITY || (-200.0..=200.0).contains(&value)).then_some(value)
    };
    let (lufs, peak) = (level()?, level()?);
    let length = match words.next()? {
        "-" => None,
        seconds => Some(Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?),
    };
    words.next().is_none().then_some(Loudness { lufs, peak, length })
}

/// Removes the oldest measurements above [`MOST`], and what killed writers left.
fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut all: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    let remove = |path: &Path| match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::debug!("cannot remove {}: {error}", path.display());
        }
        _ => {}
    };
    all.retain(|(changed, path)| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden && changed.elapsed().is_ok_and(|age| age > LEFT_BEHIND) {
            remove(path);
        }
        !hidden
    });
    if all.len() > MOST {
        all.sort();
        all[..all.len() - MOST].iter().for_each(|(_, path)| remove(path));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        for loudness in [
            Loudness { lufs: -23.4, peak: -1.2, length: Some(Duration::from_millis(4250)) },
            Loudness { lufs: -70.0, peak: f64::NEG_INFINITY, length: None },
        ] {
            assert_eq!(parse(&line(&loudness)), Some(loudness));
        }
        for text in
            ["", "\n", "-23 -1 4", "-23 -1\n", "-23 -1 4 5\n", "nan -1 4\n", "-23 -1 -4\n", "-23 inf 4\n"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[-0-9. einfa]{0,40}\n?") {
            let _ = parse(&text);
        }
    }
}
