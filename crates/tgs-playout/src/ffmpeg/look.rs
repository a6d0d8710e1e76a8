//! The channel's own look, as it is set. [`super::draw`] draws it.

mod logo;
mod now_playing;

use std::time::Duration;

pub use self::{
    logo::{Corner, Logo, LogoCopy, LogoFile},
    now_playing::{FormError, ItemNames, LowerThird, TextForm, tidied},
};

/// The lower third comes this long after the item.
pub(super) const LOWER_THIRD_AT: Duration = Duration::from_millis(500);

/// Which subtitles are drawn, SUBTITLES.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SubtitleChoice {
    /// None.
    #[default]
    Off,
    /// Those that translate signs and foreign speech only.
    Forced,
    /// Those in the first of these languages that there is.
    Languages(Vec<String>),
}

/// What is drawn over each picture.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// The logo.
    pub logo: Option<Logo>,
    /// The names of the item, at its beginning.
    pub lower_third: Option<LowerThird>,
    /// The subtitles.
    pub subtitles: SubtitleChoice,
}

impl Look {
    /// Whether the names of an item are drawn.
    #[must_use]
    pub fn shows_names(&self) -> bool {
        self.lower_third.is_some()
    }

    /// When the names of an item disappear, counted from its beginning.
    pub(crate) fn names_until(&self) -> Option<Duration> {
        Some(LOWER_THIRD_AT + self.lower_third.as_ref()?.length)
    }

    /// Whether subtitles are drawn.
    #[must_use]
    pub fn shows_subtitles(&self) -> bool {
        self.subtitles != SubtitleChoice::Off
    }
}
