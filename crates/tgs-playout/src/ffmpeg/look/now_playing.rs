//! What is playing, as viewers read it: a form with the title and the artist of an item.

use std::time::Duration;

use crate::{ffmpeg::probe::Tags, item::Item};

/// The lower third of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LowerThird {
    /// How long it is shown, from the beginning of the item.
    pub length: Duration,
    /// Its text.
    pub form: TextForm,
}

/// A text with places for the title and the artist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextForm(Vec<FormPart>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum FormPart {
    Text(String),
    Title,
    Artist,
}

/// Why a text is no form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The text has a place of another name.
    #[error("knows {{title}} and {{artist}}, and no {{{0}}}")]
    Unknown(String),
    /// The text is the same for each item.
    #[error("must contain {{title}} or {{artist}}")]
    Fixed,
}

impl TextForm {
    /// Parses a text such as `{title} — {artist}`.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, after) = behind.split_once('}').unwrap_or((behind, ""));
            parts.extend((!before.is_empty()).then(|| FormPart::Text(before.to_owned())));
            parts.push(match name.trim() {
                "title" => FormPart::Title,
                "artist" => FormPart::Artist,
                other => return Err(FormError::Unknown(other.chars().take(40).collect())),
            });
            rest = after;
        }
        parts.extend((!rest.is_empty()).then(|| FormPart::Text(rest.to_owned())));
        if parts.iter().all(|part| matches!(part, FormPart::Text(_))) {
            return Err(FormError::Fixed);
        }
        Ok(Self(parts))
    }

    /// The text of an item. A missing artist takes the text between with it.
    #[must_use]
    pub fn of(&self, names: &ItemNames) -> String {
        let value = |part: &FormPart| match part {
            FormPart::Title => Some(names.title.as_str()),
            FormPart::Artist => names.artist.as_deref(),
            FormPart::Text(_) => None,
        };
        let is_present = |part: &&FormPart| value(part).is_some_and(|value| !value.is_empty());
        let mut out = String::new();
        for (at, part) in self.0.iter().enumerate() {
            match part {
                FormPart::Text(text) => {
                    let before = self.0[..at].iter().rev().find(|part| !matches!(part, FormPart::Text(_)));
                    let after = self.0[at..].iter().find(|part| !matches!(part, FormPart::Text(_)));
                    let gone = [before, after].into_iter().flatten().any(|part| !is_present(&part));
                    // The text before the first place, and after the last, stays.
                    if !(gone && before.is_some() && after.is_some()) {
                        out.push_str(text);
                    }
                }
                part => out.push_str(value(part).unwrap_or_default()),
            }
        }
        out.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// The names of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemNames {
    /// The title.
    pub title: String,
    /// The artist, if known.
    pub artist: Option<String>,
}

impl ItemNames {
    /// The names of `item`, whose file has `tags`: those of the list, of the file, and of the page,
    /// in this order, and else the tidied name of the file.
    #[must_use]
    pub fn of(item: &Item, tags: &Tags) -> Self {
        let listed = &item.media.part.listed;
        let file = item.media.sources.first().is_none_or(crate::item::MediaSource::is_file);
        // A page has a better title than the file that it leads to.
        let none = Tags::default();
        let tags = if file { tags } else { &none };
        let plain = || if file { tidied(&item.title) } else { item.title.clone() };
        let title = listed.title.clone().or_else(|| tags.title.clone()).unwrap_or_else(plain);
        let artist = listed.artist.clone().or_else(|| tags.artist.clone()).filter(|it| !it.is_empty());
        // Lists often write both into the title.
        match artist {
            Some(artist) => match title.strip_prefix(&artist).map(str::trim_start) {
                Some(rest) if rest.starts_with(['-', '–', '—', ':']) && rest.len() > 1 => Self {
                    title: rest.trim_start_matches(['-', '–', '—', ':', ' ']).to_owned(),
                    artist: Some(artist),
                },
                _ => Self { title, artist: Some(artist) },
            },
            None => Self { title, artist: None },
        }
    }
}

/// Words in names of files that viewers do not need.
const JUNK: [&str; 24] = [
    "2160p", "1440p", "1080p", "1080i", "720p", "576p", "480p", "360p", "4k", "uhd", "x264", "x265", "h264",
    "h265", "hevc", "avc", "hdr", "hdr10", "web-dl", "webrip", "bluray", "bdrip", "dvdrip", "hdtv",
];

