//! Base64 as session strings have it: read in both alphabets and without minding the padding, written in the URL-safe one.

use super::Refused;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What `text` stands for. Bits that are left over at the end are dropped, as Python and JavaScript do.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, Refused> {
    let digits = text.trim_end_matches('=');
    // One digit more than whole bytes need stands for nothing: a piece is missing.
    if digits.len() % 4 == 1 || text.len() - digits.len() > 2 {
        return Err(if digits.bytes().all(|digit| value(digit).is_some()) {
            Refused::Length
        } else {
            Refused::NotBase64
        });
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits.bytes() {
        bits = bits << 6 | u32::from(value(digit).ok_or(Refused::NotBase64)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Ok(bytes)
}

/// The six bits of a digit.
fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'-' | b'+' => Some(62),
        b'_' | b'/' => Some(63),
        _ => None,
    }
}

/// `bytes` in the URL-safe alphabet.
pub(super) fn encode(bytes: &[u8], padded: bool) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            if digit <= group.len() {
                text.push(char::from(ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize]));
            } else if padded {
                text.push('=');
            }
        }
    }
    text
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
            assert_eq!(decode(text), Err(Refused::NotBase64), "{text}");
        }
        for text in ["Z", "Zm9vY", "Zg==="] {
            assert_eq!(decode(text), Err(Refused::Length), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_it_was(bytes in any::<Vec<u8>>(), padded: bool) {
            prop_assert_eq!(decode(&encode(&bytes, padded)), Ok(bytes));
        }
    }
}
