//! The media files of a folder, in natural order.

use std::{
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use tgs_playout::item::{FailureReason, ItemFailure};

use super::{
    entry::{PlaylistEntry, failed_entry, file_entry},
    read::io_reason,
};

/// A folder with more files is named by mistake: the rest is ignored.
const MAX_FILES: usize = 100_000;

/// Extensions of other files in media folders. All others are tried: ffmpeg knows more than any
/// table.
const NOT_MEDIA: [&str; 59] = [
    "7z",
    "ass",
    "avif",
    "bak",
    "bmp",
    "bz2",
    "conf",
    "crdownload",
    "css",
    "csv",
    "cue",
    "db",
    "doc",
    "docx",
    "exe",
    "gz",
    "heic",
    "htm",
    "html",
    "idx",
    "ico",
    "ini",
    "jpeg",
    "jpg",
    "js",
    "json",
    "log",
    "lrc",
    "lnk",
    "m3u",
    "m3u8",
    "md",
    "md5",
    "nfo",
    "odt",
    "par2",
    "part",
    "pdf",
    "pls",
    "png",
    "py",
    "rar",
    "rtf",
    "sfv",
    "sh",
    "smi",
    "srt",
    "ssa",
    "sub",
    "sup",
    "svg",
    "tif",
    "tmp",
    "torrent",
    "txt",
    "vtt",
    "xml",
    "xspf",
    "zip",
];

/// The media files of a folder in natural order ("2" before "10").
pub(super) fn folder(dir: &Path) -> Vec<PlaylistEntry> {
    let failure = match media_files(dir) {
        Ok(files) if !files.is_empty() => {
            let listed = |file| PlaylistEntry { in_folder: true, ..file_entry(file) };
            return files.into_iter().map(listed).collect();
        }
        Ok(_) => ItemFailure::new(FailureReason::Unplayable, "the folder holds no media"),
        Err(error) => ItemFailure::new(io_reason(&error), format!("the folder cannot be read: {error}")),
    };
    vec![failed_entry(&dir.to_string_lossy(), failure)]
}

fn media_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        // The directory entry usually has the type; links must be followed.
        let is_file = || entry.file_type().is_ok_and(|kind| kind.is_file()) || path.is_file();
        if may_be_media(&path) && is_file() {
            if files.len() >= MAX_FILES {
                log::warn!("{} holds more than {MAX_FILES} files; ignoring the rest", dir.display());
                break;
            }
            files.push(path);
        }
    }
    files.sort_by_cached_key(|path| NaturalOrder(path.clone()));
    Ok(files)
}

fn may_be_media(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    !name.starts_with(b".") && !NOT_MEDIA.iter().any(|known| extension == *known)
}

/// Natural order without case. Equal names keep a fixed order.
#[derive(PartialEq, Eq)]
pub(super) struct NaturalOrder(pub(super) PathBuf);

impl Ord for NaturalOrder {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        natord::compare_ignore_case(&self.0.to_string_lossy(), &other.0.to_string_lossy())
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for NaturalOrder {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