/// A name of a file as a title: without extension, underscores, and notes such as `[1080p]`.
#[must_use]
pub fn tidied(name: &str) -> String {
    let stem = match name.rsplit_once('.') {
        Some((stem, end)) if (2..=4).contains(&end.len()) && is_extension(end) => stem,
        _ => name,
    };
    let mut plain = String::with_capacity(stem.len());
    let mut rest = stem;
    // Brackets that hold nothing but junk, or the identifier that yt-dlp adds.
    while let Some(at) = rest.find(['[', '(']) {
        let close = if rest[at..].starts_with('[') { ']' } else { ')' };
        let Some(end) = rest[at..].find(close).map(|end| at + end) else { break };
        let inner = &rest[at + 1..end];
        plain.push_str(&rest[..at]);
        if is_junk(inner) || close == ']' && is_page_id(inner) {
            plain.push(' ');
        } else {
            plain.push_str(&rest[at..=end]);
        }
        rest = &rest[end + 1..];
    }
    plain.push_str(rest);
    let text = plain.replace('_', " ");
    let text = if text.contains(' ') { text } else { dots_to_spaces(&text) };
    let mut words: Vec<&str> = text.split_whitespace().collect();
    while words.len() > 1 && words.last().is_some_and(|word| is_junk(word) || matches!(*word, "-" | "–")) {
        words.pop();
    }
    if words.is_empty() { name.to_owned() } else { words.join(" ") }
}

/// Dots between words as spaces; those inside numbers stay.
fn dots_to_spaces(text: &str) -> String {
    let is_digit = |c: Option<&u8>| c.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    let inside = |at: usize| at > 0 && is_digit(bytes.get(at - 1)) && is_digit(bytes.get(at + 1));
    text.char_indices().map(|(at, c)| if c == '.' && !inside(at) { ' ' } else { c }).collect()
}

fn is_extension(end: &str) -> bool {
    const KNOWN: [&str; 24] = [
        "mp4", "mkv", "avi", "mov", "webm", "flv", "ts", "m2ts", "mts", "mpg", "mpeg", "wmv", "m4v", "vob",
        "mp3", "m4a", "aac", "flac", "ogg", "opus", "wav", "wma", "mxf", "ogv",
    ];
    KNOWN.iter().any(|known| known.eq_ignore_ascii_case(end))
}

fn is_junk(text: &str) -> bool {
    let mut words = text.split([' ', ',', '.', '_']).filter(|word| !word.is_empty()).peekable();
    words.peek().is_some() && words.all(|word| JUNK.iter().any(|junk| junk.eq_ignore_ascii_case(word)))
}

/// Whether this is the identifier of a video at YouTube, which yt-dlp puts into file names.
fn is_page_id(text: &str) -> bool {
    text.len() == 11
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        && text.bytes().any(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(form: &str, title: &str, artist: Option<&str>) -> String {
        let names = ItemNames { title: title.into(), artist: artist.map(str::to_owned) };
        TextForm::parse(form).unwrap().of(&names)
    }

    #[test]
    fn a_missing_artist_takes_its_separator_with_it() {
        for (form, with, without) in [
            ("{title} — {artist}", "T — A", "T"),
            ("{artist}: {title}", "A: T", "T"),
            ("Now: {artist} – {title} (live)", "Now: A – T (live)", "Now: T (live)"),
            ("{title}", "T", "T"),
        ] {
            assert_eq!((&*text(form, "T", Some("A")), &*text(form, "T", None)), (with, without), "{form}");
        }
    }

    #[test]
    fn a_form_has_a_place_and_no_unknown_one() {
        assert_eq!(TextForm::parse("hello"), Err(FormError::Fixed));
        assert_eq!(TextForm::parse("{titel}"), Err(FormError::Unknown("titel".into())));
        assert_eq!(TextForm::parse("{"), Err(FormError::Unknown(String::new())));
    }

    #[test]
    fn names_of_files_are_tidied() {
        for (name, title) in [
            ("My_film_[1080p].mkv", "My film"),
            ("Big.Buck.Bunny.1080p.x264", "Big Buck Bunny"),
            ("Song (Live) [dQw4w9WgXcQ].mp4", "Song (Live)"),
            ("Фильм_(2019)_720p", "Фильм (2019)"),
            ("[1080p]", "[1080p]"),
            ("v1.2", "v1.2"),
            ("My.Film.2024", "My Film 2024"),
            ("Фильм.2024.mkv", "Фильм 2024"),
            ("Dolby.5.1.Test", "Dolby 5.1 Test"),
            ("a (b", "a (b"),
        ] {
            assert_eq!(tidied(name), title, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = tidied(&text);
            let _ = TextForm::parse(&text);
        }
    }
}
