//! Text on the picture, drawn by libass: it shapes every script, and finds fonts by fontconfig.

use std::{fmt::Write as _, time::Duration};

use super::{
    fit::{TextBox, fit},
    scratch_file,
};
use crate::{ffmpeg::setup::EncodeSetup, profile::Profile};

/// Folder of the built-in font in [`EncodeSetup::scratch`].
const FONT_FOLDER: &str = "fonts";

/// The family of the built-in font, which has the alphabets of Europe. The system's fonts have the
/// rest. Its name differs from theirs: libass uses one font of a name only.
const FONT: &str = "TGS Sans";

/// The end of a text without an end: ASS has no other form.
const FOREVER: Duration = Duration::from_mins(599);

/// Fade of a text that comes and goes, in milliseconds.
const FADE: u64 = 400;

/// Where a text stands, and how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextStyle {
    /// In the middle of an empty picture.
    Slate,
    /// Below cover art.
    Cover,
    /// In a box at the lower edge of a film; at its upper edge if `top`.
    LowerThird { top: bool, side: TextSide },
}

/// The side at which a box stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextSide {
    /// Where the script begins to be read.
    ByScript,
    Left,
    Right,
}

/// A text on the picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PictureText<'a> {
    pub(crate) text: &'a str,
    pub(crate) style: TextStyle,
    /// From when to when it is shown; `None`: always.
    pub(crate) shown: Option<(Duration, Duration)>,
}

/// The filter that draws `texts`; `None` without text. If their file cannot be written, logs a
/// warning and draws nothing.
pub(crate) fn text_filter(setup: &EncodeSetup, texts: &[PictureText<'_>]) -> Option<String> {
    let script = script(&setup.profile, texts)?;
    match scratch_file::write(&setup.scratch, "text", "ass", script.as_bytes()) {
        Ok(name) => Some(ass_filter(&name, FONT_FOLDER)),
        Err(error) => {
            let dir = setup.scratch.display();
            log::warn!("the picture has no text: cannot write in {dir}: {error} (make room there)");
            None
        }
    }
}

/// The filter that draws the script of this name with the fonts of this folder, both in the scratch
/// directory.
pub(super) fn ass_filter(name: &str, fonts: &str) -> String {
    format!("ass@text={name}:fontsdir={fonts}:shaping=complex")
}

/// The script of `texts`; `None` if none has a visible character.
fn script(profile: &Profile, texts: &[PictureText<'_>]) -> Option<String> {
    let mut events = String::new();
    for text in texts {
        events.extend(event(profile, text));
    }
    (!events.is_empty()).then(|| head(profile) + &events)
}

/// Sizes of a style, in parts of the picture's height.
struct Layout {
    /// The largest font size.
    size: f64,
    /// The height of all lines.
    height: f64,
    /// The width of the picture that is used, in parts of its width.
    width: f64,
}

impl TextStyle {
    fn layout(self) -> Layout {
        match self {
            Self::Slate => Layout { size: 0.075, height: 0.6, width: 0.84 },
            Self::Cover => Layout { size: 0.065, height: 0.18, width: 0.84 },
            Self::LowerThird { .. } => Layout { size: 0.058, height: 0.125, width: 0.7 },
        }
    }

    fn name(self, right_to_left: bool) -> &'static str {
        match (self, right_to_left) {
            (Self::Slate, _) => "Slate",
            (Self::Cover, _) => "Cover",
            (Self::LowerThird { top, side }, right_to_left) => {
                let right = side == TextSide::Right || side == TextSide::ByScript && right_to_left;
                match (top, right) {
                    (false, false) => "Left",
                    (false, true) => "Right",
                    (true, false) => "TopLeft",
                    (true, true) => "TopRight",
                }
            }
        }
    }
}

/// The script up to its events. Positions count in the profile's pixels.
fn head(profile: &Profile) -> String {
    let (width, height) = (profile.width, profile.height);
    let mut text = format!(
        "[Script Info]\nScriptType: v4.00+\nPlayResX: {width}\nPlayResY: {height}\nScaledBorderAndShadow: yes\n\
         WrapStyle: 0\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, \
         OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, \
         BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n"
    );
    let size = f64::from(height);
    let (margin, below, padding) = (size * 0.08, size * 0.10, size * 0.018);
    // Encoding -1 takes the direction of a line from its first letter. BorderStyle 4 is one box
    // behind all lines.
    for (name, border, outline, alignment, vertical) in [
        ("Slate", 1, 0.0, 5, below),
        // From the upper edge.
        ("Cover", 1, 0.0, 8, size * 0.68),
        ("Left", 4, padding, 1, below),
        ("Right", 4, padding, 3, below),
        ("TopLeft", 4, padding, 7, below),
        ("TopRight", 4, padding, 9, below),
    ] {
        let _ = writeln!(
            text,
            "Style: {name},{FONT},20,&H00FFFFFF,&H00FFFFFF,&H50201810,&H50201810,0,0,0,0,100,100,0,0,\
             {border},{outline:.1},0,{alignment},{margin:.0},{margin:.0},{vertical:.0},-1"
        );
    }
    text.push_str(
        "\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n",
    );
    text
}

/// The event of one text; `None` if it has no visible character.
fn event(profile: &Profile, text: &PictureText<'_>) -> Option<String> {
    let Layout { size, height, width } = text.style.layout();
    let picture = f64::from(profile.height);
    let space =
        TextBox { width: f64::from(profile.width) * width, height: picture * height, size: picture * size };
    let fitted = fit(text.text, space);
    let visible = |line: &String| line.chars().any(|c| !c.is_whitespace());
    if !fitted.lines.iter().any(visible) {
        return None;
    }
    let (from, until) = text.shown.unwrap_or((Duration::ZERO, FOREVER));
    let fade = if text.shown.is_some() { format!("\\fad({FADE},{FADE})") } else { String::new() };
    let style = text.style.name(is_right_to_left(text.text));
    let lines: Vec<String> = fitted.lines.iter().map(|line| escaped(line)).collect();
    Some(format!(
        "Dialogue: 0,{},{},{style},,0,0,0,,{{{fade}\\fs{:.1}}}{}\n",
        time(from),
        time(until),
        fitted.size,
        lines.join("\\N")
    ))
}

/// Escapes what libass would take for an override.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' => out.extend(['\\', c]),
            // libass knows no escape for a backslash, and only these characters give it a meaning.
            '\\' if chars.peek().is_none_or(|next| "nNh{}".contains(*next)) => out.push('/'),
            c => out.push(c),
        }
    }
    out
}

