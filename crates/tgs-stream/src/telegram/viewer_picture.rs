//! What a second of the stream looks and sounds like: to viewers, and as it was sent.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tgs_control::ViewerPicture;
use tgs_core::{cancel::Cancel, process};
use tgs_playout::engine::Control;
use tgs_telegram::StreamPart;

/// Columns and lines of the pictures that are compared.
const SIZE: (usize, usize) = (32, 18);

/// The brightest sample of a black picture, of 255.
const BLACK: u8 = 24;

/// The largest difference between two samples of a picture that stands still.
const STILL: u8 = 2;

/// The highest sample of silence, of 32768: −60 dBFS.
const SILENT: u16 = 33;

/// Time limit of ffmpeg for a second of the stream.
const LIMIT: Duration = Duration::from_secs(10);

/// How much of what is sent is looked at.
const SENT: Duration = Duration::from_millis(1500);

/// Largest amount of what is sent that is looked at.
const MOST_SENT: usize = 8 << 20;

/// The tools that look at a stream.
pub(super) struct Examiner<'a> {
    pub(super) ffmpeg: &'a Path,
    /// A directory in which ffmpeg may write.
    pub(super) scratch: &'a Path,
    pub(super) cancel: &'a Cancel,
}

/// What is odd about a second of the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Oddities {
    black: bool,
    frozen: bool,
    silent: bool,
}

impl Oddities {
    pub(super) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// What is odd for viewers alone: a film may be black and silent as well.
    pub(super) fn beyond(self, sent: Self) -> ViewerPicture {
        match () {
            () if self.black && !sent.black => ViewerPicture::Black,
            () if self.frozen && !sent.frozen && !self.black => ViewerPicture::Frozen,
            () if self.silent && !sent.silent => ViewerPicture::Silent,
            () => ViewerPicture::Good,
        }
    }

    fn of(pictures: &[u8], sound: &[u8]) -> Self {
        let (columns, lines) = SIZE;
        let pictures: Vec<&[u8]> = pictures.chunks_exact(columns * lines).collect();
        let is_same = |picture: &&[u8]| picture.iter().zip(pictures[0]).all(|(a, b)| a.abs_diff(*b) <= STILL);
        let samples = sound.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]]).unsigned_abs());
        Self {
            black: pictures.iter().all(|picture| picture.iter().all(|sample| *sample < BLACK)),
            frozen: pictures.iter().all(is_same),
            silent: samples.max().unwrap_or_default() < SILENT,
        }
    }
}

impl Examiner<'_> {
    /// Looks at a second as viewers get it.
    pub(super) fn part(&self, part: &[u8]) -> anyhow::Result<Oddities> {
        let part = StreamPart::parse(part).context("Telegram's answer is no part of a stream")?;
        self.examine(part.media, "viewer-part").context("decode the second that viewers get")
    }

    /// Looks at what is being sent; `None` if nothing is.
    pub(super) fn sent(&self, control: &Control) -> anyhow::Result<Option<Oddities>> {
        let mut monitor = control.monitor()?;
        let until = Instant::now() + SENT;
        let mut sent = Vec::new();
        while sent.len() < MOST_SENT && !self.cancel.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            match monitor.read(left) {
                Some(bytes) => sent.extend(bytes),
                None => break,
            }
        }
        drop(monitor);
        if sent.is_empty() { Ok(None) } else { self.examine(&sent, "viewer-sent").map(Some) }
    }

    fn examine(&self, media: &[u8], name: &str) -> anyhow::Result<Oddities> {
        let file = Removed(self.scratch.join(name));
        let sound = Removed(self.scratch.join(format!("{name}.pcm")));
        fs::write(&file.0, media)?;
        let mut command = process::command(self.ffmpeg);
        command.current_dir(self.scratch).args(["-nostdin", "-v", "error", "-y"]);
        command.args(["-protocol_whitelist", "file", "-format_whitelist", "mov,mp4,flv", "-i"]).arg(&file.0);
        let (columns, lines) = SIZE;
        command.args(["-map", "0:a:0", "-ac", "1", "-ar", "8000", "-t", "5", "-f", "s16le"]).arg(&sound.0);
        let scale = format!("scale={columns}:{lines}:flags=area,format=gray");
        command.args(["-map", "0:v:0", "-vf", &scale, "-t", "5", "-f", "rawvideo", "pipe:1"]);
        let done = process::output(command, LIMIT, 1 << 20, self.cancel)?;
        if !done.status.success() || done.stdout.is_empty() {
            let said = String::from_utf8_lossy(&done.stderr);
            bail!("ffmpeg: {}", said.lines().last().unwrap_or("no picture"));
        }
        Ok(Oddities::of(&done.stdout, &fs::read(&sound.0)?))
    }
}

/// A file that is removed at the end.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // The scratch directory is emptied at the next start.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` pictures in which a light spot moves, over `grey`.
    fn pictures(count: usize, grey: u8, moves: bool) -> Vec<u8> {
        let (columns, lines) = SIZE;
        let mut all = vec![grey; count * columns * lines];
        for (number, picture) in all.chunks_exact_mut(columns * lines).enumerate() {
            if moves {
                picture[number] = 200;
            }
        }
        all
    }

    #[test]
    fn odd_is_what_only_viewers_see() {
        let tone: Vec<u8> = (0..8000_i32).flat_map(|n| ((n % 20 - 10) as i16 * 300).to_le_bytes()).collect();
        let hush = vec![0; 16_000];
        let good = Oddities::of(&pictures(25, 60, true), &tone);
        let black = Oddities::of(&pictures(25, 0, false), &hush);
        let still = Oddities::of(&pictures(25, 60, false), &tone);
        let silent = Oddities::of(&pictures(25, 60, true), &hush);
        assert!(good.is_none() && !black.is_none() && !still.is_none() && !silent.is_none());
        let table = [
            (good, black, ViewerPicture::Good),
            (black, good, ViewerPicture::Black),
            (black, black, ViewerPicture::Good),
            (black, still, ViewerPicture::Black),
            (still, good, ViewerPicture::Frozen),
            (still, still, ViewerPicture::Good),
            (silent, good, ViewerPicture::Silent),
            (silent, still, ViewerPicture::Silent),
        ];
        for (viewers, sent, found) in table {
            assert_eq!(viewers.beyond(sent), found, "{viewers:?} of {sent:?}");
        }
        let nothing = Oddities::of(&[], &[]);
        assert!(nothing.black && nothing.silent);
    }
}
