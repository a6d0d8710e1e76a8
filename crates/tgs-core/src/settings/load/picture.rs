//! Reads the settings of the picture.

use super::Reader;
use crate::settings::parse::flag;
use crate::settings::picture::{Picture, audio_picture, background, bitrate, quality};

impl Reader<'_> {
    /// Reads the settings of the picture; `None` only if a default is invalid.
    pub(super) fn picture(&mut self) -> Option<Picture> {
        let quality = self.value("VIDEO_QUALITY", quality);
        let kbps = self.optional("VIDEO_BITRATE", bitrate);
        let background = self.value("BACKGROUND", background);
        let audio_picture = self.value("AUDIO_PICTURE", audio_picture);
        let speed_up_film = self.value("SPEED_UP_FILM", flag);
        Some(Picture {
            quality: quality?,
            kbps,
            background: background?,
            audio_picture: audio_picture?,
            speed_up_film: speed_up_film?,
        })
    }
}
