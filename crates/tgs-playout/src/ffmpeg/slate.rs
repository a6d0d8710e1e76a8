//! The slate: a plain background with text, shown for items without a picture.

use std::fs;

use super::{
    filters::{layout, meter},
    setup::EncodeSetup,
};
use crate::profile::Profile;

/// Name of the font in [`EncodeSetup::scratch`].
pub const FONT_FILE: &str = "font.ttf";

/// Name of the file with the slate's text in [`EncodeSetup::scratch`].
const TEXT_FILE: &str = "slate.txt";

/// Background colour of the slate, in ffmpeg's syntax.
const SLATE_COLOUR: &str = "0x14202b";

pub(super) fn slate_source(profile: &Profile) -> String {
    format!("color=c={SLATE_COLOUR}:s={}x{}:r={}", profile.width, profile.height, profile.fps)
}

pub(super) fn silence_source(profile: &Profile) -> String {
    format!("anullsrc=r={}:cl={}", profile.audio_rate, layout(profile.channels))
}

/// A slate exactly as long as the sound beside it, whose length may be unknown: an invisible level
/// meter of that sound ends the picture. (`-shortest` does not: behind a filter graph ffmpeg 5.1
/// never ends with it.)
pub(super) fn slate_for_sound(profile: &Profile, sound: &str, slate: &str) -> String {
    let meter = meter(profile, sound);
    format!("{meter};{slate}[slate];[slate][meter]overlay=x={}:shortest=1", profile.width)
}

/// The filter that writes `text` on a slate. If the text file cannot be written, the slate has no
/// text.
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

/// Wraps the text to what fits on the slate: at most four lines of 36 characters.
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
