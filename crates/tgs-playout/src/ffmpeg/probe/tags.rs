//! Title and artist, as the item's tags name them.

use std::path::Path;

use tgs_core::cancel::Cancel;

use super::ffprobe::{FfprobeOutput, ask, packets};
use crate::item::Media;

/// Limit of a tag in characters.
const LONGEST: usize = 200;

/// What an item says about itself. Texts without line breaks, of at most 200 characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// Its title.
    pub title: Option<String>,
    /// Its artist.
    pub artist: Option<String>,
}

impl Tags {
    /// The tags of the container, or else those of its only stream (Ogg): the title of a stream
    /// among others names the stream.
    pub(super) fn of(answer: &FfprobeOutput) -> Self {
        let mut streams = answer.streams.iter().filter(|stream| stream.disposition.attached_pic == 0);
        let only = streams.next().filter(|_| streams.next().is_none());
        let tag = |name: &str| {
            let of_stream = || only?.tags.get(name);
            let text = answer.format.tags.get(name).or_else(of_stream)?;
            let words = text.split(|c: char| c.is_whitespace() || c.is_control());
            let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
            let text = words.join(" ").chars().take(LONGEST).collect::<String>();
            Some(text).filter(|text| !text.is_empty())
        };
        Self { title: tag("title"), artist: tag("artist").or_else(|| tag("album_artist")) }
    }

    /// These, or `others` if there is no title.
    pub(super) fn or(self, others: Self) -> Self {
        if self.title.is_some() { self } else { others }
    }
}

/// The tags of a file; none for other sources, whose page or list has the title.
#[must_use]
pub fn tags_of(ffprobe: &Path, media: &Media, cancel: &Cancel) -> Tags {
    let file = media.sources.first().filter(|source| source.is_file() && !source.is_hls());
    let answer = file.and_then(|source| ask(ffprobe, source, 0, packets(source), cancel).ok());
    answer.map(|answer| Tags::of(&answer)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_those_of_the_file_or_of_its_only_stream() {
        let tags = |json: &str| Tags::of(&serde_json::from_str(json).unwrap());
        let stream = |more: &str| format!(r#"{{"index":0,"codec_type":"audio"{more}}}"#);
        let named = stream(r#","tags":{"TITLE":"A  song"}"#);
        let song = tags(&format!(r#"{{"streams":[{named}],"format":{{"tags":{{"album_artist":"B"}}}}}}"#));
        assert_eq!(song, Tags { title: Some("A song".into()), artist: Some("B".into()) });
        let cover = stream(r#","disposition":{"attached_pic":1}"#);
        assert_eq!(tags(&format!(r#"{{"streams":[{cover},{named}]}}"#)).title.as_deref(), Some("A song"));
        let other = stream("");
        assert_eq!(tags(&format!(r#"{{"streams":[{named},{other}]}}"#)), Tags::default());
    }
}
