//! Decodes text: UTF-8, UTF-16 with or without a byte order mark, Windows-1251 and Windows-1252.

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

/// The encoding of bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charset {
    /// Western European; it includes Latin-1.
    Windows1252,
    /// Cyrillic.
    Windows1251,
}

impl Charset {
    /// Guesses the encoding. In a Cyrillic word all letters have high bytes, in a western one only
    /// the letters with accents.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let (mut cyrillic, mut western) = (0_usize, 0_usize);
        let letter = |b: &u8| b.is_ascii_alphabetic() || *b >= 0xc0 || CYRILLIC_EXTRA.contains(b);
        for word in bytes.split(|b| !letter(b)) {
            let high = word.iter().filter(|b| !b.is_ascii()).count();
            match high {
                0 => {}
                _ if high < word.len() => western += high,
                1 => {}
                _ => cyrillic += high,
            }
        }
        if cyrillic > western { Self::Windows1251 } else { Self::Windows1252 }
    }

    /// The encoding that an XML declaration names.
    fn declared(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..bytes.len().min(100))?.to_ascii_lowercase();
        let has = |name: &[u8]| head.windows(name.len()).any(|part| part == name);
        match () {
            () if !head.starts_with(b"<?xml") => None,
            () if has(b"windows-1251") || has(b"cp1251") => Some(Self::Windows1251),
            () if has(b"windows-1252") || has(b"iso-8859-1\"") => Some(Self::Windows1252),
            () => None,
        }
    }

    /// The encoding of a whole list.
    pub(super) fn of_list(bytes: &[u8]) -> Self {
        Self::declared(bytes.trim_ascii_start()).unwrap_or_else(|| Self::of(bytes))
    }

    /// Decodes UTF-8, else this encoding.
    pub(super) fn text(self, bytes: &[u8]) -> Cow<'_, str> {
        let (high, letters) = match self {
            Self::Windows1252 => (&HIGH_1252[..], 0xa0),
            Self::Windows1251 => (&HIGH_1251[..], 0x410),
        };
        let first = 0x100 - if self == Self::Windows1251 { 0x40 } else { 0x60 };
        let wide = |byte: &u8| match u32::from(*byte) {
            byte @ 0..0x80 => char::from_u32(byte),
            byte if byte < first => high.get(byte as usize - 0x80).copied(),
            byte => char::from_u32(byte - first + letters),
        };
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(bytes.iter().map(|byte| wide(byte).unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
    }
}

/// Letters of Windows-1251 below 0xc0, except rare ones: Ё, ё, Є, є, І, і, Ї, ї, Ґ, ґ.
const CYRILLIC_EXTRA: [u8; 10] = [0xa8, 0xb8, 0xaa, 0xba, 0xb2, 0xb3, 0xaf, 0xbf, 0xa5, 0xb4];

/// Windows-1252 from 0x80 to 0x9f.
const HIGH_1252: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}',
    '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
];

/// Windows-1251 from 0x80 to 0xbf; from 0xc0 on, the Cyrillic alphabet follows in order.
const HIGH_1251: [char; 64] = [
    'Ђ', 'Ѓ', '‚', 'ѓ', '„', '…', '†', '‡', '€', '‰', 'Љ', '‹', 'Њ', 'Ќ', 'Ћ', 'Џ', 'ђ', '‘', '’', '“', '”',
    '•', '–', '—', '\u{fffd}', '™', 'љ', '›', 'њ', 'ќ', 'ћ', 'џ', '\u{a0}', 'Ў', 'ў', 'Ј', '¤', 'Ґ', '¦',
    '§', 'Ё', '©', 'Є', '«', '¬', '\u{ad}', '®', 'Ї', '°', '±', 'І', 'і', 'ґ', 'µ', '¶', '·', 'ё', '№', 'є',
    '»', 'ј', 'Ѕ', 'ѕ', 'ї',
];

/// Decodes UTF-8, else the encoding that the bytes suggest.
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    Charset::of(bytes).text(bytes)
}

/// The readings of bytes that are not UTF-8, the likeliest first.
pub(crate) fn readings(bytes: &[u8]) -> [String; 2] {
    let likely = Charset::of(bytes);
    let other = match likely {
        Charset::Windows1251 => Charset::Windows1252,
        Charset::Windows1252 => Charset::Windows1251,
    };
    [likely, other].map(|charset| charset.text(bytes).into_owned())
}
