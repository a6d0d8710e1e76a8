//! Times as lists write them.

use std::time::Duration;

/// The longest time: more is a mistake. FLV's timestamps end after 24.8 days.
const LONGEST: f64 = 24.0 * 86_400.0;

/// `90`, `90.5`, `1:30` or `1:02:03.5`.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    let is_number = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_digit())
            && part.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    };
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 || text.len() > 32 || !parts.iter().all(|part| is_number(part)) {
        return None;
    }
    let mut total = 0.0;
    for (place, part) in parts.iter().enumerate() {
        let value: f64 = part.parse().ok()?;
        if place > 0 && value >= 60.0 {
            return None;
        }
        total = total * 60.0 + value;
    }
    of_seconds(total)
}

/// A number of seconds that is neither negative nor too large.
pub(super) fn of_seconds(seconds: f64) -> Option<Duration> {
    (0.0..=LONGEST).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times() {
        for (text, expected) in [
            ("90", Some(90.0)),
            ("90.5", Some(90.5)),
            ("1:30", Some(90.0)),
            ("01:02:03.5", Some(3723.5)),
            ("0", Some(0.0)),
            ("1:60", None),
            ("1:2:3:4", None),
            ("-5", None),
            ("nan", None),
            ("inf", None),
            ("1e9", None),
            ("", None),
            (".", None),
            ("9999999999", None),
            ("12,5", None),
        ] {
            assert_eq!(seconds(text).map(|time| time.as_secs_f64()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_time_overflows(text in "[0-9:.-]{0,40}") {
            let _ = seconds(&text);
        }
    }
}
