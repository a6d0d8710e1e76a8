//! Characters that no installed font has: which package has the font.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// What libass reports for a character that no font has, followed by its code in hexadecimal.
const REPORTS: [&str; 2] = ["failed to find any fallback with glyph 0x", "Glyph 0x"];

/// Characters that are remembered of one encoder.
const MOST: usize = 200;

/// The characters of an encoder's texts that no font has.
#[derive(Debug, Default)]
pub(super) struct MissingGlyphs(BTreeSet<char>);

impl MissingGlyphs {
    /// Notes the character in a line of ffmpeg's. Returns whether the line is about a font.
    pub(super) fn note(&mut self, line: &str) -> bool {
        let code = |report: &str| {
            let (_, rest) = line.split_once(report)?;
            let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
            char::from_u32(u32::from_str_radix(&rest[..end], 16).ok()?)
        };
        match REPORTS.iter().find_map(|report| code(report)) {
            Some(found) => {
                let gone = line.contains("any fallback") || line.contains("not found in font");
                if gone && self.0.len() < MOST && !is_invisible(found) {
                    self.0.insert(found);
                }
                true
            }
            None => line.contains("fontselect:"),
        }
    }

    /// Warns of the missing fonts, once a script.
    pub(super) fn warn(&self) {
        static WARNED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
        for found in &self.0 {
            let (script, package) = font_of(*found);
            if WARNED.lock().unwrap_or_else(PoisonError::into_inner).insert(script) {
                log::warn!(
                    "no installed font has “{found}” (U+{:04X}, {script}), so texts on the picture lack it: \
                     apt install {package}, then restart; items in the cache keep their gaps until \
                     tgs-stream --cache-clear",
                    u32::from(*found)
                );
            }
        }
    }
}

/// Characters that need no glyph: joiners, directional marks, variation selectors.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// The script of a character, and the Debian package with a font for it.
fn font_of(c: char) -> (&'static str, &'static str) {
    const NOTO: &str = "fonts-noto-core";
    const CJK: &str = "fonts-noto-cjk";
    match u32::from(c) {
        0x0400..=0x052f => ("Cyrillic", NOTO),
        0x0590..=0x05ff => ("Hebrew", NOTO),
        0x0600..=0x06ff | 0x0750..=0x077f | 0xfb50..=0xfdff | 0xfe70..=0xfeff => ("Arabic", NOTO),
        0x0900..=0x097f => ("Devanagari", NOTO),
        0x0980..=0x09ff => ("Bengali", NOTO),
        0x0b80..=0x0bff => ("Tamil", NOTO),
        0x0e00..=0x0e7f => ("Thai", NOTO),
        0x0530..=0x058f => ("Armenian", NOTO),
        0x10a0..=0x10ff => ("Georgian", NOTO),
        0x1100..=0x11ff | 0xac00..=0xd7ff => ("Korean", CJK),
        0x3040..=0x30ff => ("Japanese", CJK),
        0x2e80..=0x303f | 0x3100..=0x9fff | 0xf900..=0xfaff | 0xff00..=0xffef | 0x2_0000..=0x3_ffff => {
            ("Chinese", CJK)
        }
        0x1_f000..=0x1_faff | 0x2600..=0x27bf => ("emoji", "fonts-symbola"),
        _ => ("another script", NOTO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_characters_without_any_font_are_noted() {
        let mut missing = MissingGlyphs::default();
        for (line, about_fonts) in [
            (
                "[ass@text @ 0x1] fontselect: failed to find any fallback with glyph 0x928 for font: (A, 400, 0)",
                true,
            ),
            ("[ass@text @ 0x1] Glyph 0x4F60 not found, selecting one more font for (A, 400, 0)", true),
            ("[ass@text @ 0x1] Glyph 0x1F600 not found, broken font? Trying all charmaps", true),
            ("[ass@text @ 0x1] Glyph 0xE2A not found in font for (A, 400, 0)", true),
            (
                "[ass@text @ 0x1] fontselect: failed to find any fallback with glyph 0x200D for font: (A)",
                true,
            ),
            ("[h264 @ 0x1] no frame!", false),
            ("[ass@text @ 0x1] failed to find any fallback with glyph 0xFFFFFFFF", false),
        ] {
            assert_eq!(missing.note(line), about_fonts, "{line}");
        }
        assert_eq!(missing.0, BTreeSet::from(['\u{928}', '\u{e2a}']));
        assert_eq!((font_of('न').0, font_of('你').1), ("Devanagari", "fonts-noto-cjk"));
    }
}
