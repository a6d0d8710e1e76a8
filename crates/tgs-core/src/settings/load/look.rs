//! Reads the settings of the channel's look.

use super::Reader;
use crate::settings::{
    look::{
        LogoSettings, LookSettings, height, margin, now_playing, now_playing_for, now_playing_text, opacity,
        position, subtitles,
    },
    parse::path,
};

impl Reader<'_> {
    /// Reads the look; `None` only if a default is invalid.
    pub(super) fn look(&mut self) -> Option<LookSettings> {
        let file = self.optional("LOGO", path);
        let position = self.value("LOGO_POSITION", position)?;
        let height = self.value("LOGO_HEIGHT", height)?;
        let opacity = self.value("LOGO_OPACITY", opacity)?;
        let margin = self.value("LOGO_MARGIN", margin)?;
        Some(LookSettings {
            logo: file.map(|file| LogoSettings { file, position, height, opacity, margin }),
            now_playing: self.value("NOW_PLAYING", now_playing)?,
            now_playing_for: self.value("NOW_PLAYING_FOR", now_playing_for)?,
            now_playing_text: self.value("NOW_PLAYING_TEXT", now_playing_text)?,
            subtitles: self.value("SUBTITLES", subtitles)?,
        })
    }
}
