//! Makes the ASS script of an item's subtitles, and puts its fonts beside it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use chardetng::EncodingDetector;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use tgs_core::{
    cancel::Cancel,
    digest, files,
    process::{self, RunError},
};

use super::{super::scratch_file, beside::SideFile};
use crate::{
    ffmpeg::{
        input::MAX_PIXELS,
        probe::{SubtitleKind, SubtitleStream},
        ready_subtitles::ReadySubtitles,
        setup::{EncodeSetup, FONT_FILE},
    },
    source_failure::last_message,
};

/// How long a film may wait for its subtitles before it plays without: as long as for its probe.
pub const BRIEF: Duration = Duration::from_secs(20);

/// How long they may take while other items are on air: ffmpeg reads a whole film for them.
pub const LONG: Duration = Duration::from_mins(2);

/// The largest file with subtitles, and the largest script, in bytes.
const LARGEST: u64 = 16 << 20;

/// Name of the script in its folder.
const SCRIPT: &str = "script.ass";

/// Attached fonts that are used.
const MOST_FONTS: usize = 64;

/// The largest attached font, and all of a film's together, in bytes.
const LARGEST_FONT: u64 = 20 << 20;
const LARGEST_FONTS: u64 = 48 << 20;

/// What has failed is tried again after this time: a disk may have been full.
const TRY_AGAIN: Duration = Duration::from_hours(1);

/// Why there is no script.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExtractError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write in {}: {source} (make room there)", dir.display())]
    Write { dir: PathBuf, source: io::Error },
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("{message}")]
    Refused { message: String },
    #[error("they are not extracted yet: that takes longer than the film can wait")]
    NotReady,
}

/// Makes scripts in the scratch directory, or finds those made before.
pub(super) struct Extraction<'a> {
    pub(super) setup: &'a EncodeSetup,
    /// How long one may take; `None`: nothing is made.
    pub(super) limit: Option<Duration>,
    pub(super) cancel: &'a Cancel,
}

impl Extraction<'_> {
    /// The script of a file beside the film.
    pub(super) fn of_file(&self, file: &SideFile) -> Result<ReadySubtitles, ExtractError> {
        let unread = |source| ExtractError::Read { path: file.path.clone(), source };
        let bytes = files::read_regular(&file.path, LARGEST).map_err(unread)?;
        let end = file.path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let folder = Folder::of(self, &digest::key([&bytes[..], end.as_bytes()]));
        folder.keep(|dir, limit| {
            let text = decoded(&bytes);
            if matches!(&*end, "ass" | "ssa") {
                return folder.write(&dir.join(SCRIPT), text.as_bytes());
            }
            let plain = dir.join(format!("subtitles.{end}"));
            folder.write(&plain, text.as_bytes())?;
            let mut command = self.ffmpeg(dir);
            // Named: of other content ffmpeg may take it for a list that leads to other files.
            command.args(["-f", if end == "vtt" { "webvtt" } else { "srt" }, "-i"]);
            command.arg(format!("file:{}", plain.display()));
            script_of(&mut command, "0:s:0");
            self.run(command, limit)?;
            folder.restyle(dir)
        })
    }

    /// The script of a stream in the film at `path`.
    pub(super) fn of_stream(
        &self,
        path: &Path,
        stream: &SubtitleStream,
    ) -> Result<ReadySubtitles, ExtractError> {
        let unread = |source| ExtractError::Read { path: path.to_owned(), source };
        let meta = fs::metadata(path).map_err(unread)?;
        let changed = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let identity = format!("{} {} {changed:?} {}", path.display(), meta.len(), stream.index);
        let folder = Folder::of(self, &digest::key([identity]));
        folder.keep(|dir, limit| {
            let mut command = self.ffmpeg(dir);
            // Under our own names: those in the film may lead anywhere.
            for (number, font) in stream.fonts.iter().take(MOST_FONTS).enumerate() {
                command.arg(format!("-dump_attachment:{font}")).arg(format!("font-{number}.ttf"));
            }
            command.arg("-i").arg(format!("file:{}", path.display()));
            script_of(&mut command, &format!("0:{}", stream.index));
            self.run(command, limit)?;
            remove_odd_fonts(dir);
            if stream.kind == SubtitleKind::Plain { folder.restyle(dir) } else { Ok(()) }
        })
    }

    fn ffmpeg(&self, dir: &Path) -> Command {
        let mut command = process::command(&self.setup.ffmpeg);
        command.current_dir(dir).args(["-nostdin", "-hide_banner", "-v", "error", "-y"]);
        command.args(["-max_pixels", MAX_PIXELS]);
        command
    }

    fn run(&self, command: Command, limit: Duration) -> Result<(), ExtractError> {
        let output = process::output(command, limit, 64 << 10, self.cancel)?;
        if output.status.success() {
            return Ok(());
        }
        let message = last_message(&String::from_utf8_lossy(&output.stderr));
        // ffmpeg names a file in the scratch directory.
        let message = message.rsplit(": ").next().unwrap_or(&message).to_owned();
        Err(ExtractError::Refused { message: format!("ffmpeg cannot read them: {message}") })
    }
}