/// Whether the first letter belongs to a script that is written from right to left.
fn is_right_to_left(text: &str) -> bool {
    let rtl =
        |c: char| matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}');
    text.chars().find(|c| c.is_alphabetic()).is_some_and(rtl)
}

/// A time in the form of ASS.
fn time(at: Duration) -> String {
    let hundredths = at.as_millis() / 10;
    let (seconds, rest) = (hundredths / 100, hundredths % 100);
    format!("{}:{:02}:{:02}.{rest:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str) -> Option<String> {
        let shown = Some((Duration::from_millis(500), Duration::from_millis(8500)));
        let style = TextStyle::LowerThird { top: false, side: TextSide::ByScript };
        let text = PictureText { text, style, shown };
        let script = script(&Profile::P720, &[text])?;
        Some(script.lines().last().unwrap().to_owned())
    }

    #[test]
    fn a_text_cannot_carry_overrides() {
        let line = drawn("{\\pos(1,1)}a\\Nb\\c\n}\\").unwrap();
        assert!(line.starts_with("Dialogue: 0,0:00:00.50,0:00:08.50,Left,"), "{line}");
        assert!(line.ends_with("\\{\\pos(1,1)\\}a/Nb\\c \\}/"), "{line}");
        assert_eq!(drawn(" \n\u{7}"), None);
    }

    #[test]
    fn what_reads_from_the_right_stands_at_the_right() {
        assert!(drawn("12 مرحبا").unwrap().contains(",Right,"));
        assert!(drawn("Artist — مرحبا").unwrap().contains(",Left,"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_one_line_of_the_script(text in "\\PC{0,80}") {
            if let Some(line) = drawn(&text) {
                proptest::prop_assert!(line.starts_with("Dialogue: "));
            }
        }
    }
}
