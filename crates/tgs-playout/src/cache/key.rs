//! Cache keys: a hash of the content and of everything that shapes its encoding.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use tgs_core::digest::Digest;

use crate::{
    ffmpeg::probe::Cover,
    item::{Media, MediaSource},
};

/// Bytes at a file's head, and at its tail, that are hashed into its identity.
const SAMPLE: u64 = 64 << 10;

/// File name extensions of still pictures, whose length is a setting.
const IMAGES: [&str; 10] =
    [".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"];

/// File name extensions of music, which shows the cover art beside it.
const MUSIC: [&str; 26] = [
    ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wav", ".wma", ".aif", ".aiff", ".mka",
    ".m4b", ".ac3", ".eac3", ".dts", ".mp2", ".amr", ".ape", ".wv", ".tta", ".dsf", ".caf", ".au", ".spx",
    ".weba",
];

/// The key of a cache entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey(pub(super) String);

pub(super) fn entry_name(key: &CacheKey) -> String {
    format!("item-{}.flv", key.0)
}

/// The identity of the content of `media`, without its part; `None` if it may change unseen. Reads
/// the beginning and the end of a file.
pub(crate) fn identity(media: &Media, image_duration: Duration) -> Option<String> {
    // The segments of a list may change, or be missing once.
    if media.live || media.sources.iter().any(MediaSource::is_hls) {
        return None;
    }
    match &media.identity {
        Some(identity) => Some(format!("page {identity}")),
        None => of_file(media, image_duration),
    }
}

/// The identity of a file's content. `None` for other sources, and for lists, whose segments may
/// change while the list does not.
fn of_file(media: &Media, image_duration: Duration) -> Option<String> {
    let [source] = &media.sources[..] else { return None };
    let path = source.url.strip_prefix("file:")?;
    // Never blocks: the path may be a FIFO.
    let file = tgs_core::files::open_regular(Path::new(path)).ok()?;
    let meta = file.metadata().ok()?;
    let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let mut begin = [0; 8];
    file.read_at(&mut begin, 0).ok()?;
    if [&b"#EXTM3U"[..], b"ffconcat", b"<?xml", b"<MPD"].iter().any(|list| begin.starts_with(list)) {
        return None;
    }
    let mut sample = Digest::default();
    add_sample(&file, 0, &mut sample).ok()?;
    add_sample(&file, meta.len().saturating_sub(SAMPLE), &mut sample).ok()?;
    let name = path.to_ascii_lowercase();
    let image = IMAGES.iter().any(|end| name.ends_with(end));
    let shown = if image { format!(" {image_duration:?}") } else { String::new() };
    let music = MUSIC.iter().any(|end| name.ends_with(end));
    let cover = if music { cover_beside(media) } else { String::new() };
    Some(format!("file {path} {} {} SHA256:{}{shown}{cover}", meta.len(), changed.as_nanos(), sample.hex()))
}

/// The identity of the cover art beside music.
fn cover_beside(media: &Media) -> String {
    let find = || {
        let cover = Cover::beside(media, Cover::named_beside(media)?)?;
        let meta = std::fs::metadata(cover.url.strip_prefix("file:")?).ok()?;
        Some(format!(" {} {} {:?}", cover.url, meta.len(), meta.modified().ok()?))
    };
    find().unwrap_or_default()
}

/// Adds up to [`SAMPLE`] bytes of `file` from `at` on to `sum`.
fn add_sample(file: &File, mut at: u64, sum: &mut Digest) -> io::Result<()> {
    let (end, mut bytes) = (at + SAMPLE, [0; 8 << 10]);
    while at < end {
        let count = file.read_at(&mut bytes, at)?;
        if count == 0 {
            break;
        }
        sum.add(&bytes[..count.min((end - at) as usize)]);
        at += count as u64;
    }
    Ok(())
}