/// Notes that the script in this folder cannot be drawn, so that it is not tried again soon.
pub(super) fn give_up(scratch: &Path, folder: &str, why: &str) {
    // Without the note it is tried again.
    let _ = fs::write(note(scratch, folder, "failed"), why);
    let _ = fs::remove_dir_all(scratch.join(folder));
}

/// A file beside the folder of a script that says how it ended before.
fn note(scratch: &Path, folder: &str, end: &str) -> PathBuf {
    scratch.join(format!("{folder}.{end}"))
}

/// Adds the output: a script of this stream. What a compressed film makes of it has a limit.
fn script_of(command: &mut Command, stream: &str) {
    command.args(["-map", stream, "-c:s", "ass", "-fs", &LARGEST.to_string(), "-f", "ass", SCRIPT]);
}

/// Removes attachments that are no fonts, or too large.
fn remove_odd_fonts(dir: &Path) {
    const BEGINNINGS: [&[u8]; 4] = [b"\0\x01\0\0", b"OTTO", b"ttcf", b"true"];
    let mut room = LARGEST_FONTS;
    for number in 0..MOST_FONTS {
        let path = dir.join(format!("font-{number}.ttf"));
        let Ok(size) = fs::metadata(&path).map(|meta| meta.len()) else { continue };
        let mut begin = [0; 4];
        let read = fs::File::open(&path).and_then(|mut font| io::Read::read_exact(&mut font, &mut begin));
        if read.is_ok() && BEGINNINGS.contains(&&begin[..]) && size <= LARGEST_FONT.min(room) {
            room -= size;
        } else {
            let _ = fs::remove_file(&path);
        }
    }
}

/// The folder of one script and its fonts, in the scratch directory.
struct Folder<'a> {
    work: &'a Extraction<'a>,
    name: String,
}

impl<'a> Folder<'a> {
    fn of(work: &'a Extraction<'a>, key: &str) -> Self {
        Self { work, name: format!("subtitles-{}", key.get(..24).unwrap_or(key)) }
    }

    fn failed(&self) -> impl Fn(io::Error) -> ExtractError {
        let dir = self.work.setup.scratch.clone();
        move |source| ExtractError::Write { dir: dir.clone(), source }
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), ExtractError> {
        fs::write(path, content).map_err(self.failed())
    }

    /// The script of this folder, which `make` fills if it does not exist. It appears under its
    /// name only when complete. What has failed is not tried again within [`TRY_AGAIN`].
    fn keep(
        &self,
        make: impl Fn(&Path, Duration) -> Result<(), ExtractError>,
    ) -> Result<ReadySubtitles, ExtractError> {
        let scratch = &self.work.setup.scratch;
        let path = scratch.join(&self.name);
        let found =
            ReadySubtitles::Text { script: format!("{}/{SCRIPT}", self.name), fonts: self.name.clone() };
        if scratch_file::touch(&path.join(SCRIPT)) {
            return Ok(found);
        }
        if let Some(message) = self.noted("failed") {
            return Err(ExtractError::Refused { message });
        }
        let limit = self.work.limit.ok_or(ExtractError::NotReady)?;
        if limit < LONG && self.noted("slow").is_some() {
            return Err(ExtractError::NotReady);
        }
        let new =
            tempfile::Builder::new().prefix(".subtitles-").tempdir_in(scratch).map_err(self.failed())?;
        make(new.path(), limit).inspect_err(|error| self.remember(error, limit))?;
        let font = Path::new(FONT_FILE).file_name().unwrap_or_default();
        // The built-in font belongs to each folder of fonts; without it, the system's serve.
        let _ = fs::copy(scratch.join(FONT_FILE), new.path().join(font));
        match fs::rename(new.path(), &path) {
            Ok(()) => {
                // It has another name now.
                let _ = new.keep();
                scratch_file::forget_old(scratch, "subtitles");
            }
            // Another thread has made it.
            Err(_) if path.join(SCRIPT).exists() => {}
            Err(error) => return Err(self.failed()(error)),
        }
        Ok(found)
    }

