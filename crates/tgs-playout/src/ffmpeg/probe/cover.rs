//! Finds cover art for sound: inside the file, or beside it.

use std::path::Path;

use tgs_core::cancel::Cancel;

use super::{
    ffprobe::ask,
    found::{Cover, Probe},
    pick::StreamChoice,
};
use crate::item::{Media, MediaSource};

/// Names of cover art beside music, as players know them.
const NAMES: [&str; 20] = [
    "cover.jpg",
    "cover.jpeg",
    "cover.png",
    "cover.webp",
    "Cover.jpg",
    "Cover.png",
    "folder.jpg",
    "folder.jpeg",
    "folder.png",
    "Folder.jpg",
    "Folder.png",
    "front.jpg",
    "front.jpeg",
    "front.png",
    "Front.jpg",
    "Front.png",
    "album.jpg",
    "album.png",
    "AlbumArt.jpg",
    "AlbumArtSmall.jpg",
];

impl Cover {
    /// The file beside the first source of `media`.
    #[must_use]
    pub fn beside(media: &Media, name: &str) -> Option<MediaSource> {
        let path = Path::new(media.sources.first()?.url.strip_prefix("file:")?).with_file_name(name);
        Some(MediaSource { picture: true, ..MediaSource::at(format!("file:{}", path.to_str()?)) })
    }

    /// The name of the file with cover art beside the first source of `media`; it may be broken.
    pub(crate) fn named_beside(media: &Media) -> Option<&'static str> {
        let path = Path::new(media.sources.first()?.url.strip_prefix("file:")?);
        NAMES.into_iter().find(|name| path.with_file_name(name).is_file())
    }
}

impl Probe {
    /// Notes cover art in the source `number`, which ffprobe has decoded already.
    pub(super) fn note_cover(&mut self, choice: &StreamChoice, media: &Media, number: usize) {
        let file = media.sources.get(number).is_some_and(MediaSource::is_file);
        if let Some(stream) = choice.cover.filter(|_| file && self.cover.is_none()) {
            self.cover = Some(Cover::Embedded(number, stream.index));
        }
    }

    /// Keeps cover art for sound only, and looks for a file with it if the item holds none.
    pub(super) fn find_cover(&mut self, ffprobe: &Path, media: &Media, cancel: &Cancel) {
        if self.video.is_some() || media.live {
            self.cover = None;
            return;
        }
        let decodes = |name: &&str| {
            let Some(source) = Cover::beside(media, name) else { return false };
            let found = ask(ffprobe, &source, 0, 1, cancel);
            found.is_ok_and(|answer| answer.streams.iter().any(|stream| stream.pix_fmt.is_some()))
        };
        self.cover = self.cover.or_else(|| Cover::named_beside(media).filter(decodes).map(Cover::Beside));
    }
}
