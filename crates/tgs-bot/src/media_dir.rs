//! `BOT_MEDIA_DIR`: names of received files, room for them, and files that appear whole or not at
//! all. Does not decide when a file is no longer needed.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::fs::{CWD, RenameFlags, renameat_with, statvfs};
use tgs_telegram::bot::BotFile;

/// What the disk keeps free, in bytes.
const SPARE: u64 = 1 << 30;
/// Begins the names of files that are not whole yet.
const PART: &str = ".part-";
/// Longest name without its extension, in bytes.
const LONGEST: usize = 120;
/// Most files of the directory that are looked at.
const MOST: usize = 10_000;
/// Most files of the directory with which another one is received.
const MOST_FILES: usize = 1000;
/// Most names that are tried for one file.
const MOST_NAMES: usize = 100;

/// The extensions of media that are accepted. No lists: their lines could name any file.
const EXTENSIONS: [&str; 26] = [
    "3gp", "aac", "ac3", "avi", "flac", "flv", "m2ts", "m4a", "m4v", "mka", "mkv", "mov", "mp3", "mp4",
    "mpeg", "mpg", "mts", "oga", "ogg", "ogv", "opus", "ts", "vob", "wav", "webm", "wmv",
];

/// The extensions of types whose files have no name, as voice and round messages.
const TYPES: [(&str, &str); 12] = [
    ("audio/aac", "aac"),
    ("audio/flac", "flac"),
    ("audio/m4a", "m4a"),
    ("audio/mp4", "m4a"),
    ("audio/mpeg", "mp3"),
    ("audio/ogg", "ogg"),
    ("audio/x-flac", "flac"),
    ("audio/x-wav", "wav"),
    ("video/mp4", "mp4"),
    ("video/quicktime", "mov"),
    ("video/webm", "webm"),
    ("video/x-matroska", "mkv"),
];

/// Why a file is not received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    /// `BOT_MEDIA_MAX_GB` is reached.
    #[error("the received files would exceed BOT_MEDIA_MAX_GB ({} MB are free)", .0 / 1_000_000)]
    Limit(u64),
    /// Too many files.
    #[error("BOT_MEDIA_DIR holds {MOST_FILES} files or more")]
    Files,
    /// The disk is full.
    #[error("the disk of BOT_MEDIA_DIR would have less than 1 GiB left")]
    Disk,
    /// The directory cannot be used.
    #[error("BOT_MEDIA_DIR: {0}")]
    Io(String),
}

impl From<io::Error> for NoRoom {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// The directory.
#[derive(Debug, Clone)]
pub(crate) struct MediaDir {
    path: PathBuf,
    /// Most bytes of all files together.
    most: u64,
}

/// A whole file of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaEntry {
    pub(crate) name: String,
    pub(crate) modified: SystemTime,
}

/// A file that is being received. It disappears on drop unless it is finished.
#[derive(Debug)]
pub(crate) struct PartFile {
    file: tempfile::NamedTempFile,
    name: String,
    written: u64,
}

/// The name under which a file is kept; `None` if it is no media.
pub(crate) fn safe_name(file: &BotFile) -> Option<String> {
    let stated = file.name.as_deref().unwrap_or_default();
    let (stem, extension) = stated.rsplit_once('.').unwrap_or((stated, ""));
    let extension = extension.to_ascii_lowercase();
    let extension = match EXTENSIONS.iter().find(|known| **known == extension) {
        Some(known) => known,
        None => TYPES.iter().find(|(mime_type, _)| *mime_type == file.mime_type).map(|(_, known)| known)?,
    };
    let is_plain = |c: char| c.is_alphanumeric() || " -_.,()".contains(c);
    let mut safe = String::new();
    for c in stem.chars().map(|c| if is_plain(c) { c } else { '_' }) {
        if safe.len() + c.len_utf8() > LONGEST {
            break;
        }
        safe.push(c);
    }
    // No hidden file, no option, no empty name.
    let safe = safe.trim_matches([' ', '.', '-']);
    let safe = if safe.is_empty() { "telegram" } else { safe };
    Some(format!("{safe}.{extension}"))
}

impl MediaDir {
    pub(crate) fn new(path: PathBuf, most: u64) -> Self {
        Self { path, most }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails if no file can be received, with the reason.
    pub(crate) fn check(&self) -> Result<(), String> {
        let shown = self.path.display();
        let failed = |error: io::Error| format!("BOT_MEDIA_DIR {shown} cannot be used: {error}");
        tempfile::Builder::new().prefix(PART).tempfile_in(&self.path).map(drop).map_err(failed)
    }

    /// Removes what a killed bot left behind.
    pub(crate) fn remove_parts(&self) {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten().take(MOST);
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PART)) {
            if let Err(error) = fs::remove_file(entry.path()) {
                log::warn!("{} cannot be removed: {error}", entry.path().display());
            }
        }
    }

    /// The whole files.
    pub(crate) fn entries(&self) -> Vec<MediaEntry> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten().take(MOST);
        let whole = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
            let data = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some(MediaEntry { name, modified: data.modified().ok()? })
        });
        whole.collect()
    }

    /// Removes a whole file; `name` is one of [`MediaDir::entries`].
    pub(crate) fn remove(&self, name: &str) {
        if name.contains('/') {
            return;
        }
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::warn!("{} cannot be removed: {error}", self.path.join(name).display());
            }
            _ => {}
        }
    }

    fn used(&self) -> u64 {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten().take(MOST);
        entries.filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
    }

    /// Fails unless `wanted` more bytes fit.
    pub(crate) fn check_room(&self, wanted: u64) -> Result<(), NoRoom> {
        if self.entries().len() >= MOST_FILES {
            return Err(NoRoom::Files);
        }
        let left = self.most.saturating_sub(self.used());
        if wanted > left {
            return Err(NoRoom::Limit(left));
        }
        let disk = statvfs(&self.path).map_err(io::Error::from)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if wanted.saturating_add(SPARE) > free { Err(NoRoom::Disk) } else { Ok(()) }
    }

    /// Begins a file of this name.
    pub(crate) fn begin(&self, name: &str, size: u64) -> Result<PartFile, NoRoom> {
        self.check_room(size)?;
        let file = tempfile::Builder::new().prefix(PART).tempfile_in(&self.path)?;
        Ok(PartFile { file, name: name.to_owned(), written: 0 })
    }
}