    fn note(&self, end: &str) -> PathBuf {
        note(&self.work.setup.scratch, &self.name, end)
    }

    /// What the note of this kind says, if it is recent.
    fn noted(&self, end: &str) -> Option<String> {
        let path = self.note(end);
        let written = path.metadata().and_then(|meta| meta.modified()).ok()?;
        // A clock that was set back makes the note recent.
        let is_old = written.elapsed().is_ok_and(|age| age > TRY_AGAIN);
        (!is_old).then(|| fs::read_to_string(path).ok())?
    }

    fn remember(&self, error: &ExtractError, limit: Duration) {
        let name = match error {
            ExtractError::Refused { .. } => "failed",
            ExtractError::Run(RunError::TimedOut { .. }) if limit >= LONG => "failed",
            ExtractError::Run(RunError::TimedOut { .. }) => "slow",
            _ => return,
        };
        // Without the note it is tried again.
        let _ = fs::write(self.note(name), error.to_string());
        scratch_file::forget_old(&self.work.setup.scratch, "subtitles");
    }

    /// Gives a script that ffmpeg has made from plain text the look of the channel's other texts.
    fn restyle(&self, dir: &Path) -> Result<(), ExtractError> {
        let path = dir.join(SCRIPT);
        let text = files::read_regular(&path, 2 * LARGEST).map_err(self.failed())?;
        self.write(&path, restyled(&String::from_utf8_lossy(&text)).as_bytes())
    }
}

/// Replaces the default style of a script, and the size that it counts in.
fn restyled(text: &str) -> String {
    let line = |line: &str| match line {
        line if line.starts_with("PlayResX:") => "PlayResX: 512".to_owned(),
        line if line.starts_with("PlayResY:") => "PlayResY: 288".to_owned(),
        line if line.starts_with("Style:") => {
            let name = line.trim_start_matches("Style:").trim().split(',').next().unwrap_or("Default");
            format!(
                "Style: {name},TGS Sans,18,&Hffffff,&Hffffff,&H0,&H80000000,0,0,0,0,100,100,0,0,1,1.2,0.4,2,20,20,18,-1"
            )
        }
        line => line.to_owned(),
    };
    text.lines().map(line).map(|line| line + "\n").collect()
}

/// The text in UTF-8: by its byte order mark, as UTF-8, or by what its letters make most likely.
fn decoded(bytes: &[u8]) -> String {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned();
    }
    let plain = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    let encoding = match bytes {
        [_, 0, _, 0, ..] if plain(bytes.first()) => UTF_16LE,
        [0, _, 0, _, ..] if plain(bytes.get(1)) => UTF_16BE,
        _ if std::str::from_utf8(bytes).is_ok() => UTF_8,
        _ => {
            let mut detector = EncodingDetector::new();
            detector.feed(bytes, true);
            detector.guess(None, false)
        }
    };
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_found_out() {
        let text = "1\n00:00:01,000 --> 00:00:03,000\nПривет, как дела? Ёлка и «кавычки»\n";
        let (cp1251, _, lossless) = encoding_rs::WINDOWS_1251.encode(text);
        assert!(!lossless);
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked = [&[0xff, 0xfe][..], &utf16].concat();
        for (name, bytes) in
            [("1251", &cp1251[..]), ("utf-8", text.as_bytes()), ("utf-16", &utf16), ("marked", &marked)]
        {
            assert_eq!(decoded(bytes), text, "{name}");
        }
        assert_eq!(decoded(b"\xef\xbb\xbfa"), "a");
    }

    #[test]
    fn plain_text_gets_the_look_of_the_channel() {
        let text = "[Script Info]\nPlayResX: 384\nPlayResY: 288\nStyle: Default,Arial,16\nDialogue: 0,a\n";
        let new = restyled(text);
        assert!(new.contains("PlayResX: 512\n") && new.contains("Style: Default,TGS Sans,18"), "{new}");
        assert!(new.ends_with("Dialogue: 0,a\n"), "{new}");
    }
}
