//! The slate: a plain ground with text, shown where an item has no picture.

use std::fs;

use super::{
    filters::{layout, meter},
    setup::EncodeSetup,
};
use crate::profile::Profile;

/// Name of the font in [`EncodeSetup::scratch`].
pub const FONT_FILE: &str = "font.ttf";

/// Name of the slate's text in [`EncodeSetup::scratch`].
const TEXT_FILE: &str = "slate.txt";

/// The colour of a slate's ground, as ffmpeg writes colours.
const SLATE_COLOUR: &str = "0x14202b";

pub(super) fn slate_source(profile: &Profile) -> String {
    format!("color=c={SLATE_COLOUR}:s={}x{}:r={}", profile.width, profile.height, profile.fps)
}

pub(super) fn silence_source(profile: &Profile) -> String {
    format!("anullsrc=r={}:cl={}", profile.audio_rate, layout(profile.channels))
}

/// A slate that lasts exactly as long as the sound beside it, which need not be known: an invisible
/// level meter, drawn from that sound, ends the picture. (`-shortest` does not: ffmpeg 5.1 never
/// ends with it behind a filter graph.)
pub(super) fn slate_for_sound(profile: &Profile, sound: &str, slate: &str) -> String {
    let meter = meter(profile, sound);
    format!("{meter};{slate}[slate];[slate][meter]overlay=x={}:shortest=1", profile.width)
}

/// The filter that writes `text` on a slate. Where the text cannot be laid down the slate stays
/// bare.
pub(super) fn slate_text(setup: &EncodeSetup, text: &str) -> String {
    if text.is_empty() {
        return "null".into();
    }
    let written = fs::write(setup.scratch.join(TEXT_FILE), wrapped(text));
    if let Err(error) = written {
        log::warn!("the slate has no text: cannot write {}: {error}", setup.scratch.display());
        return "null".into();
    }
    let size = setup.profile.height / 16;
    format!(
        "drawtext=fontfile={FONT_FILE}:textfile={TEXT_FILE}:expansion=none:fontcolor=white:fontsize={size}:\
         line_spacing={}:x=(w-text_w)/2:y=(h-text_h)/2",
        size / 3
    )
}

/// Lines of at most 36 characters, four at most: what fits on the slate.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: String = word.chars().filter(|c| !c.is_control()).collect();
        if word.chars().count() > 34 {
            word = word.chars().take(33).chain(['…']).collect();
        }
        let last = lines.last_mut().expect("begins with a line");
        if last.is_empty() {
            *last = word;
        } else if last.chars().count() + 1 + word.chars().count() <= 36 {
            last.push(' ');
            last.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    if lines.len() > 4 {
        lines.truncate(4);
        lines[3].push('…');
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slate_text_is_wrapped_and_bounded() {
        assert_eq!(wrapped("one  two"), "one two");
        assert_eq!(wrapped(&"x".repeat(80)).chars().count(), 34);
        assert!(wrapped(&"many words ".repeat(50)).lines().count() <= 4);
    }
}
