//! The names of the item on air as the live stream's title (NOW_PLAYING).

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tgs_control::method::LONGEST_TITLE;
use tgs_core::{cancel::Cancel, settings::Settings};
use tgs_playout::{
    ffmpeg::{
        look::{ItemNames, TextForm},
        probe::tags_of,
    },
    item::Item,
};

use crate::setup::look::text_form;

/// The shortest time between two changes of the title: viewers get a notice of each.
const EVERY: Duration = Duration::from_secs(30);

/// The title of the item on air.
pub(super) struct NowPlayingTitle {
    form: TextForm,
    ffprobe: PathBuf,
    cancel: Cancel,
    item: Option<Arc<Item>>,
    text: Option<String>,
}

impl NowPlayingTitle {
    /// `None` if the settings ask for no such title.
    pub(super) fn of(settings: &Settings, cancel: &Cancel) -> Option<Self> {
        let form = text_form(&settings.look).filter(|_| settings.look.now_playing.is_title())?;
        let ffprobe = settings.ffprobe_path();
        Some(Self { form, ffprobe, cancel: cancel.clone(), item: None, text: None })
    }

    /// The title while `item` is on air. Reads the tags of a new item's file.
    pub(super) fn text(&mut self, item: Option<Arc<Item>>) -> Option<String> {
        let known = |now: &Arc<Item>| {
            self.item.as_ref().is_some_and(|known| known.turn == now.turn && known.id == now.id)
        };
        if let Some(item) = item.filter(|now| !known(now)) {
            let tags = tags_of(&self.ffprobe, &item.media, &self.cancel);
            self.text =
                Some(cut(&self.form.of(&ItemNames::of(&item, &tags)))).filter(|text| !text.is_empty());
            self.item = Some(item);
        }
        self.text.clone()
    }
}

fn cut(text: &str) -> String {
    // Overrides of the reading direction would reach the words that Telegram puts beside the title.
    let turns = |c: &char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let text = text.chars().filter(|c| !turns(c));
    let text: String = text.map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() <= LONGEST_TITLE {
        return text;
    }
    text.chars().take(LONGEST_TITLE - 1).chain(['…']).collect()
}

/// When the title of the item on air may change next. Until then the newest one waits.
#[derive(Debug, Default)]
pub(super) struct TitlePace {
    next: Option<Instant>,
}

impl TitlePace {
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// Notes a change, or an attempt after which Telegram wants a `wait`. `scale` divides the pace.
    pub(super) fn note(&mut self, now: Instant, wait: Option<Duration>, scale: u32) {
        let pace = EVERY / scale.max(1);
        self.next = Some(now + wait.map_or(pace, |wait| wait.max(pace)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_every_thirty_seconds_and_none_during_a_flood_wait() {
        let (mut pace, began) = (TitlePace::default(), Instant::now());
        let after = |seconds| began + Duration::from_secs(seconds);
        assert!(pace.is_due(began));
        pace.note(began, None, 1);
        assert!(!pace.is_due(after(29)) && pace.is_due(after(30)));
        pace.note(began, Some(Duration::from_mins(5)), 1);
        assert!(!pace.is_due(after(299)) && pace.is_due(after(300)));
        pace.note(began, Some(Duration::from_secs(3)), 1);
        assert!(!pace.is_due(after(29)));
    }

    #[test]
    fn a_title_is_cut_where_telegram_cuts_it() {
        assert_eq!(cut("a\u{7}b"), "a b");
        assert_eq!(cut("a\u{202e}b\nc"), "ab c");
        assert_eq!(cut(&"я".repeat(200)).chars().count(), LONGEST_TITLE);
    }
}