impl PartFile {
    /// The bytes so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file its name, and makes it readable for the group of the directory. Returns the
    /// path. Another file of this name stays.
    pub(crate) fn finish(self) -> io::Result<PathBuf> {
        let dir = self.file.path().parent().unwrap_or(Path::new("/")).to_owned();
        // The broadcast is another user: of the directory's group if the bit hands it on.
        let hands_on = fs::metadata(&dir)?.mode() & 0o2000 != 0;
        let mode = if hands_on { 0o640 } else { 0o644 };
        self.file.as_file().set_permissions(Permissions::from_mode(mode))?;
        self.file.as_file().sync_all()?;
        let (stem, extension) = self.name.rsplit_once('.').unwrap_or((&self.name, ""));
        let path = self.file.into_temp_path();
        for n in 1..=MOST_NAMES {
            let name = if n == 1 { self.name.clone() } else { format!("{stem} {n}.{extension}") };
            let target = dir.join(name);
            match renameat_with(CWD, &*path, CWD, &target, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    // It no longer has the name that would be removed.
                    path.keep().map_err(|error| error.error)?;
                    File::open(&dir)?.sync_all()?;
                    return Ok(target);
                }
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files have this name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_those_of_media() {
        for (name, mime_type, safe) in [
            (Some("A film (1999).MKV"), "x/y", Some("A film (1999).mkv")),
            (Some("Кино.mp4"), "video/mp4", Some("Кино.mp4")),
            (Some("../../etc/cron.d/x.mp4"), "video/mp4", Some("_.._etc_cron.d_x.mp4")),
            (Some("a\nb#?x=1\0.mp4"), "video/mp4", Some("a_b__x_1_.mp4")),
            (Some("-i.mp4"), "video/mp4", Some("i.mp4")),
            (Some(".mp4"), "video/mp4", Some("telegram.mp4")),
            (Some("list.m3u8"), "video/mp4", Some("list.mp4")),
            (Some("list.m3u8"), "audio/x-mpegurl", None),
            (Some("x.ffconcat"), "text/plain", None),
            (None, "audio/ogg", Some("telegram.ogg")),
            (None, "application/pdf", None),
        ] {
            let file = BotFile::example(name, mime_type, 1);
            assert_eq!(safe_name(&file).as_deref(), safe, "{name:?}");
        }
        let long = safe_name(&BotFile::example(Some(&format!("{}.mp4", "ж".repeat(500))), "", 1)).unwrap();
        assert_eq!(long.len(), LONGEST + 4);
    }

    #[test]
    fn a_file_appears_whole_and_replaces_none() {
        let dir = tempfile::tempdir().unwrap();
        let media = MediaDir::new(dir.path().to_owned(), 1000);
        media.check().unwrap();
        let mut part = media.begin("a.mp4", 10).unwrap();
        part.write(b"first").unwrap();
        assert_eq!((part.written(), media.entries()), (5, Vec::new()));
        let first = part.finish().unwrap();
        let mut part = media.begin("a.mp4", 10).unwrap();
        part.write(b"second").unwrap();
        let second = part.finish().unwrap();
        assert_eq!(
            (fs::read(&first).unwrap(), fs::read(&second).unwrap()),
            (b"first".into(), b"second".into())
        );
        assert_eq!(second, dir.path().join("a 2.mp4"));
        assert_eq!(fs::metadata(&first).unwrap().mode() & 0o777, 0o644);
        // Dropped, or left behind by a killed bot.
        drop(media.begin("b.mp4", 10).unwrap());
        fs::write(dir.path().join(".part-x"), "x").unwrap();
        media.remove_parts();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        media.remove("a 2.mp4");
        media.remove("../x");
        let names: Vec<_> = media.entries().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a.mp4"]);
    }

    #[test]
    fn a_full_directory_takes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.mp4"), [0; 900]).unwrap();
        let media = MediaDir::new(dir.path().to_owned(), 1000);
        assert_eq!(media.begin("b.mp4", 101).unwrap_err(), NoRoom::Limit(100));
        media.begin("b.mp4", 100).unwrap();
        let endless = MediaDir::new(dir.path().to_owned(), u64::MAX);
        assert_eq!(endless.check_room(1 << 60), Err(NoRoom::Disk));
        let missing = MediaDir::new(dir.path().join("none"), 1000);
        assert!(matches!(missing.check_room(1), Err(NoRoom::Io(_))) && missing.check().is_err());
    }
}
