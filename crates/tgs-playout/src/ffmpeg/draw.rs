//! Draws the channel's look over an item's picture.
//!
//! In this order: subtitles, the lower third, the logo. All of it is part of the encoded item, so
//! a cached one costs nothing more.

mod fit;
mod logo;
mod scratch_file;
mod subtitles;
mod text;

use std::time::Duration;

use tgs_core::cancel::Cancel;

use self::text::TextSide;
pub(super) use self::text::{PictureText, TextStyle, text_filter};
pub use self::{
    logo::LogoError,
    subtitles::{BRIEF, LONG},
};
pub(crate) use self::{
    scratch_file::sweep,
    subtitles::{give_up, identity as side_files},
};
use super::{
    look::{Corner, ItemNames, LOWER_THIRD_AT, Logo, Look},
    probe::Probe,
    ready_subtitles::ReadySubtitles,
    setup::EncodeSetup,
};
use crate::item::Item;

impl Look {
    /// Converts the logo for the encoders of `setup`, whose look this is. One that cannot be used
    /// is left out, with a warning.
    pub(crate) fn prepare(setup: &mut EncodeSetup, cancel: &Cancel) {
        let Some(logo) = setup.processing.look.logo.take() else { return };
        let file = logo.file.0.display().to_string();
        match logo.prepared(setup, cancel) {
            Ok(logo) => setup.processing.look.logo = Some(logo),
            Err(_) if cancel.is_cancelled() => {}
            Err(error) => log::warn!(
                "LOGO={file} is not shown: {error}; name a PNG, WebP, GIF, APNG or short clip by LOGO and restart"
            ),
        }
    }
}

/// What is drawn over the picture of one item.
#[derive(Debug, Default)]
pub(super) struct ItemLook {
    subtitles: ReadySubtitles,
    /// The text of the lower third.
    names: Option<String>,
    logo: bool,
}

impl ItemLook {
    /// What is drawn over `item`; of its subtitles, what [`prepare_item`] has prepared.
    pub(super) fn of(setup: &EncodeSetup, item: &Item, probe: &Probe) -> Self {
        let look = &setup.processing.look;
        // A filler has no title, and a slate shows its own.
        let begins = item.start.is_zero() && !item.title.is_empty() && probe.video.is_some();
        let third = look.lower_third.as_ref().filter(|_| begins);
        let names = third.map(|third| third.form.of(&ItemNames::of(item, &probe.tags)));
        Self {
            subtitles: probe.ready_subtitles.clone(),
            names: names.filter(|names| !names.is_empty()),
            logo: look.logo.is_some() && !item.media.part.no_logo,
        }
    }

    /// Whether the picture shows the title.
    pub(super) fn shows_names(&self) -> bool {
        self.names.is_some()
    }

    /// The graph that draws this over `picture`, the end of the item's graph.
    pub(super) fn over(&self, setup: &EncodeSetup, picture: &str, item: &Item, probe: &Probe) -> String {
        let mut graph = subtitles::over(&self.subtitles, setup, picture, item, probe);
        let look = &setup.processing.look;
        if let (Some(text), Some(third)) = (&self.names, &look.lower_third) {
            let shown = Some((LOWER_THIRD_AT, LOWER_THIRD_AT + third.length));
            let text = PictureText { text, style: self.names_style(look.logo.as_ref()), shown };
            graph.extend(text_filter(setup, &[text]).map(|draw| format!(",{draw}")));
        }
        match look.logo.as_ref().filter(|_| self.logo) {
            Some(logo) => logo.over(setup, &graph),
            None => graph,
        }
    }
}

impl ItemLook {
    /// Where the names stand: at the edge without subtitles, and not below the logo.
    fn names_style(&self, logo: Option<&Logo>) -> TextStyle {
        let top = self.subtitles.is_drawn();
        let side = match logo.filter(|_| self.logo).map(|logo| logo.corner) {
            Some(Corner::TopLeft) if top => TextSide::Right,
            Some(Corner::TopRight) if top => TextSide::Left,
            Some(Corner::BottomLeft) if !top => TextSide::Right,
            Some(Corner::BottomRight) if !top => TextSide::Left,
            _ => TextSide::ByScript,
        };
        TextStyle::LowerThird { top, side }
    }
}

/// The graph that draws the logo over `picture`, the end of a graph.
pub(super) fn logo_over(setup: &EncodeSetup, picture: &str) -> String {
    let logo = setup.processing.look.logo.as_ref();
    logo.map_or_else(|| picture.to_owned(), |logo| logo.over(setup, picture))
}

/// Prepares what takes long before `item` is due, its subtitles, within `limit`: see [`BRIEF`] and
/// [`LONG`]. Without a limit, what was prepared before is found.
pub fn prepare_item(
    setup: &EncodeSetup,
    item: &Item,
    probe: &mut Probe,
    limit: Option<Duration>,
    cancel: &Cancel,
) {
    probe.ready_subtitles = subtitles::find(setup, item, probe, limit, cancel);
}

/// Whether something is drawn over `item`, which is then encoded.
pub(super) fn alters(setup: &EncodeSetup, item: &Item, probe: &Probe) -> bool {
    let look = &setup.processing.look;
    look.logo.is_some() && !item.media.part.no_logo
        || look.lower_third.is_some()
        || subtitles::any(setup, item, probe)
}
