//! The text of a bot's message. Parts from elsewhere (titles, names, errors) are marked as code, so
//! that apps make no links, mentions or commands of them.

use grammers_tl_types as tl;

/// Longest text in UTF-16 units: <https://core.telegram.org/api/config#message-length-max>
const LONGEST: usize = 4096;
/// Longest text below a picture: <https://core.telegram.org/api/config#caption-length-max>
const LONGEST_CAPTION: usize = 1024;
/// Longest part from elsewhere, in characters.
const LONGEST_PART: usize = 300;

/// A text with marked parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BotText {
    text: String,
    /// Length of `text` in UTF-16 units.
    units: usize,
    /// Offset and length of the marked parts, in UTF-16 units.
    marked: Vec<(usize, usize)>,
}

impl BotText {
    /// A text without marked parts.
    #[must_use]
    pub fn plain(text: &str) -> Self {
        Self::default().own(text)
    }

    /// Adds a text of our own. What exceeds Telegram's limit is cut off.
    #[must_use]
    pub fn own(mut self, text: &str) -> Self {
        self.push(text);
        self
    }

    /// Adds a text from elsewhere, at most 300 characters, as code. Control characters and those
    /// that change the direction of the text become spaces.
    #[must_use]
    pub fn foreign(mut self, text: &str) -> Self {
        let mut safe: String = text.chars().take(LONGEST_PART).map(visible).collect();
        if text.chars().nth(LONGEST_PART).is_some() {
            safe.push('…');
        }
        let from = self.units;
        self.push(safe.trim());
        if self.units > from {
            self.marked.push((from, self.units - from));
        }
        self
    }

    /// The text without its marks.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as it fits below a picture: 1024 UTF-16 units.
    #[must_use]
    pub fn caption(mut self) -> Self {
        if self.units <= LONGEST_CAPTION {
            return self;
        }
        let (mut units, text) = (0, std::mem::take(&mut self.text));
        for c in text.chars() {
            if units + c.len_utf16() >= LONGEST_CAPTION {
                break;
            }
            units += c.len_utf16();
            self.text.push(c);
        }
        self.text.push('…');
        self.units = units + 1;
        self.marked.retain_mut(|(offset, length)| {
            *length = (*length).min(units.saturating_sub(*offset));
            *length > 0
        });
        self
    }

    fn push(&mut self, text: &str) {
        for c in text.chars() {
            if self.units + c.len_utf16() > LONGEST {
                return;
            }
            self.units += c.len_utf16();
            self.text.push(c);
        }
    }

    pub(super) fn entities(&self) -> Option<Vec<tl::enums::MessageEntity>> {
        let code = |&(offset, length): &(usize, usize)| {
            tl::types::MessageEntityCode { offset: offset as i32, length: length as i32 }.into()
        };
        (!self.marked.is_empty()).then(|| self.marked.iter().map(code).collect())
    }
}

fn visible(c: char) -> char {
    match c {
        // Marks, embeddings, overrides and isolates of direction; invisible characters.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_marked_and_without_tricks() {
        let text = BotText::plain("🎬 on air: ").foreign("a\n/next \u{202e}@x").own("\nend");
        assert_eq!(text.text(), "🎬 on air: a /next  @x\nend");
        let Some([tl::enums::MessageEntity::Code(code)]) =
            text.entities().as_deref().map(|all| <&[_; 1]>::try_from(all).unwrap().clone())
        else {
            panic!("{text:?}")
        };
        // The first character has two UTF-16 units.
        assert_eq!((code.offset, code.length), (11, 11));
        assert_eq!(BotText::plain("a").foreign("\u{202e}").entities(), None);
    }

    #[test]
    fn a_caption_is_cut_with_its_marks() {
        let text = BotText::plain(&"a".repeat(1000)).foreign(&"🎬".repeat(30)).own("b").foreign("c");
        let cut = text.caption();
        assert_eq!(cut.text().encode_utf16().count(), 1023);
        assert_eq!(cut.marked, [(1000, 22)]);
        assert!(cut.text().ends_with("🎬…"));
        assert_eq!(BotText::plain("a").caption().text(), "a");
    }

    #[test]
    fn no_text_is_too_long() {
        let text = (0..100).fold(BotText::default(), |text, _| text.foreign(&"🎬".repeat(400)));
        assert_eq!(text.units, LONGEST);
        assert_eq!(text.text().encode_utf16().count(), LONGEST);
        let last = text.marked.last().unwrap();
        assert_eq!(last.0 + last.1, LONGEST);
    }
}
