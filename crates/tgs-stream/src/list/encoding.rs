//! Decodes text: UTF-8, UTF-16 with or without a byte order mark, and Windows-1252.

use std::borrow::Cow;

/// Removes the byte order mark and converts UTF-16 to UTF-8.
pub(super) fn decoded(bytes: &[u8]) -> Cow<'_, [u8]> {
    let plain = |b: &u8| b.is_ascii_graphic();
    let (rest, big_endian) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, false),
        [0xfe, 0xff, rest @ ..] => (rest, true),
        [a, 0, b, 0, ..] if plain(a) && plain(b) => (bytes, false),
        [0, a, 0, b, ..] if plain(a) && plain(b) => (bytes, true),
        [0xef, 0xbb, 0xbf, rest @ ..] => return Cow::Borrowed(rest),
        _ => return Cow::Borrowed(bytes),
    };
    let unit = if big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
    let units = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    Cow::Owned(text.into_bytes())
}

/// Decodes UTF-8, else Windows-1252, which includes Latin-1.
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    const HIGH: [char; 32] = [
        '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}',
        '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
    ];
    let wide = |byte: &u8| match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => char::from(*byte),
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(wide).collect()),
    }
}
