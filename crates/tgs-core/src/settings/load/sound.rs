//! Reads the settings of the sound.

use super::Reader;
use crate::settings::sound::{Sound, fade, languages, loudness, peak, side};

impl Reader<'_> {
    pub(super) fn sound(&mut self) -> Option<Sound> {
        let (loudness, peak) = (self.value("LOUDNESS", loudness), self.value("LOUDNESS_PEAK", peak));
        let languages = self.optional("AUDIO_LANGUAGE", languages).unwrap_or_default();
        let (side, fade) = (self.value("AUDIO_CHANNEL", side), self.value("FADE", fade));
        Some(Sound { loudness: loudness?, peak: peak?, languages, side: side?, fade: fade? })
    }
}
