//! Base64 of session strings: reads both alphabets, padded or not; writes the URL-safe one.

use base64::{
    Engine, alphabet,
    engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};

/// Ignores trailing bits, as Python and JavaScript do.
const READER: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// Why a text is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvalidBase64 {
    /// A character of neither alphabet.
    Character,
    /// The number of digits encodes no whole bytes.
    Length,
}

/// Decodes `text`.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, InvalidBase64> {
    let digits = text.trim_end_matches('=');
    let is_digit = |c: char| c.is_ascii_alphanumeric() || "-_+/".contains(c);
    if !digits.chars().all(is_digit) {
        return Err(InvalidBase64::Character);
    }
    // A single digit after whole groups encodes no byte: the text is truncated.
    if digits.len() % 4 == 1 || text.len() - digits.len() > 2 {
        return Err(InvalidBase64::Length);
    }
    READER.decode(digits.replace('+', "-").replace('/', "_")).map_err(|_| InvalidBase64::Length)
}

/// Encodes `bytes` in the URL-safe alphabet.
pub(super) fn encode(bytes: &[u8], padded: bool) -> String {
    if padded { URL_SAFE.encode(bytes) } else { URL_SAFE_NO_PAD.encode(bytes) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        // RFC 4648, section 10.
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, text) in cases {
            assert_eq!(encode(plain.as_bytes(), true), text);
            assert_eq!(encode(plain.as_bytes(), false), text.trim_end_matches('='));
            assert_eq!(decode(text).unwrap(), plain.as_bytes());
            assert_eq!(decode(text.trim_end_matches('=')).unwrap(), plain.as_bytes());
        }
        assert_eq!(decode("-_+/").unwrap(), decode("+/-_").unwrap());
        for text in ["Z g=", "Zg=a", "Zm9v\n", "é", "====a", "Z!"] {
            assert_eq!(decode(text), Err(InvalidBase64::Character), "{text}");
        }
        for text in ["Z", "Zm9vY", "Zg==="] {
            assert_eq!(decode(text), Err(InvalidBase64::Length), "{text}");
        }
    }

    proptest! {
        #[test]
        fn encoded_bytes_are_decoded_unchanged(bytes in any::<Vec<u8>>(), padded: bool) {
            prop_assert_eq!(decode(&encode(&bytes, padded)), Ok(bytes));
        }
    }
}
