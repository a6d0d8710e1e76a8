//! Times of `seek`: `1:02:03`, `2:03`, `90`, `90.5`, `90s`, `2m`, with a sign for a distance.

use tgs_core::units::parse_duration;

/// Where to seek, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum SeekTime {
    /// Distance from the item's beginning.
    To(f64),
    /// Distance from the picture on air.
    By(f64),
}

const FORM: &str = "is no time; write it like 1:02:03, 90, 90s or 2m, with + or - for a distance";

/// Parses the argument of `seek`.
pub(crate) fn parse(text: &str) -> Result<SeekTime, String> {
    let seconds = |text: &str| seconds(text).ok_or_else(|| FORM.to_owned());
    match text.as_bytes().first() {
        Some(b'+') => Ok(SeekTime::By(seconds(&text[1..])?)),
        Some(b'-') => Ok(SeekTime::By(-seconds(&text[1..])?)),
        _ => Ok(SeekTime::To(seconds(text)?)),
    }
}

fn seconds(text: &str) -> Option<f64> {
    if text.bytes().next_back()?.is_ascii_alphabetic() {
        return Some(parse_duration(text).ok()?.as_secs_f64());
    }
    let mut parts = text.split(':').rev();
    let last = parts.next()?;
    let (whole, fraction) = last.split_once('.').unwrap_or((last, "0"));
    let mut total = number(whole)? + number(fraction)? / 10_f64.powi(fraction.len() as i32);
    let mut is_below_minute = total < 60.0;
    for (unit, part) in [60.0, 3600.0].into_iter().zip(parts.by_ref()) {
        let value = number(part)?;
        // A leading part may be any number: 90:00 is an hour and a half.
        if !is_below_minute {
            return None;
        }
        is_below_minute = value < 60.0;
        total += value * unit;
    }
    parts.next().is_none().then_some(total)
}

/// A number of at most nine digits.
fn number(text: &str) -> Option<f64> {
    let fits = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        for (text, expected) in [
            ("0", SeekTime::To(0.0)),
            ("90", SeekTime::To(90.0)),
            ("90s", SeekTime::To(90.0)),
            ("1.25", SeekTime::To(1.25)),
            ("500ms", SeekTime::To(0.5)),
            ("1:02:03", SeekTime::To(3723.0)),
            ("1:02:03.5", SeekTime::To(3723.5)),
            ("90:00", SeekTime::To(5400.0)),
            ("+1h", SeekTime::By(3600.0)),
            ("-0:30", SeekTime::By(-30.0)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for text in
            ["", "+", "-", "--1", "+-1", "1:", ":1", "1:60", "1:60:00", "1:2:3:4", "1e3", "nan", "1,5", "-x"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_each_time_is_finite(text in ".*|[-+]?[0-9:.]{0,40}[smh]{0,2}") {
            if let Ok(SeekTime::To(seconds) | SeekTime::By(seconds)) = parse(&text) {
                prop_assert!(seconds.is_finite());
            }
        }
    }
}
